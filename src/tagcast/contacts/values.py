"""Attributes: declared with their purpose, written in bulk, and selected as sets.

Choices and flags are one set a value, numbers and dates bit planes; texts stay in the vault and cannot be selected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Evaluation, Node
from tagcast.contacts import actions, rules, store
from tagcast.contacts.rules import Attribute, AttributeType
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Work

Op = Literal["is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown"]
_ALWAYS = ("known", "unknown")
_EQUAL = ("is", "is_not", "in")
_ORDER = ("<", "<=", ">", ">=", "between")
MOST_CHOICES = 2000


@dataclass(frozen=True, slots=True)
class ContactView:
    """One contact in the clear. `attributes` holds text, int, Decimal, bool or date; `following` account ids."""

    number: int
    created_ms: int
    identities: dict[str, str]
    texts: dict[str, str]
    attributes: dict[str, Any]
    following: tuple[int, ...]


def declare_attribute(
    work: Work,
    name: str,
    type: AttributeType,  # noqa: A002 - the word of the API and of the table
    *,
    purpose: str,
    scale: int = 0,
    label_zh: str = "",
    label_en: str = "",
) -> Attribute:
    """Make an attribute, or describe it anew. Raises Invalid, or Conflict when its type or scale would change."""
    attribute = Attribute(name, type, purpose, scale, label_zh or name, label_en or name)
    rules.check_attribute(attribute)
    before = store.all_attributes(work).get(name)
    if before is not None:
        if (before.type, before.scale) != (type, scale):
            raise Conflict("contacts.attribute_exists", name=name, type=before.type, scale=before.scale)
        attribute = replace(attribute, retention_days=before.retention_days)
    if attribute != before:
        store.put_attribute(work, attribute)
    return attribute


def keep_for(work: Work, name: str, days: int | None) -> Attribute:
    """Set how many days values may be kept; None: as long as the contact. Raises NotFound."""
    attribute = replace(find_attribute(work, name), retention_days=days)
    store.put_attribute(work, attribute)
    return attribute


def attributes(work: Work) -> dict[str, Attribute]:
    """The declared attributes by name."""
    return store.all_attributes(work)


def find_attribute(work: Work, name: str) -> Attribute:
    """One attribute. Raises NotFound naming the known ones."""
    known = store.all_attributes(work)
    if name not in known:
        raise NotFound("contacts.no_attribute", name=name, known=", ".join(known) or "-")
    return known[name]


def forget_attribute(work: Work, name: str) -> None:
    """Delete an attribute and its values; texts stay in the vault until their contact is erased. Raises NotFound."""
    attribute = find_attribute(work, name)
    for prefix in (f"{attribute.key}=", f"{attribute.key}#"):
        for key in work.bitmaps.keys(prefix):
            work.bitmaps.replace(key, BitMap(), why="attribute deleted")
    store.delete_attribute(work, name)


def choices(work: Work, name: str) -> dict[str, int]:
    """The values of a choice or flag that anybody has, with the number of contacts."""
    return _choices(work, f"attribute:{name}=")


def values_in_use(work: Work, found: Attribute) -> dict[str, int]:
    """As `choices`, for a field that is described by the caller."""
    return _choices(work, f"{found.key}=")


def _choices(work: Work, prefix: str) -> dict[str, int]:
    return {key[len(prefix) :]: work.bitmaps.count(key) for key in work.bitmaps.keys(prefix)}


def set_choices(work: Work, name: str, members: Mapping[str, BitMap], *, why: str) -> BitMap:
    """Give contacts a value of a choice or flag in place of the one they had; returns those really changed.

    Raises NotFound, Invalid for a value that cannot be, Refused when there would be more than 2,000 values.
    """
    attribute = _of_type(work, name, ("choice", "flag"))
    wanted = {str(rules.parse_value(attribute, value)): chosen for value, chosen in members.items()}
    present = choices(work, name)
    if len(present.keys() | wanted.keys()) > MOST_CHOICES:
        raise Refused("contacts.too_many_choices", name=name, limit=MOST_CHOICES)
    concerned = BitMap.union(*wanted.values()) if wanted else BitMap()
    changed = BitMap()
    for value in present.keys() | wanted.keys():
        key = f"{attribute.key}={value}"
        before, after = work.bitmaps.read(key) & concerned, wanted.get(value, BitMap())
        changed |= before ^ after
        if before - after:
            work.bitmaps.remove(key, before - after, why=why)
        if after - before:
            work.bitmaps.add(key, after, why=why)
    return changed


def set_numbers(work: Work, name: str, members: NDArray[np.uint32], values: NDArray[np.int64], *, why: str) -> BitMap:
    """Give contacts a number (times 10**scale) or a date (days since 1970-01-01); returns those really changed."""
    attribute = _of_type(work, name, ("number", "date"))
    return bitmaps.sliced.set_values(work.bitmaps, attribute.key, members, values, why=why)


def set_values(work: Work, name: str, values: Mapping[int, object], *, why: str) -> BitMap:
    """Give contacts values as people write them, by contact number; returns those really changed."""
    attribute = find_attribute(work, name)
    kept = {number: rules.parse_value(attribute, value) for number, value in values.items()}
    return put_kept(work, attribute, kept, why=why)


def put_kept(work: Work, attribute: Attribute, kept: Mapping[int, int | str], *, why: str) -> BitMap:
    """Give contacts parsed values by contact number; returns those really changed."""
    if attribute.type in {"choice", "flag"}:
        chosen: dict[str, list[int]] = {}
        for number, value in kept.items():
            chosen.setdefault(str(value), []).append(number)
        sets = {value: bitmaps.pack(numbers) for value, numbers in chosen.items()}
        return set_choices(work, attribute.name, sets, why=why)
    members = np.fromiter(kept.keys(), dtype=np.uint32, count=len(kept))
    numbers = np.fromiter(cast("Iterable[int]", kept.values()), dtype=np.int64, count=len(kept))
    return set_numbers(work, attribute.name, members, numbers, why=why)


def select(work: Work, attribute: str, op: Op, value: object = None) -> BitMap:
    """The contacts whose attribute stands in a relation to a value (a sequence for `in`, a pair for `between`).

    `is_not` means known and different. Raises NotFound for the attribute, Invalid for an operation or a value that
    its type does not allow, naming what is allowed.
    """
    return Evaluation(work.bitmaps, rules.EVERYONE).members(node(work, find_attribute(work, attribute), op, value))


def node(work: Work, found: Attribute, op: Op, value: object = None) -> Node:
    """What `select` selects, for a field that is described by the caller. Raises Invalid as `select`."""
    allowed = _allowed(found)
    if op not in allowed:
        raise Invalid(
            "contacts.bad_operation", name=found.name, type=found.type, op=op, allowed=", ".join(allowed) or "-"
        )
    if op in _ALWAYS:
        known = _known(work, found)
        return known if op == "known" else algebra.Except(known)
    values = _values(found, op, value)
    if found.type in {"choice", "flag"}:
        _check_choices(work, found, [str(each) for each in values])
        chosen = algebra.AnyOf(tuple(algebra.Key(f"{found.key}={each}") for each in values))
        return algebra.AllOf((_known(work, found), algebra.Except(chosen))) if op == "is_not" else chosen
    return _compare(found, op, [int(each) for each in values])


def values_of(work: Work, attribute: str, numbers: Iterable[int]) -> dict[int, Any]:
    """The values of those contacts that have one: text, int, Decimal, bool or date. Raises NotFound."""
    return values_of_field(work, find_attribute(work, attribute), numbers)


def values_of_field(work: Work, found: Attribute, numbers: Iterable[int]) -> dict[int, Any]:
    """As `values_of`, for a field that is described by the caller."""
    asked = BitMap(numbers)
    if found.type == "text":
        return {n: texts[found.name] for n, texts in actions.texts_of(work, asked).items() if found.name in texts}
    if found.type in {"choice", "flag"}:
        return {
            number: rules.shown(found, value)
            for value in _choices(work, f"{found.key}=")
            for number in work.bitmaps.read(f"{found.key}={value}") & asked
        }
    members = bitmaps.unpack(asked)
    kept, known = bitmaps.sliced.values(work.bitmaps, found.key, members)
    return {
        number: rules.shown(found, value)
        for number, value, there in zip(members.tolist(), kept.tolist(), known.tolist(), strict=True)
        if there
    }


def describe(work: Work, number: int) -> ContactView:
    """All that is known of one contact. Raises NotFound."""
    identities, texts = actions.vault_of(work, number)
    values = {
        name: value
        for name, attribute in store.all_attributes(work).items()
        if attribute.type != "text" and (value := values_of(work, name, [number]).get(number)) is not None
    }
    keys = work.bitmaps.keys("following:")
    following = tuple(sorted(int(key.partition(":")[2]) for key in keys if number in work.bitmaps.read(key)))
    return ContactView(number, store.created_at(work, number) or 0, identities, texts, values, following)


def _of_type(work: Work, name: str, types: Sequence[str]) -> Attribute:
    attribute = find_attribute(work, name)
    if attribute.type not in types:
        raise Invalid("contacts.other_type", name=name, type=attribute.type, needed=" / ".join(types))
    return attribute


def _allowed(attribute: Attribute) -> tuple[str, ...]:
    match attribute.type:
        case "text":
            return ()
        case "choice" | "flag":
            return _EQUAL + _ALWAYS
        case _:
            return _EQUAL + _ORDER + _ALWAYS


def _known(work: Work, attribute: Attribute) -> Node:
    if attribute.type in {"choice", "flag"}:
        return algebra.AnyOf(tuple(algebra.Key(key) for key in work.bitmaps.keys(f"{attribute.key}=")))
    return algebra.Known(attribute.key)


def _values(attribute: Attribute, op: str, value: object) -> list[int | str]:
    many = list(value) if isinstance(value, list | tuple | set | frozenset) else None
    if (op in {"in", "between"}) != (many is not None) or (op == "between" and many is not None and len(many) != 2):
        raise Invalid("contacts.bad_operands", name=attribute.name, op=op)
    return [rules.parse_value(attribute, each) for each in (many if many is not None else [value])]


def _check_choices(work: Work, attribute: Attribute, values: Sequence[str]) -> None:
    present = dict.fromkeys(attribute.choices, 0) or _choices(work, f"{attribute.key}=")
    for value in values:
        # A value that nobody has any more is one all the same: what is kept true must not stop for it.
        if attribute.type == "choice" and value not in present and not work.bitmaps.version(f"{attribute.key}={value}"):
            known = ", ".join(sorted(present, key=lambda each: -present[each])[:20]) or "-"
            raise Invalid("contacts.no_choice", name=attribute.name, value=value, known=known)


def _compare(attribute: Attribute, op: str, values: list[int]) -> Node:
    key = attribute.key
    if op == "between":
        return algebra.AllOf((algebra.Compared(key, ">=", min(values)), algebra.Compared(key, "<=", max(values))))
    if op == "in":
        return algebra.AnyOf(tuple(algebra.Compared(key, "=", value) for value in values))
    sign = {"is": "=", "is_not": "!="}.get(op, op)
    return algebra.Compared(key, cast("bitmaps.sliced.Comparison", sign), values[0])
