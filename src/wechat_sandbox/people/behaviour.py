"""What people do from now on: buy at their base rate; open, click, buy more or leave because of what arrived.

The probabilities are those of `population.toml`; `truth` computes the expectation of exactly what `act` draws.
Opening and clicking are real requests, to addresses of this machine only.
"""

import asyncio
import contextlib
import html
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urljoin

import numpy as np

from wechat_sandbox.callbacks import Browser
from wechat_sandbox.errors import ControlError
from wechat_sandbox.people import relations
from wechat_sandbox.people.population import DATA, TASTES, topic_of
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_BUTTON = re.compile(r"<a\b[^>]*\bdata-button\b[^>]*>", re.IGNORECASE)
_HREF = re.compile(r"href\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
_WECHAT = " MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN"
_APPLE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
_ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0 Mobile Safari/537.36"
)
_ASKED_FOR = "SELECT person, topic FROM ledger WHERE account=? AND key=? AND outcome='asked'"
_ARRIVED_SINCE = (
    "SELECT person, topic FROM ledger WHERE account=? AND seq>? AND outcome='arrived' AND via<>'preview' ORDER BY seq"
)


class Chances(NamedTuple):
    """Probabilities of one message on one person; `buy` and `click` given the step before."""

    open: float
    click: float
    buy: float
    leave: float

    @property
    def extra(self) -> float:
        return self.open * self.click * self.buy


class Arrival(NamedTuple):
    """What arrived at a person: the account, the message's key, its link and its topic."""

    account: int
    key: str
    link: str
    topic: str


def daily_rate(sensitivity: str) -> float:
    """How likely a person buys on a day without any message."""
    return float(DATA["purchase"]["daily_rate"][sensitivity])


def chances(topic: str, taste: str, sensitivity: str) -> Chances:
    """How a person reacts to a message about `topic` (a category, perhaps with `+offer`)."""
    category, _, offer = topic.partition("+")
    row = DATA["reaction"]["none" if not category else "match" if category == taste else "other"]
    factor = DATA["offer"]["buy"][sensitivity] if offer else 1.0
    return Chances(row["open"], row["click"], min(1.0, row["buy"] * factor), row["leave"])


