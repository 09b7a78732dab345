"""The advertising platform as `api.e.qq.com` answers."""

from typing import Any

MODULES: tuple[Any, ...] = ()
"""Each has ROUTES; one with jobs under way also has `resume(world)`, called after a start."""
