"""The plan: who is addressed, who is left out and why, who is held out, who is sent to. It sends nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, audiences, compliance
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import rules, store
from tagcast.broadcasts.ledger import members
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
    sets = {"addressed": addressed}
    left = addressed
    for reason, gone in _left_out(work, broadcast, account):
        sets[reason] = left & gone if isinstance(gone, BitMap) else left - gone.keep
        left = left - sets[reason]
    held_out = members(rules.draw(numbers(left), broadcast.holdout_percent, _seed(work, broadcast)))
    sets["holdout"] = held_out
    sets["assigned"] = left - held_out
    steps = [Step(name, len(who), digest(who.serialize())) for name, who in sets.items()]
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
    hash_ = rules.plan_hash(facts, steps)
    return Draft(SavedPlan(hash_, steps, facts, _warnings(broadcast, sets), work.now), sets)


@dataclass(frozen=True, slots=True)
class _Keep:
    """Leaves out all but these."""

    keep: BitMap


def _left_out(work: Work, broadcast: Broadcast, account: accounts.Account) -> list[tuple[str, BitMap | _Keep]]:
    """Reasons in the order of the waterfall; who is counted under one is not counted under the next."""
    reached = work.bitmaps.read(f"identity:{account.id}")
    following = work.bitmaps.read(f"following:{account.id}")
    steps: list[tuple[str, BitMap | _Keep]] = [
        ("no_identity", _Keep(reached)),
        ("not_following", _Keep(following)),
        ("no_consent", _Keep(compliance.consented(work, broadcast.purpose))),
        ("suppressed", compliance.suppressed(work)),
        *([("no_employee", _Keep(_held(work, account)))] if broadcast.route is Route.TASKS else []),
        ("over_cap", compliance.over_cap(work, account.id, work.now)),
        ("over_ceiling", compliance.over_monthly_ceiling(work, work.now)),
    ]
    quota = compliance.account_quota(work, account.id, work.now)
    if quota.limit is not None and quota.used >= quota.limit:
        steps.append(("account_quota", _Keep(BitMap())))
    return steps


def _held(work: Work, account: accounts.Account) -> BitMap:
    """Customers whom some employee holds: only he can send to them."""
    return BitMap.union(BitMap(), *(work.bitmaps.read(key) for key in work.bitmaps.keys(f"employee:{account.id}:")))


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
