"""The stages of a plan: what runs them, what they report and what they give."""

from vspec.runtime.stages.events import Emit, Event, StageResult
from vspec.runtime.stages.execute import BUILDERS, Executed, build, execute
from vspec.runtime.stages.histories import Histories

__all__ = ["BUILDERS", "Emit", "Event", "Executed", "Histories", "StageResult", "build", "execute"]
