"""What can be wrong with a message for somebody of its audience, found when it is planned: exactly, with a name.

The longest text is found by the platform's own measure over everybody who is sent to, not guessed from a sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, audiences, bitmaps
from tagcast.broadcasts.content import fields, grouping, kinds, media, rendering, scripts, templates
from tagcast.broadcasts.content.fields import Numbers
from tagcast.broadcasts.content.kinds import Content
from tagcast.broadcasts.content.rendering import Frame
from tagcast.broadcasts.content.scripts import Script
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Invalid, NotFound, Refused
from tagcast.kit.uow import Work

SHOWN = 100
# A paragraph of an article costs its tags.
_PARAGRAPH = len("<p></p>")


@dataclass(frozen=True, slots=True)
class Case:
    """A rendering that is worth a look: of `field`, the longest, the shortest, or one side of a condition."""

    why: str
    field: str
    contact: int
    size: int
    content: Content


@dataclass(frozen=True, slots=True)
class Text:
    """One of the texts of a broadcast: how many get it, one of them, and what it says."""

    contacts: int
    contact: int
    content: Content


@dataclass(frozen=True, slots=True)
class Needed:
    """How many different texts there are, and the most frequent of them."""

    different: int
    texts: list[Text]


def check(work: Work, account: accounts.Account, content: Content) -> None:
    """What can be known of a content without its audience. Raises Invalid, NotFound or Refused."""
    one = scripts.script(work, content)
    for condition in one.conditions:
        try:
            audiences.count(work, scripts.expression(condition))
        except Invalid as error:
            raise Invalid("broadcasts.bad_condition", condition=condition.text, reason=error.text()) from error
    if one.by_sender and account.kind != "wecom":
        raise Invalid("broadcasts.no_sender", account=account.name)
    media.check(work, account, content)
    kinds.problems(content, account.kind)


def examine(work: Work, broadcast: Broadcast, account: accounts.Account, assigned: BitMap) -> str:
    """Look at what everybody would get. Returns a digest of it: "" when all get the same.

    Raises Invalid or Refused, naming a contact and a field, or how many lack a value, or how many calls it would take.
    """
    digests = []
    for name, content in scripts.contents_of(broadcast).items():
        check(work, account, content)
        one = scripts.script(work, content)
        if one.personal and assigned:
            digests.append(digest(name, _examine(work, broadcast, account, one, assigned)))
    return digest(*digests)[:16] if digests else ""


def _examine(work: Work, broadcast: Broadcast, account: accounts.Account, one: Script, assigned: BitMap) -> str:
    numbers = bitmaps.unpack(assigned)
    frame = scripts.frame(work, broadcast, one, numbers, links=sample_links(one.content), frozen=False)
    if one.by_sender:
        frame = _any_sender(work, broadcast, frame, one, numbers)
    for path, parts in one.parts.items():
        for name, mask in rendering.lacking(parts, frame).items():
            who = int(numbers[int(mask.argmax())])
            raise Refused("broadcasts.no_default", name=name, field=path, count=int(mask.sum()), contact=who)
    looked, at = frame, np.arange(frame.size)
    if not broadcast.route.personal:
        at, group = grouping.groups(one, frame)
        grouping.check_calls(work, broadcast, assigned, numbers, group)
        looked = frame.take(at)
    for _, _, index in extremes(one, looked):
        kinds.check_fields(one.one(looked, index), account.kind, contact=int(numbers[at[index]]))
    values = (part for column in frame.columns.values() for part in (column.codes.tobytes(), "\0".join(column.words)))
    return digest(*values, *(np.packbits(mask).tobytes() for mask in frame.masks.values()))


def _any_sender(work: Work, broadcast: Broadcast, frame: Frame, one: Script, numbers: Numbers) -> Frame:
    """Who sends is not settled yet: the longest name that an employee has; none for whom a nameless one may send to."""
    names = scripts.employees(broadcast)
    longest = max(map(fields.harmless, names.values()), key=_bytes, default="")
    prefix = f"employee:{broadcast.account}:"
    nameless = [key for key in work.bitmaps.keys(prefix) if not names.get(key.removeprefix(prefix))]
    theirs = bitmaps.unpack(BitMap.union(BitMap(), *(work.bitmaps.read(key) for key in nameless)))
    codes = np.where(np.isin(numbers, theirs), -1, 0).astype(np.int32)
    senders = {slot: fields.Column(codes, (longest,)) for slot, of in one.fields.items() if of.source == "employee"}
    return Frame(frame.size, {**frame.columns, **senders}, frame.masks, frame.links)


def sample_links(content: Content) -> dict[str, str]:
    """Addresses as long as tracked ones are."""
    return dict.fromkeys(kinds.links_of(content), kinds.SAMPLE_URL)


def extremes(one: Script, frame: Frame) -> Iterator[tuple[str, str, int]]:
    """(path, why, index) of each text's longest rendering in bytes and in letters, and of its shortest."""
    for path, parts in one.parts.items():
        if not frame.size:
            continue
        if path == "body":
            yield path, "longest", _longest_body(parts, frame)
        else:
            yield path, "longest", int(rendering.sizes(parts, frame, _bytes).argmax())
            yield path, "longest", int(rendering.sizes(parts, frame, len).argmax())
        yield path, "shortest", int(rendering.sizes(parts, frame, _shown).argmin())


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _shown(text: str) -> int:
    return len(text.strip())


