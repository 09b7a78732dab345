"""Every request that the sandbox makes, and only to this machine.

Callbacks go to the account's address: encrypted, 5 s timeout, three attempts. A browser opens links as people do.
"""

import asyncio
import contextlib
import heapq
import random
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

import aiohttp

from wechat_sandbox import crypto
from wechat_sandbox.clock import Clock
from wechat_sandbox.faults import Faults
from wechat_sandbox.state import Document, State

_WORKERS = 16
# What waits beyond this many is given up; beyond the second figure it waits in the state file only.
_MOST_WAITING, _MOST_HELD = 2_000_000, 50_000
_ATTEMPTS = 3
_HOPS = 5
_PAGE_SECONDS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def loopback(address: str) -> bool:
    """Whether an address stays on this machine."""
    try:
        return urlsplit(address).hostname in _LOOPBACK
    except ValueError:
        return False


def to_xml(fields: dict[str, Any]) -> str:
    """Fields as the platforms' XML: texts in CDATA, numbers bare, dicts nested, lists of `<item>`, tuples repeated."""
    return "<xml>" + _inner(fields) + "</xml>"


def _inner(fields: dict[str, Any]) -> str:
    parts: list[str] = []
    for name, value in fields.items():
        if isinstance(value, tuple):
            parts.extend(_inner({name: one}) for one in value)
            continue
        if isinstance(value, dict):
            text = _inner(value)
        elif isinstance(value, list):
            text = "".join(
                f"<item>{_inner(item)}</item>" if isinstance(item, dict) else _inner({"Item": item}) for item in value
            )
        elif isinstance(value, int):
            text = str(value)
        else:
            text = "<![CDATA[" + str(value).replace("]]>", escape("]]>")) + "]]>"
        parts.append(f"<{name}>{text}</{name}>")
    return "".join(parts)


def envelope(account: Document, xml: str, openid: str, now: int) -> tuple[dict[str, str], str]:
    """Query and body of one delivery in secure mode."""
    receive_id = account["corpid"] or account["appid"]
    encrypted = crypto.encrypt(account["encoding_aes_key"], xml.encode(), receive_id)
    stamp, nonce = str(now), str(secrets.randbelow(9 * 10**9) + 10**9)
    signed = crypto.signature(account["token"], stamp, nonce, encrypted)
    query = {"msg_signature": signed, "timestamp": stamp, "nonce": nonce}
    body: dict[str, Any] = {"ToUserName": account["corpid"] or account["original"]}
    if account["kind"] == "wecom":
        body["AgentID"] = str(account["agentid"])
    else:
        plain = crypto.signature(account["token"], stamp, nonce)
        query = {
            "signature": plain,
            "timestamp": stamp,
            "nonce": nonce,
            "openid": openid,
            "encrypt_type": "aes",
            "msg_signature": signed,
        }
    body["Encrypt"] = encrypted
    return query, to_xml(body)


