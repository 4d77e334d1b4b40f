"""The codes of the language stage: VS02xx expressions, names, indices; VS03xx types, sections, solve; VS04xx not there yet.

Those about the size of expressions stand in the range of limits, VS072x.
"""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code
from vspec.compiler.diagnostics.codes_constraints import KEPT
from vspec.compiler.diagnostics.codes_stages import STAGES

NAMES: tuple[Code, ...] = (
    Code(
        "VS0201",
        "unknown name",
        "The name is neither a constant, data, a param, a definition nor an objective of this spec. Names are case "
        "sensitive. Outputs can be read by other outputs and by claims only.",
        "define:\n  y: alpah + 1\n",
    ),
    Code(
        "VS0202",
        "unknown index",
        "A subscript names an index letter that no dim declares. Index letters are declared under 'dims', several "
        "letters of one dim separated by commas: 'i, j: 64'.",
        "define:\n  y[n]: x[m]\n",
    ),
    Code(
        "VS0203",
        "an index is free on the right but not on the left",
        "Every index that is free on the right of a definition must be listed on its left, since the definition "
        "has one value for each of its values. Either add the index to the left, or bind it on the right with a "
        "reduction such as sum[k](...). Often it is a misspelt index. Objectives and claims are single values, so that "
        "all their indices must be bound.",
        "dims: {n: 4, i, k: 3}\ndata:\n  X[n, i]: real\nparams:\n  w[i]: {init: 0}\ndefine:\n  margin[n]: sum[i](X[n, i]*w[k])\n",
    ),
    Code(
        "VS0204",
        "declared twice",
        "Constants, data, params, functions, definitions and objectives share one space of names, and each name is "
        "declared once. Outputs and claims have spaces of their own.",
        "constants:\n  a: 1\nparams:\n  a: {init: 0}\n",
    ),
    Code(
        "VS0205",
        "a reserved name",
        "Built-in functions, binders such as d and E, and the keywords of Python cannot be given another meaning: a "
        "reader could not tell which one is meant. Papers that write d for a dimension need another letter here.",
        "dims:\n  d: 10\n",
    ),
    Code(
        "VS0206",
        "wrong number of subscripts",
        "An array is always written with all its subscripts, a scalar with none. Whole axes are written ':' and stand "
        "only in arguments of functions that take them.",
        "dims: {n: 4, i: 3}\ndata:\n  X[n, i]: real\ndefine:\n  y[n]: X[n]\n",
    ),
    Code(
        "VS0207",
        "a subscript may leave its axis",
        "The compiler proves for every subscript that it stays inside its axis for all values of its index. Positions "
        "count from 0, and negative ones from the end. A shifted subscript such as x[s + 1] needs an index over a "
        "smaller dim, or a dim whose 'boundary' says what lies beyond the ends: periodic, zero or reflect.",
        "dims: {i: 5}\ndata:\n  x[i]: real\ndefine:\n  y[i]: x[i + 1]\n",
    ),
    Code(
        "VS0208",
        "an index of another dim",
        "An axis is indexed by a letter of its own dim, or by one of a dim that is surely not larger. Dims whose sizes "
        "are open until run can be compared only if one is declared through the other: 'm: n - 1'.",
        "dims: {n: auto, m: auto}\ndata:\n  x[n]: real\ndefine:\n  y[m]: x[m]\n",
    ),
    Code(
        "VS0209",
        "an index is bound twice",
        "Two reductions, one inside the other, bind the same letter, so that the inner one hides the outer one. Use a "
        "second letter of the same dim. (An index of the left side may be bound again: x[n] - mean[n](x[n]).)",
        "dims: {i: 5}\ndata:\n  x[i]: real\ndefine:\n  y: sum[i](x[i]*sum[i](x[i]))\n",
    ),
    Code(
        "VS0210",
        "a bound index is not used",
        "What the reduction ranges over does not depend on its index, so that it is a constant times the size, or a "
        "mistake. If the product is meant, write it: size(i)*e.",
        "dims: {n: 4, i: 5}\ndata:\n  x[n]: real\ndefine:\n  y[n]: sum[i](x[n])\n",
    ),
    Code(
        "VS0211",
        "an index is used as a value",
        "Index letters stand in subscripts. The value of an index is index(i), from 0, the number of its values size(i).",
        "dims: {i: 5}\ndefine:\n  y[i]: 2*i\n",
    ),
    Code(
        "VS0212",
        "':' stands where no whole axis is taken",
        "':' hands a whole axis to a function: logdet(K[:, :]), or a function of the spec that is declared with ':'. "
        "Everywhere else an axis has an index.",
        "dims: {i: 5}\ndata:\n  x[i]: real\ndefine:\n  y: x[:]\n",
    ),
    Code(
        "VS0213",
        "the wrong whole axes",
        "A function of whole axes takes a fixed number of them, and some must have the same size, as the two axes of a "
        "matrix that is inverted.",
        "dims: {i: 5}\ndata:\n  x[i]: real\ndefine:\n  y: logdet(x[:])\n",
    ),
    Code(
        "VS0214",
        "unknown function",
        "The name is neither built in nor declared under 'functions'.",
        "define:\n  y: sigmiod(x)\n",
    ),
    Code(
        "VS0215",
        "wrong arguments",
        "The function takes another number of arguments. Arguments go by position; there are no keywords in expressions.",
        "define:\n  y: exp(1, 2)\n",
    ),
    Code(
        "VS0216",
        "a binder and its index",
        "Reductions and maps along an axis name the index they range over in brackets: sum[i](x[i]), softmax[k](e). Plain "
        "functions have no brackets.",
        "define:\n  y: sum(x)\n",
    ),
    Code(
        "VS0217",
        "a function that is not called, or a call of what is no function",
        "Functions are written with their arguments in parentheses, arrays with their subscripts in brackets.",
        "dims: {i: 5}\ndata:\n  x[i]: real\ndefine:\n  y[i]: x(i)\n",
    ),
    Code(
        "VS0218",
        "a subscript is not an integer",
        "A subscript is an index, a whole number, a shifted index such as t + 1, or an array of integers (a gather).",
        "dims: {i: 5, n: 4}\ndata:\n  T[i]: real\n  x[n]: real\ndefine:\n  y[n]: T[x[n]]\n",
    ),
    Code(
        "VS0219",
        "an index twice on the left",
        "Each index on the left of an equation stands for one axis. For two axes over one dim declare two letters: "
        "'i, j: 64'. The diagonal is taken on the right: W[i, i].",
        "dims: {i: 5}\ndefine:\n  W[i, i]: 1\n",
    ),
    Code(
        "VS0220",
        "a malformed left side",
        "A left side is a name, a name with indices such as x[n, i], or under 'functions' a head such as f(a[:], t). "
        "Names start with a letter and go on with letters, digits and underscores.",
        "define:\n  _x: 1\n",
    ),
    Code(
        "VS0221",
        "the size of a dim",
        "A size is a whole number of at least 1, 'auto' for a size that the data brings, or sums, differences, products, "
        "whole quotients and powers of other dims, by their letters: m: 2*n + 1.",
        "dims:\n  n: 3\n  m: n - 4\n",
    ),
    Code(
        "VS0222",
        "a function calls itself",
        "Functions are put in the place of their calls, so that recursion would never end. What repeats is a recurrence "
        "under 'define'.",
        "functions:\n  f(x): f(x - 1)\n",
    ),
    Code(
        "VS0223",
        "definitions in a circle",
        "The definitions need each other's values. A quantity that evolves is a recurrence: s[0, ...] is its start and "
        "s[t + 1, ...] its step. A quantity that is given by an equation is an implicit quantity.",
        "define:\n  a: b + 1\n  b: 2*a\n",
    ),
    Code(
        "VS0224",
        "no derivative with respect to this",
        "A derivative is taken with respect to an element of a constant, of data, of a param or of a definition, at "
        "indices: d(e, x[i]). Give an expression a name under 'define' to differentiate by it.",
        "params:\n  x: {init: 1}\ndefine:\n  y: d(x**2, 2*x)\n",
    ),
    Code(
        "VS0225",
        "an index letter twice",
        "Each index letter belongs to one dim, and each dim may have several letters: 'i, j: 64'.",
        "dims:\n  i: 3\n  j, i: 4\n",
    ),
    Code(
        "VS0226",
        "a name that is an index letter",
        "Index letters and names are told apart by their spelling, so that no name can be the same as a letter.",
        "dims: {n: 3}\nconstants: {n: 2}\n",
    ),
)

