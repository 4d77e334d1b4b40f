"""Uses a program that vspec built, where only JAX is installed: `python standalone.py FOLDER`.

Nothing here imports vspec. The program is there twice: as Python in `program.py`, to read and to change, and as StableHLO in
`stablehlo/*.bin`, which JAX loads without running any Python of the program.
"""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export


def load_module(folder):
    """`program.py` as a module."""
    spec = importlib.util.spec_from_file_location("program", folder / "program.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_artifact(folder, entry):
    """A compiled entry, as a function of arrays of any sizes."""
    return export.deserialize(bytearray((folder / "stablehlo" / f"{entry}.bin").read_bytes())).call


def data(rows, features, seed):
    """Some rows that a plane nearly separates."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(rows, features)).astype(np.float32)
    label = (raw @ rng.normal(size=features) + 0.5 * rng.normal(size=rows) > 0).astype(np.int32)
    return jnp.asarray(raw), jnp.asarray(label)


def main(folder):
    program = load_module(folder)
    prepare, loss, value_and_gradient, outputs = (
        load_artifact(folder, name) for name in ("prepare", "loss", "loss_value_and_gradient", "outputs")
    )
    lam = jnp.float32(0.1)
    for rows, features in ((200, 5), (1000, 12)):  # the same artifacts for both
        raw, label = data(rows, features, seed=rows)
        made = prepare(raw, label)
        params = program.initial(features)
        start = float(loss(params["w"], params["c"], made["y"], made["X"], lam))

        # Gradient descent by hand, on the artifact.
        for _ in range(200):
            _, gradient = value_and_gradient(params["w"], params["c"], made["y"], made["X"], lam)
            params = {name: x - 1.0 * gradient[name] for name, x in params.items()}
        end = loss(params["w"], params["c"], made["y"], made["X"], lam)

        # The Python program says the same, and its gradient is that of JAX.
        arguments = (params["w"], params["c"], *(program.prepare(raw, label)[k] for k in ("y", "X")), lam)
        np.testing.assert_allclose(jax.jit(program.loss)(*arguments), end, rtol=1e-5)
        by_jax = jax.grad(program.loss)(*arguments)
        np.testing.assert_allclose(program.loss_gradient(*arguments)["w"], by_jax, rtol=1e-3, atol=1e-6)

        accuracy = float(outputs(params["w"], params["c"], made["y"], made["X"])["accuracy"])
        print(f"{rows} rows, {features} features: loss {start:.4f} -> {float(end):.4f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
