"""Rules as people look at them: state, size, when they last did something, how far they are behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tagcast import contacts, tags
from tagcast.audiences import live
from tagcast.bitmaps import Only
from tagcast.kit.uow import Work
from tagcast.tag_rules import actions, store
from tagcast.tag_rules.rules import Rule, Trouble


@dataclass(frozen=True, slots=True)
class Seen:
    """A rule with what became of it.

    `filling`: it was activated and has not looked at everybody yet. `lag`: how many changes of any set it has not
    followed yet, and the age of the first of them; None unless it runs. `looked_at` of `contacts` were looked at since
    it was activated: all in one step. `acted_at`: when it gave or took the tag last, epoch milliseconds. `trouble`: why
    no rule is followed now.
    """

    rule: Rule
    path: str
    state: Literal["draft", "filling", "active", "stopped"]
    holders: int
    lag: live.Lag | None
    looked_at: int | None
    contacts: int
    acted_at: int | None
    trouble: Trouble | None


def every(work: Work) -> list[Seen]:
    """All rules, oldest first."""
    return _seen(work, actions.every(work))


def one(work: Work, rule: Rule) -> Seen:
    """One rule."""
    return _seen(work, [rule])[0]


def _seen(work: Work, found: Sequence[Rule]) -> list[Seen]:
    paths = {number: tag.path for number, tag in tags.every(work).items()}
    behind = live.lag(work, [tags.key(rule.tag) for rule in found if rule.state == "active"])
    trouble, everyone = store.trouble(work), work.bitmaps.count(contacts.EVERYONE)
    shown = []
    for rule in found:
        key = tags.key(rule.tag)
        acted = work.bitmaps.history(key, limit=1, only=Only(who=rule.keeper))
        filling = rule.state == "active" and behind[key] is None
        running = rule.state == "active"
        shown.append(
            Seen(
                rule, paths[rule.tag], "filling" if filling else rule.state, work.bitmaps.count(key),
                behind.get(key), (0 if filling else everyone) if running else None, everyone,
                acted[0].at_ms if acted else None, trouble if running else None,
            )
        )  # fmt: skip
    return shown


@dataclass(frozen=True, slots=True)
class Health:
    """How the rules of a workspace are followed: how many run and how many of them are not filled yet; how far the one
    that is farthest behind is, and why no turn succeeds, if none does."""

    running: int
    filling: int
    lag: live.Lag
    trouble: Trouble | None


def health(work: Work) -> Health:
    """How the rules are followed now."""
    keys = [tags.key(tag) for _, tag, _, _ in store.active(work)]
    behind = [one for one in live.lag(work, keys).values() if one is not None]
    worst = max(behind, key=lambda one: one.seconds, default=live.Lag(0, 0.0))
    return Health(len(keys), len(keys) - len(behind), worst, store.trouble(work))
