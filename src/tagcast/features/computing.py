"""Features computed: from a definition and the events to columns that can be written. Nothing is changed here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import behaviour, bitmaps, contacts, statistics
from tagcast.contacts import Attribute
from tagcast.features import measures, rules, scoring, store
from tagcast.features.keeping import Column
from tagcast.features.measures import Asked, Progress, nothing
from tagcast.features.rules import Definition
from tagcast.features.scoring import Amounts, Scores
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Work
from tagcast.statistics import NotFitted

_BATCHES = 200
_ROWS = 1_000_000
_MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Computed:
    """What is to be written: columns, and of which definition, day and newest batch they are."""

    definition: Definition
    as_of: int
    seq: int
    columns: list[Column]
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClvSummary:
    """One row a contact, ascending; days, and amounts in currency units.

    frequency = distinct days - 1, recency = last day - first day, age = as-of day - first day ("T"), monetary = mean
    total of the days after the first, 0 when there are none (Fader, Hardie and Lee, 2005).
    """

    contact: NDArray[np.uint32]
    frequency: NDArray[np.int64]
    recency: NDArray[np.int64]
    age: NDArray[np.int64]
    monetary: NDArray[np.float64]


def compute(
    work: Work, definition: Definition, as_of: date, *, full: bool = False, progress: Progress = nothing
) -> Computed:
    """Compute a feature as of a day. Unless `full`, only contacts are concerned whose events or window have moved.

    Raises NotFound for a type of event or an attribute, Refused when there is too little to fit a model to.
    """
    day = measures.day_number(as_of)
    concerned = None if full else _concerned(work, definition, day)
    seq = behaviour.last_seq(work)
    made = _KINDS[definition.kind](work, definition, day, concerned, progress)
    made.details.update(
        as_of=as_of.isoformat(),
        zone=work.zone,
        events=list(definition.inputs),
        concerned=None if concerned is None else len(concerned),
        epochs=_epochs(work, definition),
    )
    return replace(made, seq=seq)


def scored(
    work: Work, definition: Definition, day: int, progress: Progress = nothing
) -> tuple[Amounts, Scores]:  # fmt: skip
    """What an RFM model says as of a day since 1970-01-01: of everyone who did any of its events until then."""
    counted = _asked(definition, day)
    found = measures.totals(work, counted, progress, fields=("last_day", "count", "sum"))
    # Recency looks at all time and at more events; who did nothing else has no frequency and no money.
    if definition.recency_events or not counted.kept:
        seen = measures.totals(work, Asked(definition.inputs, day), fields=("last_day",))
        at = np.searchsorted(seen.contact, found.contact)
        count, money = (np.zeros(len(seen.contact), dtype=one.dtype) for one in (found.count, found.sum))
        count[at], money[at] = found.count, found.sum
        found = replace(seen, count=count, sum=money)
    frequency, money = found.count, found.sum
    if definition.scale:
        frequency, money = np.rint(frequency * 10**definition.scale), np.rint(money)
        frequency, money = frequency.astype(np.int64), money.astype(np.int64)
    amounts = Amounts(found.contact, found.last_day, frequency, money)
    return amounts, scoring.score(
        amounts, as_of=day, parts=definition.parts, thresholds=definition.thresholds, scale=definition.scale
    )


def clv_summary(
    work: Work, *, as_of: date, event: str = "purchase", zone: str | None = None
) -> ClvSummary:  # fmt: skip
    """What lifetime models need, from whole days. Raises NotFound for the event type."""
    fields = ("first_day", "last_day", "days", "sum", "first_sum")
    found = behaviour.aggregates(work, event, until=as_of, zone=zone or work.zone, fields=fields)
    frequency = found.days.astype(np.int64) - 1
    first, last = found.first_day.astype(np.int64), found.last_day.astype(np.int64)
    # Who did it on one day only has nothing left to divide.
    monetary = (found.sum - found.first_sum) / (np.maximum(frequency, 1) * 100)
    return ClvSummary(found.contact, frequency, last - first, measures.day_number(as_of) - first, monetary)


def _asked(definition: Definition, day: int) -> Asked:
    first = None if definition.window_days is None else day - definition.window_days + 1
    return Asked(definition.events, day, first, definition.where, definition.half_life_days)


def _concerned(work: Work, definition: Definition, day: int) -> BitMap | None:
    """The contacts with events since the last computation, and those with events on days that came or went with it."""
    run = store.last_run(work, definition.name)
    if (
        run is None
        or definition.half_life_days is not None
        or definition.kind in {"age", "lifetime"}
        or (run.version, run.details.get("zone")) != (definition.version, work.zone)
        or run.details.get("epochs") != _epochs(work, definition)
        or run.as_of > day
    ):
        return None
    inputs = set(definition.inputs)
    found, seq = BitMap(), run.seq
    while batches := behaviour.recorded_since(work, seq, _BATCHES):
        for batch in batches:
            if batch.type in inputs:
                found |= batch.contacts
        seq = batches[-1].seq
    spans = [(run.as_of + 1, day)]
    if definition.window_days is not None:
        spans.append((run.as_of - definition.window_days + 1, day - definition.window_days))
    for first, last in spans:
        if first <= last:
            ends = measures.day_of(first), measures.day_of(last)
            found = BitMap.union(found, *(behaviour.between(work, name, *ends) for name in inputs))
    return found


def _epochs(work: Work, definition: Definition) -> dict[str, int]:
    """How often each type of event was rebuilt: after that nothing is known to stand still."""
    return {name: behaviour.find_type(work, name).epoch for name in definition.inputs}


def _rfm(work: Work, definition: Definition, day: int, concerned: BitMap | None, progress: Progress) -> Computed:
    fields = {name.removeprefix(definition.name): one.attribute for name, one in rules.fields_of(definition).items()}
    amounts, scores = scored(work, definition, day, progress)

    def column(suffix: str, values: NDArray[Any], among: BitMap | None = None) -> Column:
        return Column(fields[suffix], amounts.contact, values, among)

    columns = [
        column(".last_day", amounts.last_day, concerned),
        column(".frequency", amounts.frequency, concerned),
        column(".monetary", amounts.monetary, concerned),
        # Borders move with everybody: a score can change though nothing happened to its contact.
        column(".r", scores.r),
        column(".f", scores.f),
        column(".m", scores.m),
        column(".class", scores.cls),
    ]
    means = {name: _mean(values) for name, values in (("r", scores.r), ("f", scores.f), ("m", scores.m))}
    details = {"event": definition.events[0], "method": definition.method, "means": means}
    return Computed(definition, day, 0, columns, details | {"contacts": len(amounts.contact)})


def _measure(work: Work, definition: Definition, day: int, concerned: BitMap | None, progress: Progress) -> Computed:
    field = next(iter(rules.fields_of(definition).values())).attribute
    asked = replace(_asked(definition, day), only=concerned)
    contact, values = _MEASURES[definition.measure](work, asked, progress)
    column = Column(field, contact, values, concerned)
    return Computed(definition, day, 0, [column], {"method": definition.measure})


def _days(work: Work, asked: Asked, _progress: Progress) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    return measures.distinct_days(work, asked)


def _gap(work: Work, asked: Asked, progress: Progress) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Tenths of days between one day with such an event and the next, on average; who has two such days."""
    contact, days = measures.distinct_days(work, asked)
    found = measures.totals(work, asked, progress)
    assert len(contact) == len(found.contact)
    often = days > 1
    span = (found.last_day - found.first_day)[often].astype(np.int64)
    return contact[often], np.rint(10 * span / (days[often] - 1)).astype(np.int64)


