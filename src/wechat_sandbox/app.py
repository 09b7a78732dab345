"""The ASGI application: finds the path, checks the token, applies faults and windows, answers after the commit."""

import asyncio
import contextlib
import sys
import traceback
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send

from wechat_sandbox import ads, errors, media, official, page, tokens, webhook, wecom
from wechat_sandbox.call import MINI, MP, OK, Call, Raw, Route
from wechat_sandbox.callbacks import loopback
from wechat_sandbox.control import Control, is_stream
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.faults import Fault
from wechat_sandbox.official import openapi
from wechat_sandbox.official.templates import SEND
from wechat_sandbox.wecom import access
from wechat_sandbox.world import World

_MODULES = (*wecom.MODULES, tokens, media, *official.MODULES, *ads.MODULES, webhook)
_WORK: dict[str, Route] = {route.path: route for module in wecom.MODULES for route in module.ROUTES}
ROUTES: dict[str, Route] = {route.path: route for module in _MODULES for route in module.ROUTES}
# Paths of both platforms whose WeCom side has a handler of its own: the token tells which is meant.
_TWINS = {path: route for path, route in _WORK.items() if ROUTES[path] is not route}
_TICK = 0.01
_JSON = (b"content-type", b"application/json; charset=utf-8")
_LINES = (b"content-type", b"application/jsonl; charset=utf-8")


class _Cut(Exception):
    """The connection must be cut without an answer."""