SYNTAX: tuple[Code, ...] = (
    Code(
        "VS0230",
        "an expression that cannot be read",
        "Expressions have Python's syntax: + - * / ** and comparisons, 'and', 'or', 'not', a if c else b, calls and "
        "subscripts.",
        "define:\n  y: 1 +\n",
    ),
    Code(
        "VS0231",
        "not an operator",
        "The character or word is not part of the expression language. Powers are written **, conditions with and, or, "
        "not; names and signs are ASCII.",
        "define:\n  y: x^2\n",
    ),
    Code(
        "VS0232",
        "'=' in an expression",
        "An expression gives a value and assigns nothing. To compare, write ==.",
        "claims:\n  zero: x = 0\n",
    ),
    Code(
        "VS0233",
        "brackets without their partner",
        "Every ( and [ is closed by its own kind.",
        "define:\n  y: exp((x)\n",
    ),
    Code("VS0234", "a missing sign", "Products are written with *: 2*x, (a + b)*(a - b).", "define:\n  y: 2x + 1\n"),
    Code(
        "VS0235",
        "not part of the expression language",
        "The text is valid Python but no formula. Expressions know numbers, names, elements, operators and calls, and "
        "nothing else: no strings, lists, lambdas, attributes or assignments.",
        "define:\n  y: '[x for x in y]'\n",
    ),
    Code(
        "VS0236",
        "misplaced subscripts",
        "All subscripts of an element stand in one pair of brackets after its name: W[i, j].",
        "dims: {i, j: 3}\ndata:\n  W[i, j]: real\ndefine:\n  y[i, j]: W[i][j]\n",
    ),
    Code("VS0237", "an expression is missing", "Nothing stands where an expression is needed.", 'define:\n  y: ""\n'),
)

