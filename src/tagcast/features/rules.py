"""What a feature may be and which fields it gives. Pure.

A definition is data: which events, what is measured of them, in which window, under which conditions. Its fields are
described as attributes are; a segment uses them under their names.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal, get_args

from tagcast.behaviour import Where
from tagcast.contacts import Attribute
from tagcast.features.scoring import CLASS_NAMES, Thresholds
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

Kind = Literal["rfm", "measure", "age", "lifetime"]
Measure = Literal[
    "count", "days", "sum", "average", "least", "most", "first", "last", "recency", "tenure", "gap"
]  # fmt: skip
Method = Literal["quantiles", "thresholds", "decay"]
Schedule = Literal["daily", "weekly", "asked"]
LAYERS: Final = ("basic", "behaviour", "value", "social", "custom")
DAYS_OF: Final[Mapping[str, int]] = {"daily": 1, "weekly": 7}
DECAY_SCALE: Final = 4
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_PURPOSE = "layers of customers"


@dataclass(frozen=True, slots=True)
class Definition:
    """One feature, or one model with several fields. What its kind does not use keeps its default.

    `window_days`: the last so many days, the day of computation included; None: all time. `recency_events` of an RFM
    model count for recency beside `events`. `discount_percent` is a month's (30 days).
    """

    name: str
    kind: Kind
    events: tuple[str, ...] = ()
    label_zh: str = ""
    label_en: str = ""
    layer: str = "custom"
    schedule: Schedule = "daily"
    window_days: int | None = None
    measure: Measure = "count"
    where: tuple[Where, ...] = ()
    recency_events: tuple[str, ...] = ()
    method: Method = "quantiles"
    parts: int = 5
    thresholds: Thresholds | None = None
    half_life_days: float | None = None
    attribute: str = ""
    borders: tuple[int, ...] = ()
    horizon_days: int = 365
    discount_percent: float = 1.0
    version: int = field(default=1, compare=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every type of event that it is computed from."""
        return tuple(dict.fromkeys((*self.events, *self.recency_events)))

    @property
    def scale(self) -> int:
        """Decimals of an RFM model's frequency."""
        return DECAY_SCALE if self.method == "decay" else 0


