"""Decisions about tags: what a name may be, and whether depth, number and holders fit the limits."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from tagcast.kit.errors import Conflict, Invalid, Refused
from tagcast.kit.shipped import read_toml

SEPARATOR = "/"
Exclusive = Literal["replace", "refuse"]
"""What happens when a contact gets a second tag of an exclusive group: it takes the first's place, or is refused."""
EXCLUSIVE: tuple[Exclusive, ...] = ("replace", "refuse")
# Control, format (zero width, direction), surrogate, private use, unassigned, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag in its tree. `account` None: the workspace's own; `depth` 1: a root; times in epoch milliseconds.

    `lifetime_days`: how long it is held when nothing else is said. `exclusive`: of the tags below a contact holds at
    most one. `rivals`: whether a tag above is exclusive, so that holding this one may shut out others.
    `keeper`: who alone gives and takes it.
    """

    id: int
    account: int | None
    parent: int | None
    name: str
    path: str
    depth: int
    created_at: int
    created_by: str
    archived_at: int | None
    lifetime_days: int | None = None
    exclusive: Exclusive | None = None
    rivals: bool = False
    keeper: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A tag with how many hold it, and how many hold it or a tag below it."""

    tag: Tag
    own: int
    below: int


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit that applies: `most` None means none; where it comes from is part of every refusal."""

    most: int | None
    source: str
    date: str
    profile: str
    kind: str

    def refuse(self, code: str, **params: object) -> Refused:
        """The refusal that names this limit."""
        return Refused(
            code, most=self.most, source=self.source, date=self.date, profile=self.profile, kind=self.kind, **params
        )


@cache
def ceilings() -> dict[str, Any]:
    """Our own ceilings, from `limits.toml`."""
    return read_toml("tags", "limits.toml")


def normal(name: str) -> str:
    """The form in which two names are the same name: width, case and runs of spaces do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def check_name(name: str, bound: Bound) -> str:
    """The name without spaces around it. Raises Invalid for one that cannot be, Refused for one that is too long."""
    clean = name.strip()
    if not clean or not normal(clean):
        raise Invalid("tags.name_empty")
    if hidden := [char for char in clean if unicodedata.category(char) in _HIDDEN]:
        raise Invalid("tags.name_characters", char=f"U+{ord(hidden[0]):04X}")
    if SEPARATOR in unicodedata.normalize("NFKC", clean):
        raise Invalid("tags.name_separator", name=clean[:40], separator=SEPARATOR)
    ceiling = ceilings()["name_chars"]
    if bound.most is None or bound.most > ceiling:
        bound = Bound(ceiling, "tagcast", str(ceilings()["date"]), "tagcast", bound.kind)
    if len(clean) > (bound.most or 0):
        raise bound.refuse("tags.name_long", name=clean[:40], length=len(clean))
    return clean


def split(path: str) -> list[str]:
    """The names of a path, from the root."""
    return path.split(SEPARATOR)


def check_path(path: str) -> None:
    """Raise Invalid for a path longer than our ceiling."""
    if len(path) > (most := ceilings()["path_chars"]):
        raise Invalid("tags.path_long", length=len(path), most=most)


def check_why(why: str) -> str:
    """The reason, without spaces around it. Raises Invalid for an empty or overlong one."""
    clean = why.strip()
    if not clean or len(clean) > ceilings()["why_chars"]:
        raise Invalid("tags.why_missing", most=ceilings()["why_chars"])
    return clean


def check_keeper(tag: Tag, actor: str) -> None:
    """Raise Conflict for a tag that somebody else keeps."""
    if tag.keeper is not None and tag.keeper != actor:
        raise Conflict("tags.kept", path=tag.path, keeper=tag.keeper, rule=tag.keeper.rpartition(":")[2])


def check_depth(path: str, depth: int, bound: Bound) -> None:
    """Raise Refused for a tag deeper than its account allows."""
    if bound.most is not None and depth > bound.most:
        raise bound.refuse("tags.too_deep", path=path, depth=depth)


def check_count(count: int, bound: Bound) -> None:
    """Raise Refused when `count` tags are more than the account may have."""
    if bound.most is not None and count > bound.most:
        raise bound.refuse("tags.too_many", count=count)


def check_holders(path: str, before: int, after: int, bound: Bound) -> None:
    """Raise Refused when `after` contacts are more than may hold one tag."""
    if bound.most is not None and after > bound.most:
        room = max(0, bound.most - before)
        raise bound.refuse("tags.full", path=path, before=before, asked=after - before, room=room)


def check_lifetime(days: int | None) -> int | None:
    """The days, if a tag may be held so long. Raises Invalid."""
    most = ceilings()["lifetime_days"]
    if days is not None and not 1 <= days <= most:
        raise Invalid("tags.bad_lifetime", days=days, most=most)
    return days


def check_exclusive(how: str | None) -> Exclusive | None:
    """The word, if it is one. Raises Invalid."""
    for known in EXCLUSIVE:
        if how == known:
            return known
    if how is None:
        return None
    raise Invalid("tags.bad_exclusive", given=how, known=", ".join(EXCLUSIVE))


def ends(tag: Tag, now: datetime) -> datetime | None:
    """When a tag that is given now ends by its own lifetime: a full hour, or from eight days on a full UTC day.

    Never sooner than the lifetime. Rounding keeps those who got it about the same time in one set.
    """
    if tag.lifetime_days is None:
        return None
    step = timedelta(hours=1) if tag.lifetime_days < ceilings()["lifetime_by_day"] else timedelta(days=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    steps = -((epoch - now - timedelta(days=tag.lifetime_days)) // step)
    return epoch + steps * step
