"""Use cases of compliance: consent and suppression, and who may not be called at a moment."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast.compliance import personal, rules, store
from tagcast.compliance.events import ConsentChanged
from tagcast.compliance.rules import Purpose
from tagcast.compliance.store import ConsentRecord
from tagcast.kit import events
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contact stands: the purposes consented to now, whether suppressed, and the records behind it.

    `personalised`: whether the contact may be chosen by tags and behaviour; who refused or is a `minor` may not.
    """

    consented: tuple[str, ...]
    suppressed: bool
    personalised: bool
    minor: bool
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
    """Record the consents that a file of contacts states; `personalisation` is one of them."""
    if purpose == personal.PERSONALISATION:
        personal.on_import(work, granted, withdrawn)
        return
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
    refused = number in personal.personalisation_refused(work)
    minor = number in personal.minors(work, among=BitMap([number]))
    records = tuple(store.consents_of(work, number))
    return Standing(now, number in suppressed(work), not (refused or minor), minor, records)


def unfit(work: Work, asked: BitMap, *, personalised: bool) -> dict[str, BitMap]:
    """Who of `asked` may not be in an audience, by reason, where it was chosen by tags or behaviour; else nobody."""
    if not personalised:
        return {}
    refused = asked & personal.personalisation_refused(work)
    return {"personalisation_off": refused, "minor": personal.minors(work, among=asked - refused)}


def impersonal(work: Work, asked: BitMap) -> BitMap:
    """Those of `asked` for whom nothing may be chosen by tags or behaviour: they get what everybody gets."""
    return BitMap.union(BitMap(), *unfit(work, asked, personalised=True).values())


def refusals(work: Work, account_id: int, purpose: str, personalised: bool, asked: BitMap) -> dict[str, BitMap]:
    """Who of `asked` may not be called at this moment, by reason; each under the first that is his.

    `personalised`: whether the audience was chosen by tags or behaviour. The reasons are words of the waterfall.
    """
    found: dict[str, BitMap] = {}
    left = asked
    for reason, gone in (
        ("no_consent", asked - consented(work, purpose)),
        ("suppressed", asked & suppressed(work)),
        ("not_following", asked - work.bitmaps.read(f"following:{account_id}")),
        *unfit(work, asked, personalised=personalised).items(),
    ):
        if here := gone & left:
            found[reason] = here
            left = left - here
    return found
