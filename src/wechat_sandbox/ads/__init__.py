"""The advertising platform as `api.e.qq.com` answers."""

from typing import Any

from wechat_sandbox.ads import audiences

MODULES: tuple[Any, ...] = (audiences,)
"""Each has ROUTES; one with jobs under way also has `resume(world)`, called after a start."""
