"""THE map: what follows from an event, the only way up between the floors. One entry tells all that an event causes."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from pyroaring import BitMap
from sqlalchemy.engine import Connection

from tagcast import accounts, behaviour, broadcasts, contacts, features, groups, inbox, tags, tracking
from tagcast.kit import events, logs
from tagcast.kit.events import Recorded
from tagcast.kit.uow import Runtime, Work

Reaction = Callable[[Work, Sequence[Recorded]], None]

BATCH = 500
# One follower of events at a time on PostgreSQL, so that what a person did is followed in order; SQLite has one writer.
ONE_AT_A_TIME = 0x7A67_0001

log = logs.get("reactions")


def _receipts(work: Work, batch: Sequence[Recorded]) -> None:
    """What became of a message (`msgid`) or of a mass send (`msg_id`)."""
    for account, facts in inbox.facts(work, batch).items():
        receipts = []
        for fact in facts:
            msgid = fact.data.get("msgid", fact.data.get("msg_id"))
            if msgid is not None:
                receipts.append({"msgid": str(msgid), "status": str(fact.data["status"]), "data": dict(fact.data)})
        broadcasts.note_receipts(work, account, receipts)


def _subscribed(work: Work, batch: Sequence[Recorded]) -> None:
    """Consents for subscription messages, given or taken back."""
    changed = batch[0].name == "inbox.subscription_changed"
    for account, facts in inbox.facts(work, batch).items():
        for fact in facts:
            if fact.person is not None:
                answers = fact.data["templates"]
                broadcasts.note_subscription_answer(work, account, fact.person, answers, changed=changed)


def _subscription_sent(work: Work, batch: Sequence[Recorded]) -> None:
    for account, facts in inbox.facts(work, batch).items():
        for fact in facts:
            if fact.person is not None:
                broadcasts.note_subscription_sent(work, account, fact.person, fact.data["templates"])


def _came(work: Work, batch: Sequence[Recorded]) -> None:
    for account, facts in inbox.facts(work, batch).items():
        for fact in facts:
            if fact.person is not None:
                employee = str(fact.data.get("employee", ""))
                contacts.on_followed(work, _identity(work, account), fact.person, employee=employee)


def _left(work: Work, batch: Sequence[Recorded]) -> None:
    for account, facts in inbox.facts(work, batch).items():
        for fact in facts:
            if fact.person is not None:
                employee = str(fact.data.get("employee", ""))
                contacts.on_unfollowed(work, _identity(work, account), fact.person, employee=employee)


def _edited(work: Work, batch: Sequence[Recorded]) -> None:
    """A member changed something about a customer, maybe tags; what, the callback does not say."""
    for account, facts in inbox.facts(work, batch).items():
        tags.sync.touched(work, account, [fact.person for fact in facts if fact.person is not None])


def _chats(work: Work, batch: Sequence[Recorded]) -> None:
    for account, facts in inbox.facts(work, batch).items():
        groups.note_changed(work, account, (str(fact.data["chat"]) for fact in facts))


def _erased(work: Work, batch: Sequence[Recorded]) -> None:
    """Nothing of a person stays: events, visits and what was derived from them, also what came in meanwhile."""
    numbers = BitMap(event.payload["number"] for event in batch)
    for number in numbers:
        behaviour.forget(work, number)
        features.forget(work, number)
        tracking.forget(work, number)
    contacts.take_out(work, numbers)


def _identity(work: Work, account: int) -> contacts.Identity:
    kind = "external_userid" if accounts.get(work, account).kind == "wecom" else "openid"
    return contacts.Identity(kind, account)


REACTIONS: dict[str, tuple[Reaction, ...]] = {
    "contacts.erased": (_erased,),
    "inbox.template_finished": (_receipts,),
    "inbox.mass_finished": (_receipts,),
    "inbox.subscription_answered": (_subscribed,),
    "inbox.subscription_changed": (_subscribed,),
    "inbox.subscription_sent": (_subscription_sent,),
    "inbox.followed": (_came,),
    "inbox.unfollowed": (_left,),
    "inbox.customer_added": (_came,),
    "inbox.customer_removed": (_left,),
    "inbox.group_created": (_chats,),
    "inbox.group_changed": (_chats,),
    "inbox.group_dismissed": (_chats,),
    "inbox.customer_edited": (_edited,),
}


def follow(runtime: Runtime) -> int:
    """Follow the oldest open events of one kind, each once: what follows and the mark are one commit. Returns how many.

    A batch that fails is followed event by event; the one that fails again is set aside with its problem. Nothing is
    followed while another process does it, and nothing set aside because the database failed.
    """
    with runtime.engine.connect() as connection:
        batch = events.open_batch(connection, BATCH)
    if not batch:
        return 0
    try:
        return len(batch) if _commit(runtime, batch) else 0
    except Exception:  # noqa: BLE001 - found out one by one below
        for event in batch:
            try:
                _commit(runtime, [event])
            except sa.exc.OperationalError:
                raise
            except Exception as error:
                log.exception("event set aside", seq=event.seq, kind=event.name)
                with runtime.work(event.workspace, "reactions") as work:
                    events.set_aside(work, event, type(error).__name__)
    return len(batch)


def _commit(runtime: Runtime, batch: Sequence[Recorded]) -> bool:
    """Whether it was this process's to follow."""
    with runtime.work(batch[0].workspace, "reactions") as work:
        if not _mine(work.connection):
            return False
        still_open = events.still_open(work, batch)
        for reaction in REACTIONS.get(batch[0].name, ()):
            if still_open:
                reaction(work, still_open)
        events.close_batch(work, still_open)
        return True


def _mine(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(ONE_AT_A_TIME))))