TYPES: tuple[Code, ...] = (
    Code(
        "VS0301",
        "a condition is needed",
        "'if', 'and', 'or', 'not', any and all take conditions. A number is no condition; compare it with something.",
        "data:\n  x: real\ndefine:\n  y: 1 if x else 0\n",
    ),
    Code(
        "VS0303",
        "two types for one state",
        "A recurrence keeps the type of its start.",
        "dims: {t: 5}\ndata:\n  x: real\ndefine:\n  s[0]: x > 0\n  s[t + 1]: 2.0\n",
    ),
    Code(
        "VS0304",
        "a derivative of or by what is not real",
        "Only reals have derivatives. A constant written 2 is an integer; 2.0 is a real.",
        "constants: {a: 2}\ndefine:\n  y: d(a**2, a)\n",
    ),
    Code(
        "VS0305",
        "an objective that is not one number",
        "An objective is a scalar: sum or average over its indices.",
        "dims: {n: 4}\ndata:\n  x[n]: real\nobjectives:\n  loss[n]: x[n]**2\n",
    ),
    Code(
        "VS0306",
        "a recurrence without a start",
        "A recurrence needs s[0, ...] besides its step.",
        "dims: {t: 5}\ndefine:\n  s[t + 1]: s[t]/2\n",
    ),
    Code(
        "VS0307",
        "a recurrence without a step",
        "A recurrence needs s[t + 1, ...] besides its start.",
        "define:\n  s[0]: 1\n",
    ),
    Code(
        "VS0308",
        "the left side of a recurrence",
        "A recurrence is written as s[0, ...] and s[t + 1, ...]: it starts at 0 and goes over one index, one step at a "
        "time.",
        "dims: {t: 5}\ndefine:\n  s[0]: 1\n  s[t]: 2\n",
    ),
    Code(
        "VS0309",
        "a recurrence reads what it does not know yet",
        "The step from t to t + 1 knows the states, and the definitions between them, at t only. Older values are carried "
        "in states of their own: p[t + 1]: s[t].",
        "dims: {t: 5}\ndefine:\n  s[0]: 1.0\n  s[t + 1]: s[0]/2\n",
    ),
    Code(
        "VS0310",
        "states with different indices",
        "The start and the step of a state have the same indices, and states that need each other advance over the same "
        "index. A recurrence in each step of another one has the index of that one, too: y[t, k + 1, i] in the step of "
        "x[t + 1, i].",
        "dims: {t: 5, i: 3}\ndefine:\n  s[0, i]: 1\n  s[t + 1]: 2\n",
    ),
)

