"""The dimensions of a cross table: how each splits contacts into categories, every category an expression."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
from pyroaring import BitMap

from tagcast import bitmaps, contacts, features, tags
from tagcast.audiences import bounds, catalogue, language, rules
from tagcast.audiences.rules import And, Expression, FieldLeaf, Nobody, Not, Or, Scalar, SegmentLeaf, TagLeaf
from tagcast.contacts import Attribute
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

_PARTS = ("parts", "等份")
_DIGITS = 20
_COMMAS = str.maketrans({"\uff0c": ",", "\u3001": ","})


@dataclass(frozen=True, slots=True)
class Category:
    """One value of a dimension: its name for people, and who is in it. `rest`: those to whom no other applies."""

    label: str
    expression: Expression
    rest: bool = False

    @property
    def text(self) -> str:
        """The expression's text."""
        return language.to_text(self.expression)


@dataclass(frozen=True, slots=True)
class Dimension:
    """Categories that hold everyone; `apart`: nobody is in two of them."""

    name: str
    categories: tuple[Category, ...]
    apart: bool


def read(work: Work, spec: str, base: BitMap) -> Dimension:
    """A dimension as it is written. `base` are those whose quantiles count. Raises Invalid, NotFound, Refused."""
    head, colon, rest = spec.replace("\uff1a", ":").partition(":")
    name, given = head.strip(), rest.strip()
    if colon and name in ("tag", "标签"):
        made = _tags(work, given)
    elif colon and name in ("segments", "segment", "人群"):
        made = _segments(work, _listed(given))
    else:
        made = _field(work, name, given if colon else None, base)
    bounds.check("categories", len(made.categories))
    return made


def _field(work: Work, name: str, given: str | None, base: BitMap) -> Dimension:
    known = {**contacts.attributes(work), **features.names(work)}
    if name not in known:
        near = catalogue.near(name, known)
        raise Invalid("audiences.unknown_dimension", name=name, near=near)
    found = known[name]
    if found.type in ("choice", "flag"):
        if given is not None:
            raise Invalid("audiences.no_borders", name=name)
        return _choices(work, found)
    if found.type not in ("number", "date") or not given:
        raise Invalid("audiences.borders_needed" if found.type != "text" else "audiences.text_dimension", name=name)
    words = given.split()
    if len(words) == 2 and words[1] in _PARTS and words[0].isdecimal() and len(words[0]) < 5:
        borders = _quantiles(work, found, int(words[0]), base)
    else:
        borders = [_border(found, text) for text in _listed(given)]
        if sorted(set(borders)) != borders:
            raise Invalid("audiences.borders_order", name=name)
    return _ranges(found, borders)


def _choices(work: Work, found: Attribute) -> Dimension:
    values = found.choices or sorted(contacts.values_in_use(work, found))
    made = [
        Category(one, FieldLeaf(found.name, "is", one == "true" if found.type == "flag" else one)) for one in values
    ]
    return Dimension(found.name, (*made, _unknown(found)), apart=True)


def _ranges(found: Attribute, borders: Sequence[int]) -> Dimension:
    shown = [_scalar(found, border) for border in borders]
    made: list[Category] = []
    if not shown:
        made.append(Category("all", FieldLeaf(found.name, "known")))
    else:
        made.append(Category(f"< {shown[0]}", FieldLeaf(found.name, "<", shown[0])))
        for low, high in pairwise(shown):
            both = (FieldLeaf(found.name, ">=", low), FieldLeaf(found.name, "<", high))
            made.append(Category(f"{low} … < {high}", And(both)))
        made.append(Category(f">= {shown[-1]}", FieldLeaf(found.name, ">=", shown[-1])))
    return Dimension(found.name, (*made, _unknown(found)), apart=True)


def _unknown(found: Attribute) -> Category:
    return Category("unknown", FieldLeaf(found.name, "unknown"), rest=True)


def _quantiles(work: Work, found: Attribute, parts: int, base: BitMap) -> list[int]:
    """Borders that split the values of `base` as evenly as equal values allow."""
    if parts < 2:
        raise Invalid("audiences.quantiles", name=found.name)
    bounds.check("quantiles", parts)
    if found.family == "feature":
        _, kept = features.numbers(work, found.name, base)
    else:
        members = bitmaps.unpack(bitmaps.sliced.known(work.bitmaps, found.key) & base)
        kept, _ = bitmaps.sliced.values(work.bitmaps, found.key, members)
    if not len(kept):
        return []
    kept = np.sort(kept)
    places = [len(kept) * part // parts for part in range(1, parts)]
    # A border at the least value would leave nobody below it.
    return sorted({int(kept[place]) for place in places} - {int(kept[0])})


def _border(found: Attribute, text: str) -> int:
    kept = contacts.parse_value(found, text)
    assert isinstance(kept, int), found.type
    return kept


def _scalar(found: Attribute, kept: int) -> Scalar:
    """A kept number as the language writes it."""
    value = contacts.shown(found, kept)
    if isinstance(value, date):
        return value.isoformat()
    return (int(value) if value == int(value) else float(value)) if isinstance(value, Decimal) else int(value)


def _tags(work: Work, given: str) -> Dimension:
    before, colon, path = given.partition(":")
    account = int(before) if colon and before.strip().isdecimal() and len(before) < _DIGITS else None
    path = (path if account is not None else given).strip()
    if not path:
        raise Invalid("audiences.no_branch")
    leaf = TagLeaf(path, account)
    rules.check(leaf)
    root, *_ = catalogue.resolve(work, leaf).tags[leaf]
    everything = tags.every(work)
    below = [one for one in everything.values() if one.parent == root and one.archived_at is None]
    below.sort(key=lambda one: one.path)
    made = [Category(one.name, TagLeaf(one.path, account)) for one in below]
    itself = TagLeaf(everything[root].path, account, exactly=True)
    only = itself if not made else And((itself, Not(_any(one.expression for one in made))))
    rest = Not(TagLeaf(everything[root].path, account))
    return Dimension(
        everything[root].path, (*made, Category(everything[root].name, only), Category("none", rest, rest=True)), False
    )


def _segments(work: Work, names: Sequence[str]) -> Dimension:
    if len(set(names)) != len(names) or not names:
        raise Invalid("audiences.no_segments")
    made = [Category(one, SegmentLeaf(one)) for one in names]
    for one in made:
        rules.check(one.expression)
    catalogue.resolve(work, _any(one.expression for one in made))
    rest = Not(_any(one.expression for one in made))
    return Dimension("segments", (*made, Category("none", rest, rest=True)), apart=False)


def _any(parts: Iterable[Expression]) -> Expression:
    listed = tuple(parts)
    return Or(listed) if len(listed) > 1 else listed[0] if listed else Nobody()


def _listed(given: str) -> list[str]:
    return [one.strip() for one in given.translate(_COMMAS).split(",") if one.strip()]
