"""The waterfall of a posting: of chats for customer groups, of contacts for a Moment. It changes nothing.

A Moment goes to all customers of its employees unless an audience chooses; the platform narrows by its own tags only,
so those who are chosen get a temporary tag of this posting before it is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from tagcast import accounts, audiences, compliance, contacts, groups
from tagcast.broadcasts import rules
from tagcast.broadcasts.postings import store
from tagcast.broadcasts.postings.shapes import GROUPS, Posting
from tagcast.broadcasts.rules import Step
from tagcast.broadcasts.senders import employees, figures
from tagcast.kit import clock
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work


@dataclass(slots=True)
class Made:
    """A plan with whom it is for. `recipients`: employee → chats, or for a Moment the employees under ""."""

    hash: str
    steps: list[Step]
    shares: dict[str, int]
    warnings: list[str]
    recipients: dict[str, list[str]]
    contacts: BitMap = field(default_factory=BitMap)
    everybody: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "steps": [[step.name, step.count] for step in self.steps],
            "shares": self.shares,
            "warnings": self.warnings,
            "everybody": self.everybody,
        }


def make(work: Work, posting: Posting) -> Made:
    """The plan of a draft from the present state. Raises Refused or Invalid for what could never be sent."""
    account = accounts.get(work, posting.account)
    made = _groups(work, posting, account) if posting.kind == GROUPS else _moment(work, posting, account)
    facts = {
        "posting": posting.id,
        "account": account.id,
        "profile": account.profile,
        "content": posting.content,
        "target": posting.target,
        "within_hours": posting.within_hours,
        "recipients": made.recipients,
    }
    made.hash = rules.plan_hash(facts, made.steps)
    if not any(made.recipients.values()):
        made.warnings.append("nobody")
    return made


def _groups(work: Work, posting: Posting, account: accounts.Account) -> Made:
    target = posting.target
    audience = audiences.members(work, audiences.from_json(target["audience"])) if "audience" in target else None
    able, full = employees(work, account.id), _full(work, account)
    left, shares, who = groups.chats(work, account.id), dict[str, int](), dict[str, list[str]]()
    lines = [_line("chats", [chat.chat_id for chat in left])]
    reasons: dict[str, Callable[[groups.Chat], bool]] = {
        "chat_dismissed": lambda chat: chat.dismissed_at is not None,
        "chat_not_chosen": lambda chat: (
            ("owners" in target and chat.owner not in target["owners"])
            or ("chats" in target and chat.chat_id not in target["chats"])
            or (audience is not None and len(audience & work.bitmaps.read(f"group:{chat.id}")) < target["least"])
        ),
        "chat_owner_gone": lambda chat: chat.owner not in able,
        "chat_full": lambda chat: chat.chat_id in full,
    }
    for name, falls in reasons.items():
        gone = [chat for chat in left if falls(chat)]
        left = [chat for chat in left if chat not in gone]
        lines.append(_line(name, [chat.chat_id for chat in gone]))
    lines.append(_line("chat_assigned", [chat.chat_id for chat in left]))
    for chat in sorted(left, key=lambda one: one.chat_id):
        who.setdefault(chat.owner, []).append(chat.chat_id)
        shares[chat.owner] = shares.get(chat.owner, 0) + 1
    return Made("", lines, shares, [], dict(sorted(who.items())))


def _full(work: Work, account: accounts.Account) -> set[str]:
    """Chats that have as many messages of the company as the platform lets them receive."""
    limits, today = accounts.limits(work, account.id), clock.local_day(work.now, account.zone)
    monday = today - timedelta(days=today.weekday())
    full: set[str] = set()
    for most, first in (
        (limits.count("broadcast.per_day"), today),
        (limits.count("broadcast.per_week"), monday),
        (limits.per_month(today), today.replace(day=1)),
    ):
        if most is not None:
            got = store.received(work, account.id, _start(first, account.zone))
            full |= {chat for chat, count in got.items() if count >= most}
    return full


def _start(day: date, zone: str) -> int:
    return clock.to_ms(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def _moment(work: Work, posting: Posting, account: accounts.Account) -> Made:
    expression = audiences.from_json(posting.target["audience"])
    able = {
        name: key
        for name, key in employees(work, account.id).items()
        if name in posting.target.get("employees", [name])
    }
    held = {name: work.bitmaps.read(key).copy() for name, key in able.items()}
    addressed = audiences.members(work, expression)
    chosen = audiences.personalised(work, expression)
    unfit = compliance.unfit(work, addressed, personalised=chosen)
    falls = {
        "no_identity": addressed - work.bitmaps.read(f"identity:{account.id}"),
        "no_employee": addressed - BitMap.union(BitMap(), *held.values()),
        "no_consent": addressed - compliance.consented(work, posting.purpose),
        "suppressed": addressed & compliance.suppressed(work),
        **{name: gone for name, gone in unfit.items() if gone is not None},
        "moments_full": addressed & _shown(work, account),
    }
    left, lines = addressed, [_set("addressed", addressed)]
    for name, who in falls.items():
        lines.append(_set(name, who & left))
        left = left - who
    lines.append(_set("assigned", left))
    everybody = left >= BitMap.union(BitMap(), *held.values())
    share = {name: len(customers & left) for name, customers in held.items()}
    share = {name: count for name, count in sorted(share.items()) if count}
    warnings = ["moment_everybody" if everybody else "moment_tag"]
    return Made("", lines, share, warnings, {"": list(share)} if share else {}, left, everybody)


def _shown(work: Work, account: accounts.Account) -> BitMap:
    """Who may have been shown as many Moments this month as the platform allows."""
    first = clock.local_day(work.now, account.zone).replace(day=1)
    levels = [BitMap() for _ in range(figures()["moments_per_month"] + 1)]
    for number in store.moments_since(work, account.id, _start(first, account.zone)):
        seen = work.bitmaps.read(f"posting:{number}:assigned")
        for level in range(len(levels) - 1, 0, -1):
            levels[level] |= seen & levels[level - 1] if level > 1 else seen
    return levels[-1]


def pairs(work: Work, posting: Posting) -> list[tuple[str, str]]:
    """(employee, external user id) of everybody whom a Moment is for, in an order that stays."""
    chosen = work.bitmaps.read(f"{posting.key}:assigned")
    found = []
    for name in sorted(posting.plan["shares"]):
        customers = list(work.bitmaps.read(f"employee:{posting.account}:{name}") & chosen)
        known = contacts.identities_of(work, customers, "external_userid", posting.account)
        found += [(name, known[number]) for number in customers if number in known]
    return found


def check_nobody(posting: Posting, made: Made) -> None:
    """Raises Refused when nobody is left."""
    if not any(made.recipients.values()):
        raise Refused("broadcasts.nobody", broadcast=posting.name)


def _line(name: str, members: list[str]) -> Step:
    return Step(name, len(members), digest(*sorted(members)))


def _set(name: str, members: BitMap) -> Step:
    return Step(name, len(members), digest(members.to_array().tobytes()))
