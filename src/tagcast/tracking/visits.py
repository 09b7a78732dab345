"""The routes people's phones call, as a raw ASGI app: `/k/<token>` (click) and `/m/<token>` (message page).

A visit is stored durably before it is answered. What is not a token of ours, or was made for the other route, gets one
neutral page, always the same bytes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import jinja2

from tagcast.kit.crypto import Vault
from tagcast.kit.errors import NotFound, Unavailable
from tagcast.kit.groupcommit import GroupCommit
from tagcast.kit.uow import Runtime
from tagcast.tracking import rules, store
from tagcast.tracking.rules import Flag, Hit, Kind, Link, Page, Token

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

REMEMBERED = 20_000
"""Links, and absent workspaces, kept in memory; when full, all are read again."""

ABSENT_SECONDS = 1.0
"""How long a workspace that is not there is believed absent; forged tokens ask for many."""

AGENT_LENGTH = 400
"""Characters of a User-Agent looked at."""

_COMMON: Headers = [
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex, nofollow"),
]
_HTML: Headers = [
    *_COMMON,
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'"),
]


class Visits:
    """The app. `start` it in the server's start-up, `close` it after the last answer."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._writer: GroupCommit[Hit, None] = GroupCommit("tracking", self._store)
        self._vaults: dict[int, Vault] = {}
        self._absent: dict[int, float] = {}
        self._targets: dict[tuple[int, int], Link | Page] = {}

    def start(self) -> None:
        """Be ready to store visits."""
        self._writer.start()

    def close(self) -> None:
        """Store what waits and end."""
        self._writer.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under `/k/` or `/m/`."""
        method, path = scope["method"], scope["path"]
        if method not in {"GET", "HEAD"}:
            await _answer(send, 405, [*_COMMON, (b"allow", b"GET, HEAD")], b"", method)
            return
        if path == "/m/style.css":
            style = [(b"content-type", b"text/css; charset=utf-8"), (b"cache-control", b"max-age=3600")]
            await _answer(send, 200, [*style, _COMMON[2]], _style(), method)
            return
        kind = Kind.CLICK if path.startswith("/k/") else Kind.OPEN
        found = await self._find(kind, path[3:])
        if found is None:
            await _answer(send, 404, _HTML, _page("unknown.html"), method)
            return
        token, target, vault = found
        hit = Hit(time.time_ns() // 1_000_000, token.link, token.number, _flags(method, scope["headers"]))
        try:
            await self._writer.submit(token.workspace, hit)
        except Unavailable:
            await _answer(send, 503, [*_HTML, (b"retry-after", b"2")], _page("busy.html"), method)
            return
        if isinstance(target, Page):
            await _answer(send, 200, _HTML, _message(target, token, vault, _lang(scope["headers"])), method)
        else:
            await _answer(send, 302, [*_COMMON, (b"location", target.destination.encode("ascii"))], b"", method)

    def _store(self, workspace: int, hits: Sequence[Hit]) -> list[None]:
        with self._runtime.system() as connection:
            store.insert_hits(connection, {workspace: hits})
        return [None] * len(hits)

    async def _find(self, kind: Kind, text: str) -> tuple[Token, Link | Page, Vault] | None:
        """What a genuine token of this kind leads to."""
        token = rules.read_token(text)
        if token is None:
            return None
        vault = self._vaults.get(token.workspace)
        if vault is None:
            vault = await asyncio.to_thread(self._load_vault, token.workspace)
        if vault is None or not rules.is_genuine(vault, kind, text):
            return None
        target = self._targets.get((token.workspace, token.link))
        if target is None:
            target = await asyncio.to_thread(self._load_target, token)
        return None if target is None else (token, target, vault)

    def _load_vault(self, workspace: int) -> Vault | None:
        if time.monotonic() - self._absent.get(workspace, -ABSENT_SECONDS) < ABSENT_SECONDS:
            return None
        try:
            with self._runtime.read(workspace, "tracking") as work:
                self._vaults[workspace] = work.vault
                return work.vault
        except NotFound:
            if len(self._absent) >= REMEMBERED:
                self._absent.clear()
            self._absent[workspace] = time.monotonic()
            return None

    def _load_target(self, token: Token) -> Link | Page | None:
        with self._runtime.read(token.workspace, "tracking") as work:
            link = store.find_link(work, token.link)
            target = link if link is None or link.kind is Kind.CLICK else store.find_page(work, link)
        if target is not None:
            if len(self._targets) >= REMEMBERED:
                self._targets.clear()
            self._targets[token.workspace, token.link] = target
        return target


async def _answer(send: Send, status: int, headers: Headers, body: bytes, method: str) -> None:
    length = (b"content-length", str(len(body)).encode("ascii"))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


def _flags(method: str, headers: Headers) -> int:
    agent = b""
    flags = Flag.HEAD if method == "HEAD" else Flag(0)
    for name, value in headers:
        if name == b"user-agent":
            agent = value
        elif name in {b"purpose", b"sec-purpose", b"x-moz"} and b"prefetch" in value:
            flags |= Flag.PREFETCH
    if _is_machine(agent[:AGENT_LENGTH]):
        flags |= Flag.AGENT
    return int(flags)


@lru_cache(maxsize=4096)
def _is_machine(agent: bytes) -> bool:
    return rules.is_machine(agent.decode("latin-1"))


def _lang(headers: Headers) -> str:
    """Chinese, unless the phone asks for English first."""
    asked = next((value for name, value in headers if name == b"accept-language"), b"")
    return "en" if asked.lower().startswith(b"en") else "zh-CN"


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("tagcast.tracking", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _page(name: str) -> bytes:
    return _templates().get_template(name).render().encode()


@cache
def _style() -> bytes:
    return (resources.files("tagcast.tracking") / "pages" / "style.css").read_bytes()


def _message(page: Page, token: Token, vault: Vault, lang: str) -> bytes:
    href = "" if page.button is None else rules.make_urls(vault, "", page.button, [token.number])[0]
    paragraphs = [part.strip().split("\n") for part in page.body.replace("\r\n", "\n").split("\n\n") if part.strip()]
    return (
        _templates()
        .get_template("message.html")
        .render(lang=lang, title=page.title, paragraphs=paragraphs, label=page.button_label, href=href)
        .encode()
    )
