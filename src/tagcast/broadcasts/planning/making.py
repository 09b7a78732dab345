"""Making a plan from the present state. It sends nothing and moves nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, audiences
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import rules, store
from tagcast.broadcasts.ledger import members
from tagcast.broadcasts.planning import steps
from tagcast.broadcasts.rules import Route, Step
from tagcast.broadcasts.store import Broadcast, SavedPlan
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan with its sets: step name → contacts."""

    saved: SavedPlan
    sets: dict[str, BitMap]


def numbers(contacts: BitMap) -> rules.Numbers:
    """A set as sorted numbers."""
    return np.array(contacts.to_array(), dtype=np.uint32)


def make(work: Work, broadcast: Broadcast) -> Draft:
    """The waterfall of a draft, from the present state. Raises Refused or Invalid for what could never be sent."""
    account = accounts.get(work, broadcast.account)
    content = contents.parse(broadcast.content)
    check_kind(work, account, content.kind)
    contents.problems(content, account.kind)
    addressed = audiences.members(work, audiences.from_json(broadcast.audience))
    asked = steps.Asked(work, broadcast, account, work.now)
    sets = {"addressed": addressed, **dict(steps.fall(asked, addressed))}
    left = addressed - BitMap.union(BitMap(), *(gone for name, gone in sets.items() if name != "addressed"))
    held_out = members(rules.draw(numbers(left), broadcast.holdout_percent, _seed(work, broadcast)))
    sets["holdout"] = held_out
    sets["assigned"] = left - held_out
    lines = [Step(name, len(who), digest(who.serialize())) for name, who in sets.items()]
    facts: dict[str, Any] = {
        "account": account.id,
        "content": content.to_json(),
        "purpose": broadcast.purpose,
        "audience": broadcast.audience,
        "holdout_percent": broadcast.holdout_percent,
        "route": str(broadcast.route),
        "profile": account.profile,
        "settings": broadcast.settings,
        "broadcast": broadcast.id,
    }
    hash_ = rules.plan_hash(facts, lines)
    return Draft(SavedPlan(hash_, lines, facts, _warnings(broadcast, sets), work.now), sets)


def check_kind(work: Work, account: accounts.Account, kind: str) -> None:
    """Raises Refused when the account's limit profile does not let it send this kind of message."""
    limit = accounts.limits(work, account.id).value("broadcast.kinds")
    allowed = limit.value if isinstance(limit.value, tuple) else ()
    if limit.value is not None and kind not in allowed:
        raise Refused(
            "broadcasts.kind_not_allowed",
            kind=kind,
            account=account.name,
            account_kind=account.kind,
            allowed=", ".join(allowed),
            profile=limit.profile,
            source=limit.source,
        )


def _seed(work: Work, broadcast: Broadcast) -> int:
    return int.from_bytes(work.vault.sign("holdout", str(broadcast.id).encode())[:8], "big")


def _warnings(broadcast: Broadcast, sets: dict[str, BitMap]) -> list[str]:
    """Codes of what the operator should look at before sending."""
    warnings = []
    if not sets["assigned"]:
        warnings.append("nobody")
    if broadcast.route is Route.LIST and len(sets["assigned"]) == 1:
        warnings.append("list_of_one")
    if broadcast.holdout_percent == 0:
        warnings.append("no_holdout")
    elif len(sets["holdout"]) < 100:
        warnings.append("small_holdout")
    if "account_quota" in sets:
        warnings.append("account_quota")
    return warnings


def keep(work: Work, broadcast: Broadcast, draft: Draft) -> None:
    """Store the plan and its sets, so that each step can be opened."""
    store.save_plan(work, broadcast.id, draft.saved)
    for name, who in draft.sets.items():
        work.bitmaps.replace(f"{broadcast.key}:plan:{name}", who, why=f"plan {draft.saved.hash}")
