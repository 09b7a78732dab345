"""Group chats over HTTP: what there is, who joined by which invitation, making and revoking invitations."""

import asyncio
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.groups import actions, workflows
from tagcast.groups.rules import MAX_CHATS, Chat, NewWay, Way
from tagcast.kit import clock

router = APIRouter(prefix="/groups")


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class ChatOut(BaseModel):
    """A group chat."""

    id: int
    account: int
    chat_id: str
    name: str
    owner: str
    created_at: datetime
    dismissed_at: datetime | None
    read_at: datetime
    contacts: int = Field(description="Members who are contacts.")
    strangers: int = Field(description="Members from outside who are nobody's contact.")


class ChatsOut(BaseModel):
    """Group chats."""

    chats: list[ChatOut]


class SyncIn(Strict):
    """The account to read."""

    account: int


class SyncOut(BaseModel):
    """What a reading found."""

    account: int
    read: int
    gone: int


class WayIn(Strict):
    """An invitation to make."""

    account: int
    tag: int = Field(description="The tag whose holders are to be invited.")
    name: str = Field(examples=["金卡会员群"])
    chats: list[str] = Field(max_length=MAX_CHATS, description="Ids or names of one to five group chats.")
    auto_create: bool = Field(default=True, description="Open another chat when all are full.")
    base_name: str = Field(default="", description="What such a chat is called; none: as the invitation.")
    joined_tag: int | None = Field(default=None, description="A tag for those who join.")


class WayOut(BaseModel):
    """An invitation. `making`: the platform's answer was lost; ask again with the same fields."""

    id: int
    account: int
    tag: int
    name: str
    chats: list[str]
    auto_create: bool
    base_name: str
    joined_tag: int | None
    qr_code: str
    status: str
    created_at: datetime
    created_by: str


class WaysOut(BaseModel):
    """Invitations."""

    ways: list[WayOut]


class ReportOut(BaseModel):
    """What an invitation did."""

    way: WayOut
    holders: int = Field(description="Contacts who hold the tag now.")
    joined: int = Field(description="Contacts who ever joined by the invitation.")
    staying: int = Field(description="Of them, in a group chat of the account still.")
    holders_joined: int = Field(description="Of them, holders of the tag now.")
    strangers: int = Field(description="In a chat by the invitation now, and nobody's contact.")


@router.get("", summary="客户群 · Group chats")
def chats(entry: Guarded, account: int | None = None) -> ChatsOut:
    """The group chats of an account, or of all."""
    with entry.read() as work:
        return ChatsOut(chats=[_chat(chat) for chat in actions.chats(work, account)])


@router.post("/sync", summary="同步客户群 · Read group chats from the platform")
async def sync(entry: Guarded, body: SyncIn) -> SyncOut:
    """Read all group chats of a wecom account."""
    found = await workflows.sync(entry.runtime, entry.caller.workspace, body.account)
    return SyncOut(account=found.account, read=found.read, gone=found.gone)


@router.get("/ways", summary="入群邀请 · Invitations")
def ways(entry: Guarded, account: int | None = None) -> WaysOut:
    """The invitations of an account, or of all."""
    with entry.read() as work:
        return WaysOut(ways=[_way(one) for one in actions.ways(work, account)])


@router.post("/ways", status_code=201, summary="标签建群 · Make an invitation for a tag")
async def invite(entry: Guarded, body: WayIn) -> WayOut:
    """Make an invitation to group chats for the holders of a tag."""
    known = await asyncio.to_thread(_chat_ids, entry, body.account, body.chats)
    asked = NewWay(
        account=body.account,
        tag=body.tag,
        name=body.name,
        chats=tuple(known),
        auto_create=body.auto_create,
        base_name=body.base_name,
        joined_tag=body.joined_tag,
    )
    return _way(await workflows.invite(entry.runtime, entry.caller.workspace, entry.caller.actor, asked))


@router.get("/ways/{way_id}", summary="入群邀请的效果 · What an invitation did")
def report(entry: Guarded, way_id: int) -> ReportOut:
    """Who joined by an invitation."""
    with entry.read() as work:
        found = actions.report(work, way_id)
    return ReportOut(
        way=_way(found.way),
        holders=found.holders,
        joined=found.joined,
        staying=found.staying,
        holders_joined=found.holders_joined,
        strangers=found.strangers,
    )


@router.post("/ways/{way_id}/revoke", summary="作废入群邀请 · Revoke an invitation")
async def revoke(entry: Guarded, way_id: int) -> WayOut:
    """Make an invitation's code stop working; who joined stays."""
    return _way(await workflows.revoke(entry.runtime, entry.caller.workspace, entry.caller.actor, way_id))


def _chat_ids(entry: Guarded, account: int, named: list[str]) -> list[str]:
    with entry.read() as work:
        return [actions.find_chat(work, account, chat).chat_id for chat in named]


def _chat(chat: Chat) -> ChatOut:
    return ChatOut(
        id=chat.id,
        account=chat.account,
        chat_id=chat.chat_id,
        name=chat.name,
        owner=chat.owner,
        created_at=clock.from_ms(chat.created_at),
        dismissed_at=None if chat.dismissed_at is None else clock.from_ms(chat.dismissed_at),
        read_at=clock.from_ms(chat.read_at),
        contacts=chat.contacts,
        strangers=chat.strangers,
    )


def _way(one: Way) -> WayOut:
    return WayOut(
        id=one.id,
        account=one.account,
        tag=one.tag,
        name=one.name,
        chats=list(one.chats),
        auto_create=one.auto_create,
        base_name=one.base_name,
        joined_tag=one.joined_tag,
        qr_code=one.qr_code,
        status=one.status,
        created_at=clock.from_ms(one.created_at),
        created_by=one.created_by,
    )
