"""公众号 and 服务号: the client and the fast path of template messages."""

from tagcast.channels.official.client import (
    MAX_PEOPLE,
    MAX_RECIPIENTS,
    MAX_TAGGING,
    MIN_RECIPIENTS,
    Accepted,
    Follower,
    MassStatus,
    Material,
    OfficialClient,
    Page,
    Quota,
    Tag,
    Template,
    stable_token,
)
from tagcast.channels.official.template import TemplateCall

__all__ = [
    "OfficialClient",
    "TemplateCall",
    "stable_token",
    "Accepted",
    "Follower",
    "MassStatus",
    "Material",
    "Page",
    "Quota",
    "Tag",
    "Template",
    "MAX_PEOPLE",
    "MAX_RECIPIENTS",
    "MAX_TAGGING",
    "MIN_RECIPIENTS",
]
