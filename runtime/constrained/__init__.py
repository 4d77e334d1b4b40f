"""Solving under constraints: interior points, augmented Lagrangians, penalties and projections; how well a point satisfies them."""
