"""企业微信: the client and the shapes it gives."""

from tagcast.channels.wecom.bodies import Markdown, TextCard
from tagcast.channels.wecom.client import WecomClient, get_token
from tagcast.channels.wecom.customers import Customer, CustomerOf, CustomerTag, Profile, Relation
from tagcast.channels.wecom.groups import DayFigures, GroupChat, GroupDetail, JoinWay, JoinWayShown, OwnerFigures
from tagcast.channels.wecom.mass import Created, MassMessage, SendResult, SendStatus, TagFilter, Task, TaskStatus
from tagcast.channels.wecom.messages import Shown
from tagcast.channels.wecom.tags import CorpTag, CorpTagGroup

__all__ = [
    "WecomClient",
    "get_token",
    "CorpTag",
    "CorpTagGroup",
    "Created",
    "Customer",
    "CustomerOf",
    "CustomerTag",
    "DayFigures",
    "GroupChat",
    "GroupDetail",
    "JoinWay",
    "JoinWayShown",
    "Markdown",
    "MassMessage",
    "OwnerFigures",
    "Profile",
    "Relation",
    "SendResult",
    "SendStatus",
    "Shown",
    "TagFilter",
    "Task",
    "TaskStatus",
    "TextCard",
]
