"""企业微信: the relation of a member and a customer: since when, how it came, remarks, private tags, last contact.

Who is whose friend at the beginning follows from the population; what changed since is stored here.
"""

from typing import Any
from weakref import WeakKeyDictionary

from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import welcome
from wechat_sandbox.world import World

_Changed = dict[int, tuple[int, ...]]
_CHANGED: WeakKeyDictionary[World, dict[int, _Changed]] = WeakKeyDictionary()


def _changed(world: World, account: Document) -> _Changed:
    """Members per customer of an account, where they are not as the population made them."""
    known = _CHANGED.get(world)
    if known is None:
        known = _CHANGED[world] = {}
        for key, entry in world.state.documents["staff"].items():
            owner, _, index = key.partition(":")
            known.setdefault(int(owner), {})[int(index)] = tuple(entry["numbers"])
    return known.setdefault(account["id"], {})


def staff(world: World, account: Document, index: int) -> tuple[int, ...]:
    """Numbers of the members who have or had a person as a customer."""
    return _changed(world, account).get(index) or tuple(world.reach_of(account).staff[index])


def members_of(world: World, account: Document, index: int) -> tuple[int, ...]:
    """Numbers of the members who have a customer; none when the person is no customer."""
    return staff(world, account, index) if world.reach_of(account).follows[index] else ()


def customers_of(world: World, account: Document, number: int) -> list[int]:
    """Indexes of the friends of a member, ascending; not to be changed. Kept until a relation changes."""
    kept = world.reach_of(account).friends_of
    if number not in kept:
        kept[number] = _find_customers(world, account, number)
    return kept[number]


def _find_customers(world: World, account: Document, number: int) -> list[int]:
    reach, changed = world.reach_of(account), _changed(world, account)
    found: list[int] = reach.friends(number).tolist()
    if not changed:
        return found
    more = [index for index, numbers in changed.items() if number in numbers and reach.follows[index]]
    return sorted({index for index in found if number in staff(world, account, index)}.union(more))


def _key(world: World, account: Document, number: int, index: int) -> str:
    return f"{account['id']}:{account['employees'][number]}:{world.reach_of(account).ids[index]}"


def details(world: World, account: Document, number: int, index: int) -> Document:
    """What is stored about one relation; empty when nothing changed since the beginning."""
    return world.state.get("friend", _key(world, account, number, index)) or {}


def note(world: World, account: Document, number: int, index: int, **changes: Any) -> None:
    """Store something about one relation."""
    world.state.put(
        "friend", _key(world, account, number, index), {**details(world, account, number, index), **changes}
    )


def since(world: World, account: Document, number: int, index: int) -> int:
    """When the relation began, in seconds."""
    known = details(world, account, number, index).get("at")
    draw = unit(account["id"], number, world.reach_of(account).ids[index])
    return int(known or account["created"] // 1000 - int(draw * 400 * 86400))


def last_contact(world: World, account: Document, number: int, index: int) -> tuple[int, int]:
    """Sorts the members of one customer: the greatest was the last to interact."""
    known = details(world, account, number, index)
    return int(known.get("touched", 0)), since(world, account, number, index)


def touch(world: World, account: Document, number: int, index: int, *, chat: bool = False) -> None:
    """They interact now; `chat`: the customer writes, so the conversation has begun."""
    note(world, account, number, index, touched=world.now(), **({"chatted": True} if chat else {}))
    if chat:
        userid = account["employees"][number]
        welcome.begin_chat(world, account, userid, world.reach_of(account).ids[index])


def relate(world: World, account: Document, number: int, index: int, **changes: Any) -> bool:
    """Make them friends; False when they are already. The event is the caller's."""
    before = members_of(world, account, index)
    if number in before:
        return False
    world.population.change(account, index, True, None)
    _put_staff(world, account, index, (*before, number))
    now = world.now()
    fresh = {"at": now // 1000, "touched": now, "add_way": 1, "state": "", **changes}
    world.state.put("friend", _key(world, account, number, index), fresh)
    return True


def part(world: World, account: Document, number: int, index: int) -> bool:
    """The member loses the customer; False when they were no friends. Marks and the event are the caller's."""
    before = members_of(world, account, index)
    if number not in before:
        return False
    rest = tuple(other for other in before if other != number)
    if rest:
        _put_staff(world, account, index, rest)
    else:
        world.population.change(account, index, False, None)
    world.state.remove("friend", _key(world, account, number, index))
    return True


def _put_staff(world: World, account: Document, index: int, numbers: tuple[int, ...]) -> None:
    _changed(world, account)[index] = numbers
    reach = world.reach_of(account)
    reach.staff[index] = numbers
    reach.friends_of.clear()
    world.state.put("staff", f"{account['id']}:{index}", {"numbers": list(numbers)})


def resume(world: World) -> None:
    """After a start: relations that changed are as they were."""
    for account in world.accounts():
        for index, numbers in _changed(world, account).items():
            world.reach_of(account).staff[index] = numbers


def added(world: World, account: Document, number: int, index: int, change: str = "add_external_contact") -> str:
    """Send that a new friend came; the welcome code in it, empty when there is none."""
    known, ident = details(world, account, number, index), world.reach_of(account).ids[index]
    more = {"State": known["state"]} if known.get("state") else {}
    code = "" if known.get("chatted") else welcome.issue(world, account, account["employees"][number], ident)
    event(world, account, number, index, change, **more, **({"WelcomeCode": code} if code else {}))
    return code


def event(world: World, account: Document, number: int, index: int, change: str, **more: Any) -> None:
    """Send a change of a relation."""
    userid, ident = account["employees"][number], world.reach_of(account).ids[index]
    fields = {"ChangeType": change, "UserID": userid, "ExternalUserID": ident, **more}
    world.callbacks.send(account, "change_external_contact", "sys", fields, world.now())


def announce(world: World, account: Document, index: int, change: str) -> None:
    """Send a change to every member of a customer; a new friendship begins anew."""
    for number in staff(world, account, index):
        if change == "add_external_contact":
            world.state.remove("friend", _key(world, account, number, index))
            now = world.now()
            note(world, account, number, index, at=now // 1000, touched=now)
            added(world, account, number, index)
        else:
            event(world, account, number, index, change)


ROUTES: list[Any] = []
