"""A spec inside of a pipeline of one's own: arrays are prepared here, the spec gives the objective, Optax minimises it.

    python pipeline.py [FOLDER]

Builds the program into FOLDER/program, writes FOLDER/params.npz and FOLDER/results.json, and prints the latter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax

import vspec

SPEC = Path(__file__).with_name("robust.yaml")


def measured(rng: np.random.Generator, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Three columns on different scales, and what depends on them; one value in ten is far off."""
    X = rng.normal(size=(rows, 3)) * [1.0, 20.0, 300.0] + [0.0, 50.0, -100.0]
    y = X @ [1.5, -0.1, 0.01] + 4.0 + rng.normal(size=rows) * 0.2
    y[rng.random(rows) < 0.1] += 40.0
    return X, y


def standardised(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns with mean 0 and variance 1, and what takes them back."""
    centre, scale = X.mean(axis=0), X.std(axis=0)
    return (X - centre) / scale, centre, scale


def main(folder: Path) -> dict[str, object]:
    """From arrays to results."""
    # 1. Prepare arrays.
    X, y = measured(np.random.default_rng(0))
    Z, centre, scale = standardised(X)

    # 2. Build once, load, and bind the arrays: from here on, only params move.
    program = vspec.load(vspec.build(SPEC, folder / "program").directory)
    bound = program.bind({"X": Z, "y": y}, constants={"width": 0.5})
    params = program.initial_params(bound)

    # 3. A loop of one's own. The objective is an ordinary JAX function; its gradient is the program's.
    loss = program.objective("loss")
    optimiser = optax.adam(optax.cosine_decay_schedule(0.3, 400))
    state = optimiser.init(params)

    @jax.jit
    def step(params, state):  # type: ignore[no-untyped-def]
        value, gradient = jax.value_and_grad(loss)(params, bound)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    for _ in range(400):
        params, state, value = step(params, state)

    # 4. Back to the units of the columns, and to disk.
    slopes = np.asarray(params["w"]) / scale
    offset = float(params["c"]) - float(slopes @ centre)
    np.savez(folder / "params.npz", slopes=slopes, offset=offset)
    found = {"loss": round(float(value), 6), "slopes": slopes.round(3).tolist(), "offset": round(offset, 2)}
    (folder / "results.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/pipeline")
    out.mkdir(parents=True, exist_ok=True)
    print(json.dumps(main(out)))
