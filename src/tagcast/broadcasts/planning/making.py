"""Making a plan from the present state. It sends nothing and moves nothing."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, audiences
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import marketing, rules, senders, store, variants
from tagcast.broadcasts.ledger import members
from tagcast.broadcasts.planning import competing, estimating, moving, steps
from tagcast.broadcasts.rules import Route, Step
from tagcast.broadcasts.store import Broadcast, SavedPlan
from tagcast.broadcasts.timing import warning
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan with its sets: step name → contacts."""

    saved: SavedPlan
    sets: dict[str, BitMap]
    takers: list[competing.Taker] = field(default_factory=list)


def numbers(contacts: BitMap) -> rules.Numbers:
    """A set as sorted numbers."""
    return np.array(contacts.to_array(), dtype=np.uint32)


def make(work: Work, broadcast: Broadcast, at: datetime | None = None) -> Draft:
    """The waterfall of a draft from the present state, for a moment of sending: `at`, its schedule's next, or now.

    Raises Refused or Invalid for what could never be sent.
    """
    account = accounts.get(work, broadcast.account)
    content = contents.parse(broadcast.content)
    for said in contents.contents_of(broadcast).values():
        check_kind(work, account, said.kind)
    variants.agree(account, broadcast)
    marketing.check(broadcast.purpose, broadcast.route)
    contents.check(work, account, content)
    addressed = audiences.members(work, audiences.from_json(broadcast.audience))
    asked = steps.Asked(work, broadcast, account, at or warning.moment(work, broadcast))
    sets = {"addressed": addressed, **dict(steps.fall(asked, addressed))}
    left = addressed - BitMap.union(BitMap(), *(gone for name, gone in sets.items() if name != "addressed"))
    held_out = members(rules.draw(numbers(left), broadcast.holdout_percent, _seed(work, broadcast)))
    sets["holdout"] = held_out
    sets["assigned"] = left - held_out
    lines = [Step(name, len(who), digest(who.to_array().tobytes())) for name, who in sets.items()]
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
        "texts": contents.examine(work, broadcast, account, sets["assigned"]),
        "variants": variants.facts(work, broadcast, sets["assigned"]),
        "senders": senders.plan_facts(work, broadcast, sets["assigned"]),
    }
    notes = estimating.notes(work, broadcast, account, sets["assigned"], asked.at)
    warnings = _warnings(broadcast, sets, notes) + senders.warnings(facts["senders"])
    warnings += warning.warnings(work, broadcast, sets["assigned"], asked.at)
    saved = SavedPlan(rules.plan_hash(facts, lines), lines, facts, warnings, work.now, notes)
    return Draft(saved, sets, asked.takers)


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


def _warnings(broadcast: Broadcast, sets: dict[str, BitMap], notes: dict[str, Any]) -> list[str]:
    """Codes of what the operator should look at before sending."""
    assigned, took = sets["assigned"], notes["duration"]
    few = broadcast.holdout_percent > 0 and len(sets["holdout"]) < estimating.warn_at("small_holdout")
    looked = {
        "nobody": not assigned,
        "list_of_one": broadcast.route is Route.LIST and len(assigned) == 1,
        "no_holdout": broadcast.holdout_percent == 0,
        "small_holdout": few,
        "account_quota": "account_quota" in sets,
        "yields": bool(sets.get("yields")),
        "long": took["seconds"] > estimating.warn_at("long_seconds"),
        "several_days": took["days"] > 1,
        "costs": notes["cost"] is not None and notes["cost"]["total"] > 0,
    }
    return [code for code, holds in looked.items() if holds]


def keep(work: Work, broadcast: Broadcast, draft: Draft) -> None:
    """Store the plan and its sets, so that each step can be opened; and who yields to which broadcast."""
    store.save_plan(work, broadcast.id, draft.saved)
    prefix, nobody = f"{broadcast.key}:plan:", BitMap()
    stale = {key.removeprefix(prefix): nobody for key in work.bitmaps.keys(prefix)}
    yielding = {f"yields:{taker.broadcast}": taker.members for taker in draft.takers}
    for name, who in {**stale, **draft.sets, **yielding}.items():
        work.bitmaps.replace(prefix + name, who, why=f"plan {draft.saved.hash}")


def sets_of(work: Work, broadcast: Broadcast, plan: SavedPlan) -> dict[str, BitMap]:
    """The sets of a plan as they were kept."""
    return {step.name: work.bitmaps.read(f"{broadcast.key}:plan:{step.name}") for step in plan.steps}


def difference(work: Work, broadcast: Broadcast, made: Draft) -> dict[str, object]:
    """What moved between the plan that was kept and what is so now, as parameters of `broadcasts.plan_moved`."""
    before = store.plan_of(work, broadcast.id)
    if before is None:
        return moving.told([], made.saved.steps, [], [])
    facts = moving.changed_facts(before.facts, made.saved.facts)
    found = moving.moves(sets_of(work, broadcast, before), made.sets)
    return moving.told(before.steps, made.saved.steps, facts, found)


def forget(work: Work, broadcast: Broadcast) -> None:
    """A plan of what the broadcast is no more: its hash finds nothing, and its sets are empty."""
    store.delete_plan(work, broadcast.id)
    for key in work.bitmaps.keys(f"{broadcast.key}:plan:"):
        work.bitmaps.replace(key, BitMap(), why="plan forgotten")


def yielded_to(work: Work, broadcast: Broadcast, contact: int) -> list[int]:
    """The broadcasts to which a contact's slot goes, by the newest plan."""
    prefix = f"{broadcast.key}:plan:yields:"
    return [int(key.removeprefix(prefix)) for key in work.bitmaps.keys(prefix) if contact in work.bitmaps.read(key)]
