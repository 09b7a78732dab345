"""Template messages, one call a person: our client over its transports, against wechatpy and bare HTTP clients.

The platform is `bench.echo` in a process of its own, on another core where there are two; its answers depend on what a
call means, and every contestant's are compared with the right ones. Contestants take turns, and figures are medians.
"CPU" is user and system time of this process, all its threads counted. At 0 ms the platform answers at once, so that
only the client's own work is measured; at 30 ms the client waits as it would for a real platform.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import aiohttp
import orjson

from bench.echo import many_files, msgid
from bench.measure import REPEATS, Bar
from tagcast.channels import OfficialClient, TemplateCall, TemplateMessage
from tagcast.kit import loop
from tagcast.kit.fasthttp import FastTransport
from tagcast.kit.http import AddressPolicy, AiohttpTransport

IN_FLIGHT = 64
FAR_IN_FLIGHT = 1024
FAR_MS = 30
PAIRS = 11
INNER = AddressPolicy(allow_private=True)
TEMPLATE = "ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY"
URL = "https://shop.example/l/9f3kQ2mV7xPb0RzT?from=template"
KEYWORDS = ("thing1", "thing2", "amount3", "date4", "thing5", "character_string6")


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient and the values for him, in the order of `KEYWORDS`."""

    openid: str
    values: tuple[str, ...]

    @property
    def data(self) -> dict[str, dict[str, str]]:
        return {name: {"value": value} for name, value in zip(KEYWORDS, self.values, strict=True)}


@dataclass(frozen=True, slots=True)
class Slice:
    """What one turn of a contestant took, per call: microseconds of CPU, seconds of wall time; all answers right."""

    cpu_us: float
    seconds: float
    right: bool


Send = Callable[[Person], Awaitable[int]]
Turn = Callable[[int], Slice]


def people(size: int) -> list[Person]:
    """Made-up recipients; a call for one has about 1,000 bytes."""
    shop = "满三百减五十，全场通用，生鲜与跨境商品除外"
    return [
        Person(
            f"oQ7mT5{number:022d}",
            (f"{number} 号会员，您好", shop, f"¥{number % 300}.50", "2026-12-01 10:00", shop[::-1], f"NO{number:012d}"),
        )
        for number in range(size)
    ]


def run(size: int) -> Iterator[Bar]:
    """Rows for turns of `size` calls, a tenth of them for the slow peer. Needs wechatpy and pyreqwest."""
    many_files()
    with ExitStack() as stack:
        near, far = stack.enter_context(_echo(0)), stack.enter_context(_echo(FAR_MS))
        runner = stack.enter_context(loop.runner())
        closing = AsyncExitStack()
        stack.callback(lambda: runner.run(closing.aclose()))
        clients = runner.run(_clients(closing, near, IN_FLIGHT))
        turns = {name: partial(_turn, runner, send, IN_FLIGHT) for name, send in clients.items()}
        yield from _against_wechatpy(turns, size, near)
        yield from _overhead(turns, size)
        waiting = runner.run(_clients(closing, far, FAR_IN_FLIGHT))
        far_turns = {name: partial(_turn, runner, send, FAR_IN_FLIGHT) for name, send in waiting.items()}
        yield from _far(far_turns, size, far)


