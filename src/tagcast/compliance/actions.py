"""Use cases of compliance: consent and suppression. Sends are counted in `frequency`."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast.compliance import rules, store
from tagcast.compliance.events import ConsentChanged
from tagcast.compliance.rules import Purpose
from tagcast.compliance.store import ConsentRecord
from tagcast.kit import events
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contact stands: the purposes consented to now, whether suppressed, and the records behind it."""

    consented: tuple[str, ...]
    suppressed: bool
    records: tuple[ConsentRecord, ...]


def purposes() -> tuple[Purpose, ...]:
    """The declared purposes."""
    return tuple(rules.purposes().values())


def record(
    work: Work, purpose: str, granted: BitMap, withdrawn: BitMap, *, source: str, notice: str = ""
) -> tuple[int, int]:
    """Record consents given and withdrawn, at once in force. `source`: where given; `notice`: the text's version.

    Returns how many were granted and withdrawn that stood otherwise before. Raises Invalid for an unknown purpose, a
    missing source, or somebody in both sets.
    """
    rules.check_purpose(purpose)
    if not source.strip() or len(source) > 100 or len(notice) > 100:
        raise Invalid("compliance.no_source")
    if both := granted & withdrawn:
        raise Invalid("compliance.both", count=len(both))
    key, changed = f"consent:{purpose}", [0, 0]
    for index, (state, members) in enumerate((("granted", granted), ("withdrawn", withdrawn))):
        if not members:
            continue
        verb = work.bitmaps.add if state == "granted" else work.bitmaps.remove
        change = verb(key, members, why=f"{state}: {source}")
        store.insert_consent(
            work, purpose, state, members, source=source, notice=notice, seq=change.seq if change else None
        )
        if change is not None:
            changed[index] = change.size
            events.publish(work, ConsentChanged(purpose, change.seq, **{state: change.size}))
    return changed[0], changed[1]


def on_import(work: Work, purpose: str, granted: BitMap, withdrawn: BitMap) -> None:
    """Record the consents that a file of contacts states."""
    record(work, purpose, granted, withdrawn, source="import")


def consented(work: Work, purpose: str) -> BitMap:
    """All who consent to a purpose now. Shared: not to be mutated. Raises Invalid for an unknown purpose."""
    rules.check_purpose(purpose)
    return work.bitmaps.read(f"consent:{purpose}")


def suppress(work: Work, numbers: BitMap, why: str) -> int:
    """Send these people nothing more, on any channel; returns how many are new on the list."""
    change = work.bitmaps.add(SUPPRESSED, numbers, why=why)
    return change.size if change else 0


def unsuppress(work: Work, numbers: BitMap, why: str) -> int:
    """Take people off the list, because they asked for it; returns how many were on it."""
    change = work.bitmaps.remove(SUPPRESSED, numbers, why=why)
    return change.size if change else 0


def suppressed(work: Work) -> BitMap:
    """All who get nothing. Shared: not to be mutated."""
    return work.bitmaps.read(SUPPRESSED)


def standing(work: Work, number: int) -> Standing:
    """How a contact stands, with the records that prove it, newest first."""
    now = tuple(name for name in rules.purposes() if number in work.bitmaps.read(f"consent:{name}"))
    return Standing(now, number in suppressed(work), tuple(store.consents_of(work, number)))
