"""企业微信: tags on pairs of member and customer, and whom a tag filter matches."""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.access import visible
from wechat_sandbox.wecom.contacts import marks, relation
from wechat_sandbox.world import World

_UNDER_WAY: WeakKeyDictionary[World, tuple[set[str], dict[str, float]]] = WeakKeyDictionary()


def tag_group(world: World, account: Document, ident: Any) -> Document:
    """The group of a tag id; 40068 when there is no such tag."""
    entry = world.state.get("corp_tag", ident) if isinstance(ident, str) else None
    group = world.state.get("corp_group", entry["group"]) if entry else None
    if group is None or group["account"] != account["id"]:
        raise ApiError(40068)
    return group


def known_tag(world: World, account: Document, ident: Any) -> str:
    """The id of a tag that exists; the platform's error for another."""
    tag_group(world, account, ident)
    return str(ident)


def filtered(world: World, call: Call) -> dict[int, list[int]]:
    """Customers that a body's `tag_filter` matches, with the visible members whose marks it are.

    Tags of one entry are OR-ed, entries AND-ed, on one pair of member and customer.
    """
    account, groups = call.account, call.record("tag_filter", 40058).get("group_list")
    if not isinstance(groups, list) or not groups:
        raise ApiError(40058, "tag_filter")
    matched: set[str] | None = None
    for group in groups:
        tags = group.get("tag_list") if isinstance(group, dict) else None
        if not isinstance(tags, list) or not tags or len(tags) > world.limits["task_filter_tags"]:
            raise ApiError(40058, "tag_list")
        owners = marked(world, account, tags)
        matched = owners if matched is None else matched & owners
    found: dict[int, list[int]] = {}
    seen, index = set(visible(account)), world.reach_of(account).index
    for owner in matched or ():
        _, userid, ident = owner.split(":", 2)
        place = index.get(ident)
        if userid in seen and place is not None:
            found.setdefault(int(place), []).append(account["employees"].index(userid))
    return dict(sorted(found.items()))


def marked(world: World, account: Document, tags: list[Any]) -> set[str]:
    """Pairs, as `account:userid:external_userid`, that bear at least one of the tags."""
    return {owner for tag in tags for owner in world.state.owners.get(("mark", known_tag(world, account, tag)), ())}


def mark(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/mark_tag: one member, one customer; 45035 while the same pair is being marked."""
    account, userid, ident = call.account, call.body.get("userid"), call.body.get("external_userid")
    relation(world, account, userid, ident)
    add, remove = call.texts("add_tag", 40058), call.texts("remove_tag", 40058)
    if not add and not remove:
        raise ApiError(40063)
    for tag in add + remove:
        known_tag(world, account, tag)
    _one_at_a_time(world, f"{account['id']}:{userid}:{ident}")
    put(world, account, str(userid), str(ident), (add, remove))
    return {}


def put(world: World, account: Document, userid: str, ident: str, changes: tuple[list[str], list[str]]) -> None:
    """Add and remove marks of a pair; 40126 above 3,000 on one pair."""
    owner, (add, remove) = f"{account['id']}:{userid}:{ident}", changes
    if len(set(marks(world, account, userid, ident)) | set(add)) > world.limits["member_customer_tags"]:
        raise ApiError(40126)
    for tag in add:
        world.state.pair("mark", owner, tag)
    for tag in remove:
        world.state.unpair("mark", owner, tag)


def _one_at_a_time(world: World, owner: str) -> None:
    """45035 for a pair whose former mark is not answered yet, or came less than the limit's gap ago."""
    busy, last = _UNDER_WAY.setdefault(world, (set(), {}))
    now, gap, loop = time.monotonic() * 1000, world.limits["mark_gap_ms"], asyncio.get_running_loop()
    if owner in busy or (gap and now - last.get(owner, -gap) < gap):
        raise ApiError(45035)
    busy.add(owner)
    # The answer leaves in the next turn of the loop, after the commit.
    loop.call_soon(lambda: loop.call_soon(busy.discard, owner))
    if gap:
        last[owner] = now


def forget(world: World, account: Document, ident: str, userid: str | None = None) -> None:
    """A customer is no longer one, of one member or of all: the marks on him go."""
    for name in account["employees"] if userid is None else [userid]:
        owner = f"{account['id']}:{name}:{ident}"
        for tag in list(world.state.members.get(("mark", owner), ())):
            world.state.unpair("mark", owner, tag)


ROUTES = [Route("POST", "/cgi-bin/externalcontact/mark_tag", mark, kinds=WORK)]