def _longest_body(parts: templates.Parts, frame: Frame) -> int:
    """Whose article is the longest as HTML: by a bound that adds up, then exactly, until no bound is above the best."""

    def bound(text: str) -> int:
        return len(escape(text)) + _PARAGRAPH * len(text.splitlines())

    bounds = rendering.sizes(parts, frame, bound) + _PARAGRAPH
    best, longest = -1, 0
    for index in np.argsort(-bounds, kind="stable").tolist():
        if bounds[index] <= best:
            break
        (text,) = rendering.texts(parts, frame.take(np.array([index])))
        size = len(kinds.article_html(text))
        if size > best:
            best, longest = size, index
    return longest


def worst_cases(work: Work, broadcast: Broadcast, who: BitMap, variant: str = "") -> list[Case]:
    """Of each personal text whose is the longest and the shortest, and somebody on each side of each condition.

    `size`: bytes of the text; people on the side of the condition.
    """
    one = scripts.script(work, _content(broadcast, variant))
    numbers: Numbers = bitmaps.unpack(who)
    if not numbers.size or not one.personal:
        return []
    frame = scripts.frame(work, broadcast, one, numbers, links=sample_links(one.content))
    found: dict[tuple[str, str, int], Case] = {}
    for path, why, index in extremes(one, frame):
        content, contact = one.one(frame, index), int(numbers[index])
        size = _bytes(kinds.texts_of(content).get(path, ""))
        found.setdefault((why, path, contact), Case(why, path, contact, size, content))
    for condition, mask in frame.masks.items():
        for why, side in (("if", mask), ("else", ~mask)):
            if side.any():
                index = int(side.argmax())
                case = Case(why, condition.text, int(numbers[index]), int(side.sum()), one.one(frame, index))
                found.setdefault((why, condition.text, case.contact), case)
    return list(found.values())


def render(
    work: Work, broadcast: Broadcast, contact: int, *, variant: str = "", sender: str = ""
) -> Content:  # fmt: skip
    """The content as one contact gets it; tracked addresses are samples, a value that is missing is left out."""
    one = scripts.script(work, _content(broadcast, variant))
    numbers = np.array([contact], dtype=np.uint32)
    return one.one(scripts.frame(work, broadcast, one, numbers, sender=sender, links=sample_links(one.content)))


def texts_needed(work: Work, broadcast: Broadcast, who: BitMap, variant: str = "") -> Needed:
    """The different texts of a broadcast, and who gets which. Raises NotFound for an unknown variant."""
    one = scripts.script(work, _content(broadcast, variant))
    numbers = bitmaps.unpack(who)
    if not numbers.size:
        return Needed(0, [])
    frame = scripts.frame(work, broadcast, one, numbers, links=sample_links(one.content))
    first, group = grouping.groups(one, frame)
    counts = np.bincount(group)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    return Needed(
        counts.size,
        [Text(int(counts[at]), int(numbers[first[at]]), one.one(frame, int(first[at]))) for at in order.tolist()],
    )


def addressees(work: Work, broadcast: Broadcast) -> BitMap:
    """Who gets a broadcast: who was sent to, else who is by the newest plan, else its whole audience."""
    if broadcast.state not in scripts.NOT_SENT:
        return work.bitmaps.read(f"{broadcast.key}:assigned")
    planned = work.bitmaps.read(f"{broadcast.key}:plan:assigned")
    return planned or audiences.members(work, audiences.from_json(broadcast.audience))


def _content(broadcast: Broadcast, variant: str) -> Content:
    known = scripts.contents_of(broadcast)
    if variant not in known:
        raise NotFound("broadcasts.no_variant", variant=variant, known=", ".join(filter(None, known)) or "-")
    return known[variant]
