"""The table of networks: every architecture with its signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["sizes", "size", "count", "activation", "init", "last", "flag", "number", "pad"]
"""What a keyword takes: a list of widths (each a whole number or the letter of a dim), one width, a whole number, the name of
a scalar function, that of an initialiser, `init` or `zero`, true or false, a positive number, `same` or `valid`."""

WANTED: Mapping[Kind, str] = MappingProxyType(
    {
        "sizes": "a list of widths, [64, 64]: whole numbers from 1 on, or index letters",
        "size": "a width: a whole number from 1 on, or an index letter",
        "count": "a whole number from 1 on",
        "activation": "the name of a function of one number",
        "init": "the name of an initialiser",
        "last": "init or zero",
        "flag": "true or false",
        "number": "a positive number",
        "pad": "same or valid",
    }
)


@dataclass(frozen=True, slots=True)
class Option:
    """A keyword of an architecture; without a default it has to be given."""

    name: str
    kind: Kind
    doc: str
    default: str | float | bool | None = None

    @property
    def shown(self) -> str:
        """The keyword in a signature: `act=tanh`, `hidden`."""
        value = str(self.default).lower() if isinstance(self.default, bool) else self.default
        return self.name if value is None else f"{self.name}={value}"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A closed form of networks: its keywords in order, and one sentence on what it computes."""

    name: str
    options: tuple[Option, ...]
    doc: str

    @property
    def signature(self) -> str:
        """How it is written: `mlp(hidden, act=tanh, ...)`."""
        return f"{self.name}({', '.join(o.shown for o in self.options)})"


_ACT = Option("act", "activation", "The activation.", "tanh")
_INIT = Option("init", "init", "The initialiser of the matrices.", "lecun_normal")
_BIAS = Option("bias", "flag", "Whether a vector is added to each product.", True)
_LAST = Option("last", "last", "How the last matrix starts: as the others, or at zero.", "init")


def _table(entries: Iterable[Architecture]) -> Mapping[str, Architecture]:
    return MappingProxyType({a.name: a for a in entries})


ARCHITECTURES: Mapping[str, Architecture] = _table(
    (
        Architecture(
            "mlp",
            (Option("hidden", "sizes", "The widths of the hidden layers."), _ACT, _INIT, _BIAS, _LAST),
            "Layers act(x W + b) of the widths of hidden, and a last one without activation.",
        ),
        Architecture(
            "resnet",
            (
                Option("width", "size", "The width of all blocks."),
                Option("blocks", "count", "The number of blocks."),
                _ACT,
                Option(
                    "norm",
                    "flag",
                    "Whether each block, and the last map, sees its input with mean 0 and variance 1.",
                    False,
                ),
                _INIT,
                _BIAS,
                Option(
                    "last", "last", "How the second matrix of each block starts: as the others, or at zero.", "init"
                ),
            ),
            "Blocks h + act(h U + b) V + c of one width between two linear maps.",
        ),
        Architecture(
            "gated",
            (
                Option("hidden", "size", "The width of the gate."),
                Option("act", "activation", "The activation of the gate.", "sigmoid"),
                _INIT,
                _BIAS,
                _LAST,
            ),
            "A gated linear unit, act(x W + b)*(x V + c) U + e; with silu of std/activations it is SwiGLU.",
        ),
        Architecture(
            "fourier_features",
            (
                Option("scale", "number", "The standard deviation of the frequencies.", 1.0),
                Option("trained", "flag", "Whether the frequencies are params; else they are drawn like data.", False),
            ),
            "cos(x B) and sin(x B) with normal frequencies B: a result [2, m] has m of them.",
        ),
        Architecture(
            "attention",
            (
                Option("width", "size", "The width of queries, keys and values in each head."),
                Option("heads", "count", "The number of heads.", 1),
                Option("causal", "flag", "Whether a place sees only itself and those before it.", False),
                _INIT,
                _BIAS,
                _LAST,
            ),
            "Self-attention over the first axis of an input with two axes, which is the first axis of the result.",
        ),
        Architecture(
            "conv",
            (
                Option(
                    "channels",
                    "sizes",
                    "The channels of the layers before the last one, which has those of the result.",
                ),
                Option("kernel", "count", "The width of the window along each axis of places."),
                Option("stride", "count", "By how many places the window moves.", 1),
                Option(
                    "pad",
                    "pad",
                    "What lies beyond the ends: (kernel - 1)//2 zeros in front and the others of kernel - 1 behind, or nothing.",
                    "same",
                ),
                Option("act", "activation", "The activation of the layers before the last one.", "relu"),
                _INIT,
                _BIAS,
                _LAST,
            ),
            "Convolutions over all axes of the input but the last one, its channels; the result has axes of both kinds, too.",
        ),
        Architecture(
            "transformer",
            (
                Option("width", "size", "The width of all blocks, which the heads share."),
                Option("blocks", "count", "The number of blocks."),
                Option("heads", "count", "The number of heads."),
                Option("hidden", "size", "The width of the layer between the two maps that follow each attention."),
                Option("act", "activation", "The activation of that layer.", "relu"),
                Option("causal", "flag", "Whether a place sees only itself and those before it.", False),
                _INIT,
                _BIAS,
                Option(
                    "last",
                    "last",
                    "How the second matrix after each attention starts: as the others, or at zero.",
                    "init",
                ),
            ),
            "Blocks of attention and of two maps, each on what a layer norm gives, between two linear maps of a sequence.",
        ),
    )
)

LIBRARY_ACTIVATIONS = ("silu", "gelu", "mish", "selu", "hard_tanh", "hard_sigmoid", "softsign", "gaussian")
"""Functions of one number that std/activations has, for messages; an activation is any function of one number."""
