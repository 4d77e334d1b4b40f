"""Timings: the sides in one run, interleaved, medians; compilation apart.

`python -m benchmarks` runs them all, `python -m benchmarks suite` the suite of kernels. Solvers and libraries to compare with are
those that are installed: `pip install -e '.[bench]'`.
"""
