"""Why a method ends, beyond what methods without constraints know."""

from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, TOLERANCE

INFEASIBLE = 4

__all__ = ["DIVERGED", "INFEASIBLE", "RUNNING", "STALLED", "TOLERANCE"]