class Callbacks:
    """Events under way: kept in the state file until they are delivered or given up, delivered by a few tasks.

    Lateness is by the sandbox's clock, the time between attempts by the machine's. While the clock is virtual they
    go out one by one, in order.
    """

    def __init__(
        self, state: State, settings: dict[str, float], chance: random.Random, *, faults: Faults, clock: Clock
    ) -> None:
        self._state, self._settings, self._chance = state, settings, chance
        self._faults, self._clock = faults, clock
        self._due: list[tuple[int, int]] = [
            (row[0], row[1]) for row in state.query("SELECT due, seq FROM callback ORDER BY due, seq")
        ]
        self._seq = max((seq for _, seq in self._due), default=0)
        self._held: dict[int, tuple[int, str, str]] = {}
        self._ready: asyncio.Queue[int] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._late: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.busy = 0
        self.delivered = 0
        self.given_up = 0
        self.lost = 0
        self.observe: Callable[[Document, bool, int], None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_WORKERS), trust_env=False)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(_WORKERS)]

    async def stop(self) -> None:
        """Stop delivering; what waits stays in the state file."""
        for task in [*self._tasks, *self._late]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._late, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def waiting(self) -> int:
        """Callbacks that are neither delivered nor given up."""
        return len(self._due) + self._ready.qsize() + self.busy + len(self._late)

    def send(self, account: Document, event: str, sender: str, fields: dict[str, Any], now_ms: int) -> None:
        """Queue an event of one account (a person's message: `event` ""); nothing without a callback address."""
        if not account["callback_url"]:
            return
        settings, chance, delay, copies = self._settings, self._chance, 0.0, 1
        if settings["callback_lost_share"] and chance.random() < settings["callback_lost_share"]:
            self.lost += 1
            return
        if settings["callback_duplicate_share"] and chance.random() < settings["callback_duplicate_share"]:
            copies = 2
        for fault in self._faults.of_event(event or str(fields.get("MsgType", "")), account["id"], now_ms):
            if fault.kind == "lost":
                self.lost += 1
                return
            copies = max(copies, 2 if fault.kind == "duplicate" else 1)
            delay += {"late": 1.0, "disordered": chance.random()}.get(fault.kind, 0.0) * fault.seconds
        xml = to_xml(
            {
                "ToUserName": account["corpid"] or account["original"],
                "FromUserName": sender,
                "CreateTime": now_ms // 1000,
                **({"MsgType": "event", "Event": event} if event else {}),
                **fields,
            }
        )
        for _ in range(copies):
            self._keep(now_ms + int(delay * 1000), account["id"], sender, xml)

    def _keep(self, due: int, account: int, sender: str, xml: str) -> None:
        if self.waiting() >= _MOST_WAITING:
            self.given_up += 1
            return
        self._seq += 1
        self._state.callback_rows[self._seq] = (self._seq, due, account, sender, xml)
        if len(self._held) < _MOST_HELD:
            self._held[self._seq] = (account, sender, xml)
        if due <= self._clock.now():
            self._ready.put_nowait(self._seq)
        else:
            heapq.heappush(self._due, (due, self._seq))

    def release(self) -> None:
        """Let go what is due by now, in order."""
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            self._ready.put_nowait(heapq.heappop(self._due)[1])

    async def verify(self, account: Document) -> dict[str, Any]:
        """The address check of the platform's console: GET with `echostr`, which must come back in clear."""
        assert self._session is not None
        echo = secrets.token_hex(8)
        stamp, nonce = str(int(time.time())), secrets.token_hex(5)
        sent = (
            crypto.encrypt(account["encoding_aes_key"], echo.encode(), account["corpid"])
            if account["kind"] == "wecom"
            else echo
        )
        if account["kind"] == "wecom":
            query = {
                "msg_signature": crypto.signature(account["token"], stamp, nonce, sent),
                "timestamp": stamp,
                "nonce": nonce,
                "echostr": sent,
            }
        else:
            query = {
                "signature": crypto.signature(account["token"], stamp, nonce),
                "timestamp": stamp,
                "nonce": nonce,
                "echostr": sent,
            }
        try:
            async with self._session.get(
                account["callback_url"], params=query, timeout=self._timeout(), allow_redirects=False
            ) as answer:
                text = await answer.text()
                return {"ok": answer.status == 200 and text == echo, "status": answer.status, "answer": text[:200]}
        except (aiohttp.ClientError, TimeoutError) as error:
            return {"ok": False, "status": 0, "answer": type(error).__name__}

    def _timeout(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self._settings["callback_timeout_seconds"])

    async def _work(self) -> None:
        while True:
            seq = await self._ready.get()
            self.busy += 1
            try:
                if self._clock.virtual:
                    async with self._turn:
                        await self._deliver(seq, attempt=1)
                    continue
                if self._settings["callback_jitter_seconds"]:
                    await asyncio.sleep(self._chance.random() * self._settings["callback_jitter_seconds"])
                await self._deliver(seq, attempt=1)
            finally:
                self.busy -= 1

    def _entry(self, seq: int) -> tuple[Document | None, str, str]:
        """Account (None: it has no address any more), sender and XML of a callback that waits."""
        held = self._held.get(seq)
        if held is None:
            sql = "SELECT account, sender, body FROM callback WHERE seq=?"
            ((ident, sender, xml),) = self._state.query(sql, (seq,))
        else:
            ident, sender, xml = held
        account = self._state.get("account", str(ident))
        return (account if account is not None and account["callback_url"] else None), sender, xml

    async def _deliver(self, seq: int, attempt: int) -> None:
        account, sender, xml = self._entry(seq)
        answered = False
        if account is not None:
            started = time.monotonic_ns()
            answered = await self._post(account, xml, sender)
            if self.observe is not None:
                self.observe(account, answered, (time.monotonic_ns() - started) // 1_000_000)
        if not answered and account is not None and attempt < _ATTEMPTS:
            task = asyncio.create_task(self._again(seq, attempt + 1))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return
        self.delivered += answered
        self.given_up += not answered
        self._held.pop(seq, None)
        self._state.callback_done(seq)

    async def _again(self, seq: int, attempt: int) -> None:
        await asyncio.sleep(self._settings["callback_retry_seconds"])
        await self._deliver(seq, attempt)

    async def _post(self, account: Document, xml: str, openid: str) -> bool:
        assert self._session is not None
        query, body = envelope(account, xml, openid, int(time.time()))
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(
                account["callback_url"],
                params=query,
                data=body.encode(),
                headers={"Content-Type": "text/xml"},
                timeout=self._timeout(),
                allow_redirects=False,
            ) as answer:
                await answer.read()
                return answer.status == 200
        return False


class Browser:
    """Fetches pages for simulated people, at most `concurrency` at a time."""

    def __init__(self, concurrency: int) -> None:
        connector = aiohttp.TCPConnector(limit=concurrency)
        timeout = aiohttp.ClientTimeout(total=_PAGE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, address: str, agent: str, referer: str = "") -> tuple[str | None, str]:
        """The HTML behind an address (None: none) and where redirects end; only this machine is asked."""
        headers = {"User-Agent": agent, "Accept": "text/html", **({"Referer": referer} if referer else {})}
        for _ in range(_HOPS):
            if not loopback(address):
                break
            try:
                async with self._session.get(address, headers=headers, allow_redirects=False) as answer:
                    text = await answer.text()
                    if answer.status in _REDIRECTS and answer.headers.get("Location"):
                        address = urljoin(address, answer.headers["Location"])
                        continue
                    is_page = answer.status == 200 and "html" in answer.headers.get("Content-Type", "")
                    return (text if is_page else None), address
            except (aiohttp.ClientError, TimeoutError, ValueError):
                break
        return None, address
