"""Who sends in `bench.channels`: our client alone and as the product uses it, bare HTTP clients, wechatpy."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import aiohttp
import orjson

from bench.echo import msgid
from tagcast import access, accounts
from tagcast.accounts import NewAccount
from tagcast.channels import OfficialClient, TemplateCall, TemplateMessage
from tagcast.kit.fasthttp import FastTransport
from tagcast.kit.http import AddressPolicy, AiohttpTransport
from tagcast.kit.settings import Settings

INNER = AddressPolicy(allow_private=True)
TEMPLATE = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"
URL = "https://shop.example/l/9f3kQ2mV7xPb0RzT?from=template"
KEYWORDS = ("thing1", "thing2", "amount3", "date4", "thing5", "character_string6")
TOKEN = "T" * 136
RATE = 30_000
"""Calls a second that the account may make: more than one process can, so that none waits for it."""

Send = Callable[["Person"], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient and the values for him, in the order of the keywords."""

    openid: str
    values: tuple[str, ...]
    keywords: tuple[str, ...] = KEYWORDS

    @property
    def data(self) -> dict[str, dict[str, str]]:
        return {name: {"value": value} for name, value in zip(self.keywords, self.values, strict=True)}


Turn = Callable[[Sequence[Person]], "Slice"]


@dataclass(frozen=True, slots=True)
class Slice:
    """What one turn of a contestant took, per call: microseconds of CPU, seconds of wall time; and its answers."""

    cpu_us: float
    seconds: float
    answers: Sequence[int]


def people(size: int) -> list[Person]:
    """Made-up recipients; a call for one has about 1,000 bytes."""
    shop = "满三百减五十，全场通用，生鲜跨境商品除外"
    return [
        Person(
            f"oQ7mT5{number:022d}",
            (f"{number} 号会员，您好", shop, f"¥{number % 300}.50", "2026-12-01 10:00", shop[::-1], f"NO{number:012d}"),
        )
        for number in range(size)
    ]


def expected(person: Person) -> int:
    """The message id that `bench.echo` answers."""
    return msgid({"touser": person.openid, "template_id": TEMPLATE, "data": person.data, "url": URL})


def turn(runner: asyncio.Runner, send: Send, in_flight: int) -> Turn:
    """Turns of a sender with so many calls in flight."""

    def one(to: Sequence[Person]) -> Slice:
        answers = [0] * len(to)

        async def worker(first: int) -> None:
            for index in range(first, len(to), in_flight):
                answers[index] = await send(to[index])

        async def all_() -> list[int]:
            await asyncio.gather(*(worker(first) for first in range(min(in_flight, len(to)))))
            return answers

        return _measured(to, lambda: runner.run(all_()))

    return one


def _measured(to: Sequence[Person], act: Callable[[], Sequence[int]]) -> Slice:
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = act()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Slice(cpu / len(to) * 1e6, seconds / len(to), answers)


async def clients(closing: AsyncExitStack, base: str, connections: int) -> dict[str, Send]:
    """Our client and bare ones over both transports."""
    default = await closing.enter_async_context(AiohttpTransport(policy=INNER, connections=connections))
    fast = await closing.enter_async_context(FastTransport(policy=INNER, connections=connections))
    return {
        "tagcast aiohttp": ours(OfficialClient(default, base, _token)),
        "tagcast fast": ours(OfficialClient(fast, base, _token)),
        "bare aiohttp": await _bare_aiohttp(closing, base, connections),
        "bare fast": await _bare_fast(closing, base),
    }


async def _token() -> str:
    return TOKEN


def ours(client: OfficialClient, template: str = TEMPLATE, keywords: Sequence[str] = KEYWORDS) -> Send:
    """Our client alone."""
    call = TemplateCall(TemplateMessage(template, dict.fromkeys(keywords, "")))

    async def send(person: Person) -> int:
        return await client.templates.send(call, person.openid, person.values, client_msg_id=_key(person), url=URL)

    return send


def _key(person: Person) -> str:
    return f"b7-{person.openid}"


@dataclass(frozen=True, slots=True)
class Receiver:
    """A platform's account: its address and keys."""

    base_url: str
    appid: str = "wx5823bf96d3bd56c7"
    secret: str = "s"
    template: str = TEMPLATE
    keywords: tuple[str, ...] = KEYWORDS


async def connected(closing: AsyncExitStack, home: Path, choice: str, to: Receiver, in_flight: int) -> Send:
    """As the product sends: through the account's shared token, limits, counts and back-off."""
    settings = Settings(
        home=home, allow_private=True, transport=choice, send_concurrency=in_flight, rate_per_second=RATE
    )
    access.initialise(settings)
    runtime = access.open_home(settings)
    closing.callback(runtime.close)
    with runtime.work(1, "bench") as work:
        new = NewAccount("service", "bench", to.secret, appid=to.appid, base_url=to.base_url)
        account = accounts.add(work, new).id
    one = await closing.enter_async_context(accounts.connect(runtime, 1, account))
    bare = ours(one.official, to.template, to.keywords)

    async def send(person: Person) -> int:
        return await one.call(partial(bare, person))

    return send


def _plain_body(person: Person) -> bytes:
    """What somebody would write who uses a bare HTTP client."""
    return orjson.dumps(
        {"touser": person.openid, "template_id": TEMPLATE, "url": URL, "client_msg_id": _key(person),
         "data": {name: {"value": value} for name, value in zip(person.keywords, person.values, strict=True)}}
    )  # fmt: skip


async def _bare_aiohttp(closing: AsyncExitStack, base: str, connections: int) -> Send:
    session = await closing.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections), cookie_jar=aiohttp.DummyCookieJar())
    )
    url = f"{base}/cgi-bin/message/template/send?access_token={await _token()}"
    headers = {"Content-Type": "application/json"}

    async def send(person: Person) -> int:
        async with session.post(url, data=_plain_body(person), headers=headers) as answer:
            found: int = orjson.loads(await answer.read())["msgid"]
            return found

    return send


async def _bare_fast(closing: AsyncExitStack, base: str) -> Send:
    from pyreqwest.client import ClientBuilder

    client = await closing.enter_async_context(ClientBuilder().timeout(timedelta(seconds=10)).no_proxy().build())
    url = f"{base}/cgi-bin/message/template/send?access_token={await _token()}"
    headers = {"Content-Type": "application/json"}

    async def send(person: Person) -> int:
        answer = await client.post(url).headers(headers).body_bytes(_plain_body(person)).build().send()
        found: int = orjson.loads((await answer.bytes()).to_bytes())["msgid"]
        return found

    return send


def wechatpy(base: str, threads: int, *, template: str = TEMPLATE, token: str = TOKEN) -> Turn:
    """Its client in a loop, or one client for each of some threads."""
    from wechatpy import WeChatClient

    class Client(WeChatClient):  # type: ignore[misc] # wechatpy has no types
        API_BASE_URL = f"{base}/cgi-bin/"

    clients = [Client("wx5823bf96d3bd56c7", "secret", access_token=token) for _ in range(threads)]

    def send_part(to: Sequence[Person], first: int) -> list[int]:
        client = clients[first]
        return [
            client.message.send_template(person.openid, template, person.data, url=URL)["msgid"]
            for person in to[first::threads]
        ]

    def one(to: Sequence[Person]) -> Slice:
        def act() -> list[int]:
            if threads == 1:
                return send_part(to, 0)
            answers = [0] * len(to)
            with ThreadPoolExecutor(threads) as pool:
                for first, part in enumerate(pool.map(partial(send_part, to), range(threads))):
                    answers[first::threads] = part
            return answers

        return _measured(to, act)

    return one
