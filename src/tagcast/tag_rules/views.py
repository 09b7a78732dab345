"""Rules as people look at them: state, size, when they last did something, how far they are behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tagcast import tags
from tagcast.audiences import live
from tagcast.bitmaps import Only
from tagcast.kit.uow import Work
from tagcast.tag_rules import actions
from tagcast.tag_rules.rules import Rule


@dataclass(frozen=True, slots=True)
class Seen:
    """A rule with what became of it.

    `filling`: it was activated and has not looked at everybody yet. `lag`: how many changes of any set it has not
    followed yet, None unless it runs. `acted_at`: when it gave or took the tag last, epoch milliseconds.
    """

    rule: Rule
    path: str
    state: Literal["draft", "filling", "active", "stopped"]
    holders: int
    lag: int | None
    acted_at: int | None


def every(work: Work) -> list[Seen]:
    """All rules, oldest first."""
    return _seen(work, actions.every(work))


def one(work: Work, rule: Rule) -> Seen:
    """One rule."""
    return _seen(work, [rule])[0]


def _seen(work: Work, found: Sequence[Rule]) -> list[Seen]:
    paths = {number: tag.path for number, tag in tags.every(work).items()}
    behind = live.lag(work, [tags.key(rule.tag) for rule in found if rule.state == "active"])
    shown = []
    for rule in found:
        key = tags.key(rule.tag)
        acted = work.bitmaps.history(key, limit=1, only=Only(who=rule.keeper))
        filling = rule.state == "active" and behind[key] is None
        shown.append(
            Seen(
                rule, paths[rule.tag], "filling" if filling else rule.state, work.bitmaps.count(key),
                behind.get(key), acted[0].at_ms if acted else None,
            )
        )  # fmt: skip
    return shown
