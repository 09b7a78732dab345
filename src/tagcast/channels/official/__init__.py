"""公众号, 服务号 and 小程序: the clients, their shapes, and the fast path of template messages."""

from tagcast.channels.official.articles import Draft, Publication, Published, PublishStatus, Submitted
from tagcast.channels.official.client import OfficialClient
from tagcast.channels.official.login import (
    Grant,
    MiniProgramClient,
    MiniProgramLogin,
    OAuth,
    PhoneNumber,
    Session,
    Visitor,
)
from tagcast.channels.official.mass import (
    MAX_CLIENT_ID_BYTES,
    MAX_RECIPIENTS,
    MIN_RECIPIENTS,
    Accepted,
    MassStatus,
    SendingSpeed,
)
from tagcast.channels.official.media import Material, StoredArticle, StoredArticles, StoredFile, StoredVideo, VideoLink
from tagcast.channels.official.notices import Menu, SubscriptionTemplate
from tagcast.channels.official.paging import Page, each_page
from tagcast.channels.official.people import MAX_PEOPLE, Follower
from tagcast.channels.official.qr import QrCode, picture_url
from tagcast.channels.official.quota import Quota, RequestLog, reset_all_quotas, stable_token
from tagcast.channels.official.tags import MAX_BLOCKING, MAX_TAGGING, Tag
from tagcast.channels.official.template import TemplateCall
from tagcast.channels.official.templates import Industries, Template

__all__ = [
    "OfficialClient",
    "OAuth",
    "MiniProgramLogin",
    "MiniProgramClient",
    "TemplateCall",
    "each_page",
    "stable_token",
    "reset_all_quotas",
    "picture_url",
    "Accepted",
    "Draft",
    "Follower",
    "Grant",
    "Industries",
    "MassStatus",
    "Material",
    "Menu",
    "Page",
    "PhoneNumber",
    "Publication",
    "PublishStatus",
    "Published",
    "QrCode",
    "Quota",
    "RequestLog",
    "SendingSpeed",
    "Session",
    "StoredArticle",
    "StoredArticles",
    "StoredFile",
    "StoredVideo",
    "Submitted",
    "SubscriptionTemplate",
    "Tag",
    "Template",
    "VideoLink",
    "Visitor",
    "MAX_BLOCKING",
    "MAX_CLIENT_ID_BYTES",
    "MAX_PEOPLE",
    "MAX_RECIPIENTS",
    "MAX_TAGGING",
    "MIN_RECIPIENTS",
]
