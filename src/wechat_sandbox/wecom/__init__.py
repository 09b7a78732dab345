"""企业微信 as `qyapi.weixin.qq.com` answers: one file a family of endpoints."""

from typing import Any

from wechat_sandbox.wecom import (
    access,
    console,
    contact_ways,
    contacts,
    friends,
    groups,
    identity,
    marks,
    media,
    messages,
    results,
    tags,
    tasks,
    welcome,
)

MODULES: tuple[Any, ...] = (
    access,
    contacts,
    friends,
    identity,
    tags,
    marks,
    console,
    contact_ways,
    welcome,
    tasks,
    results,
    groups,
    messages,
    media,
)
"""Each has ROUTES; some also `resume(world)`, called after a start, and CONTROL: calls under /sandbox."""
