"""Single taggings of many callers: stored together in one commit, each answered after it.

Whoever tags one contact at a time waits for the disk, not for each other: all that came while the last commit was on
its way to the disk is the next one. An answer under an idempotency key is stored in that same commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyroaring import BitMap

from tagcast import access, bitmaps, contacts
from tagcast.bitmaps import Change, Op
from tagcast.kit import logs
from tagcast.kit.errors import Conflict, TagcastError, Unavailable
from tagcast.kit.groupcommit import GroupCommit
from tagcast.kit.uow import Runtime, Work
from tagcast.tags.many import Asked, change_many

Identity = tuple[str, str, int]
"""Kind, value and account."""

_log = logs.get("taggings")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a tagging: the contact of each row, None where there is none; the change; whom it concerned."""

    rows: Sequence[int | None]
    change: Change | None
    touched: BitMap


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key, the digest of its request, and the answer to store: its status, and its text."""

    key: str
    digest: str
    status: int
    body: Callable[[Outcome], str]


@dataclass(frozen=True, slots=True)
class Request:
    """A tagging or removal (`op`) of a few contacts, by number and by identity; rows that name nobody do no harm."""

    tag: int
    op: Op
    why: str
    actor: str
    numbers: Sequence[int] = ()
    identities: Sequence[Identity] = ()
    until: datetime | None = None
    forever: bool = False
    once: Once | None = None


class Taggings:
    """Tags for the callers of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._writer: GroupCommit[Request, Outcome | Exception] = GroupCommit("taggings", self._write)

    def start(self) -> None:
        """Be ready."""
        self._writer.start()

    def close(self) -> None:
        """Store what waits and end."""
        self._writer.close()

    async def submit(self, workspace: int, request: Request) -> Outcome:
        """What became of a request, once it is durable.

        Raises what `assign` and `remove` raise; Replayed, or Conflict, for an idempotency key that was used before;
        Unavailable when too much waits.
        """
        found = await self._writer.submit(workspace, request)
        if isinstance(found, Exception):
            raise found
        return found

    def _write(self, workspace: int, requests: Sequence[Request]) -> list[Outcome | Exception]:
        try:
            return self._together(workspace, requests)
        except Exception as error:
            if len(requests) == 1:
                raise
            _log.warning("requests one by one", workspace=workspace, count=len(requests), reason=type(error).__name__)
        return [self._alone(workspace, request) for request in requests]

    def _together(self, workspace: int, requests: Sequence[Request]) -> list[Outcome | Exception]:
        with self._runtime.work(workspace, "api") as work:
            return take(work, requests)

    def _alone(self, workspace: int, request: Request) -> Outcome | Exception:
        """One request must not fail those that came with it."""
        try:
            return self._together(workspace, [request])[0]
        except TagcastError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whoever sent it is told, the others are served
            _log.error("not stored", workspace=workspace, exc_info=error)
            return Unavailable("kit.not_stored", writer="taggings")


def take_one(work: Work, request: Request) -> Outcome:
    """Carry out one request in this transaction. Raises the reason when it is refused."""
    (found,) = take(work, [request])
    if isinstance(found, Exception):
        raise found
    return found


def take(work: Work, requests: Sequence[Request]) -> list[Outcome | Exception]:
    """Carry out requests in this transaction and say what became of each."""
    found: dict[int, Outcome | Exception] = {}
    left = dict(enumerate(requests))
    while left:
        # Of two with one key the second is answered from the first, if that one was not refused.
        first = {one.once.key if one.once is not None else place: place for place, one in reversed(left.items())}
        now = {place: left[place] for place in sorted(first.values())}
        found |= _taken(work, now)
        left = {place: one for place, one in left.items() if place not in now}
    return [found[place] for place in range(len(requests))]


def _taken(work: Work, given: Mapping[int, Request]) -> dict[int, Outcome | Exception]:
    """Requests, none with the idempotency key of another, by their place."""
    found = _answered(work, given)
    rows, wrong = _rows(work, {place: one for place, one in given.items() if place not in found})
    found |= wrong
    asked: dict[int, Asked] = {}
    for place, one in given.items():
        if place not in found:
            members = bitmaps.pack(number for number in rows[place] if number is not None)
            asked[place] = Asked(one.tag, one.op, members, one.why, one.actor, one.until, one.forever)
    answers: list[tuple[str, str, int, str]] = []
    for (place, wish), made in zip(asked.items(), change_many(work, list(asked.values())), strict=True):
        if isinstance(made, TagcastError):
            found[place] = made
            continue
        outcome = found[place] = Outcome(rows[place], made, _touched(work, made, wish.members))
        if (once := given[place].once) is not None:
            answers.append((once.key, once.digest, once.status, once.body(outcome)))
    if answers:
        access.insert_answers(work, answers)
    return found


def _answered(work: Work, given: Mapping[int, Request]) -> dict[int, Outcome | Exception]:
    """What was answered before under the same idempotency key; a refusal for the key of another request."""
    keys = [one.once.key for one in given.values() if one.once is not None]
    stored = access.find_answers(work, keys) if keys else {}
    found: dict[int, Outcome | Exception] = {}
    for place, one in given.items():
        if one.once is None or (before := stored.get(one.once.key)) is None:
            continue
        same = before.request_digest == one.once.digest
        found[place] = (
            access.Replayed(before.status, before.body) if same else Conflict("access.key_reused", key=one.once.key)
        )
    return found


def _rows(
    work: Work, given: Mapping[int, Request]
) -> tuple[dict[int, list[int | None]], dict[int, Outcome | Exception]]:
    """The contact of each row of each request, identities looked up together; what is wrong with a request's own."""
    everyone = contacts.everyone(work)
    rows: dict[int, list[int | None]] = {}
    wrong: dict[int, Outcome | Exception] = {}
    asked: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for place, one in given.items():
        listed: list[int | None] = [number if number in everyone else None for number in one.numbers]
        for kind, value, account in one.identities:
            asked.setdefault((kind, account), []).append((place, len(listed), value))
            listed.append(None)
        rows[place] = listed
    for (kind, account), cells in asked.items():
        try:
            numbers = contacts.numbers_of(work, kind, [value for *_, value in cells], account)
        except TagcastError as error:
            wrong |= dict.fromkeys((place for place, *_ in cells), error)
            continue
        for (place, row, _), number in zip(cells, numbers, strict=True):
            rows[place][row] = number
    return rows, wrong


def _touched(work: Work, change: Change | None, members: BitMap) -> BitMap:
    if change is None:
        return BitMap()
    return members if change.size == len(members) else work.bitmaps.members(change.seq)
