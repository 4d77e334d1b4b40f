"""The methods a `solve` stage may name: signatures only, so that checking a spec imports neither JAX nor Optax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A word that a keyword takes, written alone or with keywords of its own: `cg`, `cg(rtol=1e-3)`.

    `needs` are the derivatives that it asks for beside those of its method; `instead_of` one that it makes needless where the
    method may choose.
    """

    name: str
    doc: str
    keywords: tuple[Keyword, ...] = ()
    needs: tuple[str, ...] = ()
    instead_of: str = ""

    @property
    def signature(self) -> str:
        """How the choice is written, with its defaults."""
        return _signature(self)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of a method. `type` is float, int, bool or str; a default of None with `required` has no default.

    Where there are `choices`, the value is one of them, and `default` is the name of one. A float may be an expression,
    evaluated at every step, an int one that is evaluated once, before the stage. A tuple is lists of params, as many as given.
    """

    name: str
    type: type
    default: Any
    doc: str
    required: bool = False
    choices: tuple[Choice, ...] = ()

    @property
    def shown(self) -> str:
        """The keyword as it stands in a signature."""
        if self.type is tuple:
            return "[param, ..], .."
        return self.name if self.required else f"{self.name}={self.default_shown}"

    @property
    def default_shown(self) -> str:
        """The default as it is written in a spec."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what it takes and which derivatives the compiler must give it.

    `needs`: `gradient`, `hessian` (with value and gradient in one call), `hvp` (the Hessian times a vector), `squares` (the
    residuals whose squares sum to the objective, and their Jacobian). `compares` says that it compares values of one
    objective, so that it can follow neither given directions nor a saddle; `projects` that its points may be projected;
    `jointly` that it looks ahead in all params of a stage at once, so that no other method moves some of them beside it.
    """

    name: str
    keywords: tuple[Keyword, ...]
    needs: tuple[str, ...]
    doc: str
    source: str
    compares: bool = True
    projects: bool = False
    jointly: bool = False

    @property
    def signature(self) -> str:
        """How the method is called, with its defaults."""
        return _signature(self)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to keep constraints and domains: what it takes, and what the compiler must give it besides the method's needs.

    `instead` says what takes the place of a method's need.
    """

    name: str
    keywords: tuple[Keyword, ...]
    needs: tuple[str, ...]
    doc: str
    source: str
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """How the strategy is called, with its defaults."""
        return _signature(self)


def _signature(of: Method | Choice | Strategy) -> str:
    return f"{of.name}({', '.join(k.shown for k in of.keywords)})"


def defaults(signature: Method | Choice | Strategy) -> dict[str, Any]:
    """The arguments where none are given; of a choice its name and arguments: `{"name": "cg", "arguments": {...}}`."""
    return {k.name: chosen(k, k.default) if k.choices else k.default for k in signature.keywords}


