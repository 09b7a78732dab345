"""The section `variants` of a broadcast's settings: its other contents, and how it is decided who gets which."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from tagcast import audiences
from tagcast.accounts import Account
from tagcast.audiences import live
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.rules import route
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.variants import rules
from tagcast.broadcasts.variants.rules import BANDIT, CONVERTED, SEGMENTS, WEIGHTS
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Work

NAME = "variants"
_FIELDS = {"base", "weight", "items", "choose", "explore", "measure", "goal", "by", "series"}
_NAME = re.compile(r"[\w][\w .-]*")


@dataclass(frozen=True, slots=True)
class Variant:
    """One content beside the base: `when` for a segment (JSON), or `weight` for an A/B split."""

    name: str
    content: Mapping[str, Any]
    when: Mapping[str, Any] | None
    weight: float


@dataclass(frozen=True, slots=True)
class Section:
    """The section as it is kept. `base` is the name of the broadcast's own content.

    `by`: a dimension whose categories are learnt and split apart; `series`: whose earlier broadcasts are learnt from.
    `goal`: the expression of who did what is wanted, where `measure` is "converted".
    """

    base: str
    weight: float
    items: tuple[Variant, ...]
    choose: str
    explore: float
    measure: str
    goal: Mapping[str, Any] | None
    by: str
    series: str

    @property
    def names(self) -> list[str]:
        """Names of all variants, the base first."""
        return [self.base, *(one.name for one in self.items)]

    def key(self, name: str) -> str:
        """By which a chunk and `contents.contents_of` know a variant: "" is the base. Raises Invalid."""
        if name not in ("", *self.names):
            raise Invalid("broadcasts.unknown_variant", name=name, known=", ".join(self.names))
        return "" if name == self.base else name


def of(broadcast: Broadcast) -> Section | None:
    """The section of a broadcast, or None when it says one thing to all."""
    kept = broadcast.settings.get(NAME)
    if not kept:
        return None
    items = tuple(
        Variant(one["name"], one["content"], one.get("when"), float(one.get("weight", 0.0))) for one in kept["items"]
    )
    return Section(
        base=kept["base"],
        weight=float(kept.get("weight", 0.0)),
        items=items,
        choose=kept["choose"],
        explore=float(kept.get("explore", 0.0)),
        measure=kept["measure"],
        goal=kept.get("goal"),
        by=kept.get("by", ""),
        series=kept.get("series", ""),
    )


def key_of(broadcast: Broadcast, name: str) -> str:
    """As `Section.key`; of a broadcast without variants only "" is known."""
    found = of(broadcast)
    if found is None:
        if name:
            raise Invalid("broadcasts.unknown_variant", name=name, known="-")
        return ""
    return found.key(name)


def name_of(broadcast: Broadcast, key: str) -> str:
    """The name by which people know what a chunk calls `key`."""
    found = of(broadcast)
    return key or (found.base if found else "")


def check(work: Work, account: Account, given: Any) -> dict[str, Any]:
    """The section in its one form. Raises Invalid or NotFound, naming what is wrong."""
    if not isinstance(given, Mapping) or not isinstance(given.get("items"), list) or not given["items"]:
        raise Invalid("broadcasts.bad_variants", field="items")
    for field in given:
        if field not in _FIELDS:
            raise Invalid("broadcasts.bad_variants", field=field)
    choose = given.get("choose", SEGMENTS)
    if choose not in rules.CHOOSE:
        raise Invalid("broadcasts.bad_variants", field="choose")
    base = _name(given.get("base", "A"))
    items = [_item(work, account, one, choose) for one in given["items"]]
    names = [base, *(one["name"] for one in items)]
    if len(set(names)) != len(names):
        raise Invalid("broadcasts.same_variants", names=", ".join(names))
    if len(names) > rules.limits()["most"]:
        raise Invalid("broadcasts.many_variants", count=len(names), limit=rules.limits()["most"])
    kept: dict[str, Any] = {"base": base, "items": items, "choose": choose, **_measure(work, given)}
    if choose == WEIGHTS:
        kept["weight"] = _weight(given.get("weight", 1), "weight")
    elif "weight" in given:
        raise Invalid("broadcasts.bad_variants", field="weight")
    return kept | _learning(work, given, choose)


def _item(work: Work, account: Account, one: Any, choose: str) -> dict[str, Any]:
    needed = {SEGMENTS: "when", WEIGHTS: "weight", rules.BANDIT: ""}[choose]
    if not isinstance(one, Mapping) or not isinstance(one.get("content"), Mapping):
        raise Invalid("broadcasts.bad_variants", field="items.content")
    if odd := set(one) - {"name", "content", needed}:
        raise Invalid("broadcasts.bad_variants", field=f"items.{sorted(odd)[0]}")
    said = contents.parse(one["content"])
    contents.check(work, account, said)
    kept = {"name": _name(one.get("name")), "content": said.to_json()}
    if choose == SEGMENTS:
        return {**kept, "when": _expression(work, one.get("when"), "items.when")}
    return {**kept, "weight": _weight(one.get("weight", 1), "items.weight")} if choose == WEIGHTS else kept


def _name(given: Any) -> str:
    if not isinstance(given, str) or len(given) > rules.limits()["name"] or not _NAME.fullmatch(given):
        raise Invalid("broadcasts.bad_variant_name", name=str(given)[:60], limit=rules.limits()["name"])
    return given


def _weight(given: Any, field: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1000:
        raise Invalid("broadcasts.bad_variants", field=field)
    return float(given)


def _expression(work: Work, given: Any, field: str) -> dict[str, Any]:
    if not isinstance(given, str | Mapping) or not given:
        raise Invalid("broadcasts.bad_variants", field=field)
    expression = audiences.parse(given) if isinstance(given, str) else audiences.from_json(given)
    audiences.count(work, expression)
    return dict(audiences.to_json(live.today(work, expression, live.prove(work, expression))))


def _measure(work: Work, given: Mapping[str, Any]) -> dict[str, Any]:
    measure = given.get("measure", rules.OPENED)
    if measure not in rules.MEASURES:
        raise Invalid("broadcasts.bad_variants", field="measure")
    if (measure == CONVERTED) != ("goal" in given):
        raise Invalid("broadcasts.bad_goal")
    if measure != CONVERTED:
        return {"measure": measure}
    return {"measure": measure, "goal": _expression(work, given["goal"], "goal")}


def _learning(work: Work, given: Mapping[str, Any], choose: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    figures = rules.limits()["bandit"]
    if choose == BANDIT:
        explore = given.get("explore", figures["explore"])
        fits = isinstance(explore, int | float) and not isinstance(explore, bool)
        if not fits or not figures["least"] <= explore <= figures["most"]:
            raise Invalid("broadcasts.bad_explore", least=figures["least"], most=figures["most"])
        kept["explore"] = float(explore)
    elif "explore" in given or "series" in given:
        raise Invalid("broadcasts.bad_variants", field="explore" if "explore" in given else "series")
    if series := given.get("series"):
        if not isinstance(series, str) or len(series) > rules.limits()["name"] * 2:
            raise Invalid("broadcasts.bad_variants", field="series")
        kept["series"] = series.strip()
    if by := given.get("by"):
        if not isinstance(by, str):
            raise Invalid("broadcasts.bad_variants", field="by")
        found = audiences.dimension(work, by, BitMap())
        if len(found.categories) > rules.limits()["groups"]:
            raise Invalid("broadcasts.many_groups", count=len(found.categories), limit=rules.limits()["groups"])
        kept["by"] = by
    return kept


def agree(account: Account, broadcast: Broadcast) -> None:
    """Raises Refused for a variant that would travel otherwise than the base, and for one that cannot be learnt: on a
    route where nobody is told apart who opened it.
    """
    found = of(broadcast)
    if found is None:
        return
    for one in found.items:
        kind = str(one.content["kind"])
        if route(account.kind, kind) is not broadcast.route:
            raise Refused("broadcasts.other_route", name=one.name, kind=kind, base=broadcast.content["kind"])
    if found.choose == BANDIT and found.measure != CONVERTED and not broadcast.route.personal:
        raise Refused("broadcasts.nothing_to_learn", measure=found.measure)
