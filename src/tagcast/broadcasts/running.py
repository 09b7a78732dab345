"""Use cases of a broadcast on its way: going on between stages, trying failed ones again, consents and receipts."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import compliance, contacts
from tagcast.broadcasts import breaker, consents, cutting, ledger, relearning, stages, store
from tagcast.broadcasts.planning import numbers
from tagcast.broadcasts.rules import Piece, Route, State, Status
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.errors import Conflict, Invalid, Refused
from tagcast.kit.uow import Work

# Failures that a person declared: nobody can say that the message did not arrive.
NOT_DEFINITE = ("in_doubt_closed",)


def hold_consents(work: Work, broadcast: Broadcast, who: BitMap, plan_hash: str) -> None:
    """Subscription messages use up what people gave. Raises Conflict when somebody has none any more."""
    if broadcast.route is not Route.SUBSCRIPTION:
        return
    able = consents.take(work, broadcast.account, str(broadcast.content["template_id"]), who, why=broadcast.key)
    if len(able) != len(who):
        raise Conflict("broadcasts.consents_gone", plan=plan_hash, count=len(who) - len(able))


def proceed(work: Work, broadcast_id: int) -> Broadcast:
    """A person goes on: after the breaker, whose figures are pardoned, or to the next stage without its wait.

    Raises Conflict when the broadcast waits for neither.
    """
    broadcast = store.get(work, broadcast_id, lock=True)
    tripped = broadcast.state is State.PAUSED and (broadcast.reason or "").startswith(breaker.PREFIX)
    if not tripped and not between(work, broadcast):
        raise Conflict("broadcasts.nothing_waits", broadcast=broadcast.name)
    if tripped:
        breaker.pardon(work, broadcast)
        store.move(work, broadcast_id, [State.PAUSED], State.SENDING, reason=None)
    fresh = store.get(work, broadcast_id)
    if between(work, fresh):
        relearning.redraw(work, fresh)
        stages.next_stage(work, fresh)
    else:
        stages.ask_on(work, fresh)
    return store.get(work, broadcast_id)


def between(work: Work, broadcast: Broadcast) -> bool:
    """Whether a stage has ended and the next one waits."""
    if broadcast.state is not State.SENDING or broadcast.reason == ledger.CANCELLED:
        return False
    open_ = [one.stage for one in store.tallies(work, broadcast.id) if one.done_at is None]
    return bool(open_) and min(open_) > stages.due(broadcast)


def retry(work: Work, broadcast_id: int, reasons: Sequence[str]) -> int:
    """Try those again who failed for certain reasons, as new chunks of the same broadcast; how many they are.

    Slots of caps are taken anew, and everything that forbids a call is asked again before it. Raises Invalid for a
    reason that nobody has, Conflict for a broadcast that is no longer or not yet sent, Refused when nobody is left.
    """
    broadcast = store.get(work, broadcast_id, lock=True)
    allowed = (State.SENDING, State.PAUSED, State.SETTLING, State.FINISHED)
    if broadcast.state not in allowed or broadcast.reason == ledger.CANCELLED:
        raise Conflict(
            "broadcasts.wrong_state", broadcast=broadcast.name, state=broadcast.state, needed=" / ".join(allowed)
        )
    known = [reason for reason, _ in store.failure_counts(work, broadcast_id) if reason not in NOT_DEFINITE]
    if not reasons or (unknown := sorted(set(reasons) - set(known))):
        raise Invalid(
            "broadcasts.no_such_reason", reason=", ".join(unknown) if reasons else "-", known=", ".join(known)
        )
    failed = work.bitmaps.read(f"{broadcast.key}:failed")
    wanted = BitMap(store.contacts_failed(work, broadcast_id, reasons)) & failed
    if broadcast.route is Route.SUBSCRIPTION:
        template = str(broadcast.content["template_id"])
        wanted = consents.take(work, broadcast.account, template, wanted, why=broadcast.key)
    able = compliance.reserve(work, broadcast.account, broadcast.key, wanted, work.now) if wanted else wanted
    if not able or (broadcast.route is Route.LIST and len(able) < 2):
        raise Refused("broadcasts.nobody_to_retry", broadcast=broadcast.name, count=len(wanted))
    _carry(work, broadcast, able)
    if store.move(work, broadcast_id, [State.SETTLING, State.FINISHED], State.SENDING, sent_at=None, finished_at=None):
        store.update(work, broadcast_id, reason=None)
    return len(able)


def _carry(work: Work, broadcast: Broadcast, who: BitMap) -> None:
    """Out of the chunks in which they failed, into new ones that say the same."""
    groups: dict[str, list[Piece]] = defaultdict(list)
    chosen = numbers(who)
    chunks = store.chunks_of(work, broadcast.id)
    for chunk in chunks:
        here = (chunk.statuses == Status.FAILED) & np.isin(chunk.recipients, chosen)
        if here.any():
            name = json.dumps([chunk.sender, chunk.said], sort_keys=True, default=str)
            piece = Piece(chunk.recipients[here], chunk.sender, chunk.said, stages.due(broadcast))
            groups[name].append(piece)
            ledger.carry(work, broadcast, chunk, here)
    pieces = [
        part
        for found in groups.values()
        for part in cutting.by_size(
            work, broadcast, replace(found[0], recipients=np.sort(np.concatenate([one.recipients for one in found])))
        )
    ]
    first = max(chunk.no for chunk in chunks) + 1
    store.insert_chunks(work, broadcast.id, pieces, with_msgids=broadcast.route is Route.TEMPLATE, first=first)
    stages.count_from_now(work, broadcast)
    if broadcast.state is not State.PAUSED:
        stages.enqueue(work, broadcast.id, list(range(first, first + len(pieces))))


def note_receipts(work: Work, account: int, receipts: Sequence[Mapping[str, Any]]) -> None:
    """Keep what a platform said about messages (`msgid`, `status`, `data`); settling takes them up."""
    store.insert_receipts(work, [{"account": account, **receipt} for receipt in receipts])


def note_subscription_sent(work: Work, account: int, openid: str, sent: Sequence[Mapping[str, Any]]) -> None:
    """Keep what the platform said of subscription messages to a person: `template_id`, `msgid`, `errcode`."""
    (contact,) = contacts.numbers_of(work, "openid", [openid], account)
    if contact is None:
        return
    receipts = [
        {
            "msgid": f"s{one['msgid']}",
            "status": "success" if one["errcode"] == 0 else "system_failed",
            "data": {"contact": contact, "template": one["template_id"], "errcode": one["errcode"]},
        }
        for one in sent
    ]
    note_receipts(work, account, receipts)


def note_subscription_answer(
    work: Work, account: int, openid: str, answers: Sequence[Mapping[str, Any]], *, changed: bool
) -> None:
    """A person answered the question for subscription messages (`template_id`, `accepted`), or `changed` his answer.

    An acceptance is good for one message. A refusal of the question leaves what was given before; a changed answer
    takes it all back.
    """
    (contact,) = contacts.numbers_of(work, "openid", [openid], account)
    if contact is None:
        return
    for one in answers:
        if one["accepted"] and not changed:
            consents.give(work, account, str(one["template_id"]), BitMap([contact]))
        elif changed and not one["accepted"]:
            consents.withdraw(work, account, str(one["template_id"]), BitMap([contact]))
