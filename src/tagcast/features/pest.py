"""PEST: families of attributes and features, how many contacts have them, and how old the values are."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pyroaring import BitMap

from tagcast import contacts
from tagcast.features import layers, store, values
from tagcast.features.rules import Field
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

_DAY_MS = 86_400_000
FAMILIES = ("population", "device", "behaviour", "social")


@dataclass(frozen=True, slots=True)
class Member:
    """An attribute or a feature of a family.

    `coverage`: share of all contacts that have a value. `median_days`: age of the middle value since it last changed,
    for a feature since it was computed; `stale`: share of the values older than `stale_days`; None without a value.
    """

    name: str
    kind: str
    label_zh: str
    label_en: str
    type: str
    source: str
    source_zh: str
    there: bool
    contacts: int
    coverage: float
    median_days: float | None
    stale: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """A family: contacts with any value of it, the mean coverage of its members that are there, and the members."""

    name: str
    label_zh: str
    label_en: str
    contacts: int
    coverage: float
    mean_coverage: float
    members: list[Member]
    stale_days: int


@dataclass(slots=True)
class _Ages:
    """Ages in days with how many values have them."""

    known: list[tuple[float, int]] = field(default_factory=list)

    def middle(self) -> float | None:
        """The median, None without a value."""
        total, seen = sum(size for _, size in self.known), 0
        for age, size in sorted(self.known):
            seen += size
            if seen * 2 >= total:
                return round(age, 1)
        return None

    def older(self, days: int) -> float | None:
        """The share that is older."""
        total = sum(size for _, size in self.known)
        return sum(size for age, size in self.known if age > days) / total if total else None


@cache
def _shipped() -> dict[str, Any]:
    return read_toml("features", "pest.toml")


def families(work: Work) -> list[Family]:
    """The four families as they stand in this workspace."""
    return [_family(work, name) for name in FAMILIES]


def declare(work: Work, name: str) -> list[str]:
    """Declare the built-in attributes of a family, and use its ready-made features that are possible here.

    What is there under such a name stays as it is. Returns the new names. Raises NotFound.
    """
    if name not in FAMILIES:
        raise NotFound("features.no_family", name=name, known=", ".join(FAMILIES))
    shipped, made = _shipped()[name], []
    for attribute, about in shipped["attributes"].items():
        if attribute in contacts.attributes(work):
            continue
        if attribute in values.names(work):
            raise Conflict("features.name_taken", name=attribute, by=values.find(work, attribute).definition.name)
        contacts.declare_attribute(
            work, attribute, about["type"], purpose=about["purpose"], label_zh=about["zh"], label_en=about["en"]
        )
        made.append(attribute)
    layer = {"population": "basic"}.get(name, name)
    if layer in layers.shipped():
        made += layers.use(work, layer)
    return made


def _family(work: Work, name: str) -> Family:
    about = _shipped()[name]
    people = max(work.bitmaps.count(contacts.EVERYONE), 1)
    members, anyone = [], BitMap()
    for attribute, described in about["attributes"].items():
        member, some = _attribute(work, attribute, described, people)
        members.append(member)
        anyone |= some
    fields = values.fields(work)
    for feature in about["features"]:
        member, some = _feature(work, feature, fields.get(feature), people)
        members.append(member)
        anyone |= some
    there = [member.coverage for member in members if member.there]
    mean = sum(there) / len(there) if there else 0.0
    labels = about["zh"], about["en"]
    share = len(anyone) / people
    return Family(name, *labels, len(anyone), share, mean, members, _shipped()["stale_days"])


def _attribute(work: Work, name: str, about: dict[str, Any], people: int) -> tuple[Member, BitMap]:
    found = contacts.attributes(work).get(name)
    some = BitMap()
    if found is not None and found.type != "text":
        some = contacts.select(work, name, "known")
    ages = _ages(work, f"attribute:{name}", some)
    return (
        Member(
            name,
            "attribute",
            label_zh=found.label_zh if found is not None else about["zh"],
            label_en=found.label_en if found is not None else about["en"],
            type=found.type if found is not None else about["type"],
            source=about["source"],
            source_zh=about["source_zh"],
            there=found is not None,
            contacts=len(some),
            coverage=len(some) / people,
            median_days=ages.middle(),
            stale=ages.older(_shipped()["stale_days"]),
        ),
        some,
    )


def _feature(work: Work, name: str, found: Field | None, people: int) -> tuple[Member, BitMap]:
    some, run = BitMap(), None
    if found is not None:
        some, run = values.has(work, found), store.last_run(work, found.definition.name)
    described = found.attribute if found is not None else layers.fields()[name]
    ages = _Ages([((work.now_ms - run.computed_ms) / _DAY_MS, len(some))] if run is not None and some else [])
    return (
        Member(
            name,
            "feature",
            label_zh=described.label_zh,
            label_en=described.label_en,
            type=described.type,
            source="computed from events",
            source_zh="由行为计算",
            there=found is not None,
            contacts=len(some),
            coverage=len(some) / people,
            median_days=ages.middle(),
            stale=ages.older(_shipped()["stale_days"]),
        ),
        some,
    )


def _ages(work: Work, key: str, left: BitMap) -> _Ages:
    """Since when values stand, from the newest changes back; what is beyond the reach of the log counts as its end."""
    view, found, oldest = work.bitmaps, _Ages(), 0.0
    most = _shipped()["changes"]
    keys = [*view.keys(f"{key}="), *view.keys(f"{key}#")]
    changes = [one for name in keys for one in view.history(name, limit=most)]
    changes.sort(key=lambda one: -one.seq)
    left = left.copy()
    for change in changes[:most]:
        if not left:
            break
        oldest = (work.now_ms - change.at_ms) / _DAY_MS
        hit = view.members(change.seq) & left
        if hit:
            found.known.append((oldest, len(hit)))
            left -= hit
    if left:
        found.known.append((oldest, len(left)))
    return found
