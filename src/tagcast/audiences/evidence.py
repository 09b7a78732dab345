"""The facts behind one leaf for one contact; each module tells its own. Sentences stand in `evidence.toml`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tagcast import behaviour, contacts, features, tags
from tagcast.audiences.catalogue import Names
from tagcast.audiences.leaves import ascending
from tagcast.audiences.spans import EVER
from tagcast.audiences.tree import (
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    FieldLeaf,
    Leaf,
    RankLeaf,
    SegmentLeaf,
    TagLeaf,
    ThenLeaf,
)
from tagcast.behaviour import Did, Window
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Node
from tagcast.kit import clock
from tagcast.kit.errors import Lang
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

_MOST = 5
"""Facts of one leaf: a branch of a hundred tags is not listed."""
_BRANCH = 50
"""Tags of a branch whose history is looked at when none is held."""
_MONEY = ("sum", "average", "least", "most")
_SIGNS = {"is": "=", "is_not": "!="}


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: what kind, and its figures; times are aware, in the workspace's zone."""

    code: str
    params: Mapping[str, Any]

    def sentence(self, lang: Lang) -> str:
        """The fact for people."""
        told = {name: clock.told(one) if isinstance(one, datetime) else one for name, one in self.params.items()}
        return _sentences()[f"{self.code}_ever" if self.params.get("ever") else self.code][lang].format(**told)


@cache
def _sentences() -> dict[str, dict[str, str]]:
    return read_toml("audiences", "evidence.toml")


class Witness:
    """Knows one contact."""

    def __init__(self, work: Work, names: Names, number: int) -> None:
        self._work = work
        self._names = names
        self._number = number
        self._zone = ZoneInfo(work.zone)

    def facts(self, leaf: Leaf, node: Node) -> tuple[Fact, ...]:
        """What speaks for or against one leaf; `node` is what it is lowered to."""
        return tuple(self._facts(leaf, node))[:_MOST]

    def _facts(self, leaf: Leaf, node: Node) -> Iterator[Fact]:
        match leaf:
            case TagLeaf():
                yield from self._tags(leaf)
            case FieldLeaf() | DateLeaf() | BirthdayLeaf() | RankLeaf():
                yield self._field(leaf.name)
            case DidLeaf():
                yield from self._did(leaf)
            case ThenLeaf(first, second):
                yield self._last(first, self._behaviour(first))
                yield self._last(second, self._behaviour(second))
            case SegmentLeaf(name):
                kept = self._names.segments[name]
                if kept.refresh == "scheduled" and kept.fresh_at is not None:
                    yield Fact("kept", {"at": self._at(kept.fresh_at)})
            case _:
                yield from self._listed(node)

    def _tags(self, leaf: TagLeaf) -> Iterator[Fact]:
        branch = self._names.tags[leaf][: 1 if leaf.exactly else None]
        held = [number for number in branch if self._number in self._work.bitmaps.read(tags.key(number))]
        told = tags.evidence(self._work, held[:_MOST] or branch[:_BRANCH], self._number)
        touched = [one for one in told if one.at_ms is not None]
        if not touched:
            yield Fact("tag_never", {"tag": tags.get(self._work, branch[0]).path})
        for one in sorted(touched, key=lambda one: -(one.at_ms or 0)):
            assert one.at_ms is not None
            path = tags.get(self._work, one.tag).path
            params = {"tag": path, "at": self._at(one.at_ms), "who": one.who, "why": one.why}
            if one.until_ms is not None:
                yield Fact("tag_held_until", {**params, "until": self._at(one.until_ms)})
            else:
                yield Fact("tag_held" if one.held else "tag_taken", params)

    def _field(self, name: str) -> Fact:
        computed = self._names.fields[name] == "feature"
        found = features.kept_as(self._work, name)[0] if computed else contacts.find_attribute(self._work, name)
        told = contacts.evidence(self._work, found, self._number)
        params: dict[str, Any] = {"field": name}
        if told.value is not None:
            params["value"] = told.value
            if computed:
                params["value"] = features.values_of(self._work, name, [self._number]).get(self._number, told.value)
        if told.at_ms is None:
            return Fact("value_unknown" if told.value is None else "value_undated", params)
        params |= {"at": self._at(told.at_ms), "who": told.who, "why": told.why}
        return Fact("value_taken" if told.value is None else "computed" if computed else "value", params)

    def _did(self, leaf: DidLeaf) -> Iterator[Fact]:
        told = self._behaviour(leaf)
        money = leaf.measure in _MONEY
        if told.figure is not None:
            needed = sorted(leaf.value) if isinstance(leaf.value, tuple) else [leaf.value]
            need = f"{_SIGNS.get(leaf.op, leaf.op)} {' … '.join(_amount(one, money) for one in needed)}"
            params = {"event": leaf.event, "figure": _amount(told.figure, money), "need": need, **_ever(leaf)}
            yield Fact(f"did_{leaf.measure}", params)
        yield self._last(leaf, told)

    def _behaviour(self, leaf: DidLeaf) -> behaviour.Evidence:
        window = Window(*leaf.during.days(self._work.today))
        asked = Did(leaf.event, window, leaf.measure, where=tuple(ascending(where) for where in leaf.where))
        return behaviour.evidence(self._work, asked, self._number, zone=self._work.zone)

    def _last(self, leaf: DidLeaf, told: behaviour.Evidence) -> Fact:
        if told.last_ms is None:
            return Fact("did_nothing", {"event": leaf.event, **_ever(leaf)})
        return Fact("did_last", {"event": leaf.event, "at": self._at(told.last_ms)})

    def _listed(self, node: Node) -> Iterator[Fact]:
        """Since when the contact is in the sets that a leaf stands on."""
        keys = {one.name for one in algebra.walk(node) if isinstance(one, algebra.Key)}
        held = sorted(key for key in keys if self._number in self._work.bitmaps.read(key))
        changes = [change for key in held if (change := self._work.bitmaps.last_change(key, self._number)) is not None]
        for change in sorted(changes, key=lambda one: -one.seq)[:_MOST]:
            yield Fact("listed", {"at": self._at(change.at_ms)})
        if keys and not held:
            yield Fact("unlisted", {})

    def _at(self, ms: int) -> datetime:
        return clock.from_ms(ms).astimezone(self._zone)


def _ever(leaf: DidLeaf) -> dict[str, Any]:
    """Whether a leaf asks about no certain time."""
    return {"ever": True} if leaf.during == EVER else {}


def _amount(figure: float, money: bool) -> str:
    return f"{figure / 100:.2f}" if money else f"{figure:g}"
