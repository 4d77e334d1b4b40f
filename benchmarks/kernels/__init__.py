"""The kernels of the suite, by name. Each module holds those of one field."""

from __future__ import annotations

from benchmarks.kernels import algebra, networks, points, processes, regression
from benchmarks.kernels.kernel import Kernel

ALL: dict[str, Kernel] = {
    kernel.name: kernel for module in (regression, networks, points, processes, algebra) for kernel in module.KERNELS
}
