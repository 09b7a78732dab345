"""企业微信 as `qyapi.weixin.qq.com` answers: one file a family of endpoints."""

from typing import Any

from wechat_sandbox.wecom import contacts, tags, tasks

MODULES: tuple[Any, ...] = (contacts, tags, tasks)
"""Each has ROUTES; one with jobs under way also has `resume(world)`, called after a start."""