def _of_totals(
    pick: Callable[[measures.Totals], NDArray[Any]], *fields: str
) -> Callable[[Work, Asked, Progress], tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    def measure(work: Work, asked: Asked, progress: Progress) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        found = measures.totals(work, asked, progress, fields=fields)
        return found.contact, pick(found)

    return measure


def _extreme(
    at: int,
) -> Callable[[Work, Asked, Progress], tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    def measure(work: Work, asked: Asked, progress: Progress) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        contact, *edges = measures.extremes(work, asked, progress)
        return contact, edges[at]

    return measure


_MEASURES: dict[str, Callable[[Work, Asked, Progress], tuple[NDArray[np.uint32], NDArray[np.int64]]]] = {
    "count": _of_totals(lambda found: found.count, "count"),
    "days": _days,
    "sum": _of_totals(lambda found: found.sum, "sum"),
    "average": _of_totals(lambda found: np.rint(found.sum / found.count).astype(np.int64), "count", "sum"),
    "least": _extreme(0),
    "most": _extreme(1),
    "first": _of_totals(lambda found: found.first_day, "first_day"),
    "tenure": _of_totals(lambda found: found.first_day, "first_day"),
    "last": _of_totals(lambda found: found.last_day, "last_day"),
    "recency": _of_totals(lambda found: found.last_day, "last_day"),
    "gap": _gap,
}


def _age(work: Work, definition: Definition, day: int, _concerned: BitMap | None, _progress: Progress) -> Computed:
    attribute = contacts.find_attribute(work, definition.attribute)
    if attribute.type != "date":
        raise Invalid("features.no_birth_date", name=attribute.name, type=attribute.type)
    contact = bitmaps.unpack(bitmaps.sliced.known(work.bitmaps, attribute.key))
    born, _ = bitmaps.sliced.values(work.bitmaps, attribute.key, contact)
    age = ages(born, day)
    likely = (age >= 0) & (age < 150)
    contact, age = contact[likely], age[likely]
    band = np.searchsorted(np.array(definition.borders), age, side="right").astype(np.uint8)
    number, bands = (one.attribute for one in rules.fields_of(definition).values())
    columns = [Column(number, contact, age), Column(bands, contact, band)]
    return Computed(definition, day, 0, columns, {"method": "age", "attribute": attribute.name})


def ages(born: NDArray[np.int64], day: int) -> NDArray[np.int64]:
    """Full years at a day; who was born on 29 February has their birthday on the 28th where there is no 29th."""
    months = born.astype("datetime64[D]").astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(np.int64)
    month = months.astype(np.int64) - years * 12 + 1
    dom = born - months.astype("datetime64[D]").astype(np.int64) + 1
    today = measures.day_of(day)
    if not (today.year % 4 == 0 and (today.year % 100 != 0 or today.year % 400 == 0)):
        dom = np.where((month == 2) & (dom == 29), 28, dom)
    before = (month * 32 + dom) > today.month * 32 + today.day
    return np.asarray(today.year - 1970 - years - before)


def _lifetime(work: Work, definition: Definition, day: int, _c: BitMap | None, progress: Progress) -> Computed:
    found = clv_summary(work, as_of=measures.day_of(day), event=definition.events[0])
    paid = (found.frequency > 0) & (found.monetary > 0)
    limits = rules.limits()
    if len(found.contact) < limits.fewest_customers or int(paid.sum()) < limits.fewest_repeaters:
        raise Refused(
            "features.too_little_data",
            customers=len(found.contact),
            repeaters=int(paid.sum()),
            fewest_customers=limits.fewest_customers,
            fewest_repeaters=limits.fewest_repeaters,
        )
    try:
        buying = statistics.fit_bgnbd(found.frequency, found.recency, found.age)
        progress(1, 3)
        spend = statistics.fit_gamma_gamma(found.frequency[paid], found.monetary[paid])
        progress(2, 3)
    except NotFitted as error:
        raise Refused("features.not_fitted", name=definition.name, reason=str(error)) from None
    # Same histories have the same answers, and each answer is dear.
    rows, back = np.unique(np.column_stack([found.frequency, found.recency, found.age]), axis=0, return_inverse=True)
    parts = [_expected(definition, buying, rows[at : at + _ROWS]) for at in range(0, len(rows), _ROWS)]
    purchases, discounted, alive = (np.concatenate(some)[back] for some in zip(*parts, strict=True))
    worth = spend.expected_average(found.frequency, np.maximum(found.monetary, 0))
    progress(3, 3)
    fields = [one.attribute for one in rules.fields_of(definition).values()]
    values = (worth * discounted * 100, purchases * 1000, alive * 1000)
    columns = [_rounded(field, found.contact, some) for field, some in zip(fields, values, strict=True)]
    fitted = {
        "r": buying.r,
        "alpha": buying.alpha,
        "a": buying.a,
        "b": buying.b,
        "p": spend.p,
        "q": spend.q,
        "v": spend.v,
    }
    details = {"method": "BG/NBD, gamma-gamma", "parameters": fitted, "horizon_days": definition.horizon_days}
    return Computed(definition, day, 0, columns, details | {"contacts": len(found.contact)})


def _expected(
    definition: Definition, buying: statistics.BgNbd, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(purchases in the horizon, the same discounted by the month, probability of being alive) of some histories."""
    history = rows[:, 0], rows[:, 1], rows[:, 2]
    discount = definition.discount_percent / 100
    bought, discounted = statistics.purchases(
        buying, history, definition.horizon_days, period=_MONTH_DAYS, discount=discount
    )
    return bought, discounted, buying.alive(*history)


def _rounded(attribute: Attribute, contact: NDArray[np.uint32], values: NDArray[np.float64]) -> Column:
    return Column(attribute, contact, np.rint(values).astype(np.int64))


def _mean(values: NDArray[np.uint8]) -> float:
    return float(values.mean()) if len(values) else 0.0


_KINDS: dict[str, Callable[[Work, Definition, int, BitMap | None, Progress], Computed]] = {
    "rfm": _rfm,
    "measure": _measure,
    "age": _age,
    "lifetime": _lifetime,
}
