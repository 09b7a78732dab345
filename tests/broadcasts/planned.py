"""What tests of plans have in common: an account with people, drafts, and broadcasts that are to come."""

from datetime import datetime
from typing import Any

from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts
from tagcast.accounts import NewAccount
from tagcast.broadcasts import store
from tagcast.broadcasts.rules import State
from tagcast.contacts import Identity, PersonIn
from tagcast.kit import clock
from tagcast.kit.uow import Work

TEXT = {"kind": "text", "text": "会员日活动今天开始"}


def account(work: Work, kind: str = "service", name: str = "", profile: str = "platform") -> int:
    """An account of a kind, never called."""
    tail = f"{len(accounts.all_(work)):018}"
    given = {"wecom": {"corpid": f"ww{tail[2:]}"}, "custom": {"base_url": f"https://127.0.0.1/{tail}"}}
    identifier = given.get(kind, {"appid": f"wx{tail[2:]}"})
    secret = accounts.new_webhook_secret() if kind == "custom" else "0" * 32
    made = accounts.add(work, NewAccount(kind=kind, name=name or kind, secret=secret, **identifier))
    accounts.set_profile(work, made.id, profile)
    return made.id


def people(work: Work, at: int, size: int) -> list[int]:
    """Contacts that an account can reach, who follow it and consent."""
    numbers = contacts.ensure(work, [PersonIn({Identity("openid", at): f"o{number:05}"}) for number in range(size)])
    work.bitmaps.add(f"following:{at}", BitMap(numbers), why="test")
    compliance.record(work, "marketing", BitMap(numbers), BitMap(), source="test")
    return numbers


def draft(work: Work, at: int, **more: Any) -> int:
    """A draft to everybody."""
    return broadcasts.draft(work, **{"name": "一次", "account": at, "audience": "all", "content": TEXT, **more}).id


def schedule(work: Work, broadcast: int, due: datetime) -> None:
    """Plan a draft for a moment and let it wait for it."""
    broadcasts.plan(work, broadcast, due)
    store.move(work, broadcast, [State.DRAFT], State.SCHEDULED, due_at=clock.to_ms(due))


def opened(work: Work, broadcast: int) -> dict[str, set[int]]:
    """Each step of the waterfall with the people one finds under its key."""
    return {step.name: set(work.bitmaps.read(step.key)) for step in broadcasts.waterfall(work, broadcast)}
