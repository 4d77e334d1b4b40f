"""Mutations of specs: of the tree, of single expressions, of single characters. Deterministic, given a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.fuzz.tree import Items, Leaf, Table, Tree, copied, tree_of, walk, write
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.language.operators import ALONG, COUNTERS, FUNCTIONS, LINALG, PLANNED, REDUCTIONS, STRUCTURAL
from vspec.compiler.source.load import parse_document
from vspec.runtime.registry import METHODS

TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\*\*|//|[<>=!]=|\s+|.", re.DOTALL)
NAME = re.compile(r"[A-Za-z_]\w*")

KEYS = (
    *("vspec", "name", "doc", "precision", "imports", "dims", "constants", "data", "params", "functions", "define"),
    *(
        "random",
        "dynamics",
        "objectives",
        "constraints",
        "solve",
        "outputs",
        "runs",
        "claims",
        "init",
        "domain",
        "type",
    ),
    *("in", "source", "column", "rows", "shuffle", "value", "draw", "seed", "is", "until", "minimize", "maximize"),
    *(
        "evaluate",
        "method",
        "steps",
        "starts",
        "over",
        "batch",
        "epochs",
        "stages",
        "repeat",
        "update",
        "plot",
        "every",
    ),
    *("that", "identity", "tolerance", "smoke", "reported", "seeds", "require", "size", "from", "to", "boundary"),
    *("configurations", "of", "law", "images", "x", "n", "i", "w[i]", "y[n]", "f(a)", "s[0]", "s[t + 1]", "", "_", "é"),
)
VALUES = (
    *("0", "1", "-1", "2", "0.5", "1e-3", "1e400", "9223372036854775807", "9223372036854775808", ".inf", ".nan", "true"),
    *("null", "~", "", "auto", "real", "integer", "boolean", "complex", "positive", "float64", "all", "line", "bar"),
    *("normal(0, 1)", "uniform(0, 1)", "bernoulli(2)", "integers(0, 3)", "adam(lr=0.1)", "sgd(0.1)", "newton", "lbfgs()"),
    *("n", "i", "n - 1", "2*n", "n//2", "sklearn:digits", "a.npy", "../a.csv", "/etc/passwd", "simplex[i]", "box(0, 1)"),
    *("glorot_uniform", "x", "1/0", "0**-1", "2**2000", "9**9**9", "log(-1)", "index(i)", "size(n)", "sum[i](1)"),
    *("x[i]", "w[i]", "y[n]", "d(loss, w[i])", "s[t]/2", "mlp(hidden=[64])", "!!python/object:os.system", "*a", "&a b"),
)  # fmt: skip
PIECES = (
    *("+", "-", "*", "/", "**", "//", "%", "<", ">=", "==", "!=", "=", ":=", "->", "^", "@", "&", "|", "~", "!", "?"),
    *("and", "or", "not", "if", "else", "in", "is", "lambda x:", "for x in y", "await", "yield", "None", "True", "..."),
    *("(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "'", '"', "\\", "#", " ", "\n", "\t", "$", "`"),
    *("0", "1", "2", "-1", "0.5", "1e9", "1e999", "1j", "0x1F", "07", "1_000", "99999999999999999999", "pi", "inf", "e"),
    *("[i]", "[:]", "[:, :]", "[-1]", "[0]", "[i + 1]", "[2*i]", "[i, i]", "[t - 1]", "[i, j]", "[n - i]", "[i*j]", "[0.5]"),
    *("sum[i](", "mean[n](", "max[i](", "logsumexp[i](", "softmax[i](", "d(", "delta[i, j]", "index(i)", "size(n)"),
    *("conj(", "re(", "im(", "arg(", "abs(", "0.5j*", "inv("),
    *("solve(", "logdet(", "cholesky(", "stop(", "E[z](", "root[x](", "sample(", "KL(", "f(", "x.y", "run.steps", "w[i]"),
)  # fmt: skip
SUBSCRIPTS = (
    *(":", "0", "-1", "1", "i", "j", "n", "t", "i + 1", "i - 1", "2*i", "-i", "i + j", "i*j", "1000", "x", "zz", "i/2"),
    *("i + 1 + 1", "3 - i", "label[n]", "i, j", "", "0:3", "::2", "i if i else 0", "99999999999999999999"),
)
CHARACTERS = (
    *" \t\n\r,:;#-+*/%&!|>'\"@`\\()[]{}<>=?.~^$_0129aeijntxXyλβé∑×−·²’“”，：（）",
    *("\x00", "\x07", "\x1b", "\x7f", "\x85", "\xa0", "\xad", "\u200b", "\u2028", "\u202e", "\ufeff", "\ufffe"),
    *("\ud800", "\U0001f600", "e\u0301", "  ", "\n\n", "\r\n", ": ", " #", "- ", "---\n", "...\n", "%YAML 1.2\n", "<<: "),
    *(" # vspec: allow VS0904, VS0901\n", "\n# vspec: allow VS0903\n", " # vspec: allow", " # vspec: alow VS0904: x\n"),
)  # fmt: skip
ALIKE: Sequence[Sequence[str]] = (
    ("+", "-", "*", "/", "**", "%", "//"),
    ("<", ">", "<=", ">=", "==", "!="),
    tuple(name for name, op in FUNCTIONS.items() if op.least == 1 == op.most),
    tuple(REDUCTIONS),
    tuple(ALONG),
    ("0", "1", "2", "3", "7", "0.5", "1.0", "16.0", "1e-3"),
)
BUILTINS = (*FUNCTIONS, *REDUCTIONS, *ALONG, *LINALG, *STRUCTURAL, *PLANNED, *COUNTERS, "run", *METHODS)


def mutate(text: str, seed: int | str) -> str:
    """A changed copy of a spec: one to four mutations, of its tree, its expressions or its characters."""
    rng = random.Random(seed)
    shape = rng.random()
    if shape < 0.65:
        try:
            tree = tree_of(parse_document(text, "fuzz.yaml").root)
        except SpecError:
            pass
        else:
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                rng.choice(STRUCTURAL_MUTATIONS)(tree, rng)
            text = write(tree, rng.choice((1, 2, 2, 2, 3)))
            if shape < 0.6:
                return text
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = _characters(text, rng)
    return text


# --- the tree -----------------------------------------------------------------------------------------------------


def _tables(tree: Tree) -> list[Table]:
    return [t for t in walk(tree) if isinstance(t, Table) and t.entries]


def _leaves(tree: Tree) -> list[Leaf]:
    return [t for t in walk(tree) if isinstance(t, Leaf)]


def _formulas(tree: Tree) -> list[Leaf]:
    """Leaves that look like expressions."""
    return [leaf for leaf in _leaves(tree) if leaf.quoted and ("(" in leaf.text or "[" in leaf.text)]


def _names(tree: Tree) -> list[str]:
    found = {name for table in _tables(tree) for key, _ in table.entries for name in NAME.findall(key)}
    return sorted(found) or ["x"]


def _drop(tree: Tree, rng: random.Random) -> None:
    entries = rng.choice(_tables(tree) or [Table([("x", Leaf(""))])]).entries
    del entries[rng.randrange(len(entries))]


def _duplicate(tree: Tree, rng: random.Random) -> None:
    entries = rng.choice(_tables(tree) or [Table([("x", Leaf(""))])]).entries
    key, value = rng.choice(entries)
    entries.insert(rng.randrange(len(entries) + 1), (rng.choice((key, key, near(key, rng))), copied(value)))


def _rename(tree: Tree, rng: random.Random) -> None:
    entries = rng.choice(_tables(tree) or [Table([("x", Leaf(""))])]).entries
    at = rng.randrange(len(entries))
    key, value = entries[at]
    made = rng.choice(
        (near(key, rng), rng.choice(KEYS), rng.choice(_names(tree)), rng.choice(BUILTINS), expression(key, tree, rng))
    )
    entries[at] = (made, value)


def _move(tree: Tree, rng: random.Random) -> None:
    source = rng.choice(_tables(tree) or [Table([("x", Leaf(""))])]).entries
    entry = source.pop(rng.randrange(len(source)))
    # The tables that are left: never into what was just taken out.
    target = rng.choice(_tables(tree) or [Table([])]).entries
    target.insert(rng.randrange(len(target) + 1), entry)


def _swap(tree: Tree, rng: random.Random) -> None:
    one, two = (rng.choice(_leaves(tree) or [Leaf("")]) for _ in range(2))
    one.text, one.quoted, two.text, two.quoted = two.text, two.quoted, one.text, one.quoted


def _retype(tree: Tree, rng: random.Random) -> None:
    table = rng.choice(_tables(tree) or [Table([("x", Leaf(""))])])
    at = rng.randrange(len(table.entries))
    key, value = table.entries[at]
    made: Tree = rng.choice(
        (
            Leaf(rng.choice(VALUES), True),
            Leaf(rng.choice(VALUES[:16])),
            Items([value, copied(value)]),
            Items([Leaf("1"), Leaf("2.5"), Leaf("true")]),
            Items([Items([Leaf("1")]), Leaf("1")]),
            Items([]),
            Table([]),
            Table([(key, value)]),
            Table([(rng.choice(KEYS), value)]),
            Table([(rng.choice(KEYS), Leaf(rng.choice(VALUES), True)), (rng.choice(KEYS), Leaf(rng.choice(VALUES)))]),
        )
    )
    table.entries[at] = (key, made)


def _insert(tree: Tree, rng: random.Random) -> None:
    entries = rng.choice(_tables(tree) or [Table([])]).entries
    key = rng.choice((*rng.sample(KEYS, 2), rng.choice(_names(tree)), rng.choice(_names(tree)) + "[i]"))
    entries.insert(rng.randrange(len(entries) + 1), (key, Leaf(rng.choice(VALUES), rng.random() < 0.7)))


def _value(tree: Tree, rng: random.Random) -> None:
    leaf = rng.choice(_leaves(tree) or [Leaf("")])
    leaf.text, leaf.quoted = rng.choice(VALUES), rng.random() < 0.5


def _nest(tree: Tree, rng: random.Random) -> None:
    leaf = rng.choice(_formulas(tree) or [Leaf("")])
    depth = rng.choice((3, 40, 59, 60, 61, 100, 119, 121, 250, 3000))
    left, right = rng.choice(
        (("(", ")"), ("exp(", ")"), ("-", ""), ("1 + ", ""), ("", " + 1"), ("sum[i](", ")"), ("2**", ""), ("x[", "]"),
         ("not ", ""), ("1 if x else ", ""), ("d(", ", x)"), ("f(", ")"), ("", "*2"), ("", "[i]"), ("", ".a"), ("1 < ", ""))
    )  # fmt: skip
    leaf.text = left * depth + leaf.text + right * depth


def _formula(tree: Tree, rng: random.Random) -> None:
    leaf = rng.choice(_formulas(tree) or _leaves(tree) or [Leaf("")])
    leaf.text = expression(leaf.text, tree, rng)


STRUCTURAL_MUTATIONS: Sequence[Callable[[Tree, random.Random], None]] = (
    *(_drop, _duplicate, _rename, _rename, _move, _swap, _retype, _retype, _insert, _value, _nest),
    *(_formula,) * 9,
)


# --- expressions --------------------------------------------------------------------------------------------------


def near(name: str, rng: random.Random) -> str:
    """A name with one slip of the pen."""
    if not name:
        return "x"
    at = rng.randrange(len(name))
    return rng.choice(
        (
            name[:at] + name[at + 1 :],
            name[:at] + name[at] + name[at:],
            name[:at] + rng.choice("abcijkntxyz_[]0") + name[at:],
            name[:at] + name[at:][1:2] + name[at] + name[at + 2 :],
            name.swapcase(),
        )
    )


def expression(text: str, tree: Tree, rng: random.Random) -> str:
    """An expression with one token changed, a subscript replaced, an argument more or less."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return rng.choice(VALUES)
    at = rng.randrange(len(tokens))
    names = [k for k, token in enumerate(tokens) if NAME.fullmatch(token)]
    kind = rng.randrange(18)
    if kind >= 12:
        # Changes that often leave the expression right, so that what follows the check is tried, too.
        for alike in rng.sample(ALIKE, len(ALIKE)):
            found = [k for k, token in enumerate(tokens) if token in alike]
            if found:
                tokens[rng.choice(found)] = rng.choice(alike)
                break
        else:
            numbers = [k for k, token in enumerate(tokens) if token[0].isdigit()]
            if numbers:
                tokens[rng.choice(numbers)] = rng.choice(("0", "1", "2", "3", "0.5", "1.0", "-1", "1e-3", "1e30"))
    elif kind <= 3 and names:
        at = rng.choice(names)
        tokens[at] = rng.choice(
            (near(tokens[at], rng), rng.choice(_names(tree)), rng.choice(_names(tree)), rng.choice(BUILTINS))
        )
    elif kind == 4:
        del tokens[at]
    elif kind == 5:
        tokens.insert(at, tokens[at])
    elif kind == 6:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif kind == 7:
        tokens.insert(at, rng.choice(PIECES))
    elif kind == 8:
        brackets = [m.span(1) for m in re.finditer(r"\[([^\[\]]*)\]", text)]
        if brackets:
            left, right = rng.choice(brackets)
            parts = text[left:right].split(",")
            parts[rng.randrange(len(parts))] = rng.choice(SUBSCRIPTS)
            return text[:left] + ",".join(parts) + text[right:]
    elif kind == 9:
        commas = [k for k, token in enumerate(tokens) if token in ("(", ",", ")")]
        if commas:
            tokens.insert(
                rng.choice(commas) + rng.randrange(2), rng.choice((", x", "x, ", ", 1", ",", ", a=1", ", *x"))
            )
    elif kind == 10:
        other = rng.randrange(len(tokens))
        low, high = min(at, other), max(at, other) + 1
        call = rng.choice(BUILTINS)
        index = rng.choice(("", "[i]", "[n]", "[j]", "[i, n]"))
        return "".join((*tokens[:low], f"{call}{index}(", *tokens[low:high], ")", *tokens[high:]))
    else:
        tokens[at] = rng.choice(PIECES)
    return "".join(tokens)


# --- characters ---------------------------------------------------------------------------------------------------


def _characters(text: str, rng: random.Random) -> str:
    if not text:
        return rng.choice(CHARACTERS)
    at = rng.randrange(len(text))
    width = rng.choice((1, 1, 1, 2, 5, 30))
    kind = rng.randrange(8)
    if kind == 0:
        return text[:at] + text[at + width :]
    if kind <= 2:
        return text[:at] + rng.choice(CHARACTERS) + text[at:]
    if kind == 3:
        return text[:at] + rng.choice(CHARACTERS) + text[at + width :]
    if kind == 4:
        return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
    if kind == 5:
        return text[:at] + text[at : at + width] * rng.choice((2, 2, 3, 50)) + text[at + width :]
    lines = text.split("\n")
    line = rng.randrange(len(lines))
    if kind == 6:
        lines[line] = rng.choice((" ", "  ", "\t", "- ", "# ")) + lines[line]
    else:
        other = rng.randrange(len(lines))
        lines[line], lines[other] = lines[other], rng.choice((lines[line], lines[other], lines[line].lstrip()))
    return "\n".join(lines)
