"""Group chats and the platform: reading chats, making and revoking invitations. No call happens in a transaction."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tagcast import accounts
from tagcast.channels import ChannelError, GroupDetail, JoinWay
from tagcast.groups import actions
from tagcast.groups.actions import REFRESH
from tagcast.groups.rules import ChatSeen, Joined, NewWay, Way
from tagcast.kit import leases
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime

__all__ = ["REFRESH", "SyncResult", "invite", "refresh", "revoke", "sync"]

_AT_ONCE = 8
_FROM_OUTSIDE = 2
AGAIN_SECONDS = 60.0
"""When a chat is read again whose reading the platform refused for now."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SyncResult:
    """Chats read, and chats found to be gone."""

    account: int
    read: int
    gone: int


async def sync(
    runtime: Runtime, workspace: int, account_id: int, *, progress: Progress = lambda _done, _total: None
) -> SyncResult:
    """Read all group chats of a wecom account; what was read stays when it is interrupted, and again changes nothing.

    Raises NotFound, Invalid for another kind of account, and what the platform's refusal means.
    """

    def known() -> set[str]:
        with runtime.read(workspace, "sync") as work:
            return {chat.chat_id for chat in actions.chats(work, account_id)}

    async with accounts.connect(runtime, workspace, account_id) as connected:
        _only_wecom(connected.account)
        # A chat that is made while the list is read is not gone.
        before = await asyncio.to_thread(known)
        try:
            listed = await connected.call(partial(_listed, connected))
            for start in range(0, len(listed), _AT_ONCE):
                part = listed[start : start + _AT_ONCE]
                found = await asyncio.gather(*(_read(connected, chat_id) for chat_id in part))
                await asyncio.to_thread(_keep, runtime, workspace, account_id, found)
                progress(start + len(part), len(listed))
        except ChannelError as error:
            raise accounts.explain(connected.account, error) from error

    def lose() -> int:
        with runtime.work(workspace, "sync") as work:
            return actions.lose(work, account_id, before - set(listed))

    return SyncResult(account_id, len(listed), await asyncio.to_thread(lose))


async def refresh(runtime: Runtime, lease: Lease) -> None:
    """Read one chat again that the platform said had changed; a chat that is no more is noted as such."""
    account, chat_id = int(lease.payload["account"]), str(lease.payload["chat_id"])
    try:
        async with accounts.connect(runtime, lease.workspace, account) as connected:
            found = await _read(connected, chat_id)
    except (ChannelError, TagcastError) as error:
        gone = _reason(error) in {"no_group_chat", "out_of_scope", "accounts.no_account"}
        await asyncio.to_thread(_end, runtime, lease, None if gone else error)
        return
    await asyncio.to_thread(_keep, runtime, lease.workspace, account, [found])
    await asyncio.to_thread(_end, runtime, lease, found)


def _reason(error: ChannelError | TagcastError) -> str:
    return error.reason if isinstance(error, ChannelError) else error.code


def _end(runtime: Runtime, lease: Lease, outcome: GroupDetail | ChannelError | TagcastError | None) -> None:
    with runtime.work(lease.workspace, "worker") as work:
        if isinstance(outcome, (ChannelError, TagcastError)):
            wait = outcome.wait_seconds if isinstance(outcome, ChannelError) else 0
            leases.defer(work.connection, lease, max(wait, AGAIN_SECONDS), problem=_reason(outcome))
            return
        if outcome is None:
            actions.lose(work, int(lease.payload["account"]), [str(lease.payload["chat_id"])])
        leases.complete(work.connection, lease)


async def invite(runtime: Runtime, workspace: int, actor: str, asked: NewWay) -> Way:
    """Make an invitation for the holders of a tag. The platform keeps no list of invitations and knows no key for this
    call: one whose answer was lost stays there unused, and asking again makes the one that counts.

    Raises as `actions.begin`, and what the platform's refusal means; the invitation then stays as `making`.
    """

    def begin() -> Way:
        with runtime.work(workspace, actor) as work:
            return actions.begin(work, asked)

    def finish(config_id: str, qr_code: str) -> Way:
        with runtime.work(workspace, actor) as work:
            return actions.finish(work, begun.id, config_id, qr_code)

    begun = await asyncio.to_thread(begin)
    wanted = JoinWay(
        chat_ids=begun.chats,
        auto_create=begun.auto_create,
        base_name=begun.base_name if begun.auto_create else "",
        base_id=1 if begun.auto_create else 0,
        remark=begun.name,
        state=begun.state,
    )
    async with accounts.connect(runtime, workspace, begun.account) as connected:
        client = connected.wecom.groups
        try:
            config_id = await connected.call(partial(client.add_join_way, wanted))
            shown = await connected.call(partial(client.get_join_way, config_id))
        except ChannelError as error:
            raise accounts.explain(connected.account, error) from error
    return await asyncio.to_thread(finish, config_id, shown.qr_code)


async def revoke(runtime: Runtime, workspace: int, actor: str, number: int) -> Way:
    """Make an invitation's code stop working. Again changes nothing. Raises NotFound, and what a refusal means."""

    def look() -> Way:
        with runtime.read(workspace, actor) as work:
            return actions.way(work, number)

    def close() -> Way:
        with runtime.work(workspace, actor) as work:
            return actions.close(work, number)

    found = await asyncio.to_thread(look)
    if found.status == "ready":
        async with accounts.connect(runtime, workspace, found.account) as connected:
            try:
                await connected.call(partial(connected.wecom.groups.delete_join_way, found.config_id))
            except ChannelError as error:
                if error.reason != "contact_way":
                    raise accounts.explain(connected.account, error) from error
    return await asyncio.to_thread(close)


def _only_wecom(account: accounts.Account) -> None:
    if account.kind != "wecom":
        raise Invalid("groups.not_wecom", account=account.name, kind=account.kind)


async def _listed(connected: accounts.Connected) -> list[str]:
    return [chat.chat_id async for page in connected.wecom.groups.list() for chat in page]


async def _read(connected: accounts.Connected, chat_id: str) -> GroupDetail:
    return await connected.call(partial(connected.wecom.groups.get, chat_id, names=False))


def _keep(runtime: Runtime, workspace: int, account: int, found: Sequence[GroupDetail]) -> None:
    with runtime.work(workspace, "sync") as work:
        for detail in found:
            outside = [one for one in detail.member_list if one.type == _FROM_OUTSIDE]
            members = tuple(Joined(one.userid, one.state) for one in outside)
            created = detail.create_time * 1000
            actions.keep(work, account, ChatSeen(detail.chat_id, detail.name, detail.owner, created, members))
