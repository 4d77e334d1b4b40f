"""The shipped problems on their real data, each against an independent solver; -O0 and -O2 agree on every one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.optimize import minimize  # type: ignore[import-untyped]

from vspec.compiler import pipeline
from vspec.runtime.bound import Bound
from vspec.runtime.program import Program, load
from vspec.runtime.run import run

SPECS = Path(__file__).resolve().parents[2] / "specs"
SHIPPED = sorted(SPECS.rglob("*.yaml"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds a shipped spec with its options once a session."""
    folders: dict[tuple[Path, str], Path] = {}

    def build(path: Path, **options: Any) -> Path:
        key = (path, repr(sorted(options.items())))
        if key not in folders:
            out = tmp_path_factory.mktemp(path.stem) / "build"
            folders[key] = pipeline.build(path, out, stablehlo=False, **options).directory
        return folders[key]

    return build


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory, built: Any) -> Any:
    """Builds and runs a shipped spec once a session."""
    done: dict[str, Any] = {}

    def solve(name: str) -> Any:
        if name not in done:
            program = load(built(SPECS / f"{name}.yaml", level=2, overrides={}))
            done[name] = run(program, out=tmp_path_factory.mktemp(name.replace("/", "-")) / "results")
        return done[name]

    return solve


def test_logistic_equals_scikit_learn(solved: Any) -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    X, label = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    peer = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, label)
    ours = solved("problems/logistic")
    np.testing.assert_allclose(ours.params["w"], peer.coef_[0], atol=1e-5)
    np.testing.assert_allclose(ours.params["c"], peer.intercept_[0], atol=1e-5)
    assert float(ours.outputs["accuracy"]) == pytest.approx(peer.score(X, label), abs=1e-12)


def test_gp_regression_reaches_scikit_learns_optimum(solved: Any) -> None:
    ours = solved("problems/gp-regression")
    from sklearn.datasets import load_diabetes
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    X, raw = load_diabetes(return_X_y=True)
    y = (raw[:200] - raw[:200].mean()) / raw[:200].std()
    start = {k: np.asarray(v) for k, v in ours.params.items()}
    kernel = ConstantKernel(1.0, (1e-5, 1e5)) * RBF([0.1] * 10, (1e-5, 1e7)) + WhiteKernel(0.5, (1e-5, 1e2))
    peer = GaussianProcessRegressor(kernel, n_restarts_optimizer=4, random_state=0).fit(X[:200], y)
    assert float(ours.outputs["evidence"]) > peer.log_marginal_likelihood_value_ - 0.05
    # And our evidence is theirs at the same point.
    theta = np.log([start["amplitude"], *start["scale"], start["noise"]])
    assert float(ours.outputs["evidence"]) == pytest.approx(peer.log_marginal_likelihood(theta), abs=1e-6)


def test_hopfield_against_numpy(solved: Any) -> None:
    from scipy.special import softmax
    from sklearn.datasets import load_digits

    pattern = np.where(load_digits().data[:10] > 7, 1.0, -1.0)
    flip = np.random.default_rng(1).random((10, 64)) < 0.2
    s = pattern * (1 - 2 * flip)
    for _ in range(40):
        # One step of length size(i) down the energy: the softmax-weighted mean of the patterns.
        s = softmax(16.0 * s @ pattern.T / 64, axis=1) @ pattern
    ours = solved("problems/hopfield")
    np.testing.assert_allclose(ours.outputs["before_after"], s, atol=2e-5)
    assert float(ours.outputs["recall"]) >= 0.9
    assert np.max(np.diff(np.asarray(ours.outputs["level"]), axis=0)) < 1e-6


def test_flux_ring_against_numpy(solved: Any) -> None:
    n, flux = 12, 0.7
    hop = np.roll(np.eye(n), 1, axis=1)
    H = -np.exp(1j * flux / n) * hop - np.exp(-1j * flux / n) * hop.T
    energies, states = np.linalg.eigh(H)
    ours = solved("problems/flux-ring")
    psi = np.asarray(ours.outputs["state"])
    assert psi.dtype == np.complex128
    assert abs(np.vdot(states[:, 0], psi)) == pytest.approx(1, abs=1e-9)
    assert np.vdot(psi, H @ psi).real == pytest.approx(energies[0], abs=1e-10)
    step = 1e-5
    shifted = [-2 * np.cos((flux + s) / n) for s in (-step, step)]
    assert float(ours.outputs["current"]) == pytest.approx((shifted[1] - shifted[0]) / (2 * step), abs=1e-7)


