"""Facts that rules publish."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class RuleStopped(Event):
    """A rule stopped by itself; `code` says why."""

    name: ClassVar[str] = "tag_rules.stopped"
    rule: int
    tag: int
    code: str
