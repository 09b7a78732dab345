"""What a rule is, what it may be, and which rules would stand on each other in a ring. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from tagcast.audiences import Expression
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.shipped import read_toml

Mode = Literal["mirror", "grow"]
State = Literal["draft", "active", "stopped"]
What = Literal["created", "edited", "activated", "stopped", "stopped_itself", "restored", "rewritten", "deleted"]
TagRef = tuple[int | None, str, int]


@dataclass(frozen=True, slots=True)
class Definition:
    """What a rule does: `mirror` gives the tag to exactly the members of the expression, `grow` only gives it.

    `tags` are those that the paths of the expression mean. `until_days`: `grow` gives the tag for so many days after
    the day on which somebody was last found to be a member; 0: for good.
    """

    expression: Expression
    tags: tuple[TagRef, ...]
    mode: Mode = "mirror"
    until_days: int = 0
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that keeps a tag. `problem` says why it stopped by itself; times in epoch milliseconds."""

    id: int
    tag: int
    definition: Definition
    version: int
    state: State
    problem: Mapping[str, Any] | None
    created_at: int
    created_by: str
    changed_at: int

    @property
    def keeper(self) -> str:
        """The actor as whom it gives and takes the tag."""
        return keeper(self.id)


@dataclass(frozen=True, slots=True)
class Line:
    """What was done to a rule, and how it was from then on."""

    rule: int
    version: int
    what: What
    who: str
    at: int
    definition: Definition
    problem: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no rule is followed now: the last turn failed; since the first that did, epoch milliseconds."""

    since: int
    at: int
    problem: Mapping[str, Any]


def keeper(rule_id: int) -> str:
    """The actor as whom a rule gives and takes its tag."""
    return f"rule:{rule_id}"


def shown(problem: TagcastError) -> dict[str, str]:
    """A problem as it is kept and told."""
    return {
        "code": problem.code,
        "en": problem.text("en"),
        "en_remedy": problem.remedy("en"),
        "zh": problem.text("zh"),
        "zh_remedy": problem.remedy("zh"),
    }


@cache
def limits() -> dict[str, Any]:
    """Our own ceilings, from `limits.toml`."""
    return read_toml("tag_rules", "limits.toml")


def check(mode: str, until_days: int, owner: str) -> None:
    """Raises Invalid for a mode that there is not, days where none can be, or an overlong owner."""
    if mode not in get_args(Mode):
        raise Invalid("tag_rules.bad_mode", mode=mode[:20], known=", ".join(get_args(Mode)))
    if not 0 <= until_days <= limits()["until_days"]:
        raise Invalid("tag_rules.bad_days", days=until_days, most=limits()["until_days"])
    if until_days and mode != "grow":
        raise Invalid("tag_rules.days_with_mirror", days=until_days)
    if len(owner) > limits()["owner_chars"] or not owner.isprintable():
        raise Invalid("tag_rules.bad_owner", most=limits()["owner_chars"])


def ring(stands_on: Mapping[int, Collection[int]], tag: int) -> list[int]:
    """The way from a tag over those that its rule stands on back to itself, or nothing; tags without a rule end it."""
    ways, seen = [[tag]], set[int]()
    while ways:
        way = ways.pop()
        for used in sorted(stands_on.get(way[-1], ())):
            if used == tag:
                return [*way, tag]
            if used not in seen and used in stands_on:
                seen.add(used)
                ways.append([*way, used])
    return []