SECTIONS: tuple[Code, ...] = (
    Code(
        "VS0311",
        "unknown method",
        "The method is not in the registry; 'vspec list' names what there is.",
        "params: {w: {init: 0}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, method: adma(0.1)}\n",
    ),
    Code(
        "VS0312",
        "unknown keyword of a method",
        "The help line shows the method's signature.",
        "params: {w: {init: 0}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, method: adam(rate=0.1)}\n",
    ),
    Code(
        "VS0313",
        "an argument of the wrong type",
        "The method's keyword takes another type of value.",
        "params: {w: {init: 0}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, method: lbfgs(memory=2.5)}\n",
    ),
    Code(
        "VS0314",
        "arguments of a method",
        "An argument is missing, given twice, or one too many.",
        "params: {w: {init: 0}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, method: 'adam(0.1, lr=0.2)'}\n",
    ),
    Code(
        "VS0315",
        "a stage names what is not there",
        "'minimize' and 'maximize' name an objective or a scalar definition, 'over' names params, 'evaluate' any quantities.",
        "solve: {minimize: los}\n",
    ),
    Code(
        "VS0316",
        "nothing to optimise",
        "The objective does not depend on any param that the stage may change, so that its gradient is zero.",
        "params:\n  w: {init: 0}\nobjectives:\n  loss: 1\nsolve: {minimize: loss}\n",
    ),
    Code(
        "VS0317",
        "a literal of the wrong shape",
        "A literal array has one level of lists per axis, each as long as its dim.",
        "dims: {k: 3}\nconstants:\n  F[k]: [1, 2]\n",
    ),
    Code(
        "VS0318",
        "a literal of the wrong type",
        "Constants and literal data are numbers, or all true and false.",
        "constants:\n  a: 2*pi\n",
    ),
    Code(
        "VS0319",
        "an unknown override",
        "--set and the smoke size change constants and sizes of dims.",
        "vspec check fit.yaml --set lum=0.1\n",
    ),
    Code(
        "VS0320",
        "drawn data",
        "'draw' names one of the laws with numbers as arguments: data is drawn before anything else is known.",
        "data:\n  x: {draw: gaussian(0, 1)}\n",
    ),
    Code(
        "VS0321",
        "a domain that does not fit",
        "Domains are real, positive, integer, box(lo, hi), simplex[i], unit[i], psd and orthogonal. A simplex and a unit "
        "sphere name the param's indices over which they hold; psd and orthogonal are about its last two axes.",
        "params:\n  w: {init: 1, domain: postive}\n",
    ),
    Code(
        "VS0322",
        "an init that reads what is not known",
        "An init may use numbers, constants, data, other params, draws, index(i) and size(i).",
        "params:\n  w: {init: y}\ndefine:\n  y: 1\n",
    ),
    Code(
        "VS0323",
        "a plot that does not fit",
        "'line' and 'bar' need an output with an index; 'images' splits the last axis into rows and columns. Of a 'path' or a "
        "'scatter' the last index runs over two or three coordinates; a 'field' runs over its last two indices.",
        "constants: {b: 1}\noutputs:\n  a: {is: b, plot: line}\n",
    ),
    Code(
        "VS0324",
        "a claim that claims nothing",
        "A claim is a condition, or under 'identity' two sides with == between them.",
        "outputs: {accuracy: 0.5}\nclaims:\n  good: accuracy\n",
    ),
    Code(
        "VS0325",
        "an identity without tolerance",
        "An identity holds to a tolerance, the largest absolute difference that is allowed.",
        "constants: {a: 1, b: 2}\nclaims:\n  same: {identity: a == b}\n",
    ),
    Code(
        "VS0326",
        "a value that does not fit its key",
        "The message says what is expected at this place.",
        "data:\n  x: {source: a.npy, rows: [20, 10]}\n",
    ),
    Code(
        "VS0327",
        "an init outside of its domain",
        "A positive param starts above 0, one in a box between its bounds, and so on.",
        "params:\n  w: {init: 0, domain: positive}\n",
    ),
    Code(
        "VS0328",
        "a stage that says nothing or too much",
        "A stage does one thing: minimize, maximize or evaluate.",
        "params: {w: {init: 0}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, steps: 0}\n",
    ),
    Code(
        "VS0329",
        "an override of the wrong kind",
        "An override is of the kind of what it replaces: a number for a number, a whole number of at least 1 for a size.",
        "vspec check fit.yaml --set n=0.5\n",
    ),
    Code(
        "VS0332",
        "a wide matrix where a tall one is wanted",
        "svdvals, svd_left and svd_right take matrices with at least as many rows as columns. The transpose has the same "
        "singular values; its left and right singular vectors are exchanged.",
        "dims: {n: 2, i: 3}\ndata:\n  X[n, i]: real\ndefine:\n  s[i]: svdvals(X[:, :])[i]\n",
    ),
    Code(
        "VS0334",
        "a level that is none",
        "The level of a quantile is a number from 0 to 1, the same for all values of the index that the quantile binds. Levels "
        "that are computed are held between 0 and 1 when the program runs.",
        "dims: {n: 5}\ndata:\n  x[n]: real\ndefine:\n  y: quantile[n](x[n], 95)\n",
    ),
    Code(
        "VS0335",
        "a value that is no position",
        "A computed subscript such as T[z[n]] reads the position that its value says. Positions run from 0 to the size less one, "
        "and unlike in T[-1] none counts from the end. Values that are known when the spec is checked are checked there: "
        "those that 'in' lists, literal data, constants, and expressions that are outside whatever their indices are.",
        "dims: {k: 3, n: 5}\ndata:\n  z[n]: {type: integer, in: [1, 2, 3]}\n  T[k]: real\ndefine:\n  y[n]: T[z[n]]\n",
    ),
)

