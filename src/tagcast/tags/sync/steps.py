"""What a plan holds: steps, conflicts, refusals; as they are stored, hashed and compared."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.kit.crypto import digest
from tagcast.tags.sync.rules import NOWHERE, Place

Kind = Literal["names", "group", "members", "deleted_here", "deleted_there"]

Do = Literal[
    "create_there", "rename_there", "rename_group_there", "delete_there",
    "create_here", "rename_here", "archive_here", "restore_here",
    "link", "note", "unlink", "members", "marks",
]  # fmt: skip
SETS = ("add_here", "drop_here", "add_there", "drop_there", "base_add", "base_drop")


@dataclass(slots=True)
class Sets:
    """Who gets a tag or loses it, here and there, and what becomes the common base without any of both."""

    add_here: BitMap = field(default_factory=BitMap)
    drop_here: BitMap = field(default_factory=BitMap)
    add_there: BitMap = field(default_factory=BitMap)
    drop_there: BitMap = field(default_factory=BitMap)
    base_add: BitMap = field(default_factory=BitMap)
    base_drop: BitMap = field(default_factory=BitMap)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in SETS)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `tag`: ours, 0 when it is still to be made; `there`: the platform's id, empty when still to be made.

    `path` is shown to people; of a `create_here` it is what is made. `place`: what the tag is called there (after the
    step); `here`: what we would call it there (after the step). `sets` of a `members` step only; `marks` then carries
    out together what all of them do there, where one call takes one person.
    """

    do: Do
    tag: int
    there: str = ""
    path: str = ""
    place: Place = NOWHERE
    here: Place = NOWHERE
    group_id: str = ""
    sets: Sets | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells this step from another of its plan."""
        return (self.do, self.tag, self.there)


@dataclass(frozen=True, slots=True)
class Clash:
    """What both sides changed, or one deleted; `does`: the step that the account's rule makes of it, or nothing."""

    kind: Kind
    path: str
    ours: str
    theirs: str
    rule: str
    does: str = ""
    people: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit that the plan does not fit into; while there is one, no run is begun."""

    limit: str
    where: Literal["here", "there"]
    count: int
    most: int
    path: str = ""
    source: str = ""


@dataclass(slots=True)
class Plan:
    """Steps in the order of their doing and all that a person should know before.

    `left_out`: tag path → how many would bear more tags there than a person can. `strangers`: people of the platform
    who are no contacts yet. `skipped`: tags that an incremental plan took for unchanged. `calls` of the run.
    """

    steps: list[Step] = field(default_factory=list)
    conflicts: list[Clash] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    strangers: int = 0
    skipped: int = 0
    full: bool = True
    calls: int = 0
    seconds: float = 0.0
    read_calls: int = 0

    @property
    def hash(self) -> str:
        """Equal for plans that do the same."""
        return digest(*(_fact(step) for step in self.steps))[:16]

    def counts(self) -> dict[str, int]:
        """How many tags each kind of step touches, and how many times a contact gets or loses one, by side."""
        found: dict[str, int] = {}
        for step in self.steps:
            if step.do == "marks":
                continue
            if step.sets is None:
                found[step.do] = found.get(step.do, 0) + 1
                continue
            for name in SETS[:4]:
                if size := len(getattr(step.sets, name)):
                    found[name] = found.get(name, 0) + size
        return found


def dump_steps(steps: Sequence[Step]) -> bytes:
    """Steps as they are stored."""
    return orjson.dumps([_plain(step) for step in steps])


def load_steps(data: bytes) -> list[Step]:
    """Steps as they were stored."""
    return [_step(one) for one in orjson.loads(data)]


def moved(before: Sequence[Step], after: Sequence[Step]) -> list[dict[str, Any]]:
    """What differs between two plans: step, tag, and how many people before and after (0: the step is not there)."""
    old, new = {step.key: step for step in before}, {step.key: step for step in after}
    found = []
    for key in sorted(old.keys() | new.keys()):
        one, two = old.get(key), new.get(key)
        if one is not None and two is not None and _fact(one) == _fact(two):
            continue
        known = two or one
        assert known is not None
        found.append({"do": known.do, "path": known.path, "before": _size(one), "after": _size(two)})
    return found


def _size(step: Step | None) -> int:
    if step is None:
        return 0
    return 1 if step.sets is None else sum(len(getattr(step.sets, name)) for name in SETS[:4])


def _fact(step: Step) -> str:
    """Equal for equal steps, however their sets are laid out in memory."""
    members = [getattr(step.sets, name).to_array().tobytes().hex() for name in SETS] if step.sets is not None else []
    return digest(orjson.dumps(_plain(replace(step, sets=None))).decode(), *members)


def _plain(step: Step) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "do": step.do, "tag": step.tag, "there": step.there, "path": step.path, "place": list(step.place),
        "here": list(step.here), "group_id": step.group_id,
    }  # fmt: skip
    if step.sets is not None:
        packed = {name: getattr(step.sets, name) for name in SETS}
        plain["sets"] = {name: base64.b64encode(bitmaps.to_bytes(one)).decode() for name, one in packed.items() if one}
    return plain


def _step(plain: dict[str, Any]) -> Step:
    sets = None
    if "sets" in plain:
        opened = {name: bitmaps.from_bytes(base64.b64decode(one)) for name, one in plain["sets"].items()}
        sets = Sets(**opened)
    return Step(
        plain["do"], plain["tag"], plain["there"], plain["path"], Place(*plain["place"]), Place(*plain["here"]),
        plain["group_id"], sets,
    )  # fmt: skip