class Behaviour:
    """The background job that lets the population act, and the truth about it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._task: asyncio.Task[None] | None = None
        self.progress: dict[str, Any] = self._fresh("idle", 0)

    def _fresh(self, state: str, total: int) -> dict[str, Any]:
        names = ("done", "messages", "opened", "open_failed", "clicked", "bought", "left")
        return {"state": state, "total": total, **dict.fromkeys(names, 0), "locations": {}}

    def start(self, days: int, concurrency: int) -> dict[str, Any]:
        """Begin to act; ControlError 409 while it runs or when there are no people."""
        if self._task is not None and not self._task.done():
            raise ControlError(409, "the population is acting already")
        if not self._world.population.people.size:
            raise ControlError(409, "there is no population")
        if days < 1 or concurrency < 1:
            raise ControlError(400, "days and concurrency must be 1 or more")
        self.progress = self._fresh("running", self._world.population.people.size)
        self._task = asyncio.create_task(self._act(days, concurrency))
        return self.progress

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _act(self, days: int, concurrency: int) -> None:
        world, people = self._world, self._world.population.people
        turn = world.state.next_number("turn")
        since = int((world.state.get("config", "acted") or {"seq": 0})["seq"])
        world.state.put("config", "acted", {"seq": world.ledger.seq})
        received = self._received(since)
        rates = np.array([daily_rate(value) for value in people.traits["price_sensitivity"]])
        usual = np.random.default_rng([world.seed, people.seed, turn]).binomial(days, rates)
        for index in np.flatnonzero(usual).tolist():
            for number in range(int(usual[index])):
                self._buy(index, Random(f"{world.seed}:{turn}:{index}:usual:{number}"), "", None)  # noqa: S311 - reproducible
        self.progress["done"] = people.size - len(received)
        queue = iter(received.items())
        async with Browser(concurrency) as browser:

            async def work() -> None:
                for index, arrivals in queue:
                    for place, arrival in enumerate(arrivals):
                        draw = Random(f"{world.seed}:{turn}:{index}:{place}")  # noqa: S311 - reproducible
                        await self._react(browser, index, arrival, draw)
                    self.progress["done"] += 1

            workers = [asyncio.create_task(work()) for _ in range(concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
        self.progress["state"] = "done"

    def _received(self, since: int) -> dict[int, list[Arrival]]:
        found: dict[int, list[Arrival]] = defaultdict(list)
        reaches = {account["id"]: self._world.reach_of(account) for account in self._world.accounts()}
        for _, account, person, key, link, topic in self._world.ledger.arrivals(since):
            index = reaches[account].index.get(person)
            if index is not None:
                found[index].append(Arrival(account, key, link, topic))
        return found

    async def _react(self, browser: Browser, index: int, arrival: Arrival, draw: Random) -> None:
        people, progress = self._world.population.people, self.progress
        odds = chances(arrival.topic, people.traits["taste"][index], people.traits["price_sensitivity"][index])
        opens, clicks, buys, leaves = (draw.random() < chance for chance in odds)
        progress["messages"] += 1
        if opens:
            if arrival.link:
                await self._browse(browser, index, arrival.link, clicks=clicks)
            if clicks and buys:
                self._buy(index, draw, arrival.topic.partition("+")[0], arrival.key)
        if leaves:
            account = self._world.account(arrival.account)
            wecom = account["kind"] == "wecom"
            relations.change(
                self._world, account, index, follows=None if wecom else False, blocks=True if wecom else None
            )
            progress["left"] += 1

    async def _browse(self, browser: Browser, index: int, link: str, *, clicks: bool) -> None:
        """Open the link and, for who clicks, follow the page's button; count what came of it."""
        device, progress = self._world.population.people.traits["device"][index], self.progress
        agent = (_APPLE if device == "iPhone" else _ANDROID.format(device)) + _WECHAT
        page, address = await browser.fetch(link, agent)
        if page is None:
            progress["open_failed"] += 1
            return
        progress["opened"] += 1
        button = _BUTTON.search(page) if clicks else None
        target = _HREF.search(button.group(0)) if button else None
        if target is not None:
            _, end = await browser.fetch(urljoin(address, html.unescape(target.group(1))), agent, referer=address)
            progress["clicked"] += 1
            progress["locations"][end] = progress["locations"].get(end, 0) + 1

    def _buy(self, index: int, draw: Random, category: str, message: str | None) -> None:
        world, people, data = self._world, self._world.population.people, DATA["purchase"]
        if not category:
            category = people.traits["taste"][index] if draw.random() < data["own_taste"] else draw.choice(TASTES)
        median = data["median_cents"][people.traits["city_tier"][index]]
        amount = int(draw.lognormvariate(math.log(median), data["sigma"]))
        seq = world.state.next_number("purchase")
        row = (seq, f"T{2_000_000_000 + seq}", people.unionids[index], world.now(), amount, category, message)
        world.state.purchase_rows.append(row)
        self.progress["bought"] += 1

    def truth(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Expected share of buyers with and without the message, over the people named."""
        world, days = self._world, int(asked.get("days", 3))
        account = world.account(asked.get("account"))
        topics = self._topics(account, asked)
        named = asked.get("people")
        indexes = relations.indexes(world, named) if named is not None else sorted(topics)
        people, total_with, total_without = world.population.people, 0.0, 0.0
        default = topic_of(asked["text"]) if asked.get("text") else None
        counts: Counter[str] = Counter()
        for index in indexes:
            taste, sensitivity = people.traits["taste"][index], people.traits["price_sensitivity"][index]
            stays = (1 - daily_rate(sensitivity)) ** days
            total_without += 1 - stays
            known = [default] if default is not None else topics.get(index, ())
            counts["received"] += bool(known)
            for topic in known:
                stays *= 1 - chances(topic, taste, sensitivity).extra
            total_with += 1 - stays
        size = max(1, len(indexes))
        return {
            "people": len(indexes),
            "received": counts["received"],
            "with": total_with / size,
            "without": total_without / size,
            "effect": (total_with - total_without) / size,
        }

    def _topics(self, account: Document, asked: dict[str, Any]) -> dict[int, Iterable[str]]:
        """Topics per person: of one message (those asked), or of what arrived since a position."""
        if asked.get("text"):
            return {}
        if asked.get("message"):
            sql, value = _ASKED_FOR, str(asked["message"])
        elif "since_seq" in asked:
            sql, value = _ARRIVED_SINCE, asked["since_seq"]
        else:
            raise ControlError(400, "name the message by message, text or since_seq")
        found: dict[int, list[str]] = defaultdict(list)
        index = self._world.reach_of(account).index
        for person, topic in self._world.state.query(sql, (account["id"], value)):
            if person in index:
                found[index[person]].append(topic)
        if asked.get("message") and asked.get("people") is not None:
            topic = next(iter(found.values()), [""])[0]
            return {number: [topic] for number in relations.indexes(self._world, asked["people"])}
        return dict(found)