CONSTRAINTS: tuple[Code, ...] = (
    Code(
        "VS0355",
        "a constraint that compares nothing",
        "A constraint is an equation or an inequality between numbers, or a chain of them such as 0 <= x[i] <= 1. It holds "
        "for every value of the indices on its left.",
        "constraints:\n  c: x + y\n",
    ),
    Code(
        "VS0356",
        "a constraint that is not closed",
        "Constraints are written with ==, <= and >=. A strict inequality describes a set without its boundary, on which no "
        "solution can lie; a margin says how far inside it has to be.",
        "constraints:\n  c: x > 0\n",
    ),
)

IMPORTS: tuple[Code, ...] = (
    Code(
        "VS0360",
        "no such spec to import",
        "An import is a path relative to the importing spec, with or without .yaml, or std/NAME for a file of the "
        "library that comes with vspec.",
        "imports:\n  std/kernel: [rbf]\n",
    ),
    Code(
        "VS0361",
        "an import of itself",
        "A spec cannot import itself, directly or through others. What both need belongs into a third file.",
        "vspec check circle.yaml\n",
    ),
    Code(
        "VS0330",
        "a derivative without a formula",
        "The second derivative of gammainc and gammaincc by their first argument has no closed form. The first one exists, "
        "so methods that ask for the gradient alone work; in a recurrence it may not be differentiated again.",
        "params: {a: {init: 1, domain: positive}}\nobjectives: {loss: 'gammainc(a, 2)'}\n"
        "solve: {minimize: loss, method: newton}\n",
    ),
    Code(
        "VS0331",
        "a whole number too large for an integer",
        "Integers are computed with 32 bits at least: from -2147483647 to 2147483647. Larger whole numbers are reals, which "
        "round; where one meets integers, the spec says which is meant: 3000000000.0 for reals.",
        "data:\n  z: integer\noutputs:\n  x: z + 3000000000\n",
    ),
    Code(
        "VS0336",
        "the coordinates of a dim",
        "'from' and 'to' are numbers, or expressions of numbers, pi and named constants, and 'from' is less than 'to'. "
        "On a dim with the boundary periodic 'to' is one step beyond the last value; on all others it is the coordinate "
        "of the last value, so that there are at least two.",
        "dims:\n  x: {size: 64, from: 1, to: 0}\n",
    ),
    Code(
        "VS0337",
        "no coordinates",
        "coord(x) and spacing(x) need a dim with 'from' and 'to'. The position of an index, from 0, is index(x).",
        "dims:\n  x: 64\ndefine:\n  y[x]: coord(x)**2\n",
    ),
    Code(
        "VS0338",
        "configurations and their parts",
        "{configurations: c, of: i} is the dim of all assignments of a value of c to each i, where c and i are letters of "
        "two other dims. part(s, i) is the value that s gives to i, and s a letter of such a dim.",
        "dims:\n  i: 4\ndefine:\n  y[i]: part(i, 0)\n",
    ),
    Code(
        "VS0362",
        "no such name in an imported spec",
        "An import names functions, definitions, constants, data, params or objectives of the other spec, or index "
        "letters that are to be matched with letters of this one.",
        "imports:\n  std/kernels: [rfb]\n",
    ),
    Code(
        "VS0363",
        "an imported name that is taken",
        "An imported name joins the names of the spec, where each stands for one thing. Another name is given by a "
        "mapping: 'std/kernels: {rbf: kernel}' imports rbf as kernel.",
        "imports:\n  std/kernels: [rbf]\ndefine:\n  rbf: 1\n",
    ),
    Code(
        "VS0365",
        "an imported index that does not match",
        "The indices of an imported definition are matched with those of the spec by their letters, so that both must "
        "take equally many values. A mapping says which letter is meant: 'lib.yaml: {energy: energy, n: m}'.",
        "vspec check fit.yaml\n",
    ),
    Code(
        "VS0366",
        "an import outside of the spec's folder",
        "A spec imports from its own folder, from those below it, and from the library. --allow-outside lifts this.",
        "imports:\n  ../secret.yaml: [x]\n",
    ),
)