def _against_wechatpy(turns: Mapping[str, Turn], size: int, port: int) -> Iterator[Bar]:
    work = f"template sends, 0 ms, {IN_FLIGHT} in flight"
    found = _interleaved(
        {
            "wechatpy loop": (_wechatpy(port, 1), max(size // 10, 20)),
            "aiohttp": (turns["tagcast aiohttp"], size),
            "fast": (turns["tagcast fast"], size),
        }
    )
    peer = found["wechatpy loop"]
    for name, least in (("aiohttp", 10.0), ("fast", 20.0)):
        yield Bar.of(
            f"{work}, {name}", size, ours=found[name].cpu_us, peer=("wechatpy loop", peer.cpu_us),
            unit="us CPU", bar=(">=", least), equal=_right(found),
        )  # fmt: skip


def _far(turns: Mapping[str, Turn], size: int, port: int) -> Iterator[Bar]:
    work = f"template sends, {FAR_MS} ms, {FAR_IN_FLIGHT} in flight"
    found = _interleaved(
        {
            "wechatpy loop": (_wechatpy(port, 1), max(size // 100, 5)),
            "wechatpy 64 threads": (_wechatpy(port, 64), max(size // 10, 64)),
            "aiohttp": (turns["tagcast aiohttp"], size),
            "fast": (turns["tagcast fast"], size),
        }
    )
    for name in ("fast", "aiohttp"):
        for peer, least in (("wechatpy loop", 200.0), ("wechatpy 64 threads", 14.0)):
            ours, theirs = found[name].seconds * 1000, found[peer].seconds * 1000
            yield Bar.of(
                f"{work}, {name}", size, ours=ours, peer=(peer, theirs), unit="ms a call", bar=(">=", least),
                equal=_right(found),
            )  # fmt: skip


def _overhead(turns: Mapping[str, Turn], size: int) -> Iterator[Bar]:
    """Ours against the same HTTP client used bare, slice beside slice; each in turn goes first."""
    for name in ("aiohttp", "fast"):
        ours, bare = turns[f"tagcast {name}"], turns[f"bare {name}"]
        pairs: list[tuple[Slice, Slice]] = []
        for number in range(PAIRS + 1):
            if number % 2:
                pairs.append((ours(size), bare(size)))
            else:
                second, first = bare(size), ours(size)
                pairs.append((first, second))
        measured = pairs[1:]
        peer = statistics.median(other.cpu_us for _, other in measured)
        # The median of quotients, because a busy machine slows the two slices of a pair alike.
        times = statistics.median(one.cpu_us / other.cpu_us for one, other in measured)
        yield Bar.of(
            f"template sends over the bare HTTP client, {name}", size, ours=peer * times, peer=(f"bare {name}", peer),
            unit="us CPU", bar=("<=", 1.15), equal=all(one.right and other.right for one, other in measured),
        )  # fmt: skip


def _interleaved(contestants: Mapping[str, tuple[Turn, int]]) -> dict[str, Slice]:
    """Medians; one turn of each warms up."""
    found: dict[str, list[Slice]] = {name: [] for name in contestants}
    for _ in range(REPEATS + 1):
        for name, (turn, size) in contestants.items():
            found[name].append(turn(size))
    return {
        name: Slice(
            statistics.median(one.cpu_us for one in slices[1:]),
            statistics.median(one.seconds for one in slices[1:]),
            all(one.right for one in slices),
        )
        for name, slices in found.items()
    }


def _right(found: Mapping[str, Slice]) -> bool:
    return all(one.right for one in found.values())


def _measured(to: Sequence[Person], act: Callable[[], Sequence[int]]) -> Slice:
    expected = [_expected(person) for person in to]
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = act()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Slice(cpu / len(to) * 1e6, seconds / len(to), list(answers) == expected)


def _expected(person: Person) -> int:
    return msgid({"touser": person.openid, "template_id": TEMPLATE, "data": person.data, "url": URL})


def _turn(runner: asyncio.Runner, send: Send, in_flight: int, size: int) -> Slice:
    to = people(size)
    answers = [0] * size

    async def worker(first: int) -> None:
        for index in range(first, size, in_flight):
            answers[index] = await send(to[index])

    async def all_() -> list[int]:
        await asyncio.gather(*(worker(first) for first in range(min(in_flight, size))))
        return answers

    return _measured(to, lambda: runner.run(all_()))


async def _clients(closing: AsyncExitStack, port: int, connections: int) -> dict[str, Send]:
    base = f"http://127.0.0.1:{port}"
    default = await closing.enter_async_context(AiohttpTransport(policy=INNER, connections=connections))
    fast = await closing.enter_async_context(FastTransport(policy=INNER, connections=connections))
    return {
        "tagcast aiohttp": _ours(OfficialClient(default, base, _token)),
        "tagcast fast": _ours(OfficialClient(fast, base, _token)),
        "bare aiohttp": await _bare_aiohttp(closing, base, connections),
        "bare fast": await _bare_fast(closing, base),
    }


async def _token() -> str:
    return "T" * 136


def _ours(client: OfficialClient) -> Send:
    call = TemplateCall(TemplateMessage(TEMPLATE, dict.fromkeys(KEYWORDS, "")))

    async def send(person: Person) -> int:
        return await client.templates.send(
            call, person.openid, person.values, client_msg_id=f"b7-{person.openid}", url=URL
        )

    return send


def _plain_body(person: Person) -> bytes:
    """What somebody would write who uses a bare HTTP client."""
    return orjson.dumps(
        {"touser": person.openid, "template_id": TEMPLATE, "url": URL, "client_msg_id": f"b7-{person.openid}",
         "data": {name: {"value": value} for name, value in zip(KEYWORDS, person.values, strict=True)}}
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


def _wechatpy(port: int, threads: int) -> Turn:
    from wechatpy import WeChatClient

    class Client(WeChatClient):  # type: ignore[misc] # wechatpy has no types
        API_BASE_URL = f"http://127.0.0.1:{port}/cgi-bin/"

    clients = [Client("wx5823bf96d3bd56c7", "secret", access_token="T" * 136) for _ in range(threads)]

    def send_part(to: Sequence[Person], first: int) -> list[int]:
        client = clients[first]
        return [
            client.message.send_template(person.openid, TEMPLATE, person.data, url=URL)["msgid"]
            for person in to[first::threads]
        ]

    def turn(size: int) -> Slice:
        to = people(size)

        def act() -> list[int]:
            if threads == 1:
                return send_part(to, 0)
            answers = [0] * size
            with ThreadPoolExecutor(threads) as pool:
                for first, part in enumerate(pool.map(partial(send_part, to), range(threads))):
                    answers[first::threads] = part
            return answers

        return _measured(to, act)

    return turn


@contextmanager
def _echo(delay_ms: int) -> Iterator[int]:
    """The port of a platform on the last core; this process keeps to the first, where there are two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    arguments = [str(delay_ms)]
    if len(cores) > 1:
        arguments.append(str(cores[-1]))
    with subprocess.Popen(
        [sys.executable, "-m", "bench.echo", *arguments], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        try:
            port = int(started.stdout.readline())
            if len(cores) > 1:
                os.sched_setaffinity(0, {cores[0]})
            yield port
        finally:
            started.kill()
            if len(cores) > 1:
                os.sched_setaffinity(0, set(cores))
