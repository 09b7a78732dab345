"""People who come, go or block: the change itself, what follows from it, and the platform's event."""

from collections.abc import Iterable
from typing import Any

from wechat_sandbox.errors import ControlError
from wechat_sandbox.official import interact, tags
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends, marks
from wechat_sandbox.world import World


def indexes(world: World, idents: Iterable[Any]) -> list[int]:
    """Indexes of people by any of their ids; ControlError 404 for an unknown one."""
    accounts, found = world.accounts(), []
    for ident in idents:
        index = world.population.find(str(ident), accounts)
        if index is None:
            raise ControlError(404, f"no person {ident}")
        found.append(index)
    return found


def change(
    world: World,
    account: Document,
    index: int,
    follows: bool | None,
    blocks: bool | None,
    *,
    how: dict[str, Any] | None = None,
) -> bool:
    """Set following and blocking of one person; tells whether anything changed. `how`: fields of the event."""
    moved, blocked = world.population.change(account, index, follows, blocks)
    person = world.reach_of(account).ids[index]
    if account["kind"] == "wecom":
        if moved:
            friends.announce(world, account, index, "add_external_contact" if follows else "del_external_contact")
            if not follows:
                marks.forget(world, account, person)
        elif blocked and blocks:
            friends.announce(world, account, index, "del_follow_user")
    elif moved and account["kind"] in ("official", "service"):
        if not follows:
            tags.forget(world, account, person)
        interact.moved(world, account, person, follows=bool(follows), fields=how or {"EventKey": ""})
    return moved or blocked
