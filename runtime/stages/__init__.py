"""The stages of a plan: what runs them, what they report and what they give."""

from vspec.runtime.stages.events import Emit, Event, StageResult
from vspec.runtime.stages.execute import EXECUTORS, execute

__all__ = ["EXECUTORS", "Emit", "Event", "StageResult", "execute"]
