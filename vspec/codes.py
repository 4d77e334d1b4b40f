"""The diagnostic codes of the front door, and the table of all codes: the compiler's, the runtime's and these."""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.diagnostics.code import Code

INTERNAL = "VS0999"

FRONT: tuple[Code, ...] = (
    Code(
        "VS0820",
        "the command line is wrong",
        "A command, an option or an argument is missing, misspelt or of the wrong type. 'vspec COMMAND --help' shows "
        "what a command takes, with an example.",
        "vspec biuld logistic.yaml",
    ),
    Code(
        "VS0821",
        "no such spec",
        "The name is neither a file nor one of the specs that come with vspec. 'vspec list' names those.",
        "vspec check problems/logistics",
    ),
    Code(
        "VS0822",
        "no such pass",
        "--disable-pass names an optimisation that does not exist. 'vspec list --passes' names them all.",
        "vspec build logistic --disable-pass folding",
    ),
    Code(
        "VS0823",
        "--set cannot be read",
        "A setting is 'name=value', where the value is a number, or a list of numbers such as [1, 2.5]. Quote lists, so "
        "that the shell leaves them alone.",
        "vspec run logistic --set lam",
    ),
    Code(
        "VS0824",
        "--data cannot be read",
        "Data is bound as 'name=file' or 'name=file:column', where the file is npz, npy, csv, parquet, arrow, zarr or nc, or "
        "'sklearn:NAME'.",
        "vspec run logistic --data raw",
    ),
    Code(
        "VS0825",
        "no such code",
        "Diagnostic codes are VS and four digits. 'vspec explain-error' without a code lists them all.",
        "vspec explain-error VS1234",
    ),
    Code(
        "VS0826",
        "the result cannot be written",
        "The folder given by --out (or the default one) cannot be created or written: a file is in its place, the disk "
        "is full, or you may not write there.",
        "vspec build logistic --out /proc/logistic",
    ),
    Code(
        "VS0827",
        "a package is missing",
        "A package that vspec depends on cannot be imported. Install vspec with pip, which brings everything it needs; "
        "'vspec doctor' shows what is there.",
        "vspec build logistic.yaml    # without JAX",
    ),
    Code(
        "VS0828",
        "no such entry",
        "The program has no entry of that name. 'vspec explain SPEC' lists the entries.",
        "vspec explain logistic --entry los",
    ),
    Code(
        "VS0829",
        "nothing to verify",
        "The folder has no spec in it or below it: no file that ends in .yaml or .yml, build folders left out.",
        "vspec verify docs/",
    ),
    Code(
        "VS0830",
        "the file is already there",
        "'vspec new' writes no file over another one. Choose another name, or remove the file.",
        "vspec new logistic.yaml",
    ),
    Code(
        "VS0831",
        "stdin beside files",
        "'-' formats what comes in on stdin and writes it to stdout. It cannot be mixed with files, which are formatted in "
        "their place.",
        "vspec fmt - logistic.yaml",
    ),
    Code(
        "VS0832",
        "no such template",
        "'vspec new' has no template of that name. 'vspec new --list' names them all.",
        "vspec new digits --template clasification",
    ),
    Code(
        "VS0833",
        "the spec cannot have this name",
        "A new spec is named after its file: letters, digits, dots, underscores and hyphens, at most 100 of them, starting with "
        "a letter or a digit.",
        "vspec new 'my fit'",
    ),
    Code(
        "VS0839",
        "formatting would change the spec",
        "'vspec fmt' reads what it made and compares it with the file: the formatted spec would have said something else, or "
        "lost a comment. This is a bug in vspec, not in your spec; the file is left as it is.",
        "vspec fmt fit.yaml\n",
    ),
    Code(
        "VS0880",
        "--grid cannot be read",
        "A grid is 'name=values': numbers with commas between them, 'lin(first, last, how many)' evenly spaced, or "
        "'log(first, last, how many)' with even ratios. Quote brackets, so that the shell leaves them alone.",
        "vspec sweep logistic --grid 'lam=log(0, 1, 5)'",
    ),
    Code(
        "VS0881",
        "this cannot be swept",
        "A sweep goes over constants that are one number, over sizes of dims that the spec gives, and over seeds. Of a program "
        "that is built already, sizes are settled.",
        "vspec sweep logistic --grid lamda=0.1,1",
    ),
    Code(
        "VS0882",
        "nothing to sweep",
        "A sweep needs a grid with values, or more than one seed.",
        "vspec sweep logistic --grid lam=",
    ),
    Code(
        "VS0883",
        "too many points",
        "A grid has as many points as the product of the numbers of its values and seeds, which grows fast. '--limit' "
        "allows more.",
        "vspec sweep logistic --grid 'lam=lin(0,1,100)' --seeds 100",
    ),
    Code(
        "VS0865",
        "the processes do not come together",
        "With --distributed, several processes run one spec, each started with the address of process 0, their number, and its "
        "own number. Without these, JAX asks the scheduler (Slurm, MPI, a TPU pod). All of them start within two minutes.",
        "vspec run fit.yaml --distributed --coordinator 127.0.0.1:9900 --process 0    # of how many?",
    ),
    Code(
        "VS0851",
        "no results of that name",
        "There is no folder of that name, none below results/, and no spec of that name has results there. 'vspec run' writes "
        "the results of a spec into results/NAME.",
        "vspec report logistics",
    ),
    Code(
        "VS0887",
        "the spec makes no estimator",
        "An estimator of scikit-learn gives its columns to one data entry and what is to be predicted to another, with the same "
        "first axis, whose size comes with the data, and predicts by an output along that axis. Its hyperparameters are "
        "constants of the spec.",
        "VspecRegressor('ridge.yaml', lamda=0.1).fit(X, y)  # where the constant is called 'lam'",
    ),
    Code(
        INTERNAL,
        "an error of ours",
        "vspec did something it did not expect: a bug in vspec, not in your spec. Please report it together with the "
        "spec. VSPEC_DEBUG=1 in the environment shows where it happened.",
    ),
)


def all_codes() -> Mapping[str, Code]:
    """Every code by name, in order; where two parts explain the same code, the compiler's words win."""
    from vspec.compiler.diagnostics.codes import CODES
    from vspec.run_examples import RUN_EXAMPLES
    from vspec.runtime.codes import CODES as RUN

    runtime = {code: Code(code, title, words, RUN_EXAMPLES.get(code, "")) for code, (title, words) in RUN.items()}
    return dict(sorted({**{c.code: c for c in FRONT}, **runtime, **CODES}.items()))
