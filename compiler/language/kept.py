"""How a stage keeps constraints and domains: which of them it is subject to, and by which strategy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context
from vspec.compiler.language.equations import Solved
from vspec.compiler.language.forms import Forms
from vspec.compiler.language.spec import Constrained, Constraint, MethodCall, Param, Relation, Stage
from vspec.runtime.registry import METHODS, STRATEGIES, defaults

INTERIOR, PROJECTION = "interior_point", "projection"
AUGMENTED = ("augmented_lagrangian", "penalty")
# Domains that newton keeps as bounds and equations beside the constraints.
# Domains that methods by formulas keep.
_OF_FORMULAS = ("real", "positive", "box", "simplex")
_OF_NEWTON = ("box", "simplex", "unit", "orthogonal")


def keep(
    ctx: Context,
    stage: Stage,
    params: Mapping[str, Param],
    constraints: Mapping[str, Constraint],
    solved: Solved,
    named: bool,
) -> Stage:
    """The stage with what it is subject to and how it keeps that; mistakes are in the sink.

    `named` says that the stage names its method, or one for each param; else one is chosen that suits the constraints.
    """
    domains = {p: params[p].domain for p in stage.over if p in params}
    for name, domain in domains.items():
        if domain.kind == "integer":
            ctx.error(
                "VS0380",
                f"'{name}' is whole, and '{stage.kind}' moves it continuously",
                domain.span or stage.span,
                label="no method here searches whole numbers",
                help="leave it out of 'over', assign it in a stage with 'update', or drop the domain",
            )
            return stage
    for m in stage.methods if stage.optimises else ():
        lost = [p for p in m.over or stage.over if p in domains and domains[p].kind not in _OF_FORMULAS]
        if _by_formulas(m.name) and lost:
            ctx.error(
                "VS0383",
                f"'{m.name}' does not keep '{lost[0]}' in its domain '{domains[lost[0]].kind}'",
                m.span,
                help="its formulas keep boxes and simplices; other methods move the param in coordinates of its domain",
            )
            return stage
    forms = Forms(solved, stage.over)
    found = {}
    for c in constraints.values():
        for k, relation in enumerate(c.relations):
            over = forms.params(relation)
            if over:
                found[c.part(k)] = _Subject(c, relation, tuple(p for p in stage.over if p in over))
    call = stage.constraints
    if call is None:
        return _by_default(ctx, stage, params, found, forms, named)
    closed = [d for d in domains.values() if d.kind not in ("real", "positive")]
    if not found and (call.name in AUGMENTED or not closed):
        what = "on what it moves" if not closed else "beside the domains, which need no multipliers"
        ctx.error(
            "VS0382",
            f"'{call.name}' has nothing to keep: this stage is under no constraints {what}",
            call.span,
            help="leave 'constraints' out, or write the constraints in the section of that name",
        )
        return stage
    if not _suits(ctx, stage, call, call.span):
        return stage
    return _under(ctx, stage, call, found, forms, call.span)


class _Subject:
    """A relation that a stage is subject to, with the params that move in it."""

    def __init__(self, constraint: Constraint, relation: Relation, over: tuple[str, ...]) -> None:
        self.constraint = constraint
        self.relation = relation
        self.over = over


def _by_default(
    ctx: Context,
    stage: Stage,
    params: Mapping[str, Param],
    found: Mapping[str, _Subject],
    forms: Forms,
    named: bool,
) -> Stage:
    """The strategy where the stage names none: that of its method."""
    kinds = {params[p].domain.kind for p in stage.over if p in params}
    if not found:
        names = {m.name for m in stage.methods}
        if names == {"newton"} and len(stage.methods) == 1 and kinds & set(_OF_NEWTON):
            return replace(stage, constraints=_call(INTERIOR, stage.span))
        if names and all(METHODS[n].projects for n in names):
            return replace(stage, constraints=_call(PROJECTION, stage.span)) if kinds - {"real", "positive"} else stage
        return stage
    if not named and stage.kind in ("minimize", "maximize"):
        newton = MethodCall("newton", defaults(METHODS["newton"]), stage.span, stage.over)
        stage = replace(stage, methods=(newton,))
    names = {m.name for m in stage.methods}
    optimises = stage.kind in ("minimize", "maximize")
    recognised = all(_follows(n) for n in names) and all(_form(forms, s) for s in found.values())
    if "newton" in names:
        name = INTERIOR
    elif not optimises or recognised or all(METHODS[n].projects for n in names):
        name = PROJECTION
    else:
        name = AUGMENTED[0]
    call = _call(name, stage.span)
    first = next(iter(found.values())).constraint
    return _under(ctx, stage, call, found, forms, None) if _suits(ctx, stage, call, None, first) else stage


def _call(name: str, span: Span) -> MethodCall:
    return MethodCall(name, defaults(STRATEGIES[name]), span)


def _by_formulas(name: str) -> bool:
    """Whether a method goes by formulas that follow from the form of the objective alone."""
    return bool({"blocks", "proximal"} & set(METHODS[name].needs))


def _follows(name: str) -> bool:
    """Whether a method's points may be projected between its steps."""
    return METHODS[name].projects or not METHODS[name].compares


