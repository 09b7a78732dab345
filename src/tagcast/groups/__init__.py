"""客户群: a wecom account's group chats, who is in them, and invitations (join ways) made for the holders of a tag.

Owns: group_chat, join_way; the sets `group:<id>` (contacts in a chat now) and `join-way:<id>` (contacts who ever joined
by an invitation). Members of a chat who are nobody's contact are counted and not kept.
"""

from tagcast.groups.actions import chats, find_chat, note_changed, report, way, ways
from tagcast.groups.rules import Chat, ChatSeen, NewWay, Way, WayReport
from tagcast.groups.uses import USERS
from tagcast.groups.workflows import REFRESH, SyncResult, invite, refresh, revoke, sync

__all__ = [
    "REFRESH",
    "Chat",
    "ChatSeen",
    "NewWay",
    "SyncResult",
    "USERS",
    "Way",
    "WayReport",
    "chats",
    "find_chat",
    "invite",
    "note_changed",
    "refresh",
    "report",
    "revoke",
    "sync",
    "way",
    "ways",
]