def chosen(keyword: Keyword, name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The value of a keyword that is a choice. Raises KeyError where there is no such choice."""
    choice = {c.name: c for c in keyword.choices}[name]
    return {"name": name, "arguments": {**defaults(choice), **(arguments or {})}}


DENSE = 1000
"""Up to so many unknowns a method that may choose forms a Hessian."""


def needs(name: str, arguments: Mapping[str, Any], unknowns: int | None = None) -> tuple[str, ...]:
    """The derivatives that a method asks for with these arguments; of a Hessian and products with it only one where the number
    of unknowns is known."""
    method = METHODS[name]
    found = list(method.needs)
    given = [next(c for c in k.choices if c.name == arguments[k.name]["name"]) for k in method.keywords if k.choices]
    found += [need for choice in given for need in choice.needs]
    if {"hessian", "hvp"} <= set(found):
        found = [need for need in found if need not in {choice.instead_of for choice in given}]
    if unknowns is not None and {"hessian", "hvp"} <= set(found):
        found.remove("hvp" if unknowns <= DENSE else "hessian")
    return tuple(dict.fromkeys(found))


def counted(name: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What a method is sure to count beside its steps, as facts of a run: `cg`, the iterations of conjugate gradients."""
    given = arguments.get("hessian", {}).get("name"), arguments.get("linear", {}).get("name")
    return ("cg",) if given[0] in ("sparsified", "products") or given[1] == "cg" else ()


def needs_of_stage(
    methods: Iterable[tuple[str, Mapping[str, Any]]], strategy: str | None, unknowns: int | None = None
) -> tuple[str, ...]:
    """What the methods of a stage, by name and arguments, and its way to keep constraints ask for."""
    found = [need for name, arguments in methods for need in needs(name, arguments, unknowns)]
    if strategy is not None:
        kept = STRATEGIES[strategy]
        found = [*(kept.instead.get(need, need) for need in found), *kept.needs]
    return tuple(dict.fromkeys(found))


def scaled_roles(kind: str, blocks: Sequence[Sequence[str]]) -> tuple[str, tuple[str, ...]]:
    """The roles of the entries of the scaling form of a sweep over blocks: of what is kept, and of each block."""
    sweep = "+".join(".".join(names) for names in blocks)
    return f"kernel/{kind}/{sweep}", tuple(f"scaled/{kind}/{sweep}/{'.'.join(names)}" for names in blocks)


# --- methods that follow a gradient: Optax -----------------------------------------------------------------------

_TOL = Keyword("tol", float, 0.0, "stop when the largest gradient entry falls below this; 0 runs all steps")
_CLIP = Keyword("clip", float, 0.0, "shorten gradients to this length at most; 0 leaves them as they are")
_DECAY = Keyword("weight_decay", float, 0.0, "how fast params decay towards 0 beside the step, in units of `lr`")
_NESTEROV = Keyword("nesterov", bool, False, "look ahead along the momentum")


def _lr(default: float) -> Keyword:
    return Keyword("lr", float, default, "step length")


def _moments(first: float = 0.9, second: float = 0.999, eps: float | None = 1e-8) -> tuple[Keyword, ...]:
    pair = (
        Keyword("b1", float, first, "decay of the first moment"),
        Keyword("b2", float, second, "decay of the second moment"),
    )
    return pair if eps is None else (*pair, Keyword("eps", float, eps, "added to the denominator"))


def _decay(default: float) -> Keyword:
    return Keyword(_DECAY.name, float, default, _DECAY.doc)


def _optax(name: str, keywords: Iterable[Keyword], doc: str) -> Method:
    """A method of Optax: its keywords, a clip and a tolerance."""
    return Method(name, (*keywords, _CLIP, _TOL), ("gradient",), doc, f"Optax `{name}`", compares=False)


_FIRST_ORDER = (
    _optax(
        "sgd",
        (
            _lr(1e-2),
            Keyword("momentum", float, 0.0, "share of the last step that is taken again"),
            _NESTEROV,
            Keyword("dampening", float, 0.0, "share of the gradient that does not enter the momentum"),
        ),
        "Steps against the gradient, with momentum if asked for (Polyak 1964, Nesterov 1983).",
    ),
    _optax("adam", (_lr(1e-3), *_moments()), "Adaptive moments (Kingma and Ba 2015)."),
    _optax(
        "adamw",
        (_lr(1e-3), *_moments(), _decay(1e-4)),
        "Adaptive moments with decoupled weight decay (Loshchilov and Hutter 2019).",
    ),
    _optax("nadam", (_lr(1e-3), *_moments()), "Adaptive moments with Nesterov's momentum (Dozat 2016)."),
    _optax(
        "amsgrad", (_lr(1e-3), *_moments()), "Adaptive moments whose second never falls (Reddi, Kale and Kumar 2018)."
    ),
    _optax("adamax", (_lr(1e-3), *_moments()), "Adaptive moments in the maximum norm (Kingma and Ba 2015)."),
    _optax(
        "radam",
        (_lr(1e-3), *_moments(), Keyword("threshold", float, 5.0, "variance above which steps are adaptive")),
        "Adaptive moments, rectified while few gradients have been seen (Liu et al. 2020).",
    ),
    _optax(
        "adabelief",
        (_lr(1e-3), *_moments(eps=1e-16)),
        "Steps that are long where gradients are as expected (Zhuang et al. 2020).",
    ),
    _optax(
        "yogi", (_lr(1e-2), *_moments(eps=1e-3)), "Adaptive moments with additive second moments (Zaheer et al. 2018)."
    ),
    _optax(
        "adan",
        (
            _lr(1e-3),
            *_moments(0.98, 0.92, None),
            Keyword("b3", float, 0.99, "decay of the moment of squares"),
            Keyword("eps", float, 1e-8, "added to the denominator"),
            _DECAY,
        ),
        "Adaptive Nesterov momentum (Xie et al. 2022).",
    ),
    _optax(
        "adagrad",
        (
            _lr(1e-1),
            Keyword("initial_accumulator_value", float, 0.1, "sum of squares before the first gradient"),
            Keyword("eps", float, 1e-7, "added to the denominator"),
        ),
        "Steps that shorten with the sum of squared gradients (Duchi, Hazan and Singer 2011).",
    ),
    _optax(
        "adadelta",
        (
            _lr(1.0),
            Keyword("rho", float, 0.9, "decay of the mean squares"),
            Keyword("eps", float, 1e-6, "added to the mean squares"),
        ),
        "Steps scaled by the ratio of past steps to past gradients (Zeiler 2012).",
    ),
    _optax(
        "rmsprop",
        (
            _lr(1e-3),
            Keyword("decay", float, 0.9, "decay of the mean square"),
            Keyword("eps", float, 1e-8, "added to the mean square"),
            Keyword("momentum", float, 0.0, "share of the last step that is taken again"),
            _NESTEROV,
            Keyword("centered", bool, False, "divide by the deviation from the mean instead of the mean square"),
        ),
        "Gradients divided by their running root mean square (Tieleman and Hinton 2012).",
    ),
    _optax(
        "rprop",
        (
            _lr(1e-3),
            Keyword("eta_minus", float, 0.5, "factor of a step length whose gradient changed its sign"),
            Keyword("eta_plus", float, 1.2, "factor of a step length whose gradient kept its sign"),
            Keyword("min_step_size", float, 1e-6, "shortest step"),
            Keyword("max_step_size", float, 50.0, "longest step"),
        ),
        "A step length for each entry, from the signs of its gradients (Riedmiller and Braun 1993).",
    ),
    _optax(
        "lion",
        (_lr(1e-4), *_moments(0.9, 0.99, None), _decay(1e-3)),
        "Steps of one length, by the sign of the momentum (Chen et al. 2023).",
    ),
    _optax(
        "lamb",
        (_lr(1e-3), *_moments(eps=1e-6), _DECAY),
        "Adaptive moments, scaled by the norm of each param (You et al. 2020).",
    ),
    _optax(
        "lars",
        (
            _lr(1e-1),
            Keyword("momentum", float, 0.9, "share of the last step that is taken again"),
            _NESTEROV,
            Keyword("trust_coefficient", float, 1e-3, "length of a step relative to the norm of its param"),
            _DECAY,
        ),
        "Gradients scaled by the norm of each param (You, Gitman and Ginsburg 2017).",
    ),
    _optax(
        "novograd",
        (_lr(1e-2), *_moments(0.9, 0.25, 1e-6), _DECAY),
        "Moments of gradients that are normalised for each param (Ginsburg et al. 2019).",
    ),
    _optax(
        "optimistic_gradient_descent",
        (
            _lr(1e-2),
            Keyword("alpha", float, 1.0, "share of the gradient"),
            Keyword("beta", float, 1.0, "share of its change since the last step, by which the next one is guessed"),
        ),
        "Steps against the gradient that is to be expected next (Popov 1980, Daskalakis et al. 2018).",
    ),
)

# --- methods that compare values ---------------------------------------------------------------------------------

_ORTHOGONAL = (
    "stop when the cosine of the angle between what is squared and each column of its Jacobian falls below this, "
    "or what is squared relative to the start"
)
_REACHED = "stop when the largest gradient entry falls below this"

_SOLVERS = (
    Method(
        "lbfgs",
        (
            Keyword("tol", float, 1e-6, _REACHED),
            Keyword("memory", int, 10, "number of correction pairs kept"),
        ),
        ("gradient",),
        "Limited-memory BFGS with a zoom line search (Nocedal and Wright 2006, algorithms 7.4 and 3.5).",
        "vspec, with the line search of Optax",
    ),
    Method(
        "bfgs",
        (Keyword("tol", float, 1e-6, _REACHED),),
        ("gradient",),
        "BFGS with the whole inverse Hessian and a zoom line search (Nocedal and Wright 2006, algorithms 6.1 and 3.5).",
        "vspec, with the line search of Optax",
    ),
    Method(
        "nonlinear_cg",
        (
            Keyword("tol", float, 1e-6, _REACHED),
            Keyword(
                "beta",
                str,
                "polak_ribiere",
                "how much of the last direction is kept",
                choices=(
                    Choice("polak_ribiere", "g'(g - g0)/g0'g0, and 0 where that is negative"),
                    Choice("hestenes_stiefel", "g'(g - g0)/p0'(g - g0), and 0 where that is negative"),
                    Choice("fletcher_reeves", "g'g/g0'g0"),
                    Choice("dai_yuan", "g'g/p0'(g - g0)"),
                ),
            ),
        ),
        ("gradient",),
        "Nonlinear conjugate gradients with a zoom line search (Nocedal and Wright 2006, section 5.2).",
        "vspec, with the line search of Optax",
    ),
    Method(
        "newton",
        (
            Keyword("tol", float, 1e-8, _REACHED),
            Keyword("damping", float, 0.0, "added to the diagonal of the Hessian"),
            Keyword(
                "search",
                str,
                "armijo",
                "how steps are kept from being too long",
                choices=(
                    Choice("armijo", "halve the step until the value falls by enough"),
                    Choice(
                        "trust_region",
                        "minimise the quadratic model within a radius that follows how well the model predicts",
                        (Keyword("radius", float, 1.0, "the first radius"),),
                    ),
                ),
            ),
            Keyword(
                "hessian",
                str,
                "auto",
                "what is kept of the Hessian",
                choices=(
                    Choice(
                        "auto",
                        f"structured, sparse or factored where that is less, else dense up to {DENSE} unknowns, else products",
                        needs=("hessian", "hvp"),
                    ),
                    Choice("dense", "the whole matrix", needs=("hessian",)),
                    Choice(
                        "structured",
                        "the terms it is a sum of, each as large as what is not zero by its formula",
                        needs=("structure",),
                    ),
                    Choice(
                        "sparsified",
                        "the diagonal and the largest entries above it",
                        (Keyword("entries", int, None, "how many entries above the diagonal are kept", required=True),),
                        ("structure",),
                    ),
                    Choice(
                        "sparse",
                        "the entries that may differ from zero by its formula, from a few products with vectors",
                        needs=("sparse",),
                    ),
                    Choice(
                        "factored",
                        "diagonals and derivatives of fewer observations than there are unknowns",
                        needs=("factored",),
                    ),
                    Choice("products", "products with vectors", needs=("hvp",)),
                ),
            ),
            Keyword(
                "linear",
                str,
                "auto",
                "how the quadratic model is minimised",
                choices=(
                    Choice("auto", "by factors of a matrix that is kept if they are affordable, else cg"),
                    Choice("cholesky", "factorise the Hessian, a structured one slice by slice", instead_of="hvp"),
                    Choice(
                        "cg",
                        "conjugate gradients with products of the Hessian and a vector",
                        (
                            Keyword("rtol", float, 0.0, "relative residual; 0 lets it fall with the gradient"),
                            Keyword("iterations", int, 0, "most iterations; 0 is ten times the number of unknowns"),
                        ),
                        instead_of="hessian",
                    ),
                ),
            ),
        ),
        ("gradient",),
        "Newton's method with the symbolic Hessian and a line search or a trust region (Nocedal and Wright 2006, "
        "chapters 3, 4 and 7; Moré and Sorensen 1983; Steihaug 1983).",
        "vspec",
    ),
    Method(
        "gauss_newton",
        (Keyword("tol", float, 1e-8, _ORTHOGONAL),),
        ("squares",),
        "Minimises a sum of squares by the linear model of what is squared, with backtracking (Nocedal and Wright 2006, "
        "section 10.3).",
        "vspec",
    ),
    Method(
        "levenberg_marquardt",
        (
            Keyword("tol", float, 1e-8, _ORTHOGONAL),
            Keyword("damping", float, 1e-3, "the first damping, relative to the columns of the Jacobian"),
            Keyword(
                "linear",
                str,
                "auto",
                "how the damped linear model is minimised",
                choices=(
                    Choice("auto", f"qr up to {DENSE} unknowns, else cg"),
                    Choice("qr", "by triangles of the Jacobian"),
                    Choice(
                        "cg",
                        "conjugate gradients with products of the Jacobian and its transpose with vectors",
                        (
                            Keyword(
                                "rtol",
                                float,
                                0.0,
                                "relative residual of the normal equations; 0 lets it fall with the angle",
                            ),
                            Keyword("iterations", int, 0, "most iterations; 0 is ten times the number of unknowns"),
                        ),
                    ),
                ),
            ),
        ),
        ("squares",),
        "Minimises a sum of squares by the linear model of what is squared, damped where it does not hold (Moré 1978, "
        "Nielsen 1999).",
        "vspec",
    ),
)

# --- methods that project ----------------------------------------------------------------------------------------

_PROJECTING = (
    Method(
        "projected_gradient",
        (Keyword("tol", float, 1e-6, "stop when the largest entry of x - P(x - gradient) falls below this"),),
        ("gradient",),
        "Steps along the projection arc, of Barzilai and Borwein's length, with a search that lets the value rise now and then "
        "(Birgin, Martinez and Raydan 2000).",
        "vspec",
        projects=True,
    ),
    Method(
        "extragradient",
        (
            Keyword("lr", float, 0.0, "step length; 0 finds it by how much the gradient changes on the way"),
            Keyword("tol", float, 1e-6, "stop when the largest entry of x - P(x - gradient) falls below this"),
        ),
        ("gradient",),
        "Steps along the gradient at the point to which a first step leads (Korpelevich 1976), of a length by backtracking "
        "(Khobotov 1987, Marcotte 1991).",
        "vspec",
        compares=False,
        projects=True,
        jointly=True,
    ),
)

# --- methods that follow the form of the objective ----------------------------------------------------------------

_STRUCTURED = (
    Method(
        "proximal_gradient",
        (
            Keyword("lr", float, 0.0, "step length; 0 finds it by backtracking"),
            Keyword("accelerated", bool, True, "Nesterov's momentum, restarted where it points uphill"),
            Keyword("tol", float, 1e-8, "stop when the largest entry of the step over its length falls below this"),
        ),
        ("proximal",),
        "Gradient steps on the smooth terms, the proximal map of the others (Beck and Teboulle 2009).",
        "vspec",
    ),
    Method(
        "block_coordinate",
        (
            Keyword("blocks", tuple, (), "params that are minimised together; without lists each param by itself"),
            Keyword("tol", float, 0.0, "stop when no element changes by more in a sweep; 0 goes on while any does"),
            Keyword(
                "form",
                str,
                "auto",
                "how logarithms of sums of exponentials are computed",
                choices=(
                    Choice("auto", "as costs least by the compiler's count"),
                    Choice("log", "from the exponents, whatever their size"),
                    Choice("scaling", "as products with a kernel of exponentials that is kept from sweep to sweep"),
                ),
            ),
        ),
        ("blocks",),
        "Sets one block of params after the other to its exact minimum, the others given.",
        "vspec",
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType(
    {m.name: m for m in (*_FIRST_ORDER, *_SOLVERS, *_PROJECTING, *_STRUCTURED)}
)

# --- ways to keep constraints -------------------------------------------------------------------------------------

_PENALTY = Keyword("penalty", float, 10.0, "first penalty, relative to the objective and the violation at the start")
_GROWTH = Keyword("growth", float, 10.0, "factor of the penalty where the violation does not fall enough")
_INNER = Keyword("inner", int, 200, "greatest number of steps of the method between two updates")
_AUGMENTED = {"hessian": "augmented_hessian", "hvp": "augmented"}

_STRATEGIES = (
    Strategy(
        "interior_point",
        (),
        ("gradient", "constraint_jacobian", "lagrangian"),
        "Steps of Newton's method on the optimality conditions, inside of the bounds (Waechter and Biegler 2006); quadratic and "
        "linear programs by predictor and corrector (Mehrotra 1992). For newton.",
        "vspec",
        {"hessian": "lagrangian", "hvp": "lagrangian"},
    ),
    Strategy(
        "augmented_lagrangian",
        (
            _PENALTY,
            _GROWTH,
            Keyword("tol", float, 1e-6, "largest violation and complementarity at the end"),
            _INNER,
        ),
        ("gradient", "constraint_jacobian", "augmented"),
        "Multipliers of the constraints and a penalty beside them, around any method (Birgin and Martinez 2014, algorithm 4.1).",
        "vspec",
        _AUGMENTED,
    ),
    Strategy(
        "penalty",
        (_PENALTY, _GROWTH, Keyword("tol", float, 1e-4, "largest violation at the end"), _INNER),
        ("gradient", "constraint_jacobian", "augmented"),
        "Squared violations with a growing factor, around any method (Nocedal and Wright 2006, framework 17.1).",
        "vspec",
        _AUGMENTED,
    ),
    Strategy(
        "projection",
        (),
        ("constraint_jacobian",),
        "After every step the nearest point that satisfies domains and constraints. For methods that follow a gradient.",
        "vspec",
    ),
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType({s.name: s for s in _STRATEGIES})
