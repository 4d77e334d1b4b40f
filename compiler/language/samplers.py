"""`sampler:` of a random variable: the Markov chains that reach a law which is known by its energy alone.

Each sampler is a few equations of the language: a recurrence over the transitions, with the proposals, the energies and their
derivatives in its step. They are written once in the names of this table; `chains.py` puts the names and indices of a variable
in their place. `[L]` stands for all of its indices, `[P]` for those of its chains, `tally` for the sum over one chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a sampler: what it is if it is left out (None: it must be given), its least value if it is a count."""

    name: str
    default: int | None = None
    least: int | None = None

    @property
    def shown(self) -> str:
        """How it stands in the head of the sampler."""
        return self.name if self.default is None else f"{self.name}={self.default}"


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler: its doc, options, and equations by their left sides, which are parsed like those of a spec.

    `height` is the log-density along the chain, `slope` its derivative. A line that starts with `~` says that what stands on its
    left is the log-density of the variable at what stands on its right. `tested`: whether a transition is taken or not, by the
    test of Metropolis, so that the law of the chains is that of the energy, whatever the step.
    """

    name: str
    doc: str
    options: tuple[Option, ...]
    equations: tuple[tuple[str, str], ...]
    tested: bool = True

    @property
    def shown(self) -> str:
        """The sampler as it is written."""
        return f"{self.name}({', '.join(o.shown for o in self.options)})"

    def option(self, name: str) -> Option | None:
        """The option of that name."""
        return next((o for o in self.options if o.name == name), None)


_STEP, _BURN, _THIN = Option("step"), Option("burn", 500, 0), Option("thin", 1, 1)

# What all samplers share: where the chain is, and its log-density there. Minus the logarithm of a uniform draw is exponential.
_WALK = (
    ("~level[P]", "chain[L]"),
    ("walk[0, L]", "chain[L]"),
    ("height[0, P]", "level[P]"),
    ("accepted[move, P]", "gain[move, P] + sample(exponential(1)) > 0"),
    ("walk[move + 1, L]", "near[move, L] if accepted[move, P] else walk[move, L]"),
    ("height[move + 1, P]", "high[move, P] if accepted[move, P] else height[move, P]"),
    ("taken[0, P]", "0"),
    ("taken[move + 1, P]", "taken[move, P] + (1 if accepted[move, P] else 0)"),
)
_SLOPED = (
    *_WALK,
    ("start[L]", "d(level[P], chain[L])"),
    ("slope[0, L]", "start[L]"),
    ("slope[move + 1, L]", "steep[move, L] if accepted[move, P] else slope[move, L]"),
)

SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        s.name: s
        for s in (
            Sampler(
                "metropolis",
                "A normal step, taken with the probability of Metropolis.",
                (_STEP, _BURN, _THIN),
                (
                    *_WALK,
                    ("near[move, L]", "walk[move, L] + step*sample(normal(0, 1))"),
                    ("~high[move, P]", "near[move, L]"),
                    ("gain[move, P]", "high[move, P] - height[move, P]"),
                ),
            ),
            Sampler(
                "mala",
                "A step of the Langevin equation, x + step*d(log p, x) + sqrt(2*step)*noise, corrected by Metropolis.",
                (_STEP, _BURN, _THIN),
                (
                    *_SLOPED,
                    ("near[move, L]", "walk[move, L] + step*slope[move, L] + sqrt(2*step)*sample(normal(0, 1))"),
                    ("~high[move, P]", "near[move, L]"),
                    ("steep[move, L]", "d(high[move, P], near[move, L])"),
                    (
                        "gain[move, P]",
                        "high[move, P] - height[move, P]"
                        " + tally((near[move, L] - walk[move, L] - step*slope[move, L])**2)/(4*step)"
                        " - tally((walk[move, L] - near[move, L] - step*steep[move, L])**2)/(4*step)",
                    ),
                ),
            ),
            Sampler(
                "hmc",
                "Hamiltonian dynamics by so many leapfrog steps, corrected by Metropolis.",
                (_STEP, Option("leapfrog", 10, 1), _BURN, _THIN),
                (
                    *_SLOPED,
                    ("kick[move, L]", "sample(normal(step/2*slope[move, L], 1))"),
                    ("place[move, 0, L]", "walk[move, L]"),
                    ("speed[move, 0, L]", "kick[move, L] - step/2*slope[move, L]"),
                    ("push[move, 0, L]", "slope[move, L]"),
                    (
                        "ahead[move, leap, L]",
                        "place[move, leap, L] + step*(speed[move, leap, L] + step/2*push[move, leap, L])",
                    ),
                    ("~crest[move, leap, P]", "ahead[move, leap, L]"),
                    ("force[move, leap, L]", "d(crest[move, leap, P], ahead[move, leap, L])"),
                    ("place[move, leap + 1, L]", "ahead[move, leap, L]"),
                    (
                        "speed[move, leap + 1, L]",
                        "speed[move, leap, L] + step/2*(push[move, leap, L] + force[move, leap, L])",
                    ),
                    ("push[move, leap + 1, L]", "force[move, leap, L]"),
                    ("near[move, L]", "place[move, -1, L]"),
                    ("~high[move, P]", "near[move, L]"),
                    ("steep[move, L]", "push[move, -1, L]"),
                    (
                        "gain[move, P]",
                        "high[move, P] - height[move, P] + tally((kick[move, L] - step/2*slope[move, L])**2)/2"
                        " - tally(speed[move, -1, L]**2)/2",
                    ),
                ),
            ),
            Sampler(
                "langevin",
                "A step of the Langevin equation, x + step*d(log p, x) + sqrt(2*step)*noise, with no test: the law is off by an "
                "error that falls with the step.",
                (_STEP, _BURN, _THIN),
                (
                    ("walk[0, L]", "chain[L]"),
                    ("~height[move, P]", "walk[move, L]"),
                    ("slope[move, L]", "d(height[move, P], walk[move, L])"),
                    (
                        "walk[move + 1, L]",
                        "walk[move, L] + step*slope[move, L] + sqrt(2*step)*sample(normal(0, 1))",
                    ),
                ),
                tested=False,
            ),
        )
    }
)
