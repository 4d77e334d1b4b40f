"""Limits and safety, one test for each promise: whatever a file holds, it is refused with a code, quickly, and nothing runs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vspec.cli import main
from vspec.compiler.pipeline import check_text

HEAD = "vspec: 1\nname: limits\n"


def nested(text: str, depth: int, left: str = "(", right: str = ")") -> str:
    return left * depth + text + right * depth


BOMB = "constants:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"  {q}: &{q} [{', '.join([f'*{p}'] * 10)}]\n" for p, q in zip("abcdefg", "bcdefgh")
)
DOUBLING = "functions:\n  f0(x): x*x + 1\n" + "".join(f"  f{k}(x): f{k - 1}(x)*f{k - 1}(x + 1)\n" for k in range(1, 40))
CHAIN = "functions:\n  f0(x): x + 1\n" + "".join(f"  f{k}(x): f{k - 1}(x)\n" for k in range(1, 200))

LIMITS = {
    "a tag": ("constants: {a: !!python/object/apply:os.system [ls]}\n", "VS0110"),
    "a local tag": ("constants: {a: !secret 1}\n", "VS0110"),
    "a key twice": ("constants: {a: 1}\nconstants: {b: 1}\n", "VS0111"),
    "merge keys": ("constants: {<<: 1}\n", "VS0120"),
    "an alias of itself": ("constants: {a: &a [*a]}\n", "VS0120"),
    "aliases of aliases": (BOMB, "VS0702"),
    "many aliases": ("constants: {a: &a 1, b: [" + ", ".join(["*a"] * 101) + "]}\n", "VS0704"),
    "deep lists": ("constants: {a: " + nested("1", 100, "[", "]") + "}\n", "VS0703"),
    "very deep lists": ("constants: {a: " + nested("1", 100_000, "[", "]") + "}\n", "VS0703"),
    "deep mappings": ("constants: {a: " + nested("1", 100, "{a: ", "}") + "}\n", "VS0703"),
    "many values": ("constants: {'a[i]': [" + "1, " * 250_000 + "]}\n", "VS0702"),
    "a large file": ("doc: " + "x" * 1_000_001 + "\n", "VS0701"),
    "a large number": ("constants: {a: 1e999}\n", "VS0705"),
    "a number of many digits": ("constants: {a: " + "9" * 100_000 + "}\n", "VS0705"),
    "a large literal": ("define: {a: 1 + " + "9" * 30 + "}\n", "VS0723"),
    "a literal of many digits": ("define: {a: 1 + " + "9" * 10_000 + "}\n", "VS0723"),
    "a tower of powers": ("define: {a: 9**9**9}\n", "VS0722"),
    "a tower behind names": ("define: {a: 2**2**2**2**2**2}\n", "VS0722"),
    "a large power": ("params: {w: {init: 1}}\ndefine: {a: w**100000}\n", "VS0722"),
    "a power of ten": ("define: {a: 10**400}\n", "VS0722"),
    "a long expression": ("define: {a: " + " + ".join(["1"] * 10_000) + "}\n", "VS0720"),
    "deep brackets": ("define: {a: '" + nested("1", 500) + "'}\n", "VS0721"),
    "deep calls": ("define: {a: " + nested("1", 150, "exp(", ")") + "}\n", "VS0721"),
    "deep signs": ("define: {a: '" + "-" * 5000 + "1'}\n", "VS0721"),
    "deep conditions": ("define: {a: " + "1 if 1 < 2 else " * 1000 + "1}\n", "VS0721"),
    "many comparisons": ("define: {a: 1" + " < 1" * 2000 + "}\n", "VS0721"),
    "many conditions": ("define: {a: 1 < 2" + " and 1 < 2" * 1500 + "}\n", "VS0721"),
    "functions that double": (DOUBLING + "define: {a: f39(1.0)}\n", "VS0724"),
    "a chain of functions": (CHAIN + "define: {a: f199(1.0)}\n", "VS0724"),
    "a large dim": ("dims: {n: 9000000000000000000}\n", "VS0727"),
    "a product of dims": ("dims: {n: 100000, m: n*n*n}\n", "VS0727"),
    "an empty dim": ("dims: {n: 3, m: n - 3}\n", "VS0221"),
    "a name that is a path": ("", "VS0134"),
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_file_beyond_a_limit_is_refused_at_once(what: str) -> None:
    text, code = LIMITS[what]
    head = HEAD.replace("limits", "../../etc/passwd") if code == "VS0134" else HEAD
    start = time.process_time()
    spec, diagnostics = check_text(head + text, "limits.yaml")
    assert time.process_time() - start < 5
    assert spec is None
    assert code in {d.code for d in diagnostics}
    assert len(diagnostics) <= 3


@pytest.mark.parametrize("value", [10**10, 10**40])
def test_sizes_given_from_outside_have_the_limit_too(value: int) -> None:
    _, diagnostics = check_text(HEAD + "dims: {n: 3}\noutputs: {'a[n]': index(n)}\n", "limits.yaml", {"n": value})
    assert [d.code for d in diagnostics] == ["VS0727"]


SPEC = HEAD + "dims: {n: 3}\ndata:\n  x[n]: {source: %s}\noutputs: {a: 'sum[n](x[n])'}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec in it and a secret beside it."""
    folder = tmp_path_factory.mktemp("place")
    inside = folder / "spec"
    inside.mkdir()
    np.save(folder / "secret.npy", np.ones(3))
    np.save(inside / "open.npy", np.ones(3))
    (inside / "link.npy").symlink_to(folder / "secret.npy")
    (inside / "way").symlink_to(folder)
    (inside / "circle.npy").symlink_to(inside / "circle.npy")
    return inside


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("../secret.npy", "VS0511"),
        ("{folder}/secret.npy", "VS0511"),
        ("link.npy", "VS0511"),
        ("way/secret.npy", "VS0511"),
        ("./x/../../secret.npy", "VS0511"),
        ("../../../../../../../etc/passwd", "VS0511"),
        ("/etc/passwd", "VS0511"),
        ("~/secret.npy", "VS0511"),
        ("/dev/zero", "VS0511"),
        ("~nobody_of_that_name/secret.npy", "VS0503"),
        ("circle.npy", "VS0503"),
        ("file:///etc/passwd", "VS0503"),
        ("https://example.org/a.npy", "VS0503"),
        ("'sklearn:../../etc/passwd'", "VS0514"),
        ('"a\\0b.npy"', "VS0503"),
    ],
)
def test_sources_stay_in_the_folder(source: str, code: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "spec.yaml").write_text(SPEC % source.format(folder=place.parent), encoding="utf-8")
    found = CliRunner().invoke(main, ["run", "spec.yaml", "--format", "json"])
    assert found.exit_code in (2, 3)
    assert f'"code": "{code}"' in found.stdout


def test_what_lies_inside_or_is_allowed_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for source, options in (("open.npy", []), ("./x/../open.npy", []), ("link.npy", ["--allow-outside"])):
        (place / "spec.yaml").write_text(SPEC % source, encoding="utf-8")
        assert CliRunner().invoke(main, ["run", "spec.yaml", *options]).exit_code == 0
