"""Consents for subscription messages (订阅消息): each that a person gives is good for one message of one template.

The platform tells them as callbacks and cannot be asked, so they are counted here, in sets: `subscription:<account>:
<template>:<k>` holds who has at least k left. One is taken when a broadcast is started, like a slot of a cap, and given
back only when the message surely was not sent.
"""

from collections.abc import Iterator

from pyroaring import BitMap

from tagcast.kit.uow import Work

# More in hand than this are not counted: no person is asked so often.
MOST = 50


def _key(account: int, template: str, k: int) -> str:
    return f"subscription:{account}:{template}:{k}"


def _withdrawn(account: int, template: str) -> str:
    return f"subscription:{account}:{template}:withdrawn"


def holders(work: Work, account: int, template: str) -> BitMap:
    """Who has a consent left. Shared: not to be mutated."""
    return work.bitmaps.read(_key(account, template, 1))


def left(work: Work, account: int, template: str, contact: int) -> int:
    """How many consents a person has left."""
    return sum(contact in members for _, members in _levels(work, account, template))


def counts(work: Work, account: int) -> dict[str, tuple[int, int]]:
    """Template → (people with a consent left, consents left)."""
    prefix = f"subscription:{account}:"
    found: dict[str, tuple[int, int]] = {}
    for key in work.bitmaps.keys(prefix):
        template, _, level = key.removeprefix(prefix).rpartition(":")
        if level.isdecimal():
            size = work.bitmaps.count(key)
            people, consents = found.get(template, (0, 0))
            found[template] = (size if level == "1" else people, consents + size)
    return {template: pair for template, pair in sorted(found.items()) if pair[1]}


def give(work: Work, account: int, template: str, who: BitMap) -> None:
    """One consent more for each: given by the person."""
    _lock(work, account, template)
    work.bitmaps.remove(_withdrawn(account, template), who, why="consent given")
    _add(work, account, template, who, why="consent given")


def withdraw(work: Work, account: int, template: str, who: BitMap) -> None:
    """Nobody of these has a consent any more, and none comes back that a started broadcast holds."""
    _lock(work, account, template)
    for key, members in list(_levels(work, account, template)):
        work.bitmaps.remove(key, members & who, why="consent withdrawn")
    work.bitmaps.add(_withdrawn(account, template), who, why="consent withdrawn")


def withdrawn(work: Work, account: int, template: str) -> BitMap:
    """Who withdrew and has given none since. Shared: not to be mutated."""
    return work.bitmaps.read(_withdrawn(account, template))


def take(work: Work, account: int, template: str, who: BitMap, *, why: str) -> BitMap:
    """Take one consent of each who has one, and return them; the others must not be sent to."""
    _lock(work, account, template)
    able = who & holders(work, account, template)
    levels = list(_levels(work, account, template))
    for at, (key, members) in enumerate(levels):
        above = levels[at + 1][1] if at + 1 < len(levels) else BitMap()
        work.bitmaps.remove(key, (members & able) - above, why=why)
    return able


def give_back(work: Work, account: int, template: str, who: BitMap, *, why: str) -> None:
    """A message surely was not sent: the consent that was taken for it is there again, unless it was withdrawn."""
    _lock(work, account, template)
    _add(work, account, template, who - withdrawn(work, account, template), why=why)


def _add(work: Work, account: int, template: str, who: BitMap, *, why: str) -> None:
    rising = who
    for k in range(1, MOST + 1):
        if not rising:
            return
        members = work.bitmaps.read(_key(account, template, k))
        there = rising & members
        work.bitmaps.add(_key(account, template, k), rising - members, why=why)
        rising = there


def _levels(work: Work, account: int, template: str) -> Iterator[tuple[str, BitMap]]:
    for k in range(1, MOST + 1):
        key = _key(account, template, k)
        members = work.bitmaps.read(key)
        if not members:
            return
        yield key, members


def _lock(work: Work, account: int, template: str) -> None:
    """Let nobody count between our look and our write: an empty change takes the right to append."""
    work.bitmaps.add(_key(account, template, 1), BitMap(), why="count")
