"""How a message looks to somebody: as the platform would get it, each field's size beside its limit.

Nothing is sent and nothing is kept; tracked addresses are samples of the right length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, audiences, bitmaps, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import store, variants
from tagcast.broadcasts.content import Content, kinds, scripts
from tagcast.broadcasts.store import Broadcast
from tagcast.channels import Problem
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Work

MOST = 20
"""Pictures in one answer."""


@dataclass(frozen=True, slots=True)
class Part:
    """One message in the platform's words, and its fields that have a limit."""

    kind: str
    fields: dict[str, Any]
    sizes: list[Problem]


@dataclass(frozen=True, slots=True)
class Preview:
    """The message as one contact gets it. `why` and `field`: of what it is the worst case; both empty of a sample.

    `page`: title, text and button of the page that opens, or None. `over`: fields that the platform would refuse.
    """

    contact: int
    variant: str
    account_kind: str
    parts: list[Part]
    page: tuple[str, str, str] | None
    over: list[str]
    why: str = ""
    field: str = ""
    size: int = 0


def audience(work: Work, broadcast: Broadcast) -> BitMap:
    """Who gets it, got it, or would get it by the newest plan; before the first, who is addressed."""
    for name in ("assigned", "plan:assigned"):
        if who := work.bitmaps.read(f"{broadcast.key}:{name}"):
            return who
    return audiences.members(work, audiences.from_json(broadcast.audience))


def sampled(work: Work, broadcast_id: int, size: int, *, variant: str = "") -> list[Preview]:
    """As some contacts of the audience, always the same ones. Raises Invalid for an unknown variant."""
    broadcast = store.get(work, broadcast_id)
    chosen = audiences.draw(audience(work, broadcast), min(size, MOST), seed=broadcast_id)
    return [as_contact(work, broadcast, contact, variant) for contact in chosen]


def named(work: Work, broadcast_id: int, who: Sequence[int], *, variant: str = "") -> list[Preview]:
    """As these contacts, whether they are of the audience or not. Raises NotFound for one that is not there."""
    broadcast = store.get(work, broadcast_id)
    if len(who) > MOST:
        raise Invalid("broadcasts.many_previews", count=len(who), limit=MOST)
    everybody = contacts.everyone(work)
    for contact in who:
        if contact not in everybody:
            raise NotFound("broadcasts.nobody_to_show", contact=contact)
    return [as_contact(work, broadcast, contact, variant) for contact in who]


def as_contact(work: Work, broadcast: Broadcast, contact: int, variant: str = "") -> Preview:
    """As one contact; with his own variant if none is named."""
    name = variant or variants.variant_of(work, broadcast, contact)
    key = variants.key_of(broadcast, name)
    sender = sender_of(work, broadcast, contact)
    said = contents.render(work, broadcast, contact, variant=key, sender=sender)
    return _shown(work, broadcast, said, contact, name)


def worst(work: Work, broadcast_id: int) -> list[Preview]:
    """Of each variant: the longest and the shortest text, each side of each condition, and who lacks which value.

    A variant that says the same to all is shown once.
    """
    broadcast = store.get(work, broadcast_id)
    who = audience(work, broadcast)
    found = []
    for key in contents.contents_of(broadcast):
        name, cases = variants.name_of(broadcast, key), contents.worst_cases(work, broadcast, who, key)
        for one in cases:
            preview = _shown(work, broadcast, one.content, one.contact, name)
            found.append(_case(preview, one.why, one.field, one.size))
        found += [
            _case(as_contact(work, broadcast, contact, name), "missing", field, count)
            for field, contact, count in _missing(work, broadcast, key, who)
        ]
        if not cases:
            some = next(iter(who), 0)
            said = contents.render(work, broadcast, some, variant=key)
            found.append(_case(_shown(work, broadcast, said, some, name), "same", "", len(who)))
    return found[:MOST]


def _case(preview: Preview, why: str, field: str, size: int) -> Preview:
    given = {name: getattr(preview, name) for name in Preview.__dataclass_fields__}
    return Preview(**{**given, "why": why, "field": field, "size": size})


def _missing(work: Work, broadcast: Broadcast, key: str, who: BitMap) -> Iterator[tuple[str, int, int]]:
    """(placeholder, one who has no value for it, how many have none)."""
    one = scripts.script(work, contents.contents_of(broadcast)[key])
    numbers = bitmaps.unpack(who)
    if not one.fields or not numbers.size:
        return
    frame = scripts.frame(work, broadcast, one, numbers)
    for name, column in frame.columns.items():
        lacking = column.codes < 0
        if lacking.any() and one.fields[name].source != "employee":
            yield name, int(numbers[int(np.argmax(lacking))]), int(lacking.sum())


def sender_of(work: Work, broadcast: Broadcast, contact: int) -> str:
    """An employee who holds the contact, or "" where none sends."""
    prefix = f"employee:{broadcast.account}:"
    for key in sorted(work.bitmaps.keys(prefix)):
        if contact in work.bitmaps.read(key):
            return key.removeprefix(prefix)
    return ""


def _shown(work: Work, broadcast: Broadcast, said: Content, contact: int, variant: str) -> Preview:
    account = accounts.get(work, broadcast.account)
    tracked = contents.is_tracked(said)
    sent = contents.messages(said, account.kind, kinds.SAMPLE_URL if tracked else "")
    page = contents.page_of(said) if tracked else None
    parts = [
        Part(one.kind, {name: value for name, value in asdict(one).items() if value}, channels.sizes(one, account.kind))
        for one in sent
    ]
    over = [size.field for part in parts for size in part.sizes if size.size > size.limit]
    return Preview(contact, variant, account.kind, parts, page, over)
