"""What comes from elsewhere does not run, and does not reach beyond its folder: data, programs, specs. See SECURITY.md."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.runtime.checkpoints import NEVER, Checkpoints, latest
from vspec.runtime.errors import ArtifactError, RunError
from vspec.runtime.pages import folder as results
from vspec.runtime.program import comparison, load

ROOT = Path(__file__).parents[2]

SPEC = """\
vspec: 1
name: safe
doc: A line through points.
dims: {n: auto}
data:
  x[n]: real
params:
  w: {init: 0}
objectives:
  loss: mean[n]((w - x[n])**2)
solve: {minimize: loss, method: newton}
outputs:
  w: w
runs:
  slow: {solve: {minimize: loss, method: sgd(0.1), steps: 20}}
  fast: {}
claims:
  fewer: fast.steps < slow.steps
"""

RAN: list[str] = []
"""What ran that must not run."""


class Bomb:
    """What a pickle would run when it is read."""

    def __reduce__(self) -> Any:
        return (RAN.append, ("a pickle was loaded",))


def objects() -> Any:
    """An array whose entries are objects, which NumPy writes as a pickle."""
    array = np.empty(3, dtype=object)
    array[:] = [Bomb(), 1.0, 2.0]
    return array


@pytest.fixture(autouse=True)
def _nothing_runs() -> Any:
    RAN.clear()
    yield
    assert RAN == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "safe.yaml").write_text(SPEC)
    return vspec.build(folder / "safe.yaml", folder / "program").directory


@pytest.fixture
def program(built: Path, tmp_path: Path) -> Path:
    """A copy of the program's folder, to be changed."""
    shutil.copytree(built, tmp_path / "program")
    return tmp_path / "program"


def refused(code: str, call: Callable[[], Any], *words: str) -> None:
    with pytest.raises((RunError, SpecError)) as error:
        call()
    found = error.value
    codes = {d.code for d in found.diagnostics} if isinstance(found, SpecError) else {found.code}  # type: ignore[attr-defined]
    assert code in codes, str(found)
    for word in words:
        assert word in str(found), str(found)


def read(spec: Path, **options: Any) -> list[float]:
    """The data that a spec binds."""
    return [float(x) for x in vspec.compile(spec).bind(**options).data["x"]]


# --- pickles --------------------------------------------------------------------------------------------------------


