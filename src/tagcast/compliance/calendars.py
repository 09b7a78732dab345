"""Whose calendar and whose clock count: the account's, or that of each person who has a zone of his own."""

from dataclasses import dataclass
from typing import Literal, cast

from pyroaring import BitMap

from tagcast import contacts
from tagcast.compliance import days, store
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

Whose = Literal["account", "person"]
Groups = list[tuple[str, BitMap | None]]
"""(zone, who lives by it), the last of them everybody else (None)."""
NAME = "zones"


@dataclass(frozen=True, slots=True)
class Zones:
    """Whose days count, and the choice attribute that holds a person's IANA zone.

    `strange`: values of it that are no zone, with how many have them; for these, and for who has none, the workspace's
    zone counts.
    """

    whose: Whose
    attribute: str | None
    strange: dict[str, int]


def zones(work: Work) -> Zones:
    """What is set; unless it is, days are the account's."""
    found = store.setting(work, NAME)
    if found is None:
        return Zones("account", None, {})
    attribute = found.value["attribute"]
    values = contacts.choices(work, attribute) if attribute else {}
    strange = {value: count for value, count in values.items() if not days.is_zone(value)}
    return Zones(cast("Whose", found.value["whose"]), attribute, strange)


def set_zones(work: Work, whose: Whose, attribute: str | None = None, *, why: str = "") -> Zones:
    """Count days by the account or by the person. What was sent stays counted at its moment, in whatever zone.

    Raises Invalid for a person's zone without a choice attribute that holds it, NotFound for an undeclared one.
    """
    if whose == "person" and not attribute:
        raise Invalid("compliance.no_zone_attribute")
    if attribute and (declared := contacts.find_attribute(work, attribute)).type != "choice":
        raise Invalid("compliance.bad_attribute", name=attribute, type=declared.type, needed="choice")
    store.put_setting(work, NAME, {"whose": whose, "attribute": attribute}, why)
    return zones(work)


def by_zone(work: Work, zone: str) -> Groups:
    """(zone, who lives by it): everybody (None) by `zone`; else each person by his own, in one group a zone.

    The last group is None: who is in no group before it, by the workspace's zone.
    """
    found = store.setting(work, NAME)
    if found is None or found.value["whose"] != "person":
        return [(zone, None)]
    attribute = found.value["attribute"]
    groups: Groups = [
        (value, work.bitmaps.read(f"attribute:{attribute}={value}"))
        for value in contacts.choices(work, attribute)
        if days.is_zone(value)
    ]
    return [*groups, (work.zone, None)]


def split(groups: Groups, who: BitMap) -> list[tuple[str, BitMap]]:
    """The people of each zone among `who`."""
    left, found = who, []
    for zone, members in groups:
        here = left if members is None else left & members
        if here:
            found.append((zone, here))
            left = left - here
    return found
