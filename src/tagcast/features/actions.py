"""Use cases of features."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import behaviour, bitmaps, contacts
from tagcast.bitmaps.algebra import Evaluation, Node
from tagcast.contacts import Attribute
from tagcast.features import rules, store
from tagcast.features.rules import CLASSES, FIELDS, Rfm, Thresholds
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class RfmTable:
    """How many contacts lie in each class and each cell: `grid[r - 1][f - 1]`. `details` says how it was computed."""

    contacts: int
    classes: dict[str, int]
    grid: list[list[int]]
    details: dict[str, Any]
    computed_ms: int


@dataclass(frozen=True, slots=True)
class ClvSummary:
    """One row a contact, ascending; days, and amounts in currency units.

    frequency = distinct days − 1, recency = last day − first day, age = as-of day − first day ("T"), monetary = mean
    total of the days after the first, 0 when there are none (Fader, Hardie and Lee, 2005).
    """

    contact: NDArray[np.uint32]
    frequency: NDArray[np.int64]
    recency: NDArray[np.int64]
    age: NDArray[np.int64]
    monetary: NDArray[np.float64]


def compute_rfm(
    work: Work,
    *,
    as_of: date,
    event: str = "purchase",
    thresholds: Thresholds | None = None,
    zone: str = "Asia/Shanghai",
) -> RfmTable:
    """Compute RFM of everyone who ever did `event` up to `as_of`, and keep it as sets in place of what was there.

    Scores run from 1 to 5 (best): quintiles, ties going to the lower contact number first, or by `thresholds`.
    Raises NotFound for the event type, Invalid for thresholds out of order.
    """
    found = behaviour.aggregates(work, event, until=as_of, zone=zone)
    recency = (as_of - _EPOCH).days - found.last_day.astype(np.int64)
    scored = rules.score(found.contact, recency, found.count.astype(np.int64), found.sum, thresholds)
    _keep(work, scored, f"rfm as of {as_of}")
    method = "quintile" if thresholds is None else "thresholds"
    means = {name: float(values.mean()) if len(values) else 0.0 for name, values in _scores(scored).items()}
    details = {"event": event, "as_of": as_of.isoformat(), "method": method, "means": means}
    store.put_run(work, "rfm", details)
    return table(work)


def table(work: Work) -> RfmTable:
    """The sizes of the RFM classes and of the 5 × 5 grid of R and F. Raises NotFound before the first computation."""
    run = store.last_run(work, "rfm")
    if run is None:
        raise NotFound("features.not_computed", name="rfm")
    members = bitmaps.sliced.known(work.bitmaps, "feature:rfm.r")
    numbers = bitmaps.unpack(members)
    r, _ = bitmaps.sliced.values(work.bitmaps, "feature:rfm.r", numbers)
    f, _ = bitmaps.sliced.values(work.bitmaps, "feature:rfm.f", numbers)
    cells = np.bincount((r - 1) * rules.SCORES + f - 1, minlength=rules.SCORES**2)
    classes = {name: work.bitmaps.count(f"feature:rfm.class={name}") for name in CLASSES.values()}
    return RfmTable(len(members), classes, cells.reshape(rules.SCORES, rules.SCORES).tolist(), *run)


def clv_summary(work: Work, *, as_of: date, event: str = "purchase", zone: str = "Asia/Shanghai") -> ClvSummary:
    """What lifetime models need, from whole days. Raises NotFound for the event type."""
    found = behaviour.aggregates(work, event, until=as_of, zone=zone)
    frequency = found.days.astype(np.int64) - 1
    first, last = found.first_day.astype(np.int64), found.last_day.astype(np.int64)
    repeated = (found.sum - found.first_sum) / 100
    monetary = np.divide(repeated, frequency, out=np.zeros(len(found)), where=frequency > 0)
    return ClvSummary(found.contact, frequency, last - first, (as_of - _EPOCH).days - first, monetary)


def names(_work: Work) -> dict[str, Attribute]:
    """The features that can be selected, described as attributes are."""
    return dict(FIELDS)


def node(work: Work, name: str, op: str, value: object = None) -> Node:
    """The contacts whose feature stands in a relation to a value, as for attributes. Raises NotFound, Invalid."""
    return contacts.node(work, _find(name), op, value)  # type: ignore[arg-type]  # checked there, with a sentence


def select(work: Work, name: str, op: str, value: object = None) -> BitMap:
    """The members of `node`."""
    return Evaluation(work.bitmaps, contacts.EVERYONE).members(node(work, name, op, value))


def values_of(work: Work, name: str, numbers: Iterable[int]) -> dict[int, Any]:
    """The values of those contacts that have one. Raises NotFound."""
    return contacts.values_of_field(work, _find(name), numbers)


def _find(name: str) -> Attribute:
    if name not in FIELDS:
        raise NotFound("features.no_feature", name=name, known=", ".join(FIELDS))
    return FIELDS[name]


def _scores(scored: Rfm) -> dict[str, NDArray[np.int64]]:
    return {"r": scored.r, "f": scored.f, "m": scored.m}


def _keep(work: Work, scored: Rfm, why: str) -> None:
    everyone = bitmaps.pack(scored.contact)
    amounts = {"recency": scored.recency, "frequency": scored.frequency, "monetary": scored.monetary}
    for name, values in (amounts | _scores(scored)).items():
        key = f"feature:rfm.{name}"
        gone = bitmaps.sliced.known(work.bitmaps, key) - everyone
        if gone:
            bitmaps.sliced.clear(work.bitmaps, key, gone, why=why)
        bitmaps.sliced.set_values(work.bitmaps, key, scored.contact, values, why=why)
    for name in CLASSES.values():
        members = bitmaps.pack(scored.contact[scored.class_names == name])
        work.bitmaps.replace(f"feature:rfm.class={name}", members, why=why)