@dataclass(frozen=True, slots=True)
class Field:
    """One value a contact. `since` names the field of days from which it is counted to the day of computation."""

    attribute: Attribute
    definition: Definition
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what can be defined."""

    definitions: int
    events: int
    conditions: int
    window_days: int
    fewest_repeaters: int
    fewest_customers: int


@cache
def limits() -> Limits:
    """As limits.toml states them."""
    return Limits(**read_toml("features", "limits.toml"))


def as_data(definition: Definition) -> dict[str, Any]:
    """A definition as JSON can hold it, without what stands at its default; `parse` reads it back."""
    empty = Definition("", definition.kind)
    found: dict[str, Any] = {}
    for one in fields(Definition):
        value = getattr(definition, one.name)
        if one.name in {"name", "version"} or (value == getattr(empty, one.name) and one.name != "kind"):
            continue
        if isinstance(value, Thresholds):
            value = {part.name: list(getattr(value, part.name)) for part in fields(Thresholds)}
        if one.name == "where":
            value = [{"name": part.name, "op": part.op, "value": part.value} for part in value]
        found[one.name] = list(value) if isinstance(value, tuple) else value
    return found


def parse(name: str, data: Mapping[str, Any], *, version: int = 1) -> Definition:
    """The definition that `data` describes, checked. Raises Invalid naming the field and what may stand there."""
    given = {key: value for key, value in data.items() if value is not None}
    for key, value in given.items():
        if key not in _SHAPES:
            raise _bad(name, key, ", ".join(_SHAPES))
        if not _SHAPES[key](value):
            raise _bad(name, key, _SAID.get(key, "text"))
    for key in ("events", "recency_events", "borders"):
        given[key] = tuple(given.get(key, ()))
    given["where"] = tuple(
        Where(part["name"], part["op"], tuple(value) if isinstance(value := part.get("value"), list) else value)
        for part in given.get("where", ())
    )
    if "thresholds" in given:
        given["thresholds"] = Thresholds(**{key: tuple(map(float, some)) for key, some in given["thresholds"].items()})
    definition = Definition(name, given.pop("kind", "measure"), version=version, **given)
    check(definition)
    return definition


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 80 and value.isprintable()


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))


def _many(one: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(one(part) for part in value)


def _conditional(value: object) -> bool:
    """A condition: the operation must be known and its value of the shape that it wants."""
    if not isinstance(value, Mapping) or set(value) - {"name", "op", "value"} or not _text(value.get("name")):
        return False
    op, wanted = value.get("op"), value.get("value")
    if op in {"known", "unknown"}:
        return wanted is None
    if op in {"in", "between"}:
        size = len(wanted) if isinstance(wanted, list | tuple) else 0
        return _many(_plain)(wanted) and (size == 2 if op == "between" else size > 0)
    return op in WHERE_OPS and _plain(wanted)


def _plain(value: object) -> bool:
    return _text(value) or _number(value) or isinstance(value, bool)


def _bordered(value: object) -> bool:
    names = {one.name for one in fields(Thresholds)}
    return isinstance(value, Mapping) and set(value) == names and all(_many(_number)(one) for one in value.values())


WHERE_OPS: Final = ("is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown")
_SHAPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "kind": _text,
    "events": _many(_text),
    "label_zh": _text,
    "label_en": _text,
    "layer": _text,
    "schedule": _text,
    "window_days": _whole,
    "measure": _text,
    "where": _many(_conditional),
    "recency_events": _many(_text),
    "method": _text,
    "parts": _whole,
    "thresholds": _bordered,
    "half_life_days": _number,
    "attribute": _text,
    "borders": _many(_whole),
    "horizon_days": _whole,
    "discount_percent": _number,
}
_SAID: Final[Mapping[str, str]] = {
    "events": '["purchase", …]',
    "recency_events": '["view", …]',
    "where": '[{"name": "category", "op": "is", "value": "…"}], op: ' + ", ".join(WHERE_OPS),
    "thresholds": '{"recency": […], "frequency": […], "monetary": […]}',
    "borders": "[18, 25, …]",
    "window_days": "1, 2, …",
    "parts": "3, 4, 5",
    "half_life_days": "1 – 3650",
    "horizon_days": "1, 2, …",
    "discount_percent": "0 – 99",
}


def with_events(definition: Definition, events: tuple[str, ...]) -> Definition:
    """The same of other types of event."""
    return replace(definition, events=events)


def check(definition: Definition) -> None:
    """Raises Invalid unless everything fits together."""
    name = definition.name
    if len(name) > 40 or not _NAME.fullmatch(name):
        raise Invalid("features.bad_name", name=name)
    for key, allowed in (
        ("kind", get_args(Kind)),
        ("measure", get_args(Measure)),
        ("method", get_args(Method)),
        ("schedule", get_args(Schedule)),
        ("layer", LAYERS),
    ):
        if getattr(definition, key) not in allowed:
            raise _bad(name, key, ", ".join(allowed))
    most = limits()
    if definition.window_days is not None and not 1 <= definition.window_days <= most.window_days:
        raise _bad(name, "window_days", f"1 – {most.window_days}")
    if len(definition.where) > most.conditions or (definition.where and definition.kind != "measure"):
        raise _bad(name, "where", f"measure, ≤ {most.conditions}")
    if definition.kind == "age":
        _check_age(definition)
    elif not 1 <= len(definition.inputs) <= most.events or not definition.events:
        raise _bad(name, "events", f"1 – {most.events}")
    if definition.kind == "rfm":
        _check_rfm(definition)
    if definition.kind == "lifetime" and len(definition.inputs) != 1:
        raise _bad(name, "events", "1")
    if definition.kind == "lifetime" and not (
        1 <= definition.horizon_days <= most.window_days and 0 <= definition.discount_percent < 100
    ):
        raise _bad(name, "horizon_days / discount_percent", f"1 – {most.window_days} / 0 – 99")


def _check_rfm(definition: Definition) -> None:
    """Raises Invalid unless method, parts, thresholds and half-life agree."""
    if definition.parts not in (3, 4, 5):
        raise _bad(definition.name, "parts", "3, 4, 5")
    if (definition.method == "thresholds") != (definition.thresholds is not None):
        raise _bad(definition.name, "thresholds", "method = thresholds")
    half = definition.half_life_days
    if (definition.method == "decay") != (half is not None) or (half is not None and not 1 <= half <= 3650):
        raise _bad(definition.name, "half_life_days", "method = decay, 1 – 3650")
    if definition.thresholds is not None:
        _check_thresholds(definition.thresholds, definition.parts)


def _check_thresholds(thresholds: Thresholds, parts: int) -> None:
    for name, borders, sign in (
        ("recency", thresholds.recency, -1),
        ("frequency", thresholds.frequency, 1),
        ("monetary", thresholds.monetary, 1),
    ):
        ordered = sorted(borders, key=lambda border: sign * border) == list(borders)
        if len(borders) != parts - 1 or not ordered or not all(math.isfinite(border) for border in borders):
            raise Invalid("features.bad_thresholds", name=name, count=parts - 1)


def _check_age(definition: Definition) -> None:
    borders = definition.borders
    if not definition.attribute:
        raise _bad(definition.name, "attribute", "birthday …")
    if not borders or list(borders) != sorted(set(borders)) or not 0 < borders[0] <= borders[-1] < 150:
        raise _bad(definition.name, "borders", "18, 25, 35 …")


def _bad(name: str, part: str, allowed: str) -> Invalid:
    return Invalid("features.bad_definition", name=name, part=part, allowed=allowed)


def fields_of(definition: Definition) -> dict[str, Field]:
    """The fields that a definition gives, by name."""
    match definition.kind:
        case "rfm":
            made = _rfm_fields(definition)
        case "measure":
            made = _measure_fields(definition)
        case "age":
            labels = age_bands(definition.borders)
            band = _described(definition, ".band", "年龄段", "age band")
            made = [
                _field(definition, "", "年龄", "age"),
                Field(replace(band, type="choice", choices=labels), definition),
            ]
        case "lifetime":
            made = [
                _field(definition, "", "生命周期价值", "lifetime value", 2),
                _field(definition, ".purchases", "预期购买次数", "expected purchases", 3),
                _field(definition, ".alive", "活跃概率 %", "probability of being alive, %", 1),
            ]
    return {one.attribute.name: one for one in made}


def age_bands(borders: tuple[int, ...]) -> tuple[str, ...]:
    """What the bands are called: `0-17`, `18-24` …, `65+`."""
    inner = [f"{low}-{high - 1}" for low, high in pairwise(borders)]
    return (f"0-{borders[0] - 1}", *inner, f"{borders[-1]}+")


def _rfm_fields(definition: Definition) -> list[Field]:
    cls = _described(definition, ".class", "分层", "class")
    return [
        Field(replace(_described(definition, ".last_day", "最近一次日期", "last day"), type="date"), definition),
        _field(definition, ".recency", "最近一次距今天数", "days since the last", since=".last_day"),
        _field(definition, ".frequency", "次数", "number of events", definition.scale),
        _field(definition, ".monetary", "总额", "total amount", 2),
        _field(definition, ".r", "R 分", "recency score"),
        _field(definition, ".f", "F 分", "frequency score"),
        _field(definition, ".m", "M 分", "monetary score"),
        Field(replace(cls, type="choice", choices=CLASS_NAMES), definition),
    ]


_DATES: Final[Mapping[str, str]] = {"recency": "last", "tenure": "first"}
_MEASURE_SCALES: Final[Mapping[str, int]] = {"sum": 2, "average": 2, "least": 2, "most": 2, "gap": 1}


def _measure_fields(definition: Definition) -> list[Field]:
    measure = definition.measure
    if measure in {"first", "last"}:
        return [Field(replace(_described(definition, "", "", ""), type="date"), definition)]
    if measure in _DATES:
        day = replace(_described(definition, ".day", "日期", "day"), type="date")
        return [Field(day, definition), _field(definition, "", "", "", since=".day")]
    return [_field(definition, "", "", "", _MEASURE_SCALES.get(measure, 0))]


def _field(
    definition: Definition, suffix: str, zh: str, en: str, scale: int = 0, *, since: str | None = None
) -> Field:  # fmt: skip
    base = definition.name + since if since is not None else None
    return Field(replace(_described(definition, suffix, zh, en), scale=scale), definition, base)


def _described(definition: Definition, suffix: str, zh: str, en: str) -> Attribute:
    zh = " ".join(part for part in (definition.label_zh, zh) if part) or definition.name + suffix
    en = " ".join(part for part in (definition.label_en, en) if part) or definition.name + suffix
    return Attribute(definition.name + suffix, "number", _PURPOSE, 0, zh, en, family="feature")


STANDARD_RFM: Final = Definition(
    "rfm", "rfm", ("purchase",), label_zh="RFM", label_en="RFM", layer="value", schedule="asked"
)
"""The RFM model that every workspace has without asking; defining `rfm` replaces it."""
