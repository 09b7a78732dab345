"""企业微信: the client and the shapes it gives."""

from tagcast.channels.wecom.acquisition import Link, LinkCustomer, NewLink, with_channel
from tagcast.channels.wecom.bodies import Markdown, TextCard
from tagcast.channels.wecom.client import WecomClient, get_token
from tagcast.channels.wecom.customers import Customer, CustomerOf, CustomerTag, Profile, Relation
from tagcast.channels.wecom.groups import DayFigures, GroupChat, GroupDetail, JoinWay, JoinWayShown, OwnerFigures
from tagcast.channels.wecom.handover import Handed, HandoverStatus
from tagcast.channels.wecom.mass import Created, MassMessage, SendResult, SendStatus, TagFilter, Task, TaskStatus
from tagcast.channels.wecom.messages import Shown
from tagcast.channels.wecom.moments import Moment, MomentJob
from tagcast.channels.wecom.statistics import Behaviour
from tagcast.channels.wecom.tags import CorpTag, CorpTagGroup
from tagcast.channels.wecom.ways import ContactWay, ContactWayShown, NewWay

__all__ = [
    "WecomClient",
    "get_token",
    "Behaviour",
    "ContactWay",
    "ContactWayShown",
    "CorpTag",
    "CorpTagGroup",
    "Created",
    "Customer",
    "CustomerOf",
    "CustomerTag",
    "DayFigures",
    "GroupChat",
    "GroupDetail",
    "Handed",
    "HandoverStatus",
    "JoinWay",
    "JoinWayShown",
    "Link",
    "LinkCustomer",
    "Markdown",
    "MassMessage",
    "Moment",
    "MomentJob",
    "NewLink",
    "NewWay",
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
    "with_channel",
]
