"""企业微信 as `qyapi.weixin.qq.com` answers: one file a family of endpoints."""

from typing import Any

from wechat_sandbox.wecom import access, contacts, tags, tasks

MODULES: tuple[Any, ...] = (access, contacts, tags, tasks)
"""Each has ROUTES; some also `resume(world)`, called after a start, and CONTROL: calls under /sandbox."""
