"""公众号 and 服务号 as `api.weixin.qq.com` answers: one file a family of endpoints."""

from typing import Any

from wechat_sandbox.official import (
    articles,
    blacklist,
    custom,
    datacube,
    drafts,
    mass,
    mass_jobs,
    materials,
    mini,
    oauth,
    openapi,
    publish,
    qrcode,
    subscriptions,
    tags,
    template_list,
    templates,
    users,
)

MODULES: tuple[Any, ...] = (
    openapi,
    users,
    tags,
    blacklist,
    materials,
    drafts,
    articles,
    publish,
    mass,
    mass_jobs,
    custom,
    template_list,
    templates,
    subscriptions,
    qrcode,
    oauth,
    mini,
    datacube,
)
"""Each has ROUTES; one with jobs under way also has `resume(world)`, called after a start."""
