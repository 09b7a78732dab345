"""Template messages, one call a person: our client over its transports, against wechatpy and bare HTTP clients.

The platform is `bench.echo` in a process of its own, on another core where there are two; its answers depend on what a
call means, and every contestant's are compared with the right ones. Contestants take turns, and figures are medians.
"CPU" is user and system time of this process, all its threads counted. At 0 ms the platform answers at once, so that
only the client's own work is measured; at 30 ms the client waits as it would for a real platform. `bound` is what the
bare HTTP client reaches, which ours stands on. `python -m bench.channels SIZE PORT` prints the rows over TLS.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

from bench import certificate, senders
from bench.echo import many_files
from bench.measure import REPEATS, Bar
from bench.senders import Person, Receiver, Slice, Turn, expected, people, turn, wechatpy
from tagcast.kit import loop

IN_FLIGHT = 64
FAR_IN_FLIGHT = 1024
FAR_MS = 30
PAIRS = 11
BARS = (("aiohttp", 10.0), ("fast", 20.0))
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
MOST_SANDBOX = 4000
"""Calls a turn at most: the platform allows 100,000 a day."""


def run(size: int) -> Iterator[Bar]:
    """Rows for turns of `size` calls, a tenth of them for the slow peer. Needs wechatpy and pyreqwest."""
    many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority, server = certificate.make(folder)
        near, far = stack.enter_context(_echo(0)), stack.enter_context(_echo(FAR_MS))
        safe = stack.enter_context(_echo(0, server))
        runner = stack.enter_context(loop.runner())
        closing = AsyncExitStack()
        stack.callback(lambda: runner.run(closing.aclose()))
        turns = _turns(runner, closing, f"http://127.0.0.1:{near}", IN_FLIGHT)
        yield from _against_wechatpy("0 ms", turns, size, f"http://127.0.0.1:{near}")
        yield from _over_tls(size, safe, authority)
        receiver = Receiver(f"http://127.0.0.1:{near}")
        for name, _ in BARS:
            sends = senders.connected(closing, folder / name, name, receiver, IN_FLIGHT)
            turns[f"connected {name}"] = turn(runner, runner.run(sends), IN_FLIGHT)
        yield from _overhead(turns, size)
        yield from _against_sandbox(stack, closing, runner, folder, size)
        far_turns = _turns(runner, closing, f"http://127.0.0.1:{far}", FAR_IN_FLIGHT)
        yield from _far(far_turns, size, f"http://127.0.0.1:{far}")


def _turns(runner: asyncio.Runner, closing: AsyncExitStack, base: str, in_flight: int) -> dict[str, Turn]:
    made = runner.run(senders.clients(closing, base, in_flight))
    return {name: turn(runner, send, in_flight) for name, send in made.items()}


def _against_wechatpy(where: str, turns: Mapping[str, Turn], size: int, base: str) -> Iterator[Bar]:
    found = _interleaved({"wechatpy loop": (wechatpy(base, 1), max(size // 10, 20))} | _each(turns, size))
    for name, least in BARS:
        yield Bar.of(
            f"template sends, {where}, {IN_FLIGHT} in flight, {name}", size, ours=found[f"tagcast {name}"].cpu_us,
            peer=("wechatpy loop", found["wechatpy loop"].cpu_us), unit="us CPU", bar=(">=", least),
            equal=_right(found), floor=found[f"bare {name}"].cpu_us,
        )  # fmt: skip


def _each(turns: Mapping[str, Turn], size: int) -> dict[str, tuple[Turn, int]]:
    return {name: (one, size) for name, one in turns.items()}


def _over_tls(size: int, port: int, authority: Path) -> Iterator[Bar]:
    """In a process of its own, because what is trusted is read when a process starts."""
    trusting = {**os.environ, "SSL_CERT_FILE": str(authority), "REQUESTS_CA_BUNDLE": str(authority)}
    program = [sys.executable, "-m", "bench.channels", str(size), str(port)]
    ended = subprocess.run(program, env=trusting, stdout=subprocess.PIPE, check=True)
    for row in orjson.loads(ended.stdout):
        yield Bar(**row)


def _tls(size: int, port: int) -> Iterator[Bar]:
    base = f"https://127.0.0.1:{port}"
    with loop.runner() as runner:
        closing = AsyncExitStack()
        turns = _turns(runner, closing, base, IN_FLIGHT)
        yield from _against_wechatpy("0 ms, TLS", turns, size, base)
        runner.run(closing.aclose())


def _far(turns: Mapping[str, Turn], size: int, base: str) -> Iterator[Bar]:
    work = f"template sends, {FAR_MS} ms, {FAR_IN_FLIGHT} in flight"
    peers = {
        "wechatpy loop": (wechatpy(base, 1), max(size // 100, 5)),
        "wechatpy 64 threads": (wechatpy(base, 64), max(size // 10, 64)),
    }
    found = _interleaved(peers | _each(turns, size))
    for name, _ in BARS:
        for peer, least in (("wechatpy loop", 200.0), ("wechatpy 64 threads", 14.0)):
            ours, theirs = found[f"tagcast {name}"].seconds * 1000, found[peer].seconds * 1000
            yield Bar.of(
                f"{work}, {name}", size, ours=ours, peer=(peer, theirs), unit="ms a call", bar=(">=", least),
                equal=_right(found), floor=found[f"bare {name}"].seconds * 1000,
            )  # fmt: skip


def _overhead(turns: Mapping[str, Turn], size: int) -> Iterator[Bar]:
    """Ours against the same HTTP client used bare, slice beside slice; each in turn goes first."""
    for who, what in (("tagcast", "client"), ("connected", "connected account")):
        for name, _ in BARS:
            ours, bare = turns[f"{who} {name}"], turns[f"bare {name}"]
            pairs: list[tuple[Slice, Slice]] = []
            for number in range(PAIRS + 1):
                first, second = (ours, bare) if number % 2 else (bare, ours)
                slices = first(people(size)), second(people(size))
                pairs.append(slices if number % 2 else slices[::-1])
            peer = statistics.median(other.cpu_us for _, other in pairs[1:])
            # The median of quotients, because a busy machine slows the two slices of a pair alike.
            times = statistics.median(one.cpu_us / other.cpu_us for one, other in pairs[1:])
            yield Bar.of(
                f"template sends, {what} over the bare HTTP client, {name}", size, ours=peer * times,
                peer=(f"bare {name}", peer), unit="us CPU", bar=("<=", 1.15),
                equal=all(one.answers == other.answers for one, other in pairs),
            )  # fmt: skip


def _against_sandbox(
    stack: ExitStack, closing: AsyncExitStack, runner: asyncio.Runner, folder: Path, size: int
) -> Iterator[Bar]:
    """The connected account and wechatpy's loop against the sandbox; its ledger counts what came."""
    url = stack.enter_context(_sandbox(folder / "sandbox.db"))
    size = min(size, MOST_SANDBOX)
    account = _control(f"{url}/sandbox/accounts", {"kind": "service", "name": "bench", "reach": 1, "blocks": 0})
    _control(f"{url}/sandbox/population", {"size": 500, "seed": 7})
    login = {"grant_type": "client_credential", "appid": account["appid"], "secret": account["secret"]}
    token = _control(f"{url}/cgi-bin/stable_token", login)["access_token"]
    listed = _control(f"{url}/cgi-bin/template/get_all_private_template?access_token={token}")["template_list"]
    keywords = ("name1", "thing2", "thing3")
    template = next(one["template_id"] for one in listed if all(f"{name}.DATA" in one["content"] for name in keywords))
    lines = urllib.request.urlopen(f"{url}/sandbox/people").read().splitlines()
    ids = [orjson.loads(line)["ids"][str(account["id"])]["openid"] for line in lines]
    to = [Person(ids[number % len(ids)], ("会员", "周年庆", "老客专享"), keywords) for number in range(size)]
    receiver = Receiver(url, account["appid"], account["secret"], template, keywords)
    ours = {
        name: turn(runner, runner.run(senders.connected(closing, folder / f"box {name}", name, receiver, IN_FLIGHT)),
                   IN_FLIGHT)
        for name, _ in BARS
    }  # fmt: skip
    peer = wechatpy(url, 1, template=template, token=token)
    found: dict[str, list[Slice]] = {name: [] for name in ("wechatpy loop", *ours)}
    for _ in range(REPEATS + 1):
        found["wechatpy loop"].append(peer(to[: max(size // 10, 20)]))
        for name, one in ours.items():
            found[name].append(one(to))
    costs = {name: statistics.median(one.cpu_us for one in slices[1:]) for name, slices in found.items()}
    everything = all(all(one.answers) for slices in found.values() for one in slices)
    for name, least in BARS:
        yield Bar.of(
            f"template sends to the sandbox, connected account, {name}", size, ours=costs[name],
            peer=("wechatpy loop", costs["wechatpy loop"]), unit="us CPU", bar=(">=", least), equal=everything,
        )  # fmt: skip


def _control(url: str, body: object = None) -> Any:
    data = None if body is None else orjson.dumps(body)
    with urllib.request.urlopen(url, data) as answer:
        return orjson.loads(answer.read())


def _interleaved(contestants: Mapping[str, tuple[Turn, int]]) -> dict[str, Slice]:
    """Medians; one turn of each warms up. `answers` are those that were wrong."""
    found: dict[str, list[Slice]] = {name: [] for name in contestants}
    wrong: dict[str, list[int]] = {name: [] for name in contestants}
    for _ in range(REPEATS + 1):
        for name, (one, size) in contestants.items():
            to = people(size)
            slice_ = one(to)
            found[name].append(slice_)
            pairs = zip(to, slice_.answers, strict=True)
            wrong[name] += [answer for person, answer in pairs if answer != expected(person)]
    return {
        name: Slice(
            statistics.median(one.cpu_us for one in slices[1:]),
            statistics.median(one.seconds for one in slices[1:]),
            wrong[name],
        )
        for name, slices in found.items()
    }


def _right(found: Mapping[str, Slice]) -> bool:
    return not any(one.answers for one in found.values())


@contextmanager
def _echo(delay_ms: int, server: Path | None = None) -> Iterator[int]:
    """The port of a platform, over TLS with a server's certificate."""
    with beside("bench.echo", str(delay_ms), *([str(server)] if server else [])) as said:
        yield int(said)


@contextmanager
def _sandbox(state: Path) -> Iterator[str]:
    with beside("wechat_sandbox", "--port", "0", "--state", str(state)) as said:
        url: str = orjson.loads(said)["url"]
        yield url


@contextmanager
def beside(module: str, *arguments: str, pinned: bool = True) -> Iterator[str]:
    """What a program says first; it has the last core, and this process the first, where there are two, or both any."""
    _keep_to(CORES[-1:] if pinned else CORES)
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True) as started:
        _keep_to(CORES[:1] if pinned else CORES)
        assert started.stdout is not None
        try:
            yield started.stdout.readline()
        finally:
            started.kill()
            _keep_to(CORES)


def _keep_to(cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    many_files()
    sys.stdout.buffer.write(orjson.dumps(list(_tls(int(sys.argv[1]), int(sys.argv[2])))))
