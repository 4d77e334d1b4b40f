"""The kernels of the suite, by name. Each module holds those of one field."""

from __future__ import annotations

from benchmarks.kernels import (
    algebra,
    autoencoder,
    electrons,
    implicit,
    inference,
    networks,
    points,
    processes,
    regression,
    variational,
)
from benchmarks.kernels.kernel import Kernel

ALL: dict[str, Kernel] = {
    kernel.name: kernel
    for module in (
        regression,
        networks,
        electrons,
        points,
        processes,
        inference,
        variational,
        autoencoder,
        implicit,
        algebra,
    )
    for kernel in module.KERNELS
}
