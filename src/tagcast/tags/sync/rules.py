"""What a tag is called on a platform, what a platform's tag is called here, and what an account's settings may say."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml
from tagcast.tags.rules import SEPARATOR, normal

Direction = Literal["both", "to", "from", "off"]
NameRule = Literal["platform", "ours", "ask"]
MemberRule = Literal["union", "ours", "platform", "ask"]
DeletionRule = Literal["ask", "ours", "platform", "keep"]
Employees = Literal["all", "one"]

_MARK = "~"
_MARK_CHARS = 4
# Readable aloud, and no letter that another can be taken for.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
# Control, format, surrogate, private use, unassigned, line and paragraph separators: no name here may hold one.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Place(NamedTuple):
    """Where a tag stands on a platform; `group` is empty where there are none."""

    group: str
    name: str


NOWHERE = Place("", "")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a platform's own tags can be, see `platforms.toml`. `unit` of `name`: bytes or characters."""

    platform: str
    levels: int
    unit: str
    name: int
    tags: int
    per_person: int
    delete_most: int
    system_ids: tuple[int, ...]
    reserved: tuple[str, ...]
    batch: int
    look_up: int
    page: int
    api: str
    concurrency: int
    answer_seconds: float
    source: str
    date: str

    def length(self, text: str) -> int:
        """The length of a name as the platform counts it."""
        return len(text.encode()) if self.unit == "bytes" else len(text)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an account is synchronised. `daily`: a chore reads everything once a day; `employees`: who marks a customer.

    `names`: two new names; `members`: two sets that meet first; `deletions`: a tag that is gone on one side.
    """

    names: NameRule = "platform"
    members: MemberRule = "union"
    deletions: DeletionRule = "ask"
    employees: Employees = "all"
    daily: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A tag that wants a place: `tree` is its account, 0 for the workspace's own tree."""

    id: int
    tree: int
    path: str


@cache
def shape(kind: str) -> Shape:
    """The shape of an account kind's platform. Raises Invalid for a kind without tags of its own."""
    found: Mapping[str, Any] | None = read_toml("tags", "sync", "platforms.toml").get(
        "official" if kind == "service" else kind
    )
    if found is None:
        raise Invalid("tags.sync_no_platform", kind=kind)
    lists = {name: tuple(found[name]) for name in ("system_ids", "reserved")}
    return Shape(platform="wecom" if kind == "wecom" else "official", **{**found, **lists})


def check_settings(**given: object) -> dict[str, Any]:
    """Those settings that were given. Raises Invalid, naming what may be said."""
    allowed: dict[str, tuple[object, ...]] = {
        "names": get_args(NameRule),
        "members": get_args(MemberRule),
        "deletions": get_args(DeletionRule),
        "employees": get_args(Employees),
        "daily": (True, False),
    }
    kept = {name: value for name, value in given.items() if value is not None}
    for name, value in kept.items():
        if value not in allowed[name]:
            raise Invalid(
                "tags.sync_setting", name=name, value=str(value)[:40], known=", ".join(map(str, allowed[name]))
            )
    return kept


def check_direction(direction: str) -> Direction:
    """The direction. Raises Invalid."""
    if direction not in get_args(Direction):
        known = ", ".join(get_args(Direction))
        raise Invalid("tags.sync_setting", name="direction", value=direction[:40], known=known)
    return direction  # type: ignore[return-value]  # just looked up


def flatten(tags: Iterable[Named], shape: Shape) -> dict[int, Place]:
    """The place of each tag: two tags never get the same, and each fits the platform.

    Without groups the name is the path; with them the group is the root's name and the tag's name the rest of the path
    (of a root: its own name). What is too long is cut and marked with `~` and four characters that depend on the tree
    and the path only. Of two tags that would get the same name the later one is marked in the same way.
    """
    places: dict[int, Place] = {}
    used = {("", normal(name)) for name in shape.reserved}
    ordered = sorted(tags, key=lambda tag: (not _fits(_plain(tag.path, shape), shape), tag.id))
    for tag in ordered:
        group, name = _plain(tag.path, shape)
        root = f"{tag.tree}:{tag.path.partition(SEPARATOR)[0]}"
        group, seed, turn = _cut(group, shape, root), f"{tag.tree}:{tag.path}", 0
        chosen = _cut(name, shape, seed)
        while (normal(group), normal(chosen)) in used:
            chosen = _marked(name, shape, f"{seed}:{turn}" if turn else seed)
            turn += 1
        used.add((normal(group), normal(chosen)))
        places[tag.id] = Place(group, chosen)
    return places


def arriving(name: str, most: int | None) -> str:
    """A platform's name as a name here: no separator, nothing invisible, at most `most` characters."""
    shown = "".join(char for char in name if unicodedata.category(char) not in _HIDDEN)
    clean = "".join("-" if SEPARATOR in unicodedata.normalize("NFKC", char) else char for char in shown).strip()
    if not normal(clean):
        clean = f"tag{_MARK}{_digest(name)}"
    if most is not None and len(clean) > most:
        clean = marked(clean, name, most)
    return clean


def marked(name: str, seed: str, most: int | None) -> str:
    """The name with a mark behind it that tells it from another of the same spelling."""
    tail = _MARK + _digest(seed)
    return (name if most is None else name[: most - len(tail)]).rstrip() + tail


def own_name(there: str, above: str) -> str:
    """What of a platform's name is a tag's own, when the tags above it are called `above` there."""
    rest = there.removeprefix(above + SEPARATOR) if above else there
    return rest if rest != there and SEPARATOR not in rest else there


def _plain(path: str, shape: Shape) -> Place:
    if shape.levels == 1:
        return Place("", path)
    group, _, rest = path.partition(SEPARATOR)
    return Place(group, rest or group)


def _fits(place: Place, shape: Shape) -> bool:
    return shape.length(place.name) <= shape.name


def _cut(text: str, shape: Shape, seed: str) -> str:
    return text if shape.length(text) <= shape.name else _marked(text, shape, seed)


def _marked(text: str, shape: Shape, seed: str) -> str:
    tail = _MARK + _digest(seed)
    while shape.length(text + tail) > shape.name:
        text = text[:-1]
    return text.rstrip() + tail


def _digest(seed: str) -> str:
    number = int.from_bytes(sha256(seed.encode()).digest()[:8])
    chars = []
    for _ in range(_MARK_CHARS):
        number, rest = divmod(number, len(_ALPHABET))
        chars.append(_ALPHABET[rest])
    return "".join(chars)
