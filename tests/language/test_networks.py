"""What the checker makes of networks: weights with their axes, one size for all calls, names for messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.helpers import diagnose, good
from vspec.compiler.language.architectures import ARCHITECTURES, LIBRARY_ACTIVATIONS
from vspec.compiler.language.expr import Stack
from vspec.compiler.language.spec import Definition, Draw, Spec, as_named
from vspec.compiler.pipeline import check

SPECS = Path(__file__).parents[2] / "specs"
DATA = "dims: {n: auto, i: auto, j: 5, k: 3, p: auto}\ndata:\n  x[n, i]: real\n  y[n, j]: real\n"


def axes(spec: Spec) -> dict[str, tuple[str, ...]]:
    return {name: param.letters for name, param in spec.params.items()}


def test_weights_have_the_axes_of_what_is_passed() -> None:
    spec = good(
        DATA + "functions:\n  f(a[:]) -> [2, k]: mlp(hidden=[4, j])\n  g(s, a[:]): mlp(hidden=[j, j], bias=false)\n"
        "define:\n  z[n, k]: f(x[n, :])[1, k]*g(1.0, y[n, :])\n"
    )
    assert axes(spec) == {
        "f.W1": ("i", "f.h1"),
        "f.b1": ("f.h1",),
        "f.W2": ("f.h1", "j"),
        "f.b2": ("j",),
        "f.W3": ("j", "_rows2", "k"),
        "f.b3": ("_rows2", "k"),
        "g.W1": ("g.in", "j"),
        "g.W2": ("j", next(x for x in spec.params["g.W2"].letters if x != "j")),
        "g.W3": (spec.params["g.W2"].letters[1],),
    }
    assert spec.dims["f.h1"].size == 4
    assert spec.dims["g.in"].size == 6
    assert spec.letters[spec.params["g.W2"].letters[1]] == "j"
    assert not any(name in spec.dims for name in ("f.a", "g.a"))


def test_a_stack_of_a_network_is_as_long_as_its_weights() -> None:
    text = "functions:\n  f(a[:]): mlp(hidden=[4])\nparams:\n  c: {init: 1}\ndefine:\n  theta[p]: stack(f, c)\n"
    spec = good(DATA + text + "  z[n]: f(y[n, :])\n")
    assert spec.dims["p"].size == 5 * 4 + 4 + 4 + 1 + 1
    (stack,) = (e.body for e in spec.equations if isinstance(e, Definition) and isinstance(e.body, Stack))
    assert len(stack.blocks) == 5


def test_a_stage_moves_a_network_by_its_name() -> None:
    text = "functions:\n  f(a[:]): mlp(hidden=[4])\n  g(a[:]): mlp(hidden=[])\nparams:\n  c: {init: 1.0}\n"
    loss = "objectives:\n  loss: mean[n](f(x[n, :])*g(x[n, :])*c)\n"
    weights = ("f.W1", "f.b1", "f.W2", "f.b2")
    spec = good(DATA + text + loss + "solve:\n  - {minimize: loss, over: f}\n  - {minimize: loss, over: [c, g]}\n"
                "  - {minimize: loss, over: {f: adam(0.1), c: sgd(0.1)}}\n  - {minimize: loss}\n")  # fmt: skip
    assert [s.over for s in spec.plan] == [
        weights,
        ("c", "g.W1", "g.b1"),
        (*weights, "c"),
        ("c", *weights, "g.W1", "g.b1"),
    ]
    assert [m.over for m in spec.plan[2].methods] == [weights, ("c",)]
    assert as_named(spec.plan[3].over) == ("c", "f", "g")


def test_a_network_that_nothing_calls_has_no_weights() -> None:
    text = (
        "functions:\n  f(a[:]): mlp(hidden=[4])\n  g(a[:]): mlp(hidden=[4])\nobjectives:\n  loss: mean[n](f(x[n, :]))\n"
    )
    spec = good(DATA + text + "solve: {minimize: loss}\n")
    assert {n.partition(".")[0] for n in spec.params} == {"f"}
    assert not any(d.startswith("g.") for d in spec.dims)
    late = good(DATA + text + "solve: {minimize: loss}\noutputs:\n  late[n]: g(x[n, :])\n")
    assert {n.partition(".")[0] for n in late.params} == {"f", "g"}
    assert all(name.startswith("f.") for name in late.plan[0].over), "what is called by an output alone is not moved"


def test_equal_calls_share_their_definitions() -> None:
    text = "functions:\n  f(a[:]): mlp(hidden=[4])\ndefine:\n"
    spec = good(DATA + text + "  z[n]: f(x[n, :])*f(x[n, :])\n  w[n]: f(x[n, :])\n  v[n]: f(2*x[n, :])\n")
    hidden = [e.name for e in spec.equations if isinstance(e, Definition) and e.hidden]
    assert hidden == ["_f.h1", "_f", "_f.h1'2"]


def test_calls_in_the_steps_of_recurrences_belong_to_them() -> None:
    text = (
        "dims: {t: 4, i: 2, n: 3}\ndata:\n  x[n, i]: real\nfunctions:\n  f(a[:]) -> [i]: mlp(hidden=[4])\ndefine:\n"
        "  s[0, n, i]: x[n, i]\n  s[t + 1, n, i]: s[t, n, i] + f(s[t, n, :])[i] + f(s[t, n, :])[i]\n"
        "outputs:\n  a: sum[n, i](s[-1, n, i])\n  b[n, i]: f(x[n, :])[i]\n"
    )
    spec = good(text)
    (loop,) = (e for e in spec.equations if not isinstance(e, Definition))
    assert any("f.h1" in d.name for d in loop.every_definition)


def test_frequencies_that_are_not_trained_are_data() -> None:
    text = "  w(a[:]) -> [2, k]: fourier_features(scale=3{})\ndefine:\n  z[n, k]: w(x[n, :])[0, k]\n"
    frozen = good(DATA + "functions:\n" + text.format(""))
    assert frozen.data["w.B"].letters == ("i", "k")
    assert frozen.data["w.B"].default == Draw("normal", (0.0, 3.0), None)
    assert not frozen.params
    assert axes(good(DATA + "functions:\n" + text.format(", trained=true"))) == {"w.B": ("i", "k")}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("f(y[n, :]) + f(x[n, :])", "VS0253"),
        ("f(x[n, :], 1.0)", "VS0215"),
        ("f(x[n, 0])", "VS0213"),
        ("f(x[n, :])[0]", "VS0206"),
        ("f(a=x[n, :])", "VS0215"),
        ("f.W1[0, 0]", "VS0254"),
        ("f", "VS0217"),
    ],
)
def test_calls_that_do_not_fit(call: str, code: str) -> None:
    _, found = diagnose(DATA + f"functions:\n  f(a[:]): mlp(hidden=[4])\ndefine:\n  z[n]: {call}\n")
    assert [d.code for d in found if d.severity == "error"] == [code]


def test_every_keyword_has_a_default_of_its_own_kind_or_none() -> None:
    for architecture in ARCHITECTURES.values():
        assert architecture.signature.startswith(f"{architecture.name}(")
        assert len({o.name for o in architecture.options}) == len(architecture.options)


def test_the_library_has_the_activations_that_messages_name() -> None:
    text = (SPECS / "std" / "activations.yaml").read_text()
    assert all(f"  {name}(x): " in text for name in LIBRARY_ACTIVATIONS)


def test_a_network_is_imported_with_its_own_letters(tmp_path: Path) -> None:
    (tmp_path / "lib.yaml").write_text(
        "vspec: 1\nname: lib\ndims: {r: 3}\nfunctions:\n  wave(a): sin(2*a)\n"
        "  enc(x[:]) -> [2, r]: mlp(hidden=[r, 4], act=wave)\n"
    )
    (tmp_path / "main.yaml").write_text(
        "vspec: 1\nname: main\ndims: {n: 4, i: 2, r: 7}\nimports:\n  lib.yaml: {enc: code}\ndata:\n  x[n, i]: real\n"
        "outputs:\n  z[n]: code(x[n, :])[1, 2]\n"
    )
    spec, _ = check(tmp_path / "main.yaml")
    assert list(spec.params) == ["code.W1", "code.b1", "code.W2", "code.b2", "code.W3", "code.b3"]
    sizes = [spec.dims[spec.letters[x]].size for x in spec.params["code.W3"].letters]
    assert sizes == [4, 2, 3]


def test_an_imported_function_keeps_the_letters_of_its_result(tmp_path: Path) -> None:
    (tmp_path / "lib.yaml").write_text(
        "vspec: 1\nname: lib\ndims: {r: 3}\nfunctions:\n  layer(x[:]) -> [r]: x[0]*index(r)\n"
    )
    (tmp_path / "main.yaml").write_text(
        "vspec: 1\nname: main\ndims: {i: 2, r: 7}\nimports:\n  lib.yaml: {layer: found}\ndata:\n  x[r, i]: real\n"
        "outputs:\n  z[r]: found(x[r, :])[2]\n"
    )
    spec, warnings = check(tmp_path / "main.yaml")
    assert not warnings, "the function is used, under its new name"
    assert {d.size for d in spec.dims.values()} == {2, 3, 7}
