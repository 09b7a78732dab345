"""The WeChat channels: clients of the platforms, their errors, their callbacks, and our content in their words.

The only place that knows WeChat's words. Nothing here sees the database, keeps state or repeats a call.
"""

from tagcast.channels.calls import Token, TokenSource
from tagcast.channels.crypto import (
    BadCallback,
    Callback,
    CallbackKeys,
    encrypt,
    encrypt_reply,
    open_callback,
    open_echo,
    plain_echo,
    signature,
)
from tagcast.channels.errors import ChannelError, Effect, Meaning, Platform, Reaction, Scope, meaning
from tagcast.channels.inbound import Inbound, normalise
from tagcast.channels.messages import (
    AccountKind,
    Article,
    Image,
    Message,
    MiniProgram,
    Problem,
    TemplateMessage,
    Text,
    kinds_of,
    problems,
)
from tagcast.channels.official import Accepted, OfficialClient, Template, TemplateCall, stable_token
from tagcast.channels.wecom import SendStatus, TagFilter, TaskStatus, WecomClient, get_token

__all__ = [
    "OfficialClient",
    "WecomClient",
    "stable_token",
    "get_token",
    "Token",
    "TokenSource",
    "Template",
    "TemplateCall",
    "Accepted",
    "TagFilter",
    "SendStatus",
    "TaskStatus",
    "ChannelError",
    "Reaction",
    "Scope",
    "Effect",
    "Meaning",
    "meaning",
    "Platform",
    "AccountKind",
    "Message",
    "Text",
    "Article",
    "MiniProgram",
    "Image",
    "TemplateMessage",
    "Problem",
    "kinds_of",
    "problems",
    "CallbackKeys",
    "Callback",
    "BadCallback",
    "open_callback",
    "open_echo",
    "plain_echo",
    "encrypt",
    "encrypt_reply",
    "signature",
    "Inbound",
    "normalise",
]