def _suits(ctx: Context, stage: Stage, call: MethodCall, span: Span | None, about: Constraint | None = None) -> bool:
    """Whether a strategy can work with the methods of a stage; records the mistake."""
    names = [m.name for m in stage.methods]
    wrong, help = "", ""
    listed = ", ".join(f"'{n}'" for n in dict.fromkeys(names))
    if call.name == PROJECTION:
        wrong = next((n for n in names if not _follows(n)), "")
        help = f"'{wrong}' keeps constraints by {'interior_point' if wrong == 'newton' else 'augmented_lagrangian'}; "
        help += "'projected_gradient' projects"
        if stage.kind not in ("minimize", "maximize"):
            help = "methods that follow a gradient can, such as sgd"
    elif call.name == INTERIOR and (names != ["newton"] or stage.kind not in ("minimize", "maximize")):
        wrong = next((n for n in names if n != "newton"), names[0] if names else "")
        help = "write method: newton, or keep the constraints by augmented_lagrangian"
    elif call.name in AUGMENTED and stage.kind not in ("minimize", "maximize"):
        wrong = stage.kind
        help = "such a stage keeps constraints by projection"
    elif call.name in AUGMENTED and len(names) != 1:
        wrong = names[1]
        help = "write one method for all params"
    elif call.name in AUGMENTED and _by_formulas(names[0]):
        wrong = names[0]
        help = "its formulas are those of the objective alone; newton and lbfgs can work under constraints"
    elif call.name in AUGMENTED and "squares" in METHODS[names[0]].needs:
        wrong = names[0]
        help = "the augmented Lagrangian is no sum of squares; newton and lbfgs can minimise it"
    if not wrong and stage.batch and call.name != PROJECTION:
        ctx.error(
            "VS0384",
            f"'{call.name}' needs all of the data, and this stage takes batches",
            span or stage.span,
            help="leave out 'batch', or keep the constraints by projection",
        )
        return False
    if not wrong:
        return True
    clash = f"'{wrong}' cannot keep constraints by {call.name}"
    if len(names) != 1 and call.name in (INTERIOR, *AUGMENTED):
        clash = f"{listed} cannot keep constraints together by {call.name}"
    elif wrong == stage.kind:
        clash = f"a stage with '{wrong}' cannot keep constraints by {call.name}"
    ctx.error("VS0383", clash, span or stage.span, label=_label(about) if span is None else "", help=help)
    return False


def _label(about: Constraint | None) -> str:
    return f"subject to '{about.name}'" if about is not None else ""


def _under(
    ctx: Context, stage: Stage, call: MethodCall, found: Mapping[str, _Subject], forms: Forms, span: Span | None
) -> Stage:
    """The stage with the relations that it is subject to; a projection knows the form of each."""
    subject = []
    for part, s in found.items():
        form = _form(forms, s) if call.name == PROJECTION else None
        if call.name == PROJECTION and form is None:
            _unknown_form(ctx, stage, s)
            return stage
        if call.name == PROJECTION and stage.batch and _batched(ctx, stage, s):
            ctx.error(
                "VS0384",
                f"the constraint '{s.constraint.name}' binds all values of an index of which a step sees a batch",
                s.constraint.span,
                label="reads the batched index",
                help="leave out 'batch'",
            )
            return stage
        subject.append(Constrained(part, s.over, form, forms.disjoint(s.relation, s.constraint.letters)))
    return replace(stage, constraints=call, subject=tuple(subject))


def _form(forms: Forms, s: _Subject) -> str | None:
    return forms.form(s.relation, s.constraint.letters)


def _batched(ctx: Context, stage: Stage, s: _Subject) -> bool:
    dims: Iterable[str] = (ctx.dims.letters[x] for x in s.constraint.letters if x in ctx.dims.letters)
    return bool(set(dims) & set(stage.batch)) or any(
        set(ctx.symbols[p].dims) & set(stage.batch) for p in s.over if p in ctx.symbols
    )


def _unknown_form(ctx: Context, stage: Stage, s: _Subject) -> None:
    works = "'augmented_lagrangian' around lbfgs keeps it, and so does newton"
    if stage.kind not in ("minimize", "maximize"):
        works = "write it as an affine constraint, a box or a ball in the params, or give the params a domain"
    ctx.error(
        "VS0381",
        f"no formula is known for the nearest point that satisfies '{s.constraint.name}'",
        s.relation.span,
        label="neither affine, nor a box, nor a ball in " + ", ".join(s.over),
        help=works,
    )


__all__ = ["keep"]
