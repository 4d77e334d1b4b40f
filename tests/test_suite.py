"""The suite of kernels at small sizes: sides agree, programs lower for other machines, results are written. No timings."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks import kernels, shown, suite
from benchmarks.__main__ import main, others
from benchmarks.kernels.kernel import Peer, agree, case
from benchmarks.timing import Timing, interleaved, ratio, uncertainty

SCHEMA = json.loads((Path(suite.__file__).parent / "suite.schema.json").read_text(encoding="utf-8"))
PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.fixture(autouse=True, scope="module")
def hasty() -> Iterator[None]:
    """64 bits, and programs that are compiled fast rather than run fast."""
    jax.config.update("jax_enable_x64", True)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.parametrize("name", kernels.ALL)
def test_sides_agree_and_ours_lowers_for_cuda_and_tpu(name: str) -> None:
    kernel = kernels.ALL[name]
    one = case(kernel, kernel.small)
    agree(one)
    ours = one.sides["ours"]
    exported = jax.export.export(ours.function, platforms=PLATFORMS)(*ours.arguments)
    assert exported.platforms == PLATFORMS


def test_sides_that_differ_are_not_compared() -> None:
    kernel = kernels.ALL["chain"]
    one = case(kernel, kernel.small, peers=False)
    one.sides["expert"].arguments[0].block_until_ready()
    wrong = type(one.sides["expert"])(
        one.sides["expert"].function, tuple(1.01 * a for a in one.sides["expert"].arguments)
    )
    broken = replace(one, sides={**one.sides, "expert": wrong})
    with pytest.raises(AssertionError, match="chain: expert"):
        agree(broken)


def test_results_are_shown_and_written(tmp_path: Path) -> None:
    data, drawing = tmp_path / "out" / "rows.json", tmp_path / "out" / "ratios.png"
    result = CliRunner().invoke(main, ["chain", "--quick", "--json", str(data), "--png", str(drawing)])
    assert result.exit_code == 0, result.output
    results = json.loads(data.read_text(encoding="utf-8"))
    jsonschema.validate(results, SCHEMA)
    (row,) = results["rows"]
    assert row["kernel"] == "chain"
    assert row["flops"] > 2 * 4 * 5 * 6 * 2
    assert drawing.read_bytes()[:4] == b"\x89PNG"
    for word in ("chain", "x expert", "geometric mean", "slower than the library:", "GFLOP/s"):
        assert word in result.output
    again = CliRunner().invoke(main, ["chain", "--quick", "--against", str(data)])
    assert "x expert, then and now" in again.output


def test_names_are_listed_and_checked() -> None:
    listed = CliRunner().invoke(main, ["--list"])
    assert all(f"  {name} " in listed.output for name in kernels.ALL)
    assert {"suite", "growth", "lasso"} <= set(listed.output.split())
    assert not set(kernels.ALL) & set(others())
    unknown = CliRunner().invoke(main, ["chian"])
    assert unknown.exit_code == 2
    assert "chian" in unknown.output
    both = CliRunner().invoke(main, ["chain", "--quick", "--large"])
    assert both.exit_code == 2
    assert "--quick and --large" in both.output


@pytest.mark.parametrize("name", kernels.ALL)
def test_sizes_are_of_the_same_dims(name: str) -> None:
    kernel = kernels.ALL[name]
    assert set(kernel.small) == set(kernel.sizes) == set(kernel.large)
    assert all(kernel.large[dim] >= size for dim, size in kernel.sizes.items())


def test_a_library_that_is_missing_is_told() -> None:
    peer = Peer("nothing", ("no_such_library",), lambda _: None)
    assert peer.function() == "not installed: no_such_library"


def row(**changed: float) -> suite.Row:
    """A row that reaches everything, but for what is said."""
    sides = {s: {"median": 1e-3, "trace": 0.1, "xla": 0.2, "memory": 8e6} for s in shown.SIDES}
    ratios = {"idiomatic": 4.0, "expert": 1.0, "peer": 1.0} | {k: v for k, v in changed.items() if k != "share"}
    peer = {"library": "other", "missing": None}
    found: suite.Row = {"kernel": "k", "limit": 1e-4, "sides": sides, "ratios": ratios, "peer": peer}
    found["errors"] = dict.fromkeys(ratios, 0.02)
    found["build"] = {"share": changed.get("share", 0.2)}
    return found | {"missed": suite.missed(found)}


def test_what_is_missed_is_named() -> None:
    assert row()["missed"] == []
    rows = [row(), row(expert=0.94, share=0.26), row(peer=0.99)]
    assert [r["missed"] for r in rows] == [[], ["expert", "share"], ["peer"]]
    results = {"rows": rows, "means": suite.means(rows), "machine": {"gemm": {"float32": 1e11}, "copy": 1e10}}
    results |= {"jax": "0", "device": "cpu", "cores": 2, "load": [0.0, 1.0]}
    np.testing.assert_allclose(results["means"]["peer"], 0.99 ** (1 / 3))
    assert shown.verdict(results)[0].endswith(": k (0.94 ± 0.02)")
    assert shown.verdict(results)[2].endswith(": k")
    assert shown.verdict(results)[3].endswith("reached")
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(shown.table(results))
    assert "0.94" in console.export_text()


def test_ratios_are_medians_over_rounds() -> None:
    ours = Timing(0, 2.0, 0, 0, samples=(1.0, 2.0, 10.0))
    other = Timing(0, 4.0, 0, 0, samples=(2.0, 4.0, 25.0))
    assert ratio(other, ours) == 2.0


def test_errors_of_ratios_are_those_of_medians() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        ours = Timing(0, 1.0, 0, 0, samples=(1.0,) * 101)
        other = Timing(0, 1.0, 0, 0, samples=tuple(rng.normal(1, 0.1, 101)))
        found.append((ratio(other, ours), uncertainty(other, ours)))
    medians, errors = np.transpose(found)
    np.testing.assert_allclose(np.mean(errors), np.std(medians), rtol=0.15)


def test_sides_take_turns_in_changing_orders() -> None:
    """Every side is called as often, and comes after each other one; more rounds are taken until there are enough."""
    calls: list[str] = []
    sides = {name: lambda name=name: calls.append(name) or np.zeros(()) for name in "abc"}
    taken = interleaved(sides, repetitions=30, least=0.0)
    assert {name: len(t.samples) for name, t in taken.items()} == dict.fromkeys("abc", 30)
    own = calls[9:]
    assert len(own) == 90
    followers = {(one, other) for one, other in itertools.pairwise(own) if one != other}
    assert len(followers) == 6
    longer = interleaved({"a": lambda: time.sleep(1e-3)}, repetitions=3, least=0.0, enough=0.05)
    assert len(longer["a"].samples) > 10


def test_units() -> None:
    assert [shown.seconds(x) for x in (2.0, 1.5e-3, 2.5e-6)] == ["2 s", "1.5 ms", "2.5 us"]
    assert [shown.size(x) for x in (3e9, 1e6, 500)] == ["3 GB", "1 MB", "0.5 kB"]
