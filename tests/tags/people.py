"""Synthetic contacts, accounts and limit profiles for tests of tags and audiences."""

from pyroaring import BitMap

from tagcast import accounts, contacts
from tagcast.kit.uow import Work

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the public example


def people(work: Work, size: int) -> BitMap:
    """`size` contacts known by customer_id c1, c2, …"""
    made = [contacts.PersonIn({contacts.Identity("customer_id"): f"c{i}"}) for i in range(1, size + 1)]
    return BitMap(contacts.ensure(work, made))


def crowd(work: Work, size: int) -> BitMap:
    """`size` contact numbers without people behind them: enough for whatever works on sets alone."""
    numbers = BitMap(range(1, size + 1))
    work.bitmaps.add("contact", numbers, why="test")
    return numbers


def account(work: Work, kind: accounts.Kind, *, profile: str = "article") -> int:
    """An account of a kind, named after it."""
    new = {
        "wecom": accounts.NewAccount("wecom", "wecom", "s" * 43, corpid="ww1234567890abcdef", agentid=1000001),
        "official": accounts.NewAccount("official", "official", "s" * 32, "wx1234567890abcdef", profile=profile),
        "service": accounts.NewAccount("service", "service", "s" * 32, "wx234567890abcdef1"),
        "custom": accounts.NewAccount("custom", "custom", WEBHOOK_SECRET, base_url="https://hook.example.com"),
    }
    return accounts.add(work, new[kind]).id


def small_account(work: Work, **limits: int) -> int:
    """An official account whose profile has these tag limits, e.g. members=3."""
    values = {key: {"value": value, "source": "a test", "date": "2026-11-23"} for key, value in limits.items()}
    accounts.add_profile(work, "small", "article", {"official": {"tags": values}})
    return account(work, "official", profile="small")


def until_of(work: Work, tag: int, number: int) -> int | None:
    """When the tag of one contact ends, epoch milliseconds; None if it does not."""
    found = [key for key in work.bitmaps.keys(f"tag-until:{tag}:") if number in work.bitmaps.read(key)]
    assert len(found) < 2
    return int(found[0].rpartition(":")[2]) if found else None
