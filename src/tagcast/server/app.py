"""The application: every module's routes, the errors' one shape, and what stands in front."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from tagcast import behaviour, compliance, contacts, inbox, tags, tracking
from tagcast.kit.uow import Runtime
from tagcast.server import health, problems
from tagcast.server.front import App, Front

PREFIX = "/api/v1"

# module -> what its routes are about
MODULES = {
    "contacts": "联系人 · Contacts: people, identities, attributes",
    "behaviour": "行为 · Behaviour: events such as views and purchases",
    "features": "特征 · Features: RFM and other numbers computed from behaviour",
    "tags": "标签 · Tags: the tree, who carries them, history",
    "upkeep": "标签体检 · Upkeep: where a tag is used, what is worth a look, cleaning up",
    "groups": "客户群 · Groups: group chats and invitations made for a tag",
    "audiences": "人群 · Audiences: segments and their live counts",
    "tag_rules": "标签规则 · Rules: tags that keep themselves true",
    "accounts": "渠道账号 · Accounts: WeChat accounts and their quotas",
    "compliance": "合规 · Compliance: consent, caps, quiet hours",
    "broadcasts": "群发 · Broadcasts: plan, send, follow",
    "reports": "效果 · Reports: what broadcasts did",
}


def create_app(runtime: Runtime) -> Front:
    """The whole server as one ASGI app. Its writers live as long as the app's lifespan; the runtime is the caller's."""
    fast: dict[str, App] = {}
    api = _api(runtime, fast)
    return Front(api, fast, https=runtime.settings.public_url.startswith("https:"), lang=runtime.settings.lang)


def _api(runtime: Runtime, fast: dict[str, App]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        visits, callbacks = tracking.Visits(runtime), inbox.CallbackApp(runtime)
        visits.start()
        intake = behaviour.Intake(runtime)
        intake.start()
        api.state.intake = intake
        taggings = tags.Taggings(runtime)
        taggings.start()
        api.state.taggings = taggings
        fast.update({"/k/": visits, "/m/": visits, "/callback/": callbacks})
        yield
        fast.clear()
        visits.close()
        intake.close()
        taggings.close()
        callbacks.close()

    api = FastAPI(
        title="Tagcast 标签群发",
        version="1",
        description="标签 → 人群 → 内容 → 群发 → 效果。Tags → audience → content → broadcast → measured effect.",
        openapi_url=f"{PREFIX}/openapi.json",
        # Both pages load their scripts from somebody else's server.
        docs_url=None,
        redoc_url=None,
        openapi_tags=[{"name": name, "description": what} for name, what in MODULES.items()],
        generate_unique_id_function=_operation_id,
        lifespan=lifespan,
    )
    api.state.runtime = runtime
    api.state.above = contacts.Above(compliance.on_import, tags.ON_IMPORT)
    problems.install(api)
    api.include_router(health.router)
    # Routes are tried in their order, and counting is what somebody waits for while typing.
    for name in sorted(MODULES, key=lambda name: name != "audiences"):
        if find_spec(f"tagcast.{name}.api") is not None:
            router = import_module(f"tagcast.{name}.api").router
            api.include_router(router, prefix=PREFIX, tags=None if router.tags else [name])
    api.openapi = lambda: _openapi(api)  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
    return api


def _operation_id(route: APIRoute) -> str:
    return f"{str(route.tags[0]).split()[0]}_{route.name}" if route.tags else route.name


def _openapi(api: FastAPI) -> dict[str, Any]:
    """The generated schema, with every error in the shape it really has."""
    if api.openapi_schema is not None:
        return api.openapi_schema
    schema = get_openapi(
        title=api.title,
        version=api.version,
        description=api.description,
        routes=api.routes,
        tags=api.openapi_tags,
    )
    parts = schema.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        parts.pop(unused, None)
    parts["Problem"] = problems.Problem.model_json_schema()
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "错误 · Any error", "content": content}
    api.openapi_schema = schema
    return schema