def test_lasso_equals_scikit_learn(solved: Any) -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Lasso

    X, y = load_diabetes(return_X_y=True)
    peer = Lasso(alpha=0.1, tol=1e-14, max_iter=1_000_000).fit(X, y)
    ours = solved("problems/lasso")
    np.testing.assert_allclose(ours.params["w"], peer.coef_, atol=1e-6 * np.abs(peer.coef_).max())
    assert float(ours.params["c"]) == pytest.approx(peer.intercept_, rel=1e-6)
    theirs = np.mean((y - peer.predict(X)) ** 2) / 2 + 0.1 * np.sum(np.abs(peer.coef_))
    assert float(ours.outputs["loss"]) == pytest.approx(theirs, rel=1e-6)
    assert set(np.flatnonzero(np.asarray(ours.params["w"]))) == set(np.flatnonzero(peer.coef_))


def test_factors_of_digits_are_not_worse_than_scikit_learns(solved: Any) -> None:
    from sklearn.datasets import load_digits
    from sklearn.decomposition import NMF

    X = load_digits().data / 16
    n, k, i = np.arange(len(X))[:, None], np.arange(12), np.arange(64)
    W, H = 0.1 + 0.05 * np.sin(3 * n + 5 * k), 0.3 + 0.2 * np.cos(7 * k[:, None] + i)
    peer = NMF(12, init="custom", solver="cd", tol=0, max_iter=100)
    theirs = np.sum((X - peer.fit_transform(X, W=W, H=H) @ peer.components_) ** 2) / 2
    ours = solved("problems/nonnegative-matrix-factorisation")
    assert float(ours.outputs["loss"]) <= theirs * (1 + 1e-9)
    assert float(np.min(ours.params["W"])) == 0.0 == float(np.min(ours.params["H"]))


def test_optimal_control_equals_scipy(solved: Any) -> None:
    """The same discretised problem by BFGS with finite differences: another solver, another derivative."""
    ours = solved("problems/optimal-control")

    def cost(u: Any) -> float:
        angle = speed = 0.0
        for t in range(60):
            torque = u[t] - 9.81 * np.sin(angle)
            speed += 0.05 * torque
            angle += 0.05 * speed
        return float(0.05 * np.sum(u**2) / 2 + 500 * ((angle - np.pi) ** 2 + speed**2))

    found = np.asarray(ours.params["u"])
    assert float(ours.outputs["cost"]) == pytest.approx(cost(found), rel=1e-10)
    peer = minimize(cost, found + 1e-3 * np.sin(np.arange(61)), method="BFGS")
    assert float(ours.outputs["cost"]) <= peer.fun * (1 + 1e-7)
    assert float(ours.outputs["cost"]) == pytest.approx(peer.fun, rel=1e-4)


def test_the_portfolio_equals_cvxpy(solved: Any) -> None:
    import cvxpy

    ours = solved("problems/portfolio")
    data = {k: np.asarray(v) for k, v in ours.bound.data.items()}
    earned, most, share = (float(ours.bound.constants[k]) for k in ("earned", "most", "share"))
    gain = data["drift"] + data["market"] @ data["loading"].T + data["noise"]
    average = gain.mean(0)
    w = cvxpy.Variable(40)
    target = (1 - earned) * average.mean() + earned * average.max()
    budget, enough = cvxpy.sum(w) == 1, average @ w >= target
    sectors = [cvxpy.sum(w[k::5]) <= share for k in range(5)]
    risk = cvxpy.sum_squares((gain - average) @ w) / 250
    # Scaled, so that the tolerance of the peer is far below what is compared.
    peer = cvxpy.Problem(cvxpy.Minimize(1e4 * risk), [budget, enough, w >= 0, w <= most, *sectors])
    peer.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert float(ours.outputs["variance"]) == pytest.approx(peer.value / 1e4, rel=1e-6)
    np.testing.assert_allclose(ours.params["w"], w.value, atol=1e-5)
    (stage,) = ours.stages
    assert stage.stationarity < 1e-9
    assert stage.complementarity < 1e-9
    assert float(stage.multipliers["enough"]) == pytest.approx(float(enough.dual_value) / 1e4, rel=1e-4)
    assert ours.stages[0].multipliers["sectors"].shape == (5,)


