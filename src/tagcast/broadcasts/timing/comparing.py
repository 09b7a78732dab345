"""Two plans of the same broadcast: what moved between them, and whether that is within what was allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagcast.broadcasts import rules
from tagcast.broadcasts.rules import Step
from tagcast.broadcasts.store import SavedPlan

# Of a step that is smaller than this share of the addressed, as many may move as of one of this size.
SMALL = 0.01

# What is the same for a copy, and does not move with the crowd.
DEFINED = ("account", "content", "purpose", "audience", "holdout_percent", "route", "profile")
_TIMING = ("schedule", "series")


def moved(before: SavedPlan, after: SavedPlan) -> list[str]:
    """All that differs, beside the time of sending: facts by name, then steps."""
    names = [name for name in {**before.facts, **after.facts} if name not in ("broadcast", "settings")]
    return [*facts_moved(before.facts, after.facts, names), *rules.moved(before.steps, after.steps)]


def facts_moved(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str] = DEFINED) -> list[str]:
    """Names of the facts that differ, of `names` and the settings beside the time of sending."""
    found = [name for name in names if before.get(name) != after.get(name)]
    then, now = (_settings(facts) for facts in (before, after))
    return found + [f"settings.{name}" for name in {**then, **now} if then.get(name) != now.get(name)]


def beyond(before: Sequence[Step], after: Sequence[Step], percent: float) -> list[str]:
    """Steps whose count moved by more than `percent` of what it was."""
    then = {step.name: step.count for step in before}
    now = {step.name: step.count for step in after}
    least = SMALL * then.get("addressed", 0)
    return [
        f"{name} {then.get(name, 0)} → {now.get(name, 0)}"
        for name in {**then, **now}
        if abs(now.get(name, 0) - then.get(name, 0)) > max(then.get(name, 0), least) * percent / 100
    ]


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.get("settings", {}).items() if name not in _TIMING}
