"""The results of the suite as a table for the terminal, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.suite import TARGETS, Results, Row

SIDES = ("ours", "idiomatic", "expert", "peer")


def seconds(value: float) -> str:
    """Three digits with a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


def size(value: float) -> str:
    """Bytes with a unit."""
    for unit, large in (("GB", 1e9), ("MB", 1e6)):
        if value >= large:
            return f"{value / large:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"


def ratio(row: Row, name: str) -> str:
    """How many times as long a side takes as ours; red where that is less than it should be."""
    if name not in row["ratios"]:
        return "" if name != "peer" or row["peer"] is None else "[dim]none[/]"
    text = f"{row['ratios'][name]:.2f}"
    return f"[red]{text}[/]" if name in row["missed"] else text


def table(results: Results) -> Table:
    """One line per kernel and one of geometric means."""
    machine = results["machine"]
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s {name}" for name, rate in machine["gemm"].items())
    load = results["load"]
    caption = (
        f"jax {results['jax']}, {results['device']}, {results['cores']} cores, load {load[0]:.1f} to {load[1]:.1f}; "
        f"products {rates}, copies {machine['copy'] / 1e9:.1f} GB/s"
    )
    shown = Table(caption=caption, box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for head in ("kernel", "ours", "idiomatic", "expert", "peer", "library", "x idiom.", "x expert", "x peer"):
        shown.add_column(head, justify="left" if head in ("kernel", "library") else "right", no_wrap=True)
    for head in ("limit", "memory", "expert's", "XLA", "expert's", "own share"):
        shown.add_column(head, justify="right", no_wrap=True)
    for row in results["rows"]:
        sides, peer = row["sides"], row["peer"]
        library = "" if peer is None else peer["library"] if peer["missing"] is None else f"[dim]{peer['missing']}[/]"
        share = f"{row['build']['share']:.0%}"
        shown.add_row(
            row["kernel"],
            *(seconds(sides[s]["median"]) if s in sides else "" for s in SIDES),
            library,
            *(ratio(row, s) for s in SIDES[1:]),
            seconds(row["limit"]),
            *(size(sides[s]["memory"]) for s in ("ours", "expert")),
            *(seconds(sides[s]["trace"] + sides[s]["xla"]) for s in ("ours", "expert")),
            f"[red]{share}[/]" if "share" in row["missed"] else share,
        )
    mean = results["means"]
    shown.add_section()
    cells = [f"{mean[s]:.2f}" if s in mean else "" for s in SIDES[1:]]
    shown.add_row("geometric mean", "", "", "", "", "", *cells, style="bold")
    return shown


def verdict(results: Results) -> list[str]:
    """Which targets are missed, and where; of ratios, with their standard errors."""
    rows, mean = results["rows"], results["means"]
    lines = []
    for name, what in (
        ("expert", f"slower than {TARGETS['expert']} of the expert"),
        ("peer", "slower than the library"),
        ("share", f"more than {TARGETS['share']:.0%} of XLA's time in our own compiler"),
    ):
        those = [r["kernel"] + _how_far(r, name) for r in rows if name in r["missed"]]
        lines.append(f"{what}: {', '.join(those) or 'none'}")
    reached = "reached" if mean.get("idiomatic", 0) >= TARGETS["idiomatic"] else "missed"
    lines.append(f"geometric mean of {TARGETS['idiomatic']} against idiomatic JAX: {reached}")
    return lines


def _how_far(row: Row, name: str) -> str:
    return f" ({row['ratios'][name]:.2f} ± {row['errors'][name]:.2f})" if name in row["ratios"] else ""


def compared(results: Results, earlier: Results) -> Table:
    """The ratios to the expert, now and in earlier results: other machines and other loads do not matter to them."""
    before = {row["kernel"]: row for row in earlier["rows"]}
    shown = Table(title="x expert, then and now", box=None, pad_edge=False, title_justify="left", min_width=24)
    for head in ("kernel", "then", "now"):
        shown.add_column(head, justify="left" if head == "kernel" else "right")
    for row in results["rows"]:
        then = before.get(row["kernel"])
        shown.add_row(row["kernel"], "" if then is None else f"{then['ratios']['expert']:.2f}", ratio(row, "expert"))
    return shown


def picture(results: Results, path: Path) -> None:
    """Ratios of the sides to ours by kernel, on a logarithmic axis: right of 1 ours is faster."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullFormatter

    rows = results["rows"][::-1]
    figure, axes = plt.subplots(figsize=(8, 1.6 + 0.42 * len(rows)), layout="constrained")
    styles: dict[str, Any] = {
        "idiomatic": {"color": "#9aa5b1", "marker": "s", "label": "idiomatic JAX"},
        "peer": {"color": "#d98c2b", "marker": "D", "label": "library"},
        "expert": {"color": "#2458a6", "marker": "o", "label": "expert JAX"},
    }
    for place, row in enumerate(rows):
        reach = [1.0, *row["ratios"].values()]
        axes.plot([min(reach), max(reach)], [place, place], color="#dde2e8", linewidth=2, zorder=1)
    for name, style in styles.items():
        points = [(r["ratios"][name], k) for k, r in enumerate(rows) if name in r["ratios"]]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=40, zorder=3, **style)
    axes.axvline(1.0, color="black", linewidth=1, zorder=2)
    axes.axvline(TARGETS["expert"], color="#2458a6", linewidth=0.8, linestyle=":", zorder=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    labels = [f"{r['kernel']}  {seconds(r['sides']['ours']['median'])}" for r in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_xlabel("time as a multiple of vspec's, beside the kernel (right of 1: vspec is faster)")
    mean = ", ".join(f"{styles[s]['label']} {v:.2f}" for s, v in results["means"].items())
    axes.set_title(f"geometric means: {mean}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)
