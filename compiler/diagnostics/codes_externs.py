"""The codes of functions from outside of a spec: VS0670 to VS0676."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

EXTERNS: tuple[Code, ...] = (
    Code(
        "VS0670",
        "code from outside of a spec that is not allowed",
        "A function with 'extern: module:name' is Python that the spec only names: to check, build or run it imports that "
        "module, which may do anything. A spec alone never runs code, so this has to be allowed, with --allow-extern or, in "
        "Python, inside of 'with vspec.allow_extern():'.",
        "functions:\n  f(x[:]): {extern: simulators:drag}\n",
    ),
    Code(
        "VS0671",
        "a module that cannot be imported",
        "The module is looked for where Python looks for modules: among installed packages and in the folders of PYTHONPATH, "
        "not beside the spec. What it raises while it is imported is told.",
        "functions:\n  f(x[:]): {extern: no_such_module:f}\n",
    ),
    Code(
        "VS0672",
        "a name that a module does not have",
        "The name behind the colon is a function of arrays, a module of Equinox, or a class of such modules that is called with "
        "'key' alone.",
        "functions:\n  f(x[:]): {extern: math:no_such_name}\n",
    ),
    Code(
        "VS0673",
        "a module of Equinox that cannot be made",
        "A class of modules, or a functools.partial of one, is called as Net(key=key), with a key of the run. Other arguments "
        "have to be given before: Net = functools.partial(equinox.nn.MLP, 2, 1, 32, 2).",
        "functions:\n  f(x[:]): {extern: equinox.nn:MLP}\n",
    ),
    Code(
        "VS0674",
        "a function from outside that does not have the declared signature",
        "Before anything runs, the function is evaluated on shapes alone, with those of the arguments of its call. It has to "
        "return one array of real numbers with the axes behind the arrow, or a number where there is no arrow.",
        "functions:\n  f(x[:]) -> [k]: {extern: jax.numpy:sum}\n",
    ),
    Code(
        "VS0675",
        "a function from outside that has no derivative",
        "Derivatives of functions from outside are taken by JAX. What calls other libraries, 'jax.pure_callback' for one, has "
        "none, unless it says so by 'jax.custom_vjp' or 'jax.custom_jvp'.",
        "functions:\n  f(x[:]): {extern: simulators:callback}\n",
    ),
    Code(
        "VS0676",
        "a function from outside that is not declared as one",
        "Under 'extern' stand a module and a name in it, with a colon between them, 'package.module:name'. The arguments are "
        "arrays of real numbers.",
        "functions:\n  f(x[:]): {extern: simulators.drag}\n",
    ),
)
