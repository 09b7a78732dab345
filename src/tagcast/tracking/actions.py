"""Use cases of tracking."""

from collections.abc import Iterable

import numpy as np
from pyroaring import BitMap

from tagcast import contacts
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Work
from tagcast.tracking import rules, store
from tagcast.tracking.rules import Kind, Link, Page, Totals

FOLD_BATCHES = 1000
"""Batches read at a time; bounds the memory of one step."""

TITLE, BODY, BUTTON = 200, 20_000, 40


def make_link(work: Work, ref: str, destination: str, *, no: int = 1) -> Link:
    """The tracked link no. `no` of `ref`. Again with the same address changes nothing. Raises Invalid, Conflict."""
    address = rules.destination(destination)
    link = store.put_link(work, ref, Kind.CLICK, no, address)
    if link.destination != address:
        raise Conflict("tracking.link_taken", ref=ref, no=no)
    return link


def make_page(
    work: Work, ref: str, *, title: str, body: str, button_label: str = "", link: Link | None = None, no: int = 1
) -> Page:
    """The message page no. `no` of `ref`: plain text, paragraphs parted by blank lines, and a button to follow `link`.

    Again with the same content changes nothing. Raises Invalid, Conflict.
    """
    if not title.strip() or len(title) > TITLE or len(body) > BODY or len(button_label) > BUTTON:
        lengths = f"title {len(title)}/{TITLE}, body {len(body)}/{BODY}, button {len(button_label)}/{BUTTON}"
        raise Invalid("tracking.bad_page", reason=lengths)
    if (link is None) != (not button_label.strip()):
        raise Invalid("tracking.bad_page", reason="button_label ↔ link")
    page = Page(store.put_link(work, ref, Kind.OPEN, no, ""), title, body, button_label, link)
    store.put_page(work, page)
    if store.find_page(work, page.link) != page:
        raise Conflict("tracking.page_taken", ref=ref)
    return page


def page_of(work: Work, ref: str, no: int = 1) -> Page | None:
    """The message page no. `no` of `ref`, if one was made."""
    opens = [link for link in store.links_of(work, ref) if link.kind is Kind.OPEN and link.no == no]
    return store.find_page(work, opens[0]) if opens else None


def click_links(work: Work, ref: str) -> list[Link]:
    """The tracked links of `ref` that lead somewhere, in the order they were made."""
    return [link for link in store.links_of(work, ref) if link.kind is Kind.CLICK]


def personal_urls(work: Work, link: Link, numbers: Iterable[int], base_url: str) -> list[str]:
    """One URL a contact, in the order given, for a click link or a page's open link. Raises Invalid."""
    return rules.make_urls(work.vault, base_url, link, numbers)


def shared_url(work: Work, link: Link, base_url: str) -> str:
    """One URL for everybody: its visits are counted and belong to nobody."""
    return rules.make_urls(work.vault, base_url, link, [0])[0]


def message_url(work: Work, page: Page, base_url: str, *, number: int = 0) -> str:
    """URL of a message page for one contact, or for everybody."""
    return rules.make_urls(work.vault, base_url, page.link, [number])[0]


def fold(work: Work) -> int:
    """Bring hits that were stored into `<ref>:opened`, `<ref>:clicked` and the links' totals. Returns how many hits.

    Each batch is marked in the same transaction, so again changes nothing. What another transaction is folding is
    waited for, so whoever reads after it sees every visit that was answered before. Visits without a contact number
    and those of programs enter the totals only.
    """
    folded = 0
    while store.has_open_batches(work):
        batches = store.take_open_batches(work, FOLD_BATCHES)
        hits = rules.unpack_hits(b"".join(batches))
        folded += len(hits)
        people = hits[hits["flags"] == 0]
        ids = [int(link) for link in np.unique(hits["link"])]
        known = store.link_kinds(work, ids)
        reached: dict[str, BitMap] = {}
        for link, (ref, kind) in known.items():
            numbers = people["number"][people["link"] == link]
            key = f"{ref}:{'opened' if kind is Kind.OPEN else 'clicked'}"
            reached.setdefault(key, BitMap()).update(numbers[numbers > 0].tolist())
        # Who was erased since the visit does not come back; read only now, because taking batches may have waited.
        everyone = contacts.everyone(work)
        for key, members in sorted(reached.items()):
            if members := members & everyone:
                work.bitmaps.add(key, members, why="visits")
        counted = {
            link: (int((people["link"] == link).sum()), int(((hits["link"] == link) & (hits["flags"] != 0)).sum()))
            for link in known
        }
        store.add_tallies(work, counted)
    return folded


def unfolded(work: Work) -> bool:
    """Whether hits wait for `fold`."""
    return store.has_open_batches(work)


def totals(work: Work, ref: str) -> Totals:
    """Visits of everything sent under `ref`, as of the last `fold`."""
    sums = store.sum_tallies(work, ref)
    opens, clicks = sums.get(Kind.OPEN, (0, 0)), sums.get(Kind.CLICK, (0, 0))
    return Totals(opens[0], clicks[0], opens[1], clicks[1])


def forget(work: Work, number: int) -> int:
    """Take one contact's number out of every stored hit; the visits stay, as nobody's. Returns how many.

    Folds first, so that no visit is lost to the totals. The sets are cleared by whoever erases the person.
    """
    fold(work)
    changed = 0
    for seq, data in store.all_batches(work):
        hits = rules.unpack_hits(data)
        theirs = hits["number"] == number
        if theirs.any():
            rewritten = hits.copy()
            rewritten["number"][theirs] = 0
            store.rewrite_batch(work, seq, rewritten.tobytes())
            changed += int(theirs.sum())
    return changed
