"""Timings: two sides in one run, interleaved, medians; compilation apart.

`python -m benchmarks` runs them all. Solvers to compare with are those that are installed: `pip install -e '.[bench]'`.
"""
