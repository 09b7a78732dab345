"""Who must not be chosen by tags or behaviour: people who refused personalisation, and minors.

They stay in audiences that choose nobody by what is known of them, as far as they consented.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.compliance import days, rules, store
from tagcast.compliance.events import ConsentChanged
from tagcast.contacts import Attribute
from tagcast.kit import events
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

OFF = "personalisation:off"
"""The key of those who refused."""
MARKED = "minor:marked"
"""The key of those whom a person marked as minors."""
PERSONALISATION = "personalisation"
"""The purpose under which refusals are recorded."""
NAME = "minors"
_TYPES = ("date", "number", "choice", "flag")


@dataclass(frozen=True, slots=True)
class Minors:
    """From which attribute minority is known: a birthday, an age, an age band of `bands`, or a flag; None: from none.

    `years`: who is younger is a minor; `source` says why. `marked`: how many were marked by hand.
    """

    attribute: str | None
    bands: tuple[str, ...]
    years: int
    source: str
    marked: int


def refuse_personalisation(work: Work, who: BitMap, *, source: str) -> int:
    """These people want no message that was chosen for what is known of them; in force at once, and recorded.

    Returns how many had not refused before. Raises Invalid for a missing source.
    """
    return _record(work, who, source, refused=True)


def allow_personalisation(work: Work, who: BitMap, *, source: str) -> int:
    """These people take their refusal back; recorded. Returns how many had refused. Raises Invalid as above."""
    return _record(work, who, source, refused=False)


def on_import(work: Work, allowed: BitMap, refused: BitMap) -> None:
    """Record what a file states in its column `consent:personalisation`."""
    _record(work, allowed, "import", refused=False)
    _record(work, refused, "import", refused=True)


def personalisation_refused(work: Work) -> BitMap:
    """Who is in no audience that was chosen by tags or behaviour. Shared: not to be mutated."""
    return work.bitmaps.read(OFF)


def _record(work: Work, who: BitMap, source: str, *, refused: bool) -> int:
    if not source.strip() or len(source) > 100:
        raise Invalid("compliance.no_source")
    if not who:
        return 0
    verb, state = (work.bitmaps.add, "withdrawn") if refused else (work.bitmaps.remove, "granted")
    change = verb(OFF, who, why=f"{state}: {source}")
    seq = None if change is None else change.seq
    store.insert_consent(work, PERSONALISATION, state, who, source=source, notice="", seq=seq)
    if change is None:
        return 0
    events.publish(work, ConsentChanged(PERSONALISATION, change.seq, **{state: change.size}))
    return change.size


def minors_setting(work: Work) -> Minors:
    """From what minors are known."""
    found, years = store.setting(work, NAME), rules.minority()
    source = f"{years.source} ({years.date})"
    marked = work.bitmaps.count(MARKED)
    if found is None:
        return Minors(None, (), years.value, source, marked)
    return Minors(found.value["attribute"], tuple(found.value["bands"]), years.value, source, marked)


def set_minors(work: Work, attribute: str | None, bands: Sequence[str] = (), *, why: str = "") -> Minors:
    """Name the attribute from which minority is known: a date is a birthday, a number an age, a choice an age band.

    `bands`: the choices of minors. None: only who is marked by hand is known. Raises NotFound for an undeclared
    attribute, Invalid for a text, for bands of anything but a choice, and for a choice without them.
    """
    if attribute is not None:
        declared = contacts.find_attribute(work, attribute)
        if declared.type not in _TYPES:
            needed = " / ".join(_TYPES)
            raise Invalid("compliance.bad_attribute", name=attribute, type=declared.type, needed=needed)
    if (attribute is not None and declared.type == "choice") != bool(bands) or not all(map(str.strip, bands)):
        raise Invalid("compliance.bad_bands", attribute=attribute or "-")
    store.put_setting(work, NAME, {"attribute": attribute, "bands": list(dict.fromkeys(bands))}, why)
    return minors_setting(work)


def mark_minors(work: Work, who: BitMap, *, why: str) -> int:
    """Mark people as minors by hand, whatever the attribute says; returns how many were not. Raises Invalid."""
    _check_reason(why)
    change = work.bitmaps.add(MARKED, who, why=why)
    return change.size if change else 0


def unmark_minors(work: Work, who: BitMap, *, why: str) -> int:
    """Take the mark away; whom the attribute names stays a minor. Returns how many had it. Raises Invalid."""
    _check_reason(why)
    change = work.bitmaps.remove(MARKED, who, why=why)
    return change.size if change else 0


def minors(work: Work, *, among: BitMap | None = None) -> BitMap:
    """Who is a minor today, by the workspace's calendar; of `among`, at the cost of those few, unless it is None."""
    found, setting = work.bitmaps.read(MARKED), store.setting(work, NAME)
    if among is not None:
        found = found & among
    attribute = None if setting is None else setting.value["attribute"]
    declared = None if attribute is None else contacts.attributes(work).get(attribute)
    if setting is None or declared is None:
        return found
    node = _node(work, declared, setting.value["bands"], work.today)
    asked = bitmaps.algebra.Evaluation(work.bitmaps, contacts.EVERYONE, within=among)
    return found | asked.members(node)


def _node(work: Work, declared: Attribute, bands: Sequence[str], today: date) -> bitmaps.algebra.Node:
    years = rules.minority().value
    match declared.type:
        case "date":
            # Who is born on 29 February comes of age on 1 March of a common year.
            return contacts.node(work, declared, ">", days.years_before(today, years))
        case "number":
            return contacts.node(work, declared, "<", years)
        case "flag":
            return contacts.node(work, declared, "is", True)
        case _:
            there = [f"{declared.key}={band}" for band in bands]
            return bitmaps.algebra.AnyOf(tuple(map(bitmaps.algebra.Key, there)))


def _check_reason(why: str) -> None:
    if not why.strip() or len(why) > 200:
        raise Invalid("compliance.no_reason")
