"""Personal texts where the platform sends one text to many: people whose texts are equal are sent to together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pyroaring import BitMap

from tagcast import accounts, bitmaps, compliance, tracking
from tagcast.broadcasts.content import kinds, rendering, scripts, templates
from tagcast.broadcasts.content.rendering import Frame
from tagcast.broadcasts.content.scripts import Script
from tagcast.broadcasts.rules import Piece, Route
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work

Indices = npt.NDArray[np.intp]


def groups(one: Script, frame: Frame) -> tuple[Indices, Indices]:
    """(a contact of each different rendering, the rendering of each contact); the first contact's is 0."""
    first, kind = rendering.kinds(frame)
    rendered = one.texts(frame.take(first))
    places: dict[tuple[str, ...], int] = {}
    keys = zip(*rendered.values(), strict=True) if rendered else iter([()] * len(first))
    of_kind = np.fromiter((places.setdefault(key, len(places)) for key in keys), dtype=np.intp, count=len(first))
    _, at = np.unique(of_kind, return_index=True)
    return first[at], of_kind[kind]


def by_text(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """A piece for each different text, on routes where one call says one text; `said` tells what is put in."""
    one = scripts.script(work, scripts.content_of(broadcast, piece.said))
    if broadcast.route.personal or not one.personal or not piece.recipients.size:
        return [piece]
    frame = scripts.frame(work, broadcast, one, piece.recipients, sender=piece.sender, frozen=True)
    first, group = groups(one, frame)
    order = np.argsort(group, kind="stable")
    parts = np.split(piece.recipients[order], np.cumsum(np.bincount(group, minlength=first.size))[:-1])
    return [
        replace(
            piece,
            recipients=part,
            said={**piece.said, "fill": scripts.fill_of(frame.take(np.array([index])))},
        )
        for index, part in zip(first.tolist(), parts, strict=True)
    ]


def numbered(
    work: Work, broadcast: Broadcast, pieces: list[Piece], before: Sequence[Mapping[str, Any]] = ()
) -> list[Piece]:
    """The pieces, which know the number of the page that they open: equal pages have one number, the first needs
    none. `before`: what is told already, and keeps its numbers.
    """
    known = {name: scripts.script(work, content) for name, content in scripts.contents_of(broadcast).items()}
    places: dict[tuple[str, ...], int] = {}
    numbers: dict[str, int] = {}
    for said in before:
        one = known[said.get("variant", "")]
        if kinds.is_tracked(one.content):
            page = kinds.page_of(scripts.shown(one, said))
            places[*page, one.content.url] = int(said.get("page", 1))
    free = max(places.values(), default=0) + 1
    while before and tracking.page_of(work, broadcast.key, free) is not None:
        free += 1
    found = []
    for piece in pieces:
        one = known[piece.said.get("variant", "")]
        if not kinds.is_tracked(one.content):
            found.append(piece)
            continue
        told = orjson.dumps(piece.said, option=orjson.OPT_SORT_KEYS).decode()
        if told not in numbers:
            page = kinds.page_of(scripts.shown(one, piece.said))
            numbers[told] = places.setdefault((*page, one.content.url), free)
            free = max(free, numbers[told] + 1)
        no = numbers[told]
        found.append(piece if no == 1 else replace(piece, said={**piece.said, "page": no}))
    return found


def check_calls(
    work: Work, broadcast: Broadcast, assigned: BitMap, numbers: npt.NDArray[np.uint32], group: Indices
) -> None:
    """Raises Refused when the platform would not bear so many calls as there are different texts, with the numbers."""
    sizes = np.bincount(group)
    most = templates.limits()["texts"]
    limits = accounts.limits(work, broadcast.account)
    match broadcast.route:
        case Route.LIST:
            least = limits.count("send.min_batch") or 1
            lonely = int((sizes < least).sum())
            if lonely and assigned and len(assigned) >= least:
                raise Refused("broadcasts.lonely_texts", texts=sizes.size, lonely=lonely, least=least)
            batch = limits.count("send.batch") or max(int(sizes.max(initial=1)), 1)
            _check(int((-(-sizes // batch)).sum()), sizes.size, most["list"])
        case Route.TAG:
            left = compliance.account_quota(work, broadcast.account, work.now).left
            _check(sizes.size, sizes.size, most["tag"] if left is None else min(most["tag"], 1))
        case Route.TASKS:
            tasks, total = _tasks(work, broadcast, assigned, numbers, group)
            if tasks > most["tasks_per_employee"]:
                limit = most["tasks_per_employee"]
                raise Refused("broadcasts.many_tasks", texts=sizes.size, calls=total, tasks=tasks, limit=limit)
        case _:
            pass


def _check(calls: int, texts: int, limit: int) -> None:
    if calls > limit and texts > 1:
        raise Refused("broadcasts.many_sends", texts=texts, calls=calls, limit=limit)


def _tasks(
    work: Work, broadcast: Broadcast, assigned: BitMap, numbers: npt.NDArray[np.uint32], group: Indices
) -> tuple[int, int]:
    """(most tasks that an employee could have to confirm, tasks of all together), were each customer sent to by all."""
    prefix = f"employee:{broadcast.account}:"
    found = [0]
    for key in work.bitmaps.keys(prefix):
        theirs = bitmaps.unpack(work.bitmaps.read(key) & assigned)
        found.append(int(np.unique(group[np.searchsorted(numbers, theirs)]).size))
    return max(found), min(sum(found), len(assigned))
