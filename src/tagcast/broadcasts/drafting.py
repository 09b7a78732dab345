"""Drafts: made, changed, copied, deleted, and each change taken back while it is a draft."""

from collections.abc import Mapping
from typing import Any

from tagcast import accounts, audiences, compliance
from tagcast.audiences import live
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import marketing, options, planning, rules, store
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.timing import sections
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Work

FIELDS = ("name", "account", "purpose", "content", "audience", "holdout_percent", "route", "settings")
GIVEN = tuple(name for name in FIELDS if name != "route")


def draft(
    work: Work,
    *,
    name: str,
    account: int | str,
    audience: Mapping[str, Any] | str,
    content: Mapping[str, Any],
    purpose: str = "marketing",
    holdout_percent: float = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> Broadcast:
    """A new draft. `audience` is a segment expression as text or JSON; `settings`: see `options`.

    Raises Invalid, NotFound or Refused.
    """
    values = _checked(
        work,
        {
            "name": name,
            "account": account,
            "audience": audience,
            "content": content,
            "purpose": purpose,
            "holdout_percent": holdout_percent,
            "settings": settings or {},
        },
    )
    return store.get(work, store.insert(work, **values))


def edit(work: Work, broadcast_id: int, changes: Mapping[str, Any]) -> Broadcast:
    """Change a draft; what is not given stays. Its plan, if there is one, dies, unless nothing changed.

    Raises Invalid for an unknown field and as `draft`, Conflict when it is no draft any more.
    """
    broadcast = _draft(work, broadcast_id)
    if unknown := sorted(set(changes) - set(GIVEN)):
        raise Invalid("broadcasts.unknown_edit", field=", ".join(unknown), known=", ".join(GIVEN))
    before = values_of(broadcast)
    after = _checked(work, _given(before) | dict(changes))
    if "series" in before["settings"]:
        after["settings"]["series"] = before["settings"]["series"]
    return _change(work, broadcast, before, after)


def copy(work: Work, broadcast_id: int, name: str = "") -> Broadcast:
    """A new draft that says the same to the same people, of any broadcast. Raises NotFound; Invalid as `draft`."""
    values = values_of(store.get(work, broadcast_id))
    given = _given(values)
    given["name"] = name or _next_name(work, values["name"])
    return draft(work, **given)


def delete(work: Work, broadcast_id: int) -> None:
    """Delete a draft; `undo` brings it back. Raises Conflict when it is no draft any more."""
    broadcast = _draft(work, broadcast_id)
    planning.forget(work, broadcast)
    store.insert_edit(work, broadcast_id, {"state": State.DRAFT})
    store.move(work, broadcast_id, [State.DRAFT], State.DELETED)


def undo(work: Work, broadcast_id: int) -> Broadcast:
    """Take the newest change of a draft back, or its deletion.

    Raises Conflict when nothing is left to take back, and as `draft` for what cannot be any more: a tag that is gone.
    """
    broadcast = store.get(work, broadcast_id, lock=True, deleted=True)
    if broadcast.state is not State.DELETED:
        _draft(work, broadcast_id)
    last = store.last_edit(work, broadcast_id)
    if last is None:
        raise Conflict("broadcasts.nothing_to_undo", broadcast=broadcast.name)
    if broadcast.state is State.DRAFT:
        _checked(work, _given(values_of(broadcast) | last.before))
    store.mark_undone(work, last.id)
    planning.forget(work, broadcast)
    store.update(work, broadcast_id, **last.before)
    return store.get(work, broadcast_id)


def values_of(broadcast: Broadcast) -> dict[str, Any]:
    """The columns of a draft that can be changed."""
    return {name: getattr(broadcast, name) for name in FIELDS} | {"route": str(broadcast.route)}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a person could have given for these columns: of which series it is, only we say."""
    settings = {section: value for section, value in values["settings"].items() if section != "series"}
    return {**{name: values[name] for name in GIVEN}, "settings": settings}


def _draft(work: Work, broadcast_id: int) -> Broadcast:
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.state is not State.DRAFT:
        raise Conflict(
            "broadcasts.wrong_state", broadcast=broadcast.name, state=str(broadcast.state), needed=str(State.DRAFT)
        )
    return broadcast


def _change(work: Work, broadcast: Broadcast, before: Mapping[str, Any], after: Mapping[str, Any]) -> Broadcast:
    changed = {name: value for name, value in after.items() if before[name] != value}
    if not changed:
        return broadcast
    store.insert_edit(work, broadcast.id, {name: before[name] for name in changed})
    store.update(work, broadcast.id, **changed)
    planning.forget(work, broadcast)
    return store.get(work, broadcast.id)


def _checked(work: Work, given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a draft from what a person gives. Raises Invalid, NotFound or Refused."""
    name, share = given["name"], given["holdout_percent"]
    target = accounts.get(work, given["account"])
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise Invalid("broadcasts.bad_name", limit=200)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 50:
        raise Invalid("broadcasts.bad_holdout", value=share)
    compliance.consented(work, given["purpose"])
    said = contents.parse(given["content"])
    planning.check_kind(work, target, said.kind)
    route = rules.route(target.kind, said.kind)
    marketing.check(given["purpose"], route)
    contents.check(work, target, said)
    audience = given["audience"]
    expression = audiences.parse(audience) if isinstance(audience, str) else audiences.from_json(audience)
    audiences.count(work, expression)
    # Its tags under the very paths that they have: then it can follow when they move.
    expression = live.today(work, expression, live.prove(work, expression))
    settings = options.check(work, target, given["settings"])
    sections.check_route(target, route, settings)
    return {
        "account": target.id,
        "name": name.strip(),
        "purpose": given["purpose"],
        "content": said.to_json(),
        "audience": audiences.to_json(expression),
        "holdout_percent": share,
        "route": str(route),
        "settings": settings,
    }


def _next_name(work: Work, name: str) -> str:
    """`name 2`, or the next number that is free."""
    taken = {one.name for one in store.all_(work, limit=10_000)}
    number = 2
    while f"{name[:190]} {number}" in taken:
        number += 1
    return f"{name[:190]} {number}"
