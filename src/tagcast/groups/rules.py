"""What a group chat and an invitation are, and what an invitation may ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tagcast.kit.errors import Conflict, Invalid

MAX_CHATS = 5
"""Chats in one join way. Source: developer.work.weixin.qq.com, 客户群「加入群聊」管理 (errcode 41091)."""
NAME_CHARS = 30
"""Characters of an invitation's name, which the platform shows as its remark. Source: as above."""

Status = Literal["making", "ready", "revoked"]


@dataclass(frozen=True, slots=True)
class Chat:
    """A group chat. `contacts` of its members are contacts of ours, `strangers` are not; times in milliseconds."""

    id: int
    account: int
    chat_id: str
    name: str
    owner: str
    created_at: int
    dismissed_at: int | None
    read_at: int
    strangers: int
    contacts: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """Somebody from outside in a chat: external_userid, and the `state` of the invitation that brought them."""

    external_userid: str = field(repr=False)
    state: str = ""


@dataclass(frozen=True, slots=True)
class ChatSeen:
    """A chat as the platform shows it now."""

    chat_id: str
    name: str
    owner: str
    created_at: int
    members: tuple[Joined, ...]


@dataclass(frozen=True, slots=True)
class NewWay:
    """An invitation to make for the holders of `tag`: into `chats` (platform ids, at most five).

    With `auto_create` the platform opens another chat, called `base_name` and a number, when all are full. Who joins
    gets the tag `joined_tag`, if one is named.
    """

    account: int
    tag: int
    name: str
    chats: tuple[str, ...]
    auto_create: bool = True
    base_name: str = ""
    joined_tag: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """An invitation. `qr_code` is the address of its picture; `making` means that its making was interrupted."""

    id: int
    account: int
    tag: int
    name: str
    chats: tuple[str, ...]
    auto_create: bool
    base_name: str
    joined_tag: int | None
    state: str
    config_id: str
    qr_code: str
    status: Status
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True)
class WayReport:
    """What an invitation did: holders of its tag, who joined by it ever and is in a chat still, and how many of the
    holders did. `strangers` are in a chat by it now and are nobody's contact."""

    way: Way
    holders: int
    joined: int
    staying: int
    holders_joined: int
    strangers: int


def check_new(asked: NewWay) -> NewWay:
    """The invitation, tidied. Raises Invalid for a missing or long name, no chat, too many or the same one twice."""
    name = asked.name.strip()
    if not 0 < len(name) <= NAME_CHARS:
        raise Invalid("groups.bad_name", size=len(name), most=NAME_CHARS)
    if not 0 < len(asked.chats) <= MAX_CHATS or len(set(asked.chats)) != len(asked.chats):
        raise Invalid("groups.bad_chats", count=len(asked.chats), most=MAX_CHATS)
    base = asked.base_name.strip() or name
    if len(base) > NAME_CHARS:
        raise Invalid("groups.bad_name", size=len(base), most=NAME_CHARS)
    return NewWay(asked.account, asked.tag, name, asked.chats, asked.auto_create, base, asked.joined_tag)


def same(way: Way, asked: NewWay) -> bool:
    """Whether an invitation found by its name is what is asked for."""
    mine = (way.tag, way.chats, way.auto_create, way.base_name, way.joined_tag)
    return mine == (asked.tag, asked.chats, asked.auto_create, asked.base_name, asked.joined_tag)


def check_alive(chats: Sequence[Chat]) -> None:
    """Raises Conflict when one of the chats was dismissed."""
    for chat in chats:
        if chat.dismissed_at is not None:
            raise Conflict("groups.dismissed", chat=chat.name or chat.chat_id)