class _Gateway(Exception):
    """A machine before the platform answers: an HTTP status, and HTML."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class App:
    """`connections` maps a client's (host, port) to its transport; the server fills it, faults cut it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.control = Control(world)
        self.connections: dict[tuple[Any, ...], asyncio.Transport] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        world.official_paths = {path: route.kinds for path, route in ROUTES.items() if set(route.kinds) & {*MP, *MINI}}
        for module in _MODULES:
            if hasattr(module, "resume"):
                module.resume(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.world.callbacks.start()
        self._ticker = asyncio.create_task(self._tick())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._ticker.cancel()
        await self.control.behaviour.stop()
        await self.world.callbacks.stop()
        self.world.state.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            try:
                self.world.tick()
            except Exception:  # noqa: BLE001 - the clock must go on; the failure is shown
                traceback.print_exc(file=sys.stderr)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = b""
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return
            raw += event.get("body", b"")
            if not event.get("more_body"):
                break
        path = scope["path"]
        try:
            if path == "/" or path.startswith("/sandbox/"):
                status, payload = await self._local(scope, raw)
            else:
                status, payload = await self._platform(scope, raw)
        except _Cut:
            transport = self.connections.get(tuple(scope["client"]))
            if transport is not None:
                transport.abort()
            return
        if is_stream(payload):
            await self._stream(payload, send)
            return
        headers = [_JSON]
        if isinstance(payload, Raw):
            status, body = payload.status, payload.content
            headers = [(b"content-type", payload.kind.encode()), *payload.headers]
        else:
            body = orjson.dumps(payload)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _stream(self, rows: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [_LINES]})
        lines: list[bytes] = []
        for row in rows:
            lines.append(orjson.dumps(row))
            if len(lines) == 1000:
                await send({"type": "http.response.body", "body": b"\n".join(lines) + b"\n", "more_body": True})
                lines.clear()
        await send(
            {"type": "http.response.body", "body": b"\n".join(lines) + b"\n" if lines else b"", "more_body": False}
        )

    async def _local(self, scope: Scope, raw: bytes) -> tuple[int, Any]:
        """The page and the control API: for programs of this machine and the page itself, for no other site's pages."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not loopback(f"http://{host}") or (origin and origin != f"http://{host}"):
            return 403, {"error": "only programs and pages of this machine may use the control API"}
        found = page.file(scope["path"]) if scope["method"] == "GET" else None
        if found is not None:
            return 200, Raw(found[0], found[1], headers=page.HEADERS)
        return await self._control(scope, raw)

    async def _control(self, scope: Scope, raw: bytes) -> tuple[int, Any]:
        query = dict(parse_qsl(scope["query_string"].decode()))
        try:
            body = orjson.loads(raw) if raw else {}
            if not isinstance(body, dict):
                return 400, {"error": "the body must be a JSON object"}
            status, payload = await self.control.answer(
                scope["method"], scope["path"].removeprefix("/sandbox/").rstrip("/"), query, body
            )
        except orjson.JSONDecodeError as error:
            return 400, {"error": f"the body is not JSON: {error}"}
        except ControlError as error:
            return error.status, {"error": error.text}
        await self.committed()
        return status, payload

    async def _platform(self, scope: Scope, raw: bytes) -> tuple[int, Any]:
        world, path = self.world, scope["path"]
        world.requests += 1
        world.calls[path] = world.calls.get(path, 0) + 1
        route = ROUTES.get(path)
        if route is None:
            return 404, {"error": "the sandbox does not imitate this path", "path": path}
        query = dict(_query(scope["query_string"]))
        if path in _TWINS and tokens.belongs_to_wecom(world, query.get("access_token")):
            route = _TWINS[path]
        wecom = "wecom" in route.kinds and (
            len(route.kinds) == 1 or tokens.belongs_to_wecom(world, query.get("access_token"))
        )
        call = Call(path, query, {}, raw, client=scope["client"][0] if scope.get("client") else "127.0.0.1")
        if route.upload or route.page:
            call.headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        world.busy_reads += route.read
        started = world.now()
        fault = world.faults.of_call(path, self._caller(query, raw), started) if world.faults else None
        try:
            if fault is not None:
                await _before(fault)
            answer = self._run(route, call, wecom, scope["method"])
        except ApiError as error:
            answer = self._refused(route, call, error, wecom=wecom, started=started)
        except _Gateway as error:
            page = f"<html><body><h1>{error.status} Bad Gateway</h1></body></html>"
            return error.status, Raw(page.encode(), "text/html", error.status)
        finally:
            world.busy_reads -= route.read
        await self.committed()
        if fault is not None and fault.kind in ("timeout_after", "cut"):
            await asyncio.sleep(fault.seconds if fault.kind == "timeout_after" else 0)
            raise _Cut
        return 200, answer

    def _refused(self, route: Route, call: Call, error: ApiError, *, wecom: bool, started: int) -> dict[str, Any] | Raw:
        if route.refuse is not None:
            return route.refuse(error)
        answer = errors.body("wecom" if wecom else "official", error, call.client)
        if route.lists:
            answer.setdefault(route.lists, [])
        if not wecom:
            openapi.remember(self.world, call, answer, started)
        return answer

    def _caller(self, query: dict[str, str], raw: bytes) -> int | None:
        """The account that calls, for faults of one account: by its token, or by its id where tokens are asked for."""
        world = self.world
        if not world.faults.by_account:
            return None
        entry = world.state.documents["token"].get(query.get("access_token", ""))
        if entry is not None:
            return int(entry["account"])
        if query.get("account", "").isdecimal():
            return int(query["account"])
        names = [query.get("appid"), query.get("corpid")]
        with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
            names.append(orjson.loads(raw).get("appid"))
        for account in world.accounts():
            if (account["appid"] or account["corpid"]) in names or account["secret"] == query.get("access_token"):
                return int(account["id"])
        return None

    def _run(self, route: Route, call: Call, wecom: bool, method: str) -> dict[str, Any] | Raw:
        """One call from method check to answer; ApiError for everything that the platform refuses."""
        world = self.world
        if method != route.method:
            raise ApiError(43002 if route.method == "POST" else 43001)
        if route.token:
            call.account = tokens.owner(world, call.query.get("access_token"), wecom)
            if call.account["kind"] not in route.kinds:
                raise ApiError(48001)
            if wecom:
                access.admit(world, call)
            self._count(call, wecom)
        if route.read and world.busy_reads > world.limits["wecom_concurrent_reads"]:
            raise ApiError(45033)
        if method == "POST" and not route.upload and (call.raw or not route.bare):
            call.body = _parse(call.raw, wecom)
        answer = route.handler(world, call)
        return {**OK, **answer} if wecom and isinstance(answer, dict) else answer

    def _count(self, call: Call, wecom: bool) -> None:
        """The windows of one API and account: 45009 (45011 for mass messages, counted where they are handled)."""
        world, now = self.world, self.world.now()
        subject = f"{call.account['id']}:{call.path}"
        if wecom:
            for span in ("minute", "hour"):
                if not world.windows.take_or_block(subject, span, world.limits[f"wecom_api_per_{span}"], now):
                    raise ApiError(45009)
        elif call.path != SEND and not world.windows.take(subject, "day", world.limits["mp_api_daily"], now):
            raise ApiError(45009)

    async def committed(self) -> None:
        """Wait until what changed so far is in the state file; the requests of one turn of the loop share a commit."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        mine = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.world.state.flush()
        for one in waiting:
            if not one.done():
                one.set_result(None)


@lru_cache(4096)
def _query(text: bytes) -> tuple[tuple[str, str], ...]:
    """The pairs of a query string; those with a token come again and again."""
    return tuple(parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True))


def _parse(raw: bytes, wecom: bool) -> dict[str, Any]:
    if not raw and not wecom:
        raise ApiError(44002)
    if b"\\u" in raw:
        raise ApiError(40033)
    warning = "Warning: wrong json format." if wecom else ""
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise ApiError(47001, warning) from None
    if not isinstance(body, dict):
        raise ApiError(47001, warning)
    return body


async def _before(fault: Fault) -> None:
    """The part of a fault that comes before the call is carried out."""
    if fault.kind in ("busy", "quota", "error"):
        error = ApiError({"busy": -1, "quota": 45009}.get(fault.kind, fault.code))
        error.text = fault.message
        raise error
    if fault.kind == "gateway":
        raise _Gateway(fault.code)
    if fault.kind in ("slow", "timeout_before"):
        await asyncio.sleep(fault.seconds)
    if fault.kind in ("timeout_before", "cut_before"):
        raise _Cut