def test_support_vectors_equal_scikit_learn(solved: Any) -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.svm import SVC

    raw, label = load_breast_cancer(return_X_y=True)
    X = (raw - raw.mean(0)) / raw.std(0)
    peer = SVC(C=1.0, gamma=1 / 30, tol=1e-8).fit(X, label)
    ours = solved("problems/svm-dual")
    theirs = peer.decision_function(X)
    found = np.asarray(ours.outputs["decision"])
    assert float(np.max(np.abs(found - theirs))) <= 1e-4 * float(np.max(np.abs(theirs)))
    assert float(ours.outputs["offset"]) == pytest.approx(float(peer.intercept_[0]), rel=1e-4)
    assert int(ours.outputs["vectors"]) == len(peer.support_)


@pytest.mark.parametrize(
    "name",
    [
        *(f"problems/hock-schittkowski/{p.stem}" for p in SHIPPED if p.parent.name == "hock-schittkowski"),
        "problems/portfolio",
        "problems/svm-dual",
        "problems/logistic",
        "problems/gp-regression",
        "problems/hopfield",
        "problems/flux-ring",
        "problems/lasso",
        "problems/nonnegative-matrix-factorisation",
        "problems/optimal-control",
        "problems/matrix-game",
        "problems/hidden-markov",
    ],
)
def test_claims_hold(solved: Any, name: str) -> None:
    claims = solved(name).claims
    assert claims, "a shipped spec has claims"
    assert [c.name for c in claims if not c.holds] == []


def filled(program: Program, bound: Bound) -> Bound:
    """The data with a value for whatever a stage or a claim would give to an entry."""
    rng = np.random.default_rng(1)
    given: dict[str, dict[str, Any]] = {"counter": {}, "length": {}, "kernel": {}, "multiplier": {}, "fact": {}}
    for entry in program.entries.values():
        for a in entry.arguments:
            if a.role in given:
                shape = tuple(bound.sizes[d] for d in a.axes)
                given[a.role].setdefault(a.name, jax.numpy.asarray(3 if a.role == "counter" else rng.random(shape)))
    return replace(
        bound,
        key=jax.random.key(0),
        counters=given["counter"] | given["length"] | given["kernel"],
        multipliers=given["multiplier"],
        facts=given["fact"],
        batch=bound.dims,
    )


# Absolute tolerances where rounding is enlarged: by velocities over a nudge of 1e-5, relative to what is small itself; by
# hundreds of clipped steps in float32, where a unit leaves its bound one step later.
ENLARGED = {"theorem": 1e-7, "deep": 2e-4}
# Swarms whose steps grow differences without bound, from rounding to other paths in hundreds of steps, take fewer.
FEWER: dict[str, dict[str, Any]] = {"canyon": {"t": 21}, "settings": {"t": 21}, "rastrigin": {"t": 21}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_optimisation_levels_agree(path: Path, built: Any) -> None:
    """Every entry at -O0 and at -O2, at the initial params and at a random point near them."""
    fewer = FEWER.get(path.stem, {})
    programs = {level: load(built(path, level=level, overrides=fewer)) for level in (0, 2)}
    bounds = {level: filled(p, p.bind(base=path.parent)) for level, p in programs.items()}
    single = programs[0].precision == "float32"
    rtol, atol = (2e-4, 2e-5) if single else (1e-8, 1e-9)
    atol = ENLARGED.get(path.stem, atol)
    rng = np.random.default_rng(0)
    params = programs[0].initial_params(bounds[0])
    moved = {
        k: (v * (1 + 0.1 * rng.random(np.shape(v))) + 0.01 * rng.random(np.shape(v))).astype(v.dtype)
        for k, v in params.items()
    }
    names = [name for name, entry in programs[0].entries.items() if entry.kind != "prepare"]

    def all_entries(level: int) -> Any:
        # Compiled as one function: what entries share is compiled once.
        return jax.jit(lambda at, bound: {n: programs[level].call(n, at, bound, vector=moved) for n in names})

    ours, plain = all_entries(2), all_entries(0)
    for at in (params, moved):
        optimised, literal = ours(at, bounds[2]), plain(at, bounds[0])
        for name in names:
            found, wanted = jax.tree.leaves(optimised[name]), jax.tree.leaves(literal[name])
            assert len(found) == len(wanted)
            for a, b in zip(found, wanted, strict=True):
                scale = float(np.max(np.abs(np.asarray(b)), initial=0.0))
                np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * max(1.0, scale), err_msg=name)
