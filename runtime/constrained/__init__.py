"""Solving under constraints: interior points, augmented Lagrangians, penalties, projections; how well a point does."""