def pickles(folder: Path) -> dict[str, str]:
    """Files with pickles in them, and the code that refuses each."""
    np.save(folder / "objects.npy", objects(), allow_pickle=True)
    np.savez(folder / "objects.npz", x=objects(), y=np.ones(3))
    (folder / "plain.npy").write_bytes(pickle.dumps(Bomb()))
    (folder / "plain.npz").write_bytes(pickle.dumps(Bomb()))
    with zipfile.ZipFile(folder / "member.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Bomb()))
        archive.writestr("x.pkl", pickle.dumps(Bomb()))
    structured = io.BytesIO()
    np.save(structured, np.array([(1.0, Bomb())], dtype=[("a", float), ("b", object)]), allow_pickle=True)
    (folder / "record.npy").write_bytes(structured.getvalue())
    return {
        "objects.npy": "VS0512",
        "objects.npz": "VS0512",
        "plain.npy": "VS0503",
        "plain.npz": "VS0503",
        "member.npz": "VS05",
        "record.npy": "VS0512",
    }


def test_data_is_never_unpickled(program: Path, tmp_path: Path) -> None:
    loaded = load(program)
    for name, code in pickles(tmp_path).items():
        with pytest.raises(RunError) as error:
            loaded.bind({"x": tmp_path / name})
        assert error.value.code.startswith(code), (name, str(error.value))
        # The same file named by a spec.
        spec = tmp_path / "named.yaml"
        spec.write_text(SPEC.replace("x[n]: real", f"x[n]: {{source: {name}}}"))
        with pytest.raises(RunError) as error:
            read(spec)
        assert error.value.code.startswith(code), (name, str(error.value))


def test_arrays_of_objects_are_no_starts_data_or_constants(program: Path) -> None:
    loaded = load(program)
    bound = loaded.bind({"x": [1.0, 2.0]})
    refused("VS0517", lambda: loaded.initial_params(bound, {"w": objects()}))
    refused("VS0507", lambda: loaded.bind({"x": objects()}))


# --- programs -------------------------------------------------------------------------------------------------------


def every_file(program: Path) -> list[str]:
    """The files of a program that are read when it is loaded or used."""
    found = sorted(str(p.relative_to(program)) for p in program.rglob("*") if p.name in ("program.py", "manifest.json"))
    return [name for name in found if name != "manifest.json"]


def test_changed_programs_do_not_run(program: Path) -> None:
    names = every_file(program)
    assert {"program.py", "runs/slow/program.py", "runs/slow/manifest.json", "comparison/program.py"} <= set(names)
    for name in names:
        path = program / name
        before = path.read_bytes()
        line = b'\nraise SystemExit("changed code ran")\n' if name.endswith(".py") else b"\n"
        path.write_bytes(before + line)

        def everything() -> None:
            loaded = load(program)
            load(program, "slow")
            comparison(loaded)

        refused("VS0801", everything, name.split("/")[-1])
        path.write_bytes(before)
    load(program)


def test_changed_artifacts_are_not_read(program: Path) -> None:
    loaded = load(program)
    assert set(loaded.manifest["artifacts"]) >= {"loss", "outputs"}
    for name, record in loaded.manifest["artifacts"].items():
        path = program / record["file"]
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        refused("VS0801", lambda name=name: loaded.exported(name))


def rewritten(program: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The program with a manifest that somebody changed."""
    path = program / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return program


def test_artifacts_that_are_none(program: Path) -> None:
    """A hash tells that a file is the one the manifest means, not that it is what it should be."""
    junk = b"not an artifact" * 10
    (program / "stablehlo" / "loss.bin").write_bytes(junk)
    rewritten(program, lambda m: m["artifacts"]["loss"].update(sha256=hashlib.sha256(junk).hexdigest()))
    refused("VS0805", lambda: load(program).exported("loss"))


OUTSIDE = ["../../outside.py", "/outside.py", "a/../../outside.py", "..", "\0", "~/../../outside.py"]


@pytest.mark.parametrize("file", OUTSIDE)
def test_manifests_name_files_of_their_folder(program: Path, tmp_path: Path, file: str) -> None:
    code = b'raise SystemExit("code from outside ran")\n'
    (tmp_path / "outside.py").write_bytes(code)
    digest = hashlib.sha256(code).hexdigest()
    wrong = {"file": file, "sha256": digest}
    change = [
        lambda m: m.update(program=wrong),
        lambda m: m["artifacts"].update(loss=wrong),
        lambda m: m["runs"].update(slow={**wrong, "file": f"{file}/manifest.json"}),
        lambda m: m.update(comparison={**wrong, "file": f"{file}/manifest.json"}),
    ]
    use = [
        lambda: load(program),
        lambda: load(program).exported("loss"),
        lambda: load(program, "slow"),
        lambda: comparison(load(program)),
    ]
    before = (program / "manifest.json").read_text()
    for edit, call in zip(change, use, strict=True):
        rewritten(program, edit)
        with pytest.raises(RunError) as error:
            call()
        assert error.value.code == "VS0803", str(error.value)
        (program / "manifest.json").write_text(before)


def test_links_of_a_program_stay_inside(program: Path, tmp_path: Path) -> None:
    for name in ("program.py", "manifest.json"):
        path = program / name
        shutil.move(path, tmp_path / name)
        path.symlink_to(tmp_path / name)
        refused("VS0803", lambda: load(program), "outside")
        path.unlink()
        shutil.move(tmp_path / name, path)
    # The folder itself may be a link.
    (tmp_path / "link").symlink_to(program)
    load(tmp_path / "link")
    (program / "program.py").unlink()
    (program / "program.py").symlink_to("program.py")
    refused("VS0803", lambda: load(program))


@pytest.mark.parametrize("name", ["..", "../up", "a/b", "a\\b", "/etc", "a\0b", ""])
def test_names_in_manifests_are_no_paths(program: Path, name: str) -> None:
    """Results are written into folders and files that these names are part of."""
    for edit in (
        lambda m: m.update(name=name),
        lambda m: m["outputs"].update({name: m["outputs"]["w"]}),
        lambda m: m["params"].update({name: m["params"]["w"]}),
        lambda m: m["runs"].update({name: None}),
    ):
        before = (program / "manifest.json").read_text()
        rewritten(program, edit)
        refused("VS0803", lambda: load(program))
        (program / "manifest.json").write_text(before)


def test_inner_manifests_are_those_that_were_verified(program: Path) -> None:
    inner = program / "runs" / "slow"
    (inner / "other.json").write_bytes((inner / "manifest.json").read_bytes())
    rewritten(program, lambda m: m["runs"]["slow"].update(file="runs/slow/other.json"))
    refused("VS0803", lambda: load(program, "slow"), "other.json")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 100_000, '{"manifest": 1' + "0" * 5000 + "}", "\ufeff{}", "nul", "[]"]
)
def test_manifests_that_are_no_json(program: Path, text: str) -> None:
    (program / "manifest.json").write_text(text)
    with pytest.raises(RunError) as error:
        load(program)
    assert error.value.code in ("VS0802", "VS0803", "VS0804")


def test_sizes_in_manifests_are_not_run(program: Path) -> None:
    for text in (
        "__import__('os').abort()",
        "RAN.append(1)",
        "n.__class__",
        "1" * 5000,
        "\0",
        "(" * 500 + "1" + ")" * 500,
    ):
        rewritten(program, lambda m, text=text: m["dims"].update(k={"letters": ["k"], "size": text, "line": 1}))
        with pytest.raises(RunError) as error:
            load(program).bind({"x": [1.0]})
        assert error.value.code == "VS0513"


# --- results and checkpoints ----------------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder with one checkpoint."""
    writer = Checkpoints(tmp_path / "checkpoints", NEVER, pytest.fail)
    writer.begin(3, lambda: {"w": np.arange(3.0), "key": np.arange(2, dtype=np.uint32)}, lambda: {"step": 3})
    writer.wait()
    found = latest(writer.folder, pytest.fail)
    assert found is not None
    np.testing.assert_array_equal(found.state["w"], np.arange(3.0))
    return writer.folder


def sealed(checkpoint: Path) -> None:
    """Writes the hashes of a checkpoint anew, as somebody would who changed it."""
    files = [p for p in sorted(checkpoint.rglob("*")) if p.is_file() and p.name != "hashes.json"]
    hashes = {str(p.relative_to(checkpoint)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    (checkpoint / "hashes.json").write_text(json.dumps(hashes))


def test_checkpoints_hold_no_pickles(checkpoints: Path) -> None:
    for path in checkpoints.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")), path
            assert path.suffix not in (".pkl", ".pickle"), path


def test_changed_checkpoints_are_not_read(checkpoints: Path) -> None:
    (checkpoint,) = checkpoints.iterdir()
    (checkpoint / "more.pkl").write_bytes(pickle.dumps(Bomb()))
    warned: list[str] = []
    refused("VS0844", lambda: latest(checkpoints, warned.append))
    assert "not those that were written" in warned[0]


def test_pickles_in_checkpoints_are_not_loaded(checkpoints: Path, tmp_path: Path) -> None:
    """Also where the hashes are those of the planted files: nothing that reads a checkpoint knows pickles."""
    (checkpoint,) = checkpoints.iterdir()
    kept = tmp_path / "kept"
    shutil.copytree(checkpoint, kept)
    names = [str(p.relative_to(kept)) for p in sorted(kept.rglob("*")) if p.is_file() and p.name != "hashes.json"]
    assert "state.json" in names
    assert any(name.startswith("arrays/") for name in names)
    for name in names:
        shutil.rmtree(checkpoint)
        shutil.copytree(kept, checkpoint)
        (checkpoint / name).write_bytes(pickle.dumps(Bomb()))
        sealed(checkpoint)
        # Some of the files say only how the others came to be, so that the arrays may still be read.
        with contextlib.suppress(ArtifactError):
            latest(checkpoints, lambda _: None)
    (checkpoint / "hashes.json").write_bytes(pickle.dumps(Bomb()))
    refused("VS0844", lambda: latest(checkpoints, lambda _: None))


def test_pickles_in_results_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", w=objects())
    (tmp_path / "outputs.npz").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "run.json").write_text('{"name": "safe"}')
    found = results.read(tmp_path)
    assert found.params == {}
    assert found.outputs == {}
    assert any("params.npz cannot be read" in text for text in found.missing)


# --- specs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for specs, and a file outside of it."""
    inside = tmp_path / "specs"
    inside.mkdir()
    np.save(tmp_path / "secret.npy", np.arange(4.0))
    return inside, tmp_path / "secret.npy"


def with_source(folder: Path, source: str) -> Path:
    path = folder / "reads.yaml"
    path.write_text(SPEC.replace("x[n]: real", f"x[n]: {{source: {json.dumps(source)}}}"))
    return path


def test_sources_of_a_spec_stay_in_its_folder(folders: tuple[Path, Path]) -> None:
    inside, secret = folders
    (inside / "link.npy").symlink_to(secret)
    (inside / "up").symlink_to(secret.parent)
    for source in ("../secret.npy", str(secret), "link.npy", "up/secret.npy", "a/../../secret.npy"):
        spec = with_source(inside, source)
        refused("VS0511", lambda spec=spec: read(spec), "--allow-outside")
        assert read(spec, allow_outside=True) == [0, 1, 2, 3]
    # What the caller binds is the caller's to name.
    assert read(spec, data={"x": secret}) == [0, 1, 2, 3]


def test_stores_of_a_spec_have_no_links_to_elsewhere(folders: tuple[Path, Path]) -> None:
    zarr = pytest.importorskip("zarr")
    inside, secret = folders
    store = inside / "x.zarr"
    zarr.save_array(str(store), np.arange(4.0))
    spec = with_source(inside, "x.zarr")
    assert read(spec) == [0, 1, 2, 3]
    chunk = next(
        p for p in sorted(store.rglob("*")) if p.is_file() and p.suffix != ".json" and not p.name.startswith(".")
    )
    shutil.move(chunk, secret.parent / "chunk")
    chunk.symlink_to(secret.parent / "chunk")
    refused("VS0511", lambda: read(spec), "is a link")
    assert read(spec, allow_outside=True) == [0, 1, 2, 3]
    shutil.move(store, secret.parent / "y.zarr")
    store.symlink_to(secret.parent / "y.zarr")
    refused("VS0511", lambda: read(spec), "outside of the spec's folder")


def test_imports_of_a_spec_stay_in_its_folder(folders: tuple[Path, Path]) -> None:
    inside, secret = folders
    (secret.parent / "lib.yaml").write_text("vspec: 1\nname: lib\nfunctions:\n  sq(a): a**2\n")
    spec = inside / "imports.yaml"
    spec.write_text(
        SPEC.replace("dims: ", "imports: {../lib.yaml: [sq]}\ndims: ").replace("(w - x[n])**2", "sq(w - x[n])")
    )
    with pytest.raises(SpecError) as error:
        vspec.check(spec)
    assert [d.code for d in error.value.diagnostics] == ["VS0366"]
    assert "--allow-outside" in str(error.value.diagnostics[0].help)
    assert vspec.check(spec, allow_outside=True).objectives


# --- the code itself ------------------------------------------------------------------------------------------------

UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "code",
    "codeop",
}
# Where a program is run that was verified, and where the compiler runs what it has just written, to export it.
RUNS_CODE = {
    ("runtime/program.py", "exec"),
    ("runtime/program.py", "compile"),
    ("compiler/emit/stablehlo.py", "compile"),
}


def modules() -> list[Path]:
    return [p for top in ("compiler", "runtime", "vspec", "schemas") for p in sorted((ROOT / top).rglob("*.py"))]


def test_no_module_unpickles_or_evaluates_text() -> None:
    found: set[tuple[str, str]] = set()
    for path in modules():
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops = {a.name.split(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                tops = {(node.module or "").split(".")[0]}
            else:
                tops = set()
            assert not tops & UNSAFE_MODULES, f"{name}:{node.lineno} imports {tops & UNSAFE_MODULES}"  # type: ignore[attr-defined]
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            where = f"{name}:{node.lineno} calls {called}"
            if called in ("eval", "exec", "compile", "__import__"):
                found.add((name, called))
            if called.endswith((".load", ".save", ".savez", ".savez_compressed")) and called.split(".")[0] in (
                "np",
                "numpy",
            ):
                assert keywords.get("allow_pickle", "False") == "False", where
                assert called.split(".")[1] != "load" or "allow_pickle" in keywords, where
            assert called not in (
                "joblib.load",
                "joblib.dump",
                "sp.sympify",
                "sympy.sympify",
                "sympify",
                "parse_expr",
            ), where
            assert called not in ("yaml.unsafe_load", "yaml.full_load", "yaml.load"), where
            assert "shell" not in keywords, where
            assert called not in ("os.system", "os.popen"), where
    assert found == RUNS_CODE
