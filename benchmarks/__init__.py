"""Timings: two sides in one run, interleaved, medians; compilation apart.

`python -m benchmarks` runs them all.
"""
