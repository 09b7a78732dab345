"""Features as segments see them: names, nodes, values, figures about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Evaluation, Node
from tagcast.bitmaps.sliced import Comparison
from tagcast.contacts import Attribute
from tagcast.features import rules, store
from tagcast.features.measures import day_of
from tagcast.features.rules import Field
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Work

_TURNED: dict[str, str] = {"<": ">", "<=": ">=", "=": "=", "!=": "!=", ">=": "<=", ">": "<"}
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A field over the contacts that have it: whole figures as the field's type writes them."""

    name: str
    contacts: int
    least: Any = None
    most: Any = None
    mean: float | None = None
    percentiles: dict[int, Any] | None = None
    choices: dict[str, int] | None = None


def definitions(work: Work) -> dict[str, rules.Definition]:
    """What this workspace computes, by name; the standard RFM is always there."""
    return {"rfm": rules.STANDARD_RFM} | store.definitions(work)


def fields(work: Work) -> dict[str, Field]:
    """Every field by name."""
    return {name: one for made in definitions(work).values() for name, one in rules.fields_of(made).items()}


def names(work: Work) -> dict[str, Attribute]:
    """The features that can be selected, described as attributes are.

    Ask for them by `node`, `select`, `numbers` and `values_of`: days since something are kept as the day itself.
    """
    return {name: one.attribute for name, one in fields(work).items()}


def find(work: Work, name: str) -> Field:
    """One field. Raises NotFound naming the known ones."""
    known = fields(work)
    if name not in known:
        raise NotFound("features.no_feature", name=name, known=", ".join(known))
    return known[name]


def node(work: Work, name: str, op: str, value: object = None) -> Node:
    """The contacts whose feature stands in a relation to a value, as for attributes. Raises NotFound, Invalid.

    Days since something are those to the day of the last computation.
    """
    field = find(work, name)
    made = contacts.node(work, field.attribute, op, value)  # type: ignore[arg-type]  # checked there, with a sentence
    if field.since is None:
        return made
    return _since(made, f"feature:{field.since}", as_of(work, field))


def kept_as(work: Work, name: str) -> tuple[Attribute, bool]:
    """(the field under whose key the values of a field lie, whether they are ordered the other way round).

    Days since something are kept as the day. Raises NotFound.
    """
    known = fields(work)
    field = find(work, name)
    return (field.attribute, False) if field.since is None else (known[field.since].attribute, True)


def select(work: Work, name: str, op: str, value: object = None) -> BitMap:
    """The members of `node`."""
    return Evaluation(work.bitmaps, contacts.EVERYONE).members(node(work, name, op, value))


def values_of(work: Work, name: str, numbers: Iterable[int]) -> dict[int, Any]:
    """The values of those contacts that have one. Raises NotFound."""
    field = find(work, name)
    if field.since is None:
        return contacts.values_of_field(work, field.attribute, numbers)
    found, kept, there = _since_values(work, field, BitMap(numbers))
    return dict(zip(found[there].tolist(), kept[there].tolist(), strict=True))


def numbers(
    work: Work, name: str, members: BitMap | None = None
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:  # fmt: skip
    """(contacts, their values) of a field that is a number or a date, ascending; numbers are times 10**scale.

    Only of `members`, and of those only who has a value. Raises NotFound; Invalid for a choice.
    """
    field = find(work, name)
    if field.attribute.type == "choice":
        raise Invalid("features.not_a_number", name=name)
    known = bitmaps.sliced.known(work.bitmaps, f"feature:{field.since or name}")
    asked = known if members is None else known & members
    if field.since is not None:
        found, kept, _ = _since_values(work, field, asked)
        return found, kept
    found = bitmaps.unpack(asked)
    return found, bitmaps.sliced.values(work.bitmaps, field.attribute.key, found)[0]


def has(work: Work, field: Field) -> BitMap:
    """The contacts that have a value; not to be changed."""
    if field.attribute.type == "choice":
        keys = work.bitmaps.keys(f"{field.attribute.key}=")
        return BitMap.union(*(work.bitmaps.read(key) for key in keys)) if keys else BitMap()
    return bitmaps.sliced.known(work.bitmaps, f"feature:{field.since or field.attribute.name}")


def distribution(
    work: Work, name: str, *, percentiles: Sequence[int] = PERCENTILES, within: BitMap | None = None
) -> Distribution:
    """How a field is spread; the p-th percentile is the least value that at least p of a hundred do not exceed.

    Raises NotFound; Invalid for a percentile that is none.
    """
    if not all(0 < one <= 100 for one in percentiles):
        raise Invalid("features.bad_percentile")
    field = find(work, name)
    if field.attribute.type == "choice":
        sets = {one: work.bitmaps.read(f"{field.attribute.key}={one}") for one in field.attribute.choices}
        sizes = {
            one: len(some) if within is None else some.intersection_cardinality(within) for one, some in sets.items()
        }
        return Distribution(name, sum(sizes.values()), choices=sizes)
    _, values = numbers(work, name, within)
    if not len(values):
        return Distribution(name, 0)
    ranks = [-(-len(values) * one // 100) - 1 for one in percentiles]
    chosen = np.partition(values, ranks)[ranks]
    shown = {one: _shown(field, value) for one, value in zip(percentiles, chosen.tolist(), strict=True)}
    mean = float(values.mean()) / 10**field.attribute.scale if field.attribute.type == "number" else None
    least, most = (_shown(field, int(edge)) for edge in (values.min(), values.max()))
    return Distribution(name, len(values), least, most, mean, shown)


def as_of(work: Work, field: Field) -> int | None:
    """The day for which a field was computed, None before."""
    run = store.last_run(work, field.definition.name)
    return None if run is None else run.as_of


def _shown(field: Field, value: int) -> Any:
    if field.attribute.type == "date":
        return day_of(value)
    return Decimal(value).scaleb(-field.attribute.scale) if field.attribute.scale else value


def _since(made: Node, key: str, day: int | None) -> Node:
    """Comparisons of days since, as comparisons of the days: since <= n is day >= today - n."""
    match made:
        case algebra.Compared(op=op, value=value):
            if day is None:
                return algebra.NOBODY
            return algebra.Compared(key, cast(Comparison, _TURNED[op]), day - value)
        case algebra.Known():
            return algebra.Known(key)
        case algebra.AllOf(parts):
            return algebra.AllOf(tuple(_since(part, key, day) for part in parts))
        case algebra.AnyOf(parts):
            return algebra.AnyOf(tuple(_since(part, key, day) for part in parts))
        case algebra.Except(part):
            return algebra.Except(_since(part, key, day))
    raise TypeError(type(made).__name__)


def _since_values(
    work: Work, field: Field, asked: BitMap
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_]]:  # fmt: skip
    found = bitmaps.unpack(asked)
    day = as_of(work, field)
    kept, there = bitmaps.sliced.values(work.bitmaps, f"feature:{field.since}", found)
    return found, (day or 0) - kept, there if day is not None else np.zeros_like(there)
