"""Approval by a second person, where the workspace asks for it: above a size, for some purposes, for some tags."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tagcast import audiences, compliance, tags
from tagcast.broadcasts import store
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Approval, Broadcast
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Work

SETTING = "approval"
MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Approving:
    """When a second person is asked: for more than `above` recipients, for `purposes`, for audiences of `tags`.

    `tags` are paths; what is below one of them counts. Nothing is asked for unless it is set.
    """

    above: int | None = None
    purposes: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def approval(work: Work) -> Approving:
    """What the workspace has set."""
    found = store.setting(work, SETTING)
    return Approving() if found is None else Approving(**found.value)


def set_approval(work: Work, given: Mapping[str, Any]) -> Approving:
    """Set what needs a second person; what is not given stays. Raises Invalid, NotFound for an unknown tag."""
    new = {**asdict(approval(work)), **given}
    above = new["above"]
    if above is not None and not 0 <= above <= MOST:
        raise Invalid("broadcasts.bad_approval", value=above, most=MOST)
    for purpose in new["purposes"]:
        compliance.check_purpose(purpose)
    known = {tag.path for tag in tags.every(work).values()}
    for path in new["tags"]:
        if path not in known:
            raise NotFound("broadcasts.no_sensitive_tag", tag=path)
    store.put_setting(work, SETTING, asdict(Approving(**new)))
    return approval(work)


def approval_reasons(work: Work, broadcast: Broadcast, size: int) -> list[str]:
    """Why a broadcast to so many needs a second person; nothing where it needs none: `above`, `purpose`, `tags`."""
    wanted = approval(work)
    found = ["above"] if wanted.above is not None and size > wanted.above else []
    if broadcast.purpose in wanted.purposes:
        found.append("purpose")
    if wanted.tags and _sensitive(work, broadcast, wanted.tags):
        found.append("tags")
    return found


def _sensitive(work: Work, broadcast: Broadcast, paths: list[str]) -> bool:
    every = tags.every(work)
    refs = [(tag.account, tag.path, tag.id) for tag in every.values()]
    numbers, more = set[int](), [audiences.from_json(broadcast.audience)]
    while more:
        branches, exactly, over = audiences.tag_uses(more.pop(), refs)
        numbers.update(branches, exactly)
        more += [audiences.find(work, name).expression for name in over]
    used = {every[number].path for number in numbers if number in every}
    return any(_related(path, one) for path in paths for one in used)


def _related(sensitive: str, used: str) -> bool:
    """Whether an audience of a tag chooses by a sensitive one: that tag, one below it, or a branch that holds it."""
    return sensitive == used or used.startswith(f"{sensitive}/") or sensitive.startswith(f"{used}/")


def decide(work: Work, plan_hash: str, *, approved: bool, note: str = "") -> Approval:
    """Approve or reject a plan, as somebody who neither wrote nor changed the broadcast.

    Raises NotFound, Conflict when it is no draft any more, Refused to its authors.
    """
    broadcast_id = store.broadcast_of_plan(work, plan_hash)
    if broadcast_id is None:
        raise NotFound("broadcasts.no_plan", plan=plan_hash)
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.state not in (State.DRAFT, State.SCHEDULED) and not broadcast.waits:
        needed = f"{State.DRAFT} / {State.SCHEDULED}"
        raise Conflict("broadcasts.wrong_state", broadcast=broadcast.name, state=str(broadcast.state), needed=needed)
    if work.actor in {broadcast.created_by, *store.editors(work, broadcast_id)}:
        raise Refused("broadcasts.own_approval", broadcast=broadcast.name, actor=work.actor)
    if len(note) > 500:
        raise Invalid("broadcasts.long_note", limit=500)
    store.insert_approval(work, broadcast_id, plan_hash, approved=approved, note=note)
    return store.approvals_of(work, broadcast_id)[0]


def check(work: Work, broadcast: Broadcast, plan_hash: str, size: int) -> None:
    """Raises Refused for a plan that needs a second person and has no approval, or was rejected."""
    said = store.approval_of(work, broadcast.id, plan_hash)
    if said is not None and not said.approved:
        raise Refused("broadcasts.rejected", plan=plan_hash, who=said.who, note=said.note or "-")
    if said is None and (why := approval_reasons(work, broadcast, size)):
        raise Refused("broadcasts.not_approved", plan=plan_hash, reasons=", ".join(why))