COMPLEX: tuple[Code, ...] = (
    Code(
        "VS0350",
        "an operation that complex numbers do not have",
        "Complex numbers have no order, and only some functions are defined for them. Take a real of them first: re(z), "
        "im(z), abs(z) or arg(z).",
        "data:\n  z: complex\ndefine:\n  y: z < 1\n",
    ),
    Code(
        "VS0351",
        "a complex objective",
        "What is made small or large is one real number. Take re(...) or abs(...) of it.",
        "params:\n  z: {init: 1j, type: complex}\nobjectives:\n  loss: z**2\n",
    ),
    Code(
        "VS0352",
        "a complex number where a real is needed",
        "A real param starts at a real, plots show reals, and a claim compares reals.",
        "params:\n  w: {init: 2j}\n",
    ),
    Code(
        "VS0353",
        "an option that complex quantities do not have",
        "Domains, drawn values and lists of allowed values are about reals. Build the complex number from reals: "
        "a + 1j*b, or r*exp(1j*phi).",
        "params:\n  z: {init: 1, type: complex, domain: positive}\n",
    ),
    Code(
        "VS0354",
        "linear algebra that complex matrices do not have",
        "Of the functions of whole axes, solve, inv and trace take complex matrices.",
        "dims: {i, j: 2}\ndata:\n  A[i, j]: complex\ndefine:\n  y: det(A[:, :])\n",
    ),
)

DRAWS: tuple[Code, ...] = (
    Code(
        "VS0393",
        "a draw from no law, or from a law with other arguments",
        "sample(law) draws from one of the laws of the language. Their arguments go by position or by name.",
        "define:\n  x: sample(gaussian(0, 1))\n",
    ),
    Code(
        "VS0394",
        "a draw where none can be",
        "A draw is made for every value of the indices around it. Where these are not all known (inside of a whole axis that a "
        "function takes, in an identity) it needs a name of its own; what is known before anything runs (bounds of domains, "
        "coordinates) is not drawn.",
        "dims: {i, j: 3}\ndata:\n  A[i, j]: real\ndefine:\n  y: logdet(A[:, :] + sample(normal(0, 1)))\n",
    ),
    Code(
        "VS0395",
        "how a recurrence stops or is differentiated",
        "States that advance together stop together, on one condition, and are differentiated in one way. The condition has "
        "indices that all of them have; each value of these stops by itself. 'until' and 'adjoint' belong to steps.",
        "dims: {t: 9, i: 2}\ndefine:\n  s[0, i]: 1\n  s[t + 1, i]: {is: 's[t, i]/2 + u[t]', until: 's[t, i] < 1'}\n"
        "  u[0]: 0\n  u[t + 1]: sum[i](s[t, i])\n",
    ),
    Code(
        "VS0397",
        "a derivative through a recurrence without an adjoint",
        "'adjoint: none' says that no derivative goes back through the steps of a recurrence, so that the program need not keep "
        "what it would need. A gradient, a method or a derivative of an expression asks for one.",
        "dims: {t: 9}\nparams:\n  w: {init: 1}\ndefine:\n  s[0]: w\n  s[t + 1]: {is: 's[t]/2', adjoint: none}\n"
        "objectives: {loss: 's[-1]**2'}\nsolve: {minimize: loss}\n",
    ),
    Code(
        "VS0398",
        "an initialiser that does not fit",
        "The initialiser of a matrix alone takes the last two indices of its param for inputs and outputs; with two indices, "
        "such as glorot_uniform(i, h), it is told which they are.",
        "dims: {i: 3}\nparams:\n  w[i]: {init: glorot_uniform}\n",
    ),
    Code(
        "VS0399",
        "inits in a circle",
        "An init may read other params: it has their initial values. They are worked out one after the other.",
        "params:\n  a: {init: b}\n  b: {init: a + 1}\n",
    ),
)

