"""企业微信 as `qyapi.weixin.qq.com` answers: one file a family of endpoints."""

from typing import Any

from wechat_sandbox.wecom import (
    access,
    acquisition,
    audit,
    console,
    contact_ways,
    contacts,
    friends,
    group_welcome,
    groups,
    identity,
    join_ways,
    marks,
    media,
    messages,
    moment_results,
    moments,
    results,
    statistics,
    tags,
    tasks,
    transfers,
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
    join_ways,
    group_welcome,
    statistics,
    moments,
    moment_results,
    acquisition,
    transfers,
    messages,
    media,
    audit,
)
"""Each has ROUTES; some also `resume(world)`, called after a start, and CONTROL: calls under /sandbox."""
