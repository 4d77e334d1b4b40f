"""Loading, verification, binding by role, and entries as ordinary JAX functions."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime import ArtifactError, Program, load


def test_the_package_is_light() -> None:
    code = (
        "import sys, vspec.runtime, vspec.runtime.registry, vspec.runtime.codes, vspec.runtime.errors;"
        "assert not {'jax', 'numpy', 'optax', 'matplotlib', 'jsonschema'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_entries_are_ordinary_functions(logistic: Program) -> None:
    bound = logistic.bind()
    assert bound.sizes == {"n": 569, "i": 30}
    assert bound.data["raw"].dtype == jnp.float64
    params = logistic.initial_params(bound)
    X, y, lam = bound.prepared["X"], bound.prepared["y"], bound.constants["lam"]
    direct = jax.jit(logistic.loss)(params["w"], params["c"], X, y, lam)
    np.testing.assert_allclose(direct, 569 * np.log(2))
    np.testing.assert_allclose(jax.jit(lambda p, b: logistic.call("loss", p, b))(params, bound), direct)
    many = jax.vmap(logistic.loss, in_axes=(0, None, None, None, None))(jnp.zeros((3, 30)), 0.0, X, y, lam)
    assert many.shape == (3,)
    assert "loss(w [i], c, X [n, i], y [n], lam)" in repr(logistic)
    assert "loss" in dir(logistic)
    assert logistic.prepare(bound.data["raw"], bound.data["label"])["X"].shape == (569, 30)


def test_sizes_are_passed_by_role(recall: Program) -> None:
    bound = recall.bind()
    assert bound.sizes["t"] == 41
    assert bound.data["image"].dtype == jnp.float32
    assert recall.call("outputs", {}, bound)["level"].shape == (41, 10)
    assert recall.prepare() == {}
    assert recall.initial_params(bound) == {}


def test_the_objective_uses_the_programs_gradient(logistic: Program) -> None:
    bound = logistic.bind()
    params = {"w": jnp.full(30, 0.1), "c": jnp.asarray(0.2)}
    f = logistic.objective("loss")
    value, gradient = jax.jit(jax.value_and_grad(f))(params, bound)
    expected = jax.grad(lambda p: logistic.call("loss", p, bound))(params)
    np.testing.assert_allclose(value, f(params, bound))
    for name in params:
        np.testing.assert_allclose(gradient[name], expected[name], rtol=1e-9, atol=1e-9)
    scaled = jax.grad(lambda p: 3 * f(p, bound))(params)
    np.testing.assert_allclose(scaled["c"], 3 * expected["c"], rtol=1e-9)
    shifted = jax.grad(lambda lam: f(params, type(bound)(bound.data, {"lam": lam}, bound.prepared, bound.dims)))(1.0)
    np.testing.assert_allclose(shifted, 0.5 * 30 * 0.01, rtol=1e-9)


def test_the_gradient_is_not_jax_own(seal, tmp_path: Path) -> None:
    source = (Path(__file__).parent / "fixtures/scales/program.py").read_text()
    program = load(seal("scales", source=source.replace('"noise": 0.5 *', '"noise": 7.0 + 0 *')))
    bound = program.bind()
    gradient = jax.grad(program.objective("evidence"))(program.initial_params(bound), bound)
    assert float(gradient["noise"]) == 7.0


def _code(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(folder)
    assert caught.value.exit_code == 2
    return caught.value.code


def test_changed_program_is_refused_before_it_runs(seal) -> None:
    folder = seal("logistic")
    (folder / "program.py").write_text("raise SystemExit('ran')")
    assert _code(folder) == "VS0801"


def test_what_is_no_program(seal, tmp_path: Path) -> None:
    assert _code(tmp_path / "nowhere") == "VS0802"
    folder = seal("logistic")
    (folder / "manifest.json").write_text("{")
    assert _code(folder) == "VS0802"
    (folder / "manifest.json").write_text("[]")
    assert _code(folder) == "VS0803"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: m.pop("plan"), "VS0803"),
        (lambda m: m["params"]["w"].update(domain="spam"), "VS0803"),
        (lambda m: m["program"].update(file="../program.py"), "VS0803"),
        (lambda m: m.update(manifest=99), "VS0804"),
        (lambda m: m["program"].update(file="other.py"), "VS0805"),
        (lambda m: m["entries"]["loss"].update(function="missing"), "VS0805"),
    ],
)
def test_wrong_manifests(seal, change, code: str) -> None:
    assert _code(seal("logistic", change)) == code


def test_failing_import(seal) -> None:
    assert _code(seal("logistic", source="import jax\n1/0")) == "VS0805"


def test_unknown_entries(logistic: Program) -> None:
    with pytest.raises(AttributeError, match="did you mean 'loss'"):
        _ = logistic.los
    with pytest.raises(ArtifactError) as caught:
        logistic.call("los", {}, logistic.bind())
    assert caught.value.code == "VS0806"
    with pytest.raises(ArtifactError, match="no artifact"):
        logistic.exported("loss")


def test_the_exported_artifact_is_verified(seal, logistic: Program) -> None:
    import hashlib

    from jax import export

    folder = seal("scales")
    program = load(folder)
    bound = program.bind()
    params = program.initial_params(bound)
    args = (*params.values(), bound.data["X"], bound.data["y"])
    (folder / "evidence.bin").write_bytes(bytes(export.export(jax.jit(program.evidence))(*args).serialize()))
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256((folder / "evidence.bin").read_bytes()).hexdigest()
    manifest["artifacts"] = {"evidence": {"file": "evidence.bin", "sha256": digest}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    exported = load(folder).exported("evidence")
    np.testing.assert_allclose(exported.call(*args), program.evidence(*args), rtol=1e-12)
    (folder / "evidence.bin").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="VS0801"):
        load(folder).exported("evidence")
