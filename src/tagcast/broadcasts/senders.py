"""企业微信: which employees may send, which of them gets whom, and what speaks against one.

The section `senders` of a broadcast's settings: `prefer` (`balanced`, `recent`: who added the customer last, `first`:
who has had him longest, `owner`: who stands in the contact field `attribute`), `only` and `not` (employees), `most`
(customers an employee). When somebody talked last is not known to us, so it is not asked.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, contacts
from tagcast.broadcasts import assigning
from tagcast.broadcasts.assigning import Ints
from tagcast.broadcasts.rules import Numbers, Route
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.store import tasks as store
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

PREFER = ("balanced", "recent", "first", "owner")
FIELDS = ("prefer", "attribute", "only", "not", "most")
# Changes of an employee's set that are looked through for when a customer came; who came before is old.
WALK = 500


@cache
def figures() -> Mapping[str, int]:
    """The figures of `wecom.toml`, each with its source there."""
    return {name: int(entry["value"]) for name, entry in read_toml("broadcasts", "wecom.toml").items()}


def section(work: Work, account: accounts.Account, value: Any) -> dict[str, Any]:
    """The section `senders` in its normal form. Raises Invalid, NotFound."""
    if account.kind != "wecom":
        raise Invalid("broadcasts.only_wecom", setting="senders", account=account.name)
    if not isinstance(value, Mapping) or set(value) - set(FIELDS):
        raise Invalid("broadcasts.bad_senders", known=", ".join(FIELDS))
    prefer = value.get("prefer", PREFER[0])
    if prefer not in PREFER:
        raise Invalid("broadcasts.bad_prefer", value=prefer, known=", ".join(PREFER))
    found: dict[str, Any] = {"prefer": prefer}
    if (prefer == "owner") is not ("attribute" in value):
        raise Invalid("broadcasts.bad_owner")
    if prefer == "owner":
        found["attribute"] = contacts.find_attribute(work, str(value["attribute"])).name
    known = employees(work, account.id)
    for name in ("only", "not"):
        given = value.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            raise Invalid("broadcasts.bad_senders", known=", ".join(FIELDS))
        if strange := sorted(set(given) - known.keys()):
            raise Invalid("broadcasts.unknown_employee", employee=strange[0], account=account.name)
        if given:
            found[name] = sorted(set(given))
    most = value.get("most")
    if most is not None:
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise Invalid("broadcasts.bad_most", value=most)
        found["most"] = most
    return found


def employees(work: Work, account: int) -> dict[str, str]:
    """Employee → the key of his customers; who left the company or the app's range has none any more."""
    prefix = f"employee:{account}:"
    return {key.removeprefix(prefix): key for key in work.bitmaps.keys(prefix)}


def allowed(work: Work, broadcast: Broadcast) -> dict[str, str]:
    """As `employees`, those whom the broadcast's settings let send."""
    asked = broadcast.settings.get("senders", {})
    only, refused = asked.get("only"), set(asked.get("not", ()))
    found = employees(work, broadcast.account)
    return {name: key for name, key in found.items() if (only is None or name in only) and name not in refused}


def shares(work: Work, broadcast: Broadcast, who: BitMap) -> dict[str, Numbers]:
    """Employee → whom of `who` he gets. Who is in no share is held by nobody who may send, or by nobody with room."""
    asked = broadcast.settings.get("senders", {})
    held = {name: work.bitmaps.read(key) & who for name, key in allowed(work, broadcast).items()}
    return assigning.assign(
        _numbers(who),
        {name: _numbers(customers) for name, customers in held.items()},
        ranks=_ranks(work, broadcast, asked, held),
        avoid=avoided(work, broadcast.account),
        limit=asked.get("most"),
    )


def avoided(work: Work, account: int) -> frozenset[str]:
    """Employees whose last task was left unconfirmed or was refused because of them, lately."""
    figure = figures()
    now, hour = work.now_ms, 3_600_000
    since, before = now - figure["avoid_days"] * 24 * hour, now - figure["avoid_after_hours"] * hour
    return frozenset(
        name
        for name, last in store.last_tasks(work, account, since).items()
        if last.refused or (last.confirmed_at is None and last.at <= before)
    )


def plan_facts(work: Work, broadcast: Broadcast, assigned: BitMap) -> dict[str, int]:
    """Employee → how many customers he gets, for the plan; empty on another route."""
    if broadcast.route is not Route.TASKS:
        return {}
    return {name: int(share.size) for name, share in shares(work, broadcast, assigned).items()}


def warnings(customers: Mapping[str, int]) -> list[str]:
    """Codes of what an operator should look at in the plan."""
    return ["many_per_employee"] if max(customers.values(), default=0) > figures()["many_per_employee"] else []


def _numbers(members: BitMap) -> Numbers:
    return np.array(members.to_array(), dtype=np.uint32)


def _ranks(work: Work, broadcast: Broadcast, asked: Mapping[str, Any], held: Mapping[str, BitMap]) -> dict[str, Ints]:
    """A number for each customer whom several hold, the higher the better."""
    prefer = asked.get("prefer", PREFER[0])
    if prefer == PREFER[0]:
        return {}
    seen, contested = BitMap(), BitMap()
    for customers in held.values():
        contested |= seen & customers
        seen |= customers
    if prefer == "owner":
        owner = contacts.values_of(work, asked["attribute"], contested)
        mine: dict[str, BitMap] = {}
        for number, value in owner.items():
            mine.setdefault(str(value), BitMap()).add(number)
        return {name: _place(customers, [(mine.get(name, BitMap()), 1)]) for name, customers in held.items()}
    keys = employees(work, broadcast.account)
    sign = 1 if prefer == "recent" else -1
    return {
        name: _place(customers, _came(work, keys[name], customers & contested), sign)
        for name, customers in held.items()
    }


def _came(work: Work, key: str, wanted: BitMap) -> list[tuple[BitMap, int]]:
    """(customers, place in the log) of when each of `wanted` became this employee's the last time."""
    left, found, before = wanted, [], None
    for _ in range(WALK // 100):
        if not left:
            break
        page = work.bitmaps.history(key, limit=100, before=before)
        for change in page:
            if change.op == "add" and (came := work.bitmaps.members(change.seq) & left):
                found.append((came, change.seq))
                left = left - came
        if len(page) < 100:
            break
        before = page[-1].seq
    return found


def _place(customers: BitMap, ranked: list[tuple[BitMap, int]], sign: int = 1) -> Ints:
    """The rank of each customer, in their order; 0 where nothing is known."""
    own = _numbers(customers)
    ranks = np.zeros(own.size, np.int64)
    for who, rank in ranked:
        ranks[np.searchsorted(own, _numbers(who & customers))] = sign * rank
    return ranks
