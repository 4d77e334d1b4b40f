"""The table of laws: what can be drawn, the parameters that each law takes, and what its values are.

Parameters have the meaning and the order that NumPy's generator gives them, so that a law means the same in `draw:` of data
and in `sample(...)`. How a law is drawn stands in `calculus/draws.py`, one function per name of this table; its density in
`densities.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vspec.compiler.language.expr import Dtype


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what it is if it is left out, its whole axes, and whether it is a whole number.

    Axes with one name have one size in all parameters of a law, and in its values.
    """

    name: str
    default: float | None = None
    axes: tuple[str, ...] = ()
    integer: bool = False

    @property
    def rank(self) -> int:
        """How many whole axes it has."""
        return len(self.axes)

    @property
    def letters(self) -> tuple[str, ...]:
        """What formulas call its axes: by their names, a second one of a name with an underscore behind."""
        return tuple(x + "_" * self.axes[:k].count(x) for k, x in enumerate(self.axes))

    @property
    def shown(self) -> str:
        """How it stands in the head of the law: `scale=1`, `p[:]`."""
        axes = f"[{', '.join(':' * self.rank)}]" if self.rank else ""
        return f"{self.name}{axes}" if self.default is None else f"{self.name}={self.default:g}"


@dataclass(frozen=True, slots=True)
class Law:
    """A law: its parameters, the type of its values, what it is. `data`: whether data can be drawn from it. `drawn`: whether
    it has independent draws; others are reached by a Markov chain only.

    `instead`: what may be given by name in the place of the parameter number `place`, each of one parameter or several; the name
    of the first is that of the form. `event`: the name of the axis along which a value is a vector, one of the parameters' axes.
    `of`: what stands behind the parameters in a law made of a law.
    """

    name: str
    parameters: tuple[Parameter, ...]
    doc: str
    dtype: Dtype = "real"
    data: bool = False
    drawn: bool = True
    instead: tuple[tuple[Parameter, ...], ...] = ()
    place: int = 0
    event: str = ""
    of: str = ""

    @property
    def shown(self) -> str:
        """The law as it is written: `normal(mean=0, scale=1)`."""
        inner = ", ".join((*(p.shown for p in self.parameters), *([self.of] if self.of else [])))
        before = "".join(f"{p.shown}, " for p in self.parameters[: self.place])
        given = (", ".join(f"{p.name}=..." for p in form) for form in self.instead)
        others = "".join(f", or {self.name}({before}{form})" for form in given)
        return f"{self.name}({inner}){others}" if inner else self.name

    def form(self, instead: str = "") -> tuple[Parameter, ...]:
        """The parameters, those of the form `instead` in the place of one."""
        return next((self._form(form) for form in self.instead if form[0].name == instead), self.parameters)

    def _form(self, given: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
        return (*self.parameters[: self.place], *given, *self.parameters[self.place + 1 :])

    @property
    def forms(self) -> tuple[str, ...]:
        """The ways in which it may be given, the parameters themselves as ''."""
        return ("", *(form[0].name for form in self.instead))


def _table(laws: Iterable[Law]) -> Mapping[str, Law]:
    return MappingProxyType({law.name: law for law in laws})


_MEAN, _LOCATION, _SCALE = Parameter("mean", 0), Parameter("location", 0), Parameter("scale", 1)
_SHAPE, _LOW, _HIGH, _P = Parameter("shape"), Parameter("low"), Parameter("high"), Parameter("p")

LAWS: Mapping[str, Law] = _table(
    (
        Law("normal", (_MEAN, _SCALE), "Normal, with its standard deviation.", data=True),
        Law("uniform", (Parameter("low", 0), Parameter("high", 1)), "Uniform from low up to high.", data=True),
        Law(
            "bernoulli",
            (_P,),
            "1 with probability p, which is sigmoid(logits), else 0.",
            "integer",
            data=True,
            instead=((Parameter("logits"),),),
        ),
        Law("rademacher", (), "1 or -1, evenly.", "integer"),
        Law("exponential", (_SCALE,), "Exponential with mean scale.", data=True),
        Law("laplace", (_LOCATION, _SCALE), "Laplace, the double exponential.", data=True),
        Law("logistic", (_LOCATION, _SCALE), "Logistic.", data=True),
        Law("gumbel", (_LOCATION, _SCALE), "Gumbel, the law of maxima.", data=True),
        Law("cauchy", (_LOCATION, _SCALE), "Cauchy."),
        Law("half_normal", (_SCALE,), "The absolute value of a normal with mean 0."),
        Law("half_cauchy", (_SCALE,), "The absolute value of a Cauchy with location 0."),
        Law("von_mises", (Parameter("mean"), Parameter("concentration")), "An angle around mean, from -pi to pi."),
        Law("lognormal", (_MEAN, _SCALE), "exp of a normal with this mean and scale.", data=True),
        Law("gamma", (_SHAPE, _SCALE), "Gamma with mean shape*scale.", data=True),
        Law("beta", (Parameter("a"), Parameter("b")), "Beta, on 0 to 1.", data=True),
        Law("chisquare", (Parameter("degrees"),), "Chi-squared.", data=True),
        Law("student_t", (Parameter("degrees"), _LOCATION, _SCALE), "Student's t."),
        Law("weibull", (_SHAPE, _SCALE), "scale times an exponential to the power 1/shape."),
        Law("pareto", (_SHAPE, _SCALE), "Pareto, from scale on: scale times exp of an exponential over shape."),
        Law("rayleigh", (_SCALE,), "The length of two independent normals with this scale.", data=True),
        Law("triangular", (_LOW, Parameter("mode"), _HIGH), "Triangular with its peak at mode.", data=True),
        Law(
            "truncated_normal",
            (Parameter("mean"), Parameter("scale"), _LOW, _HIGH),
            "Normal, given that it lies between low and high.",
        ),
        Law("poisson", (Parameter("rate"),), "Poisson with mean rate.", "integer", data=True),
        Law("binomial", (Parameter("n", integer=True), _P), "Successes in n trials.", "integer"),
        Law("geometric", (_P,), "Trials up to the first success, at least 1.", "integer"),
        Law(
            "integers",
            (Parameter("low", integer=True), Parameter("high", integer=True)),
            "A whole number from low to high - 1, evenly.",
            "integer",
            data=True,
        ),
        Law(
            "categorical",
            (Parameter("p", axes=("k",)),),
            "A position, with probabilities in proportion to p, which is exp(logits).",
            "integer",
            instead=((Parameter("logits", axes=("k",)),),),
        ),
        Law(
            "multivariate_normal",
            (Parameter("mean", axes=("k",)), Parameter("cov", axes=("k", "k"))),
            "A normal vector: with the covariance cov, cholesky cholesky', inv(precision) or factor factor' + diag(scale**2).",
            instead=(
                (Parameter("cholesky", axes=("k", "k")),),
                (Parameter("precision", axes=("k", "k")),),
                (Parameter("factor", axes=("k", "r")), Parameter("scale", axes=("k",))),
            ),
            place=1,
            event="k",
        ),
        Law(
            "dirichlet",
            (Parameter("alpha", axes=("k",)),),
            "Positive numbers with the sum 1, with means in proportion to alpha.",
            event="k",
        ),
        Law(
            "mixture",
            (Parameter("weights", axes=("k",)),),
            "One of several laws of a family, which have a whole axis more than one of them, with these weights.",
            of="normal(m[:], s[:])",
        ),
        Law(
            "transformed",
            (),
            "The law of a function of a variable, which is declared and can be undone.",
            of="normal(0, 1), f",
        ),
        Law("point_mass", (Parameter("location"),), "The one value location."),
        Law(
            "unnormalized",
            (Parameter("log_density"),),
            "The law whose log-density is this, up to a constant that is not known.",
            drawn=False,
        ),
    )
)

DATA_LAWS: Mapping[str, Law] = MappingProxyType({name: law for name, law in LAWS.items() if law.data})
