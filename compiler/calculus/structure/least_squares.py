"""The entries of methods that work on residuals: what they are, and what is said of an objective that has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vspec.compiler.calculus.derive import derivative
from vspec.compiler.calculus.parts import joined, names
from vspec.compiler.calculus.structure.entries import assume, located, written
from vspec.compiler.calculus.structure.squares import NoSquareError, Squares, squares
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.graph import Result
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.spec import MethodCall, Param, Stage, labelled

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request

METHODS = ("gauss_newton", "levenberg_marquardt")


def square_entries(r: Request) -> None:
    """The residuals, one array for each term; their Jacobian in blocks by term and param; both with the value.

    Raises SpecError where the objective of a stage is no sum of squares.
    """
    found = [_read(r, stage, call) for _, stage in labelled(r.spec.plan) for call in _calls(r, stage)]
    if "squares" in r.made:
        return
    terms, b = found[0], r.low.b
    with b.at(r.origin("gradient")):
        blocks = [{p.name: _block(r, node, p) for p in r.params} for node in terms.residuals]
    one = len(r.params) == 1
    residuals = [Result((k,), node) for k, node in enumerate(terms.residuals)]
    jacobian = [Result((k,) if one else (k, name), node) for k, row in enumerate(blocks) for name, node in row.items()]
    r.entry("residuals", residuals, f"What is squared and summed in {r.name}.")
    r.entry("jacobian", jacobian, f"The derivatives of what is squared in {r.name} by {r.wrt}.")
    all_three = [
        Result((0,), r.value),
        *(Result((1, *x.path), x.node) for x in residuals),
        *(Result((2, *x.path), x.node) for x in jacobian),
    ]
    r.entry("squares", all_three, f"{r.name}, what is squared in it, and the derivatives of that by {r.wrt}.")
    assume(r, terms.weights)


def _calls(r: Request, stage: Stage) -> tuple[MethodCall, ...]:
    """The calls of such methods in a stage that shares the request."""
    shared = stage.names == r.stage.names and stage.over == r.stage.over
    return tuple(call for call in stage.methods if call.name in METHODS) if shared else ()


def _read(r: Request, stage: Stage, call: MethodCall) -> Squares:
    b = r.low.b
    with b.at(r.origin("part")):
        value = r.value if stage.kind == "minimize" else b.neg(r.value)
        try:
            return squares(b, value, list(r.reals.values()))
        except NoSquareError as e:
            raise SpecError([_no_squares(r, stage, call, e)]) from None


def _no_squares(r: Request, stage: Stage, call: MethodCall, e: NoSquareError) -> Diagnostic:
    if stage.kind == "minimize":
        message = f"'{r.name}' is no sum of squares: {written(e.summand)} is {e.reason}"
    else:
        message = f"'{r.name}' is to be made large, and is not minus a sum of squares"
    help = (
        f"'{call.name}' takes sums of squares, with weights that are not negative",
        "newton() and lbfgs() take any smooth objective",
    )
    return Diagnostic("VS0364", message, located(r, e.summand, call), "", help)


def _block(r: Request, node: Node, p: Param) -> Node:
    """The derivatives of residuals by a param, its axes behind theirs; by a complex one d/dx + i d/dy, as of a gradient."""
    low = r.low

    def by(x: Node) -> Node:
        axes = [Axis(low.b.fresh(a.name), a.dim) for a in x.axes]
        return derivative(low.b, node, x, axes)

    if p.dtype != "complex":
        return by(low.values[p.name])
    re, im = (by(low.values[key]) for key in names(p.name))
    same = dict(zip(im.names[len(node.axes) :], re.names[len(node.axes) :], strict=True))
    return joined(low, (re, low.b.rename(im, same)))
