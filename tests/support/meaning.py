"""What a checked spec means, said a second time: expressions evaluated by JAX, derivatives by JAX's AD.

Slow and simple on purpose: it shares no code with the calculus, the passes or the emission, which are tested against it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import jax.scipy.special as jss
import numpy as np

from tests.calculus.jax_reference import kernel_value
from tests.support.lower_levels import Local, traced
from vspec.compiler.language import expr as ex
from vspec.compiler.language.draws import ordinals
from vspec.compiler.language.spec import Definition, Recurrence, Spec

Named = tuple[Any, tuple[str, ...]]


class Meaning:
    """Evaluates expressions of a spec at given values of params, data and constants."""

    def __init__(self, spec: Spec, values: Mapping[str, Any]) -> None:
        self.spec = spec
        self.given: dict[str, Any] = dict(values)
        self.equations: dict[str, Any] = {}
        self.sizes: dict[str, int] = {n: d.size for n, d in spec.dims.items() if isinstance(d.size, int)}
        self.declared: dict[str, tuple[str, ...]] = {}
        self.bound: dict[str, Any] = {}
        for group in (spec.params, spec.data, spec.constants):
            for name, item in group.items():
                self.declared[name] = item.letters
                for letter, size in zip(item.letters, jnp.shape(self.given[name]), strict=True):
                    self.sizes.setdefault(spec.letters[letter], size)
        for dim in sorted(spec.dims.values(), key=lambda d: isinstance(d.size, ex.Expr)):
            self._resolve(dim.name)
        for equation in spec.equations:
            if isinstance(equation, Definition):
                self.equations[equation.name] = equation
                self.declared[equation.name] = equation.letters
            else:
                self.equations.update((s.name, loop) for loop in equation.loops for s in loop.states)
                self.equations.update((d.name, d) for d in equation.every_definition)
                self.declared.update((x.name, x.letters) for x in equation.members)
        for name, objective in spec.objectives.items():
            # One that an equation reads is an equation itself.
            if name not in self.equations:
                self.equations[name] = objective
                self.declared[name] = ()
        for name, output in spec.outputs.items():
            if name not in self.equations:
                self.equations[name] = output
                self.declared[name] = output.letters

    def _resolve(self, dim: str) -> None:
        """Works out a size that is an expression of others, and theirs before it."""
        size = self.spec.dims[dim].size
        if dim in self.sizes or not isinstance(size, ex.Expr):
            return
        stack: list[ex.Expr] = [size]
        while stack:
            e = stack.pop()
            if isinstance(e, ex.SizeOf):
                self._resolve(self.spec.letters[e.letter])
            elif isinstance(e, ex.Pointwise):
                stack.extend(e.args)
        with jax.ensure_compile_time_eval():
            self.sizes[dim] = int(self.value(size)[0])

    def size(self, letter: str) -> int:
        return self.sizes[self.spec.letters[letter]]

    def array(self, e: ex.Expr, letters: tuple[str, ...]) -> Any:
        """The expression as an array over `letters`."""
        value, axes = self.value(e)
        return jnp.broadcast_to(_lay(value, axes, letters), tuple(self.size(x) for x in letters))

    def outputs(self, together: bool = True) -> dict[str, Any]:
        """Every output as an array. Compiled as one function, if `together`: else operations are compiled one by one."""

        def every() -> dict[str, Any]:
            return {name: self.array(o.body, o.letters) for name, o in self.spec.outputs.items()}

        return jax.jit(every)() if together else every()  # type: ignore[no-any-return]

    def name(self, name: str) -> Any:
        """The whole array of a name."""
        if name in self.given:
            return jnp.asarray(self.given[name])
        equation = self.equations[name]
        if isinstance(equation, Recurrence):
            return self._trajectories(equation, self._around(equation))[name]
        return self.array(equation.body, self.declared[name])

    def _around(self, r: Recurrence) -> dict[str, Any]:
        """The states of the recurrences in whose steps a recurrence stands and that are not running."""
        every = [x for e in self.spec.equations if isinstance(e, Recurrence) for x in e.loops]
        found: dict[str, Any] = {}
        for outer in every:
            if r in outer.loops[1:] and outer.states[0].name not in self.given:
                found |= self._trajectories(outer, found)
        return found

    def _trajectories(self, r: Recurrence, around: Mapping[str, Any]) -> dict[str, Any]:
        there = Meaning(self.spec, {**self.given, **around})
        there.sizes, there.bound = self.sizes, self.bound
        states = {s.name: [there.array(s.init, _without(s.letters, s.time)) * 1.0] for s in r.states}
        stopped: Any = False
        for t in range(self.size(r.letter) - 1):
            step = Meaning(self.spec, there.given)
            step.sizes, step.bound = self.sizes, {**self.bound, r.letter: t}
            for s in r.states:
                # Only slice t is read; the others are there for the shape.
                step.given[s.name] = jnp.stack([states[s.name][min(k, t)] for k in range(self.size(r.letter))], s.time)
            own = tuple(x for x in r.until.axes if x != r.letter) if r.until is not None else ()
            if r.until is not None:
                stopped = stopped | step.array(r.until, own)
            for s in r.states:
                letters = _without(s.letters, s.time)
                held = _lay(stopped, own, letters) if r.until is not None else False
                states[s.name].append(jnp.where(held, states[s.name][-1], step.array(s.step, letters) * 1.0))
        return {s.name: jnp.stack(states[s.name], s.time) for s in r.states}

    def value(self, e: ex.Expr) -> Named:
        """An array and the letters of its axes."""
        if isinstance(e, ex.Number):
            return jnp.asarray(e.value), ()
        if isinstance(e, ex.Element):
            return self.subscript(self.name(e.name), e.subscripts)
        if isinstance(e, ex.Pointwise):
            parts = [self.value(a) for a in e.args]
            axes = tuple(dict.fromkeys(n for _, names in parts for n in names))
            laid = [_lay(x, names, axes) for x, names in parts]
            return kernel_value((e.op, *(("x", k) for k in range(len(laid)))), laid), axes
        if isinstance(e, ex.Reduction):
            return self._reduction(e)
        if isinstance(e, ex.Along):
            x, axes = self._with(e.body, (e.letter,))
            return getattr(jax.nn if "softmax" in e.op else jnp, e.op)(x, axis=axes.index(e.letter)), axes
        if isinstance(e, ex.Derivative):
            return self._derivative(e.body, list(e.wrt))
        if isinstance(e, ex.Rows):
            rows = [self.value(row) for row in e.rows]
            axes = tuple(dict.fromkeys(n for _, names in rows for n in names))
            whole = [self.array(row, axes) for row in e.rows]
            return jnp.stack(whole, axis=-1), (*axes, e.letter)
        if isinstance(e, ex.Stack):
            return jnp.concatenate([self.array(b.body, b.core).ravel() for b in e.blocks]), (e.letter,)
        if isinstance(e, ex.Linalg):
            return self._linalg(e)
        if isinstance(e, ex.Delta):
            (a, m), (b, n) = self.value(e.left), self.value(e.right)
            axes = tuple(dict.fromkeys([*m, *n]))
            return jnp.asarray(_lay(a, m, axes) == _lay(b, n, axes), float), axes
        if isinstance(e, ex.IndexValue):
            if e.letter in self.bound:
                return jnp.asarray(self.bound[e.letter]), ()
            return jnp.arange(self.size(e.letter)), (e.letter,)
        if isinstance(e, ex.SizeOf):
            return jnp.asarray(self.size(e.letter)), ()
        if isinstance(e, ex.Coord | ex.Spacing):
            return self._coordinates(e)
        if isinstance(e, ex.Part):
            values, places = self.spec.dims[self.spec.letters[e.letter]].configures or ("", "")
            digits = itertools.product(range(self.sizes[values]), repeat=self.sizes[places])
            return self.subscript(jnp.asarray(list(digits)), (ex.Affine(e.letter), e.place))
        if isinstance(e, ex.Sample):
            return self._sample(e)
        if isinstance(e, ex.Stop):
            x, axes = self.value(e.body)
            return jax.lax.stop_gradient(x), axes
        if isinstance(e, ex.Implicit):
            return self._implicit(e)
        raise NotImplementedError(type(e).__name__)

    def _sample(self, e: ex.Sample) -> Named:
        """A draw: the key of the run folded with the number of the draw, then with the times that it knows."""
        key = jax.random.fold_in(self.given["key"], ordinals(self.spec)[e.place])
        letters = tuple(x for x in e.axes if x not in self.bound)
        free = tuple(t for t in e.times if t in letters)
        rest = tuple(x for x in letters if x not in free)
        drawn = []
        for at in itertools.product(*(range(self.size(t)) for t in free)):
            there = Meaning(self.spec, self.given)
            there.sizes, there.bound = self.sizes, {**self.bound, **dict(zip(free, at, strict=True))}
            folded = key
            for t in e.times:
                folded = jax.random.fold_in(folded, there.bound[t])
            drawn.append(there._draw(e, folded, rest))
        return jnp.stack(drawn).reshape([self.size(x) for x in (*free, *rest)]), (*free, *rest)

    def _draw(self, e: ex.Sample, key: Any, letters: tuple[str, ...]) -> Any:
        around = tuple(x for x in letters if x not in e.event)
        given = [jax.lax.stop_gradient(self.array(b.body, (*around, *b.core))) for b in e.blocks]
        shape = tuple(self.size(x) for x in letters)
        if e.law == "categorical":
            return jax.random.categorical(key, given[0] if e.instead else jnp.log(given[0]), shape=shape)
        if e.law == "multivariate_normal":
            mean, factor = given[0], jnp.tril(given[1]) if e.instead == "cholesky" else jnp.linalg.cholesky(given[1])
            return mean + jnp.einsum("...kl,...l->...k", factor, jax.random.normal(key, shape))
        if e.instead:
            given[0] = jax.nn.sigmoid(given[0])
        if e.law in ("bernoulli", "rademacher", "poisson"):
            return getattr(jax.random, e.law)(key, *given, shape=shape).astype(int)
        if e.law in ("gamma", "exponential"):
            *form, scale = given
            return scale * getattr(jax.random, e.law)(key, *form, shape=shape)
        one, two = given
        if e.law == "uniform":
            return one + (two - one) * jax.random.uniform(key, shape)
        return one + two * getattr(jax.random, e.law)(key, shape)

    def _coordinates(self, e: ex.Coord | ex.Spacing) -> Named:
        dim = self.spec.dims[self.spec.letters[e.letter]]
        assert dim.low is not None
        assert dim.high is not None
        (low, _), (high, _), size = self.value(dim.low), self.value(dim.high), self.size(e.letter)
        points = jnp.linspace(low, high, size, endpoint=dim.boundary != "periodic")
        if isinstance(e, ex.Spacing):
            return (points[1] - points[0] if size > 1 else high - low), ()
        return (points[self.bound[e.letter]], ()) if e.letter in self.bound else (points, (e.letter,))

    def _with(self, e: ex.Expr, letters: tuple[str, ...]) -> Named:
        x, axes = self.value(e)
        more = (*axes, *(n for n in letters if n not in axes))
        return jnp.broadcast_to(_lay(x, axes, more), tuple(self.size(n) for n in more)), more

    def _reduction(self, e: ex.Reduction) -> Named:
        x, axes = self._with(e.body, e.letters)
        over = tuple(axes.index(n) for n in e.letters)
        rest = tuple(n for n in axes if n not in e.letters)
        if e.op == "norm":
            return jnp.sqrt(jnp.sum(jnp.abs(x) ** 2, over)), rest
        if e.op == "logsumexp":
            return jss.logsumexp(x, over), rest
        if e.op in ("argmax", "argmin"):
            return getattr(jnp, e.op)(x, over[0]), rest
        if e.op == "quantile":
            assert e.level is not None
            level, own = self.value(e.level)
            every = tuple(dict.fromkeys((*rest, *own)))
            x = jnp.broadcast_to(_lay(x, axes, (*every, *e.letters)), [self.size(n) for n in (*every, *e.letters)])
            levels = jnp.broadcast_to(_lay(level * 1.0, own, every), x.shape[:-1])
            flat = jax.vmap(jnp.quantile)(x.reshape(-1, x.shape[-1]), levels.reshape(-1))
            return flat.reshape(x.shape[:-1]), every
        return getattr(jnp, e.op)(x, axis=over), rest

    def subscript(self, x: Any, subscripts: tuple[ex.Subscript, ...]) -> Named:
        """x read at every combination of the letters of its subscripts, by one big gather."""
        axes: dict[str, None] = {}
        for s in subscripts:
            if isinstance(s, ex.Affine) and s.letter not in self.bound:
                axes.setdefault(s.letter)
            elif isinstance(s, ex.Gather):
                axes.update(dict.fromkeys(self.value(s.index)[1]))
        names = tuple(axes)
        places = []
        for k, s in enumerate(subscripts):
            if isinstance(s, ex.At):
                places.append(jnp.asarray(s.position % x.shape[k]))
            elif isinstance(s, ex.Gather):
                places.append(_lay(*self.value(s.index), names))
            else:
                offset = s.offset + sum(count * self.sizes[dim] for dim, count in s.sizes)
                x, start = _padded(x, k, s.mode, reach=abs(s.scale) * self.size(s.letter) + abs(offset))
                if s.letter in self.bound:
                    places.append(jnp.asarray(s.scale * self.bound[s.letter] + offset + start))
                else:
                    places.append(_lay(s.scale * jnp.arange(self.size(s.letter)) + offset + start, (s.letter,), names))
        if not places:
            return x, ()
        shape = tuple(self.size(n) for n in names)
        return x[tuple(jnp.broadcast_to(p, shape) for p in places)], names

    def _derivative(self, body: ex.Expr, wrt: list[ex.Element]) -> Named:
        *before, last = wrt
        at = self.name(last.name) * 1.0

        def inner(value: Any) -> Any:
            there = Meaning(self.spec, {**self.given, **self.apart(last.name, value)})
            there.sizes, there.bound = self.sizes, self.bound
            return there._derivative(body, before) if before else there.value(body)

        axes = inner(at)[1]

        def slopes(part: Any, by: Any) -> Any:
            """The Jacobian of the real or the imaginary part by the real or the imaginary part of the variable."""
            return jax.jacobian(lambda v: part(inner(by(v))[0] * 1.0))(jnp.zeros(jnp.shape(at)))

        if not jnp.iscomplexobj(at):
            jacobian = slopes(jnp.real, lambda v: at + v)
            if jnp.iscomplexobj(inner(at)[0]):
                jacobian = jacobian + 1j * slopes(jnp.imag, lambda v: at + v)
        else:
            # Wirtinger's (d/dx - i d/dy)/2.
            by_x, by_y = (
                slopes(jnp.real, lambda v, unit=unit: at + unit * v)
                + 1j * slopes(jnp.imag, lambda v, unit=unit: at + unit * v)
                for unit in (1, 1j)
            )
            jacobian = (by_x - 1j * by_y) / 2
        # Axes of the body keep their letters; those of the variable take the subscripts, shared letters the diagonal.
        own: tuple[ex.Subscript, ...] = tuple(ex.Affine(n) for n in axes)
        return self.subscript(jacobian, (*own, *last.subscripts))

    def apart(self, name: str, value: Any) -> dict[str, Any]:
        """What a value of a name gives: that name, or the parts of a stack."""
        body = getattr(self.equations.get(name), "body", None)
        if not isinstance(body, ex.Stack):
            return {name: value}
        found: dict[str, Any] = {}
        for block in body.blocks:
            assert isinstance(block.body, ex.Element)
            shape = tuple(self.size(x) for x in block.core)
            length = 1
            for size in shape:
                length *= size
            found |= self.apart(block.body.name, value[:length].reshape(shape))
            value = value[length:]
        return found

    def _implicit(self, e: ex.Implicit) -> Named:
        """Problem by problem, by Newton's method with JAX's derivatives; JAX knows how roots are differentiated."""
        problem, unknowns = e.problem, e.problem.sought
        shapes = [tuple(self.size(x) for x in u.letters) for u in unknowns]
        lengths = [math.prod(shape) for shape in shapes]
        batch = [x for x in problem.batch if x not in self.bound]

        def solve(place: dict[str, int]) -> Any:
            def apart(x: Any) -> dict[str, Any]:
                pieces = jnp.split(x, list(itertools.accumulate(lengths))[:-1])
                return {u.name: p.reshape(s) for u, p, s in zip(unknowns, pieces, shapes, strict=True)}

            def at(x: Any) -> Meaning:
                there = Meaning(self.spec, {**self.given, **apart(x)})
                there.sizes, there.bound = self.sizes, {**self.bound, **place}
                for d in problem.inner:
                    there.equations[d.name], there.declared[d.name] = d, d.letters
                return there

            def equations(x: Any) -> Any:
                if problem.op in ("argmin", "argmax"):
                    return jax.grad(lambda x: at(x).value(problem.bodies[0])[0] * 1.0)(x)
                parts = [at(x).array(b, u.letters).ravel() for b, u in zip(problem.bodies, unknowns, strict=True)]
                return jnp.concatenate(parts) * 1.0 - (x if problem.op == "fixed_point" else 0)

            here = at(jnp.zeros(sum(lengths)))
            if problem.relations:
                x = jnp.concatenate([here.array(u.start, u.letters).ravel() * 1.0 for u in unknowns])
                return apart(self._lower_level(problem, at, x))[unknowns[e.position].name]
            x = jnp.concatenate([here.array(u.start, u.letters).ravel() * 1.0 for u in unknowns])

            def newton(f: Any, x: Any) -> Any:
                def step(state: Any) -> Any:
                    x, k = state
                    return x - jnp.linalg.solve(jax.jacobian(f)(x), f(x)), k + 1

                return jax.lax.while_loop(lambda s: (jnp.max(jnp.abs(f(s[0]))) > 1e-14) & (s[1] < 60), step, (x, 0))[0]

            def tangent(g: Any, y: Any) -> Any:
                return jnp.linalg.solve(jax.jacobian(g)(jnp.zeros_like(y)), y)

            x = jax.lax.custom_root(equations, jax.lax.stop_gradient(x), newton, tangent)
            return apart(x)[unknowns[e.position].name]

        sizes = [self.size(x) for x in batch]
        found = [solve(dict(zip(batch, at, strict=True))) for at in itertools.product(*map(range, sizes))]
        own = unknowns[e.position].letters
        return jnp.stack(found).reshape((*sizes, *shapes[e.position])), (*batch, *own)

    def _lower_level(self, problem: ex.Problem, at: Any, x: Any) -> Any:
        """The least point of one problem under constraints, differentiated by way of its optimality conditions."""
        sign = -1.0 if problem.op == "argmax" else 1.0

        def gaps(x: Any) -> list[Any]:
            there, found = at(x), []
            for r in problem.relations:
                letters = tuple(dict.fromkeys((*there.value(r.left)[1], *there.value(r.right)[1])))
                found.append((there.array(r.left, letters) - there.array(r.right, letters)).ravel() * 1.0)
            return found

        lengths = [g.size for g in jax.eval_shape(gaps, x)]
        equal = np.repeat([r.op == "eq" for r in problem.relations], lengths)

        def gap(x: Any) -> Any:
            return jnp.concatenate(gaps(x))

        def whole(x: Any, m: Any) -> Any:
            return sign * at(x).value(problem.bodies[0])[0] + m @ gap(x)

        def local(x: Any, m: Any) -> Local:
            return Local(jax.grad(whole)(x, m), gap(x), jax.jacobian(gap)(x), jax.hessian(whole)(x, m))

        def conditions(w: Any) -> Any:
            x, m = w[: -equal.size], w[-equal.size :]
            return jnp.concatenate([jax.grad(whole)(x, m), jnp.where(equal, 1.0, m) * gap(x)])

        def solve(_: Any, w: Any) -> Any:
            return jnp.concatenate(traced(local, w[: -equal.size], equal))

        def tangent(g: Any, y: Any) -> Any:
            return jnp.linalg.solve(jax.jacobian(g)(jnp.zeros_like(y)), y)

        start = jax.lax.stop_gradient(jnp.concatenate([x, jnp.zeros(equal.size)]))
        return jax.lax.custom_root(conditions, start, solve, tangent)[: -equal.size]

    def _linalg(self, e: ex.Linalg) -> Named:
        blocks = []
        for block in e.blocks:
            x, axes = self._with(block.body, block.core)
            blocks.append((x, axes, tuple(n for n in axes if n not in block.core)))
        batch = tuple(dict.fromkeys(n for _, _, names in blocks for n in names))
        shape = tuple(self.size(n) for n in batch)
        args = []
        for (x, axes, _), block in zip(blocks, e.blocks, strict=True):
            core = tuple(self.size(n) for n in block.core)
            args.append(jnp.broadcast_to(_lay(x, axes, (*batch, *block.core)), (*shape, *core)))
        if e.op == "solve":
            out = jnp.linalg.solve(args[0], args[1][..., None])[..., 0]
        elif e.op == "triangular_solve":
            out = jsl.solve_triangular(args[0], args[1][..., None], lower=True)[..., 0]
        elif e.op == "logdet":
            return jnp.linalg.slogdet(args[0])[1], batch
        elif e.op == "trace":
            return jnp.trace(args[0], axis1=-2, axis2=-1), batch
        elif e.op == "expm":
            out = jsl.expm(args[0])
        elif e.op in ("eigvalsh", "eigh"):
            out = jnp.linalg.eigh(args[0])[e.op == "eigh"]
        elif e.op in ("svdvals", "svd_left", "svd_right"):
            out = jnp.linalg.svd(args[0], full_matrices=False)[("svd_left", "svdvals", "svd_right").index(e.op)]
            out = jnp.swapaxes(out, -1, -2) if e.op == "svd_right" else out
        else:
            out = getattr(jnp.linalg, e.op)(args[0])
        if not e.subscripts:
            return out, batch
        return self.subscript(out, (*(ex.Affine(n) for n in batch), *e.subscripts))


def _padded(x: Any, axis: int, mode: str, reach: int) -> tuple[Any, int]:
    """An axis continued beyond both ends by what its boundary says, and where the axis itself then starts."""
    if not mode:
        return x, 0
    how = {"periodic": "wrap", "zero": "constant", "reflect": "reflect"}[mode]
    return jnp.pad(x, [(reach, reach) if k == axis else (0, 0) for k in range(x.ndim)], mode=how), reach


def _without(letters: tuple[str, ...], k: int) -> tuple[str, ...]:
    return letters[:k] + letters[k + 1 :]


def _lay(x: Any, axes: tuple[str, ...], wanted: tuple[str, ...]) -> Any:
    x = jnp.transpose(jnp.asarray(x), [axes.index(n) for n in wanted if n in axes])
    shape = iter(x.shape)
    return x.reshape([next(shape) if n in axes else 1 for n in wanted])
