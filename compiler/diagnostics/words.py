"""Words of other systems where this language has another way to say it: what to write here, by the place of the word.

`suggest.SYNONYMS` leads from a word to one of ours with the same meaning; what stands here needs a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LEFT = "the indices of a quantity stand on its left side: {name}[n, i]"
_RATE = "it is an option of the method: method: adam(lr=0.1)"
_TOL = "it is an option of the method: method: lbfgs(tol=1e-6)"
_DERIVED = "derivatives are never asked for: the compiler finds what a method needs"

# Kinds of mappings by a key that only they have, and the words that people write in them.
KEYS: Mapping[str, Mapping[str, str]] = {
    "vspec": {
        "model": "formulas stand under 'define', what is minimised under 'objectives'",
        "variables": "unknowns stand under 'params', what follows from them under 'define', inputs under 'data'",
        "inputs": "inputs stand under 'data', fixed numbers under 'constants'",
        "transformed_parameters": "what follows from other quantities stands under 'define'",
        "transformed parameters": "what follows from other quantities stands under 'define'",
        "generated_quantities": "what is reported stands under 'outputs'",
        "generated quantities": "what is reported stands under 'outputs'",
        **dict.fromkeys(
            ("method", "optimizer", "optimiser", "algorithm", "solver"),
            "it is an option of a stage: solve: {minimize: loss, method: newton}",
        ),
        "minimize": "it starts a stage: solve: {minimize: loss}",
        "maximize": "it starts a stage: solve: {maximize: elbo}",
        "seed": "drawn data have a seed of their own; the seed of a run is an option of it: vspec run --seed 1",
        "gradients": _DERIVED,
        "gradient": _DERIVED,
        "hessian": _DERIVED,
        "derivatives": _DERIVED,
        "recurrences": "a recurrence stands under 'define': s[0]: its start, s[t + 1]: its step",
    },
    "minimize": {
        "lr": _RATE,
        "learning_rate": _RATE,
        "step_size": _RATE,
        "momentum": "it is an option of the method",
        "tol": _TOL,
        "tolerance": _TOL,
        "seed": "the seed of a run is an option of it: vspec run --seed 1",
        "init": "a param starts at its own init: params: {w: {init: 0}}",
        "bounds": "a param has a domain: params: {w: {init: 1, domain: positive}}",
        "subject_to": "what a solution must satisfy stands under 'constraints' of the spec",
        "data": "a stage reads the data that its objective reads",
        "gradient": _DERIVED,
        "hessian": _DERIVED,
        "jac": _DERIVED,
    },
    "draw": {
        "shape": _LEFT,
        "dims": _LEFT,
        "indices": _LEFT,
        "axes": _LEFT,
        "lower": "the values that may occur are listed: in: [-1, 1]",
        "upper": "the values that may occur are listed: in: [-1, 1]",
        "min": "the values that may occur are listed: in: [-1, 1]",
        "max": "the values that may occur are listed: in: [-1, 1]",
        "mean": "it is an argument of the law: draw: normal(0, 1)",
        "std": "it is an argument of the law: draw: normal(0, 1)",
        "scale": "it is an argument of the law: draw: normal(0, 1)",
    },
    "init": {
        "shape": _LEFT,
        "size": _LEFT,
        "dims": _LEFT,
        "indices": _LEFT,
        "lower": "the domain says where a param lives: domain: positive",
        "upper": "the domain says where a param lives: domain: positive",
        "min": "the domain says where a param lives: domain: positive",
        "max": "the domain says where a param lives: domain: positive",
        "lb": "the domain says where a param lives: domain: positive",
        "ub": "the domain says where a param lives: domain: positive",
        "prior": "the density of a param is part of an objective",
        "law": "a random variable stands under 'random'",
        "requires_grad": "a stage optimises the params that it lists under 'over'",
        "trainable": "a stage optimises the params that it lists under 'over'",
        "seed": "draws in an init have the seed of the run: vspec run --seed 1",
    },
    # A run: its sections are those of a spec, whose words come first.
    "solve": {
        "name": "a run has the name of the spec, and results tell which run they are of",
        "doc": "what a run is about stands in a comment",
        "vspec": "a run is part of its spec",
        "imports": "what runs need is imported by the spec",
        "claims": "claims stand in the spec and read runs by their names: coarse.error",
        "runs": "runs have no runs of their own",
        "shard": "all runs of a spec are sharded alike",
    },
}

# Types of other languages, where a data entry or a param says what its elements are.
TYPES: Mapping[str, str] = {
    **dict.fromkeys(("vector", "matrix", "array", "tensor", "list", "ndarray", "row_vector"), _LEFT + "; its elements are real"),
    **dict.fromkeys(
        ("string", "str", "text", "category", "categorical", "object"), "categories are numbered: type: integer, in: [0, 1, 2]"
    ),
    **dict.fromkeys(("positive", "nonnegative"), "that is the domain of a param; data list their values: in: [0, 1]"),
}  # fmt: skip

# What follows a dot in NumPy and its like.
ATTRIBUTES: Mapping[str, str] = {
    "T": "a transpose is the same array with its letters exchanged: {base}[j, i]",
    "shape": "the size of an axis is the size of its letter: size(i)",
    "size": "the size of an axis is the size of its letter: size(i)",
    "dot": "write the sum: sum[j](A[i, j]*b[j])",
    "sum": "write sum[i]({base}[i])",
    "mean": "write mean[i]({base}[i])",
    "max": "write max[i]({base}[i])",
    "min": "write min[i]({base}[i])",
    "reshape": "an axis has a letter and keeps its shape",
    "grad": "a derivative is written d(e, x[i])",
}
LIBRARIES = frozenset(
    {"np", "jnp", "numpy", "math", "torch", "tf", "jax", "scipy", "sp", "sympy", "xp", "lax", "nn", "F"}
)


def key_help(properties: Mapping[str, object], word: str, name: str) -> str:
    """What to write in the place of an unknown key of a mapping with these properties, or nothing."""
    for mark, words in KEYS.items():
        if mark in properties:
            return words.get(word.strip().lower(), "").replace("{name}", _bare(name))
    return ""


def type_help(word: str, name: str) -> str:
    """What to write in the place of a type of another language, or nothing."""
    head = re.match(r"\w*", word.strip().lower())
    return TYPES.get(head.group() if head else "", "").replace("{name}", _bare(name))


def domain_help(text: str) -> str:
    """What to write in the place of bounds such as 'lower=0', '> 0' or '(0, 1)'."""
    folded = text.lower().replace(" ", "")
    if re.fullmatch(r"<?(lower|min|lb|low)=?0(\.0*)?>?|.*>=?0(\.0*)?|\[?\(?0,\.?inf\)?\]?|non_?neg(ative)?", folded):
        return "numbers above 0 have domain: positive, numbers from 0 on domain: box(0, inf)"
    if re.search(r"lower|upper|min|max|[<>(\[]", folded):
        return "domains are named: positive for numbers above 0, box(lo, hi) for an interval"
    return ""


def attribute_help(base: str, path: tuple[str, ...]) -> str:
    """What to write in the place of 'np.exp(x)', 'W.T' and the like, or nothing."""
    if base in LIBRARIES:
        return f"functions have no module before them: write {path[-1]}"
    return ATTRIBUTES.get(path[0], "").replace("{base}", base)


def _bare(name: str) -> str:
    """A name without its indices."""
    return re.sub(r"\[.*", "", name) or "x"
