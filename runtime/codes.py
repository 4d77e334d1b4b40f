"""Stable codes of everything that can go wrong at run time: code → (title, explanation). Imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        # 05: the data does not fit (exit code 3)
        "VS0501": (
            "data is missing",
            "A data entry of the spec has no default and none was bound. Pass it to `run(data={...})` or give it a "
            "`source:`, a `value:` or a `draw:` in the spec.",
        ),
        "VS0502": (
            "unknown name",
            "Data, a constant or a parameter was bound under a name that the program does not declare.",
        ),
        "VS0503": (
            "data source cannot be read",
            "The file does not exist, is empty, damaged or cut off, or is of no kind that is read (npz, npy, csv, parquet, "
            "arrow, zarr, netCDF); or the text of a source is neither a path nor `sklearn:NAME`.",
        ),
        "VS0504": (
            "no such column or array",
            "The source was read, but has no column (csv, parquet, arrow, sklearn), array (npz, zarr) or variable (netCDF) of "
            "that name, or has several and none was named.",
        ),
        "VS0505": (
            "wrong number of axes",
            "The array has more or fewer axes than its declaration lists letters.",
        ),
        "VS0506": (
            "axis has the wrong size",
            "An axis differs from the size that its dim declares, or from the size that another array with the same "
            "dim has; or it makes a matrix wide where the program needs a tall one. An empty axis is refused, too.",
        ),
        "VS0507": (
            "wrong type of numbers",
            "The entries cannot be converted to the declared type without loss: text where numbers are declared, "
            "fractions where integers are, integers out of range.",
        ),
        "VS0508": (
            "not a finite number",
            "An array contains NaN or infinity, or a csv file has a cell that is not a number.",
        ),
        "VS0509": (
            "value outside the declared set",
            "The declaration lists the allowed values with `in:` and the array has another one.",
        ),
        "VS0510": (
            "wrong shape or value of a constant",
            "A constant was overridden by something that is not a finite number or array of the declared axes.",
        ),
        "VS0511": (
            "path outside the spec's folder",
            "Sources in a spec may only read files below the spec's folder. Move the file there, or allow the path "
            "explicitly with `allow_outside` (`--allow-outside`).",
        ),
        "VS0512": (
            "file contains pickled objects",
            "Loading pickled objects could run code, so such arrays are always refused, in npy and npz files as in the chunks of "
            "a zarr store. Save plain numeric arrays.",
        ),
        "VS0513": (
            "size of a dim is unknown",
            "A dim is `auto`, but none of the bound arrays has it as an axis; or its size is not a positive integer, too small "
            "for its coordinates, or a power that is too large.",
        ),
        "VS0514": (
            "unknown scikit-learn dataset",
            "`sklearn:NAME` reads the data sets that scikit-learn ships (iris, digits, wine, breast_cancer, diabetes, "
            "linnerud), never the network.",
        ),
        "VS0515": (
            "rows out of range",
            "`rows: [first, end]` asks for rows that the source does not have, or for none.",
        ),
        "VS0516": (
            "data cannot be drawn",
            "The law of a `draw:` is not known, or its arguments do not suit it.",
        ),
        "VS0517": (
            "wrong start of a parameter",
            "A start given for a parameter does not have its shape, or is not finite.",
        ),
        "VS0518": (
            "a value that is no position",
            "The spec reads another array at positions that these values say, as in `T[z[n]]`, and one of them is negative "
            "or beyond the end of that axis.",
        ),
        "VS0519": (
            "a count that is no whole number",
            "The number of steps, epochs, rounds, starts or rows of a batch is an expression, and its value for these data and "
            "constants is not a whole number, at least 1.",
        ),
        "VS0520": (
            "batch larger than its dim",
            "A stage asks for batches of more rows than the data have.",
        ),
        "VS0521": (
            "package for a source is missing",
            "zarr and netCDF files and `sklearn:NAME` are read by packages of their own, which do not come with vspec unless "
            "they are asked for: `pip install 'vspec[data]'`.",
        ),
        "VS0522": (
            "missing value",
            "A cell of a csv file is empty, a column of a table has a null, or a masked array or a netCDF variable has a masked "
            "entry. There is no number that stands for 'missing': leave such rows out, or fill them in before.",
        ),
        "VS0523": (
            "not an array",
            "Data was bound to something that is no array: neither a number, nested lists, NumPy or JAX arrays, nor anything "
            "that turns into an array by itself (series and frames of pandas, columns and tables of pyarrow, arrays of xarray).",
        ),
        "VS0524": (
            "no amount of memory",
            "`memory` is a number of bytes, or a number with a unit: 500MB, 2GB, 16GiB.",
        ),
        "VS0525": (
            "data cannot be read by chunks",
            "The data are larger than what they may take of memory (`--memory`), but a run needs one of them whole, so that it "
            "was read whole. Where every stage that reads it has a `batch` over its first axis, and no output, claim, "
            "constraint or definition that depends on data alone needs it, it is read by chunks instead.",
        ),
        "VS0526": (
            "no room for a copy on disk",
            "Data that are read by chunks from files whose rows cannot be read one by one (parquet, arrow, zarr, netCDF) are "
            "copied to a temporary file first. TMPDIR says in which folder.",
        ),
        "VS0527": (
            "data is read by chunks",
            "An entry was called that needs all of an array at once, but of this array only rows are read while a run goes on, "
            "since it is larger than `memory` allows.",
        ),
        # 06: the numerics failed (exit code 4)
        "VS0601": (
            "objective is not finite at the start",
            "The objective is NaN or infinite at the initial parameters, so that no method can begin. Look at the "
            "`init` of its parameters and at logarithms, divisions and square roots in its definitions.",
        ),
        "VS0602": (
            "objective became not finite",
            "The objective or its gradient became NaN or infinite during the iteration. A shorter step (`lr`) often "
            "helps; so does a `domain: positive` for parameters that must stay positive.",
        ),
        "VS0603": (
            "gradient is not finite at the start",
            "The objective is finite at the initial parameters, but its gradient is not: usually a square root, a norm "
            "or an absolute value at exactly zero.",
        ),
        "VS0604": (
            "start outside the domain",
            "A param starts outside of its `domain`: its `init` is not positive, not inside of the box, does not sum to 1, ...",
        ),
        "VS0605": (
            "update is not finite",
            "The formula of an `update` gave NaN or infinity for a param. The params keep the values before that step.",
        ),
        "VS0630": (
            "a formula that does not hold",
            "proximal_gradient, block_coordinate and the methods for sums of squares go by formulas that the compiler derived "
            "from the form of the objective. Some of them take a sign for granted, such as that a weight is not negative: the "
            "spec gives it such a value, and the run another.",
        ),
        "VS0631": (
            "minimum of a block is not finite",
            "A formula for the minimum of a block gave NaN or infinity: a quadratic form that is not positive definite has no "
            "minimum, nor has a function whose slope never vanishes.",
        ),
        "VS0610": (
            "constraints cannot be satisfied",
            "A stage found no point that satisfies its constraints, and none nearby that misses them less. Either they "
            "contradict each other, or the search, which is a local one, began in the wrong place.",
        ),
        "VS0611": (
            "constraint is not finite at the start",
            "A constraint that binds a stage is NaN or infinite at the initial parameters, so that no method can begin.",
        ),
        "VS0615": (
            "an implicit quantity was not found",
            "The search for a `root`, `fixed_point`, `argmin` or `argmax` did not converge where a run needed it: it took all "
            "its steps, no step came nearer, or the equations were not finite. Either there is no solution there, or the "
            "`start`, the `method`, its `tol` or the number of `steps` does not suit the problem.",
        ),
        # 08: the program or its folder is wrong (exit code 2)
        "VS0801": (
            "hash does not match",
            "A file of the program differs from the one that was built. Edit the spec and build it again.",
        ),
        "VS0802": (
            "not a program",
            "The folder has no readable `manifest.json`. Programs are written by `vspec build`.",
        ),
        "VS0803": (
            "manifest does not fit its schema",
            "`manifest.json` lacks a field or has one of a wrong type, or names a file outside of its folder.",
        ),
        "VS0804": (
            "manifest of another version",
            "The program was built by a version of vspec that this runtime does not read. Build the spec again.",
        ),
        "VS0805": (
            "program cannot be imported",
            "`program.py` is missing, fails on import, or lacks a function that the manifest lists.",
        ),
        "VS0806": (
            "no such entry",
            "The program has no entry of this name, or lacks one that the stage's method needs.",
        ),
        "VS0807": (
            "stage or method not known",
            "The plan asks for a kind of stage or a method that this version of the runtime does not have.",
        ),
        "VS0808": (
            "results cannot be written",
            "The results folder is not writable, or holds files that no run has written and that would be lost.",
        ),
        "VS0809": (
            "no such run",
            "The spec, or the program that was built from it, has no run of this name. Runs are declared under 'runs'.",
        ),
        # 086: several devices
        "VS0860": (
            "mesh cannot be read",
            "A mesh of devices is written as its axes with their numbers of devices, such as 'data=8' or 'data=4,model=2'.",
        ),
        "VS0861": (
            "no such axis of devices",
            "The mesh has an axis over which the spec splits nothing. The axes are those that the spec names under 'shard'.",
        ),
        "VS0862": (
            "mesh and devices differ",
            "The mesh has more devices than there are; or, where several processes run, not all devices of "
            "all of them.",
        ),
        "VS0863": (
            "devices do not divide a dim",
            "A dim that 'shard' splits has a size that is no multiple of the number of devices along its axis. Give the axis "
            "fewer devices, or the dim another size.",
        ),
        "VS0866": (
            "nothing to split over processes",
            "Several processes run one spec together by splitting arrays over their devices, and the spec says of no dim that it "
            "is split. Write a section 'shard', or run the spec in one process.",
        ),
        "VS0864": (
            "devices do not divide a batch",
            "The batches of a stage are split over devices as their dim is, so that the rows of a batch are a multiple of the "
            "number of devices along its axis.",
        ),
        "VS0884": (
            "not the same sweep",
            "A sweep goes on only with the spec, the settings and the data that it began with, or its table would mix answers to "
            "different questions. The grid and the seeds may have changed: points that are done are taken as they are.",
        ),
        "VS0885": (
            "a sweep that is not finished, or is not there",
            "The folder has points of a sweep that was interrupted, which may have cost hours: say whether to go on with it "
            "(`--resume`) or to throw them away (`--force`). With `--resume` there must be a sweep to go on with.",
        ),
        # 084: a run that was interrupted, and its folder (exit code 2, or 130 where it was interrupted)
        "VS0840": (
            "the run was interrupted",
            "Ctrl-C, or the signal TERM, asked the run to stop. It did so after a chunk of steps and saved where it was; "
            "`--resume` goes on from there and ends as if nothing had happened.",
        ),
        "VS0841": (
            "the run was interrupted, and cannot be saved",
            "The run was asked to stop, and where it was could not be written: the disk is full, say. Checkpoints from "
            "before are still there, if any were made.",
        ),
        "VS0842": (
            "not the run that was interrupted",
            "A run can only be gone on with as it began: with the same spec, data, constants, seed, starts of params, "
            "versions and kind of device. Something else would end elsewhere than the run that was interrupted.",
        ),
        "VS0843": (
            "results folder in use",
            "Another run, or another sweep, is writing to the results folder. Its lock, a file beside the folder, says which "
            "process; one that was left behind by a process that was killed is not taken for another run.",
        ),
        "VS0844": (
            "what was saved cannot be read",
            "There are checkpoints of the run, but none of them has the content that was written, or the arrays of a point of a "
            "sweep have not: a file was changed, or the disk has lost something.",
        ),
        "VS0845": (
            "interval of checkpoints cannot be read",
            "How often a run is saved is a number of seconds (`30`, `90s`, `5m`, `2h`), of steps (`1000 steps`), or `never`.",
        ),
        "VS0846": (
            "results were written elsewhere",
            "The run ended well, but its results could not be written to their folder. They were written to a temporary "
            "folder instead, which the message names.",
        ),
        "VS0847": (
            "no run can be gone on with",
            "`resume` goes on from the checkpoints in the results folder, and none was given; or several processes run "
            "together, which write none.",
        ),
        "VS0850": (
            "no result of a run",
            "`vspec report` reads the folder that a run has written, which has a run.json. This one has none, or one that does "
            "not tell of a run: it may be the folder of a program, or of a run that has not ended.",
        ),
    }
)