_NOT_YET = (
    "This is part of the language's design and not implemented in this version. The spec is refused rather than run as "
    "something else."
)

PLANNED: tuple[Code, ...] = tuple(
    Code(code, f"not implemented yet: {what}", _NOT_YET, example)
    for code, what, example in (
        ("VS0402", "dynamics", 'dynamics:\n  p: {ode: {q: "-q"}, start: {q: 1}, time: {t: [0, 1]}}\n'),
        ("VS0405", "kinds of stages and methods", "solve: {pareto: [a, b]}\n"),
        ("VS0407", "integrals", "define:\n  y: integral[x](exp(-x**2), over=[-5, 5])\n"),
        (
            "VS0408",
            "some expectations over variables that are drawn step by step",
            "dims: {t: 4}\nrandom:\n  z[0]: poisson(1)\n  z[t + 1]: poisson(1 + z[t])\ndefine:\n  y: E[z](z[-1])\n",
        ),
        (
            "VS0411",
            "params of types other than real and complex",
            "params:\n  w: {init: 1, type: integer}\n",
        ),
        (
            "VS0414",
            "identities by quadrature",
            "constants: {b: 1}\nclaims:\n  c: {identity: b == 1, tolerance: 1e-6, by: quadrature(40)}\n",
        ),
    )
)

SIZES: tuple[Code, ...] = (
    Code(
        "VS0720",
        "an expression is too long",
        "An expression may have at most 20,000 characters. Give parts of it names under 'define'; what they name is computed "
        "once, however often it is read.",
        "vspec check generated.yaml    # with a sum of 10,000 terms written out",
    ),
    Code(
        "VS0721",
        "an expression is nested too deeply",
        "Brackets and operations may be nested 120 deep. Give parts of the expression names under 'define'.",
        "define:\n  y: " + "(" * 121 + "1" + ")" * 121 + "\n",
    ),
    Code(
        "VS0722",
        "a power is too large",
        "Whole powers go up to 1024, and powers of whole literals must be exact.",
        "define:\n  y: 9**9**9\n",
    ),
    Code(
        "VS0723",
        "a number is too large",
        "Integers fit into 64 bits, reals into a double.",
        "constants: {a: 1}\ndefine:\n  y: a + 1e999\n",
    ),
    Code(
        "VS0724",
        "functions expand too far",
        "Functions are put in the place of their calls. Functions that call functions twice, and so on, double at each "
        "level; intermediate results with names under 'define' are computed once.",
        "functions:\n  f0(x): x*x + 1\n"
        + "".join(f"  f{k}(x): f{k - 1}(x)*f{k - 1}(x + 1)\n" for k in range(1, 18))
        + "define:\n  y: f17(2.0)\n",
    ),
    Code(
        "VS0725",
        "too many values of an index",
        "A dim of configurations, or one whose size is a power of other sizes, has at most 2**24 values: an array over it "
        "is written out. Positions beyond the ends of an axis are counted up to 2**31.",
        "dims:\n  c: 2\n  i: 40\n  s: {configurations: c, of: i}\n",
    ),
)

LANGUAGE: tuple[Code, ...] = (
    *NAMES,
    *SYNTAX,
    *TYPES,
    *SECTIONS,
    *CONSTRAINTS,
    *IMPORTS,
    *COMPLEX,
    *DRAWS,
    *STAGES,
    *KEPT,
    *PLANNED,
    *SIZES,
)
