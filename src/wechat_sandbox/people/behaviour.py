"""What people do: buy at their base rate; open, click, buy, leave, block, complain and share because of what arrived.

Everything is drawn first, in a fixed order, from the probabilities of `Model.odds`, and so depends on the seed and on
what arrived alone; then the links are opened, with real requests, to addresses of this machine only; then what people
decided is written: orders, leaving, following.
"""

import asyncio
import contextlib
import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.callbacks import Browser
from wechat_sandbox.errors import ControlError
from wechat_sandbox.official import reading
from wechat_sandbox.people import arrivals, relations
from wechat_sandbox.people.arrivals import Arrivals
from wechat_sandbox.people.friends import Friends
from wechat_sandbox.people.model import Model
from wechat_sandbox.people.orders import Order, Orders
from wechat_sandbox.people.sharing import Share, Spread
from wechat_sandbox.people.truth import truth
from wechat_sandbox.world import World

BUTTON = re.compile(r"<a\b[^>]*\bdata-button\b[^>]*>", re.IGNORECASE)
HREF = re.compile(r"\bhref\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
SHARE = re.compile(r"<[a-z]+\b[^>]*\bdata-share\b[^>]*>", re.IGNORECASE)
_WECHAT = " MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN"
_APPLE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
_ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0 Mobile Safari/537.36"
)
_COUNTED = (
    *("done", "messages", "opened", "open_failed", "clicked", "bought", "redeemed", "left", "blocked", "complained"),
    *("shared", "reached", "followed"),
)


@dataclass(frozen=True)
class _Visit:
    """A link to open: by whom, and whether he clicks; `place` names the arrival or, negative, the share."""

    person: int
    link: str
    clicks: bool
    place: int


class Behaviour:
    """The population's days: one at a time, in the background or awaited; the truth about them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._task: asyncio.Task[None] | None = None
        self.model = Model(world.state)
        self._friends: Friends | None = None
        self.progress: dict[str, Any] = self._fresh("idle", 0)

    @staticmethod
    def _fresh(state: str, total: int) -> dict[str, Any]:
        return {"state": state, "total": total, **dict.fromkeys(_COUNTED, 0), "locations": {}}

    @property
    def friends(self) -> Friends:
        """The friendship graph of the people that there are."""
        people = self._world.population.people
        if self._friends is None or self._friends.size != people.size:
            self._friends = Friends(people.size, people.seed, self.model.figures["friends"])
        return self._friends

    def start(self, days: int, concurrency: int, window: tuple[int, int] | None = None) -> dict[str, Any]:
        """Begin to act; ControlError 409 while it runs or when there are no people.

        `window`: purchases get moments between these two; without it all happens now.
        """
        if self._task is not None and not self._task.done():
            raise ControlError(409, "the population is acting already")
        if not self._world.population.people.size:
            raise ControlError(409, "there is no population")
        if days < 1 or concurrency < 1:
            raise ControlError(400, "days and concurrency must be 1 or more")
        self.progress = self._fresh("running", self._world.population.people.size)
        self._task = asyncio.create_task(self._act(days, concurrency, window))
        return self.progress

    async def finished(self) -> None:
        """Wait for the days begun by `start`."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End what runs, unfinished."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def truth(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Expected share of buyers with and without a message; see `wechat_sandbox.people.truth`."""
        return truth(self._world, self.model, self.friends, asked)

    async def _act(self, days: int, concurrency: int, window: tuple[int, int] | None) -> None:
        world, progress = self._world, self.progress
        counter = world.state.get("counter", "turn")
        turn = 1 + (int(counter["value"]) if counter else 0)
        position = int((world.state.get("config", "acted") or {"seq": 0})["seq"])
        reached = world.ledger.seq
        try:
            arrived = arrivals.since(world, position)
            draw = np.random.default_rng([world.seed, world.population.people.seed, turn])
            orders = Orders(world, self.model, window)
            orders.usual(draw, days)
            decided = self._decide(draw, arrived, orders, turn)
            progress["messages"] = len(arrived)
            await self._browse(arrived, decided, concurrency)
            world.state.put("config", "acted", {"seq": reached})
            world.state.next_number("turn")
            progress["bought"], progress["redeemed"] = orders.write()
            self._apply(arrived, decided)
            progress["done"] = progress["total"]
            progress["state"] = "done"
        except Exception as error:
            progress["state"], progress["error"] = "failed", f"{type(error).__name__}: {error}"
            raise

    def _decide(self, draw: np.random.Generator, arrived: Arrivals, orders: Orders, turn: int) -> "_Decided":
        """Draw everything that the messages do, and note the purchases."""
        world, people = self._world, self._world.population.people
        odds = self.model.odds(people, arrivals.exposures(world, arrived))
        hit = [draw.random(len(arrived)) < chance for chance in odds]
        opens, clicks, buys, leaves, blocks, complains, shares, redeems = hit
        clicks = opens & clicks
        buys, shares = clicks & buys, opens & shares
        for place in np.flatnonzero(buys).tolist():
            topic, at = arrived.topic[place], int(arrived.at[place])
            orders.caused(draw, Order(int(arrived.index[place]), at, topic, arrived.key[place], bool(redeems[place])))
        received: dict[tuple[int, str], set[int]] = {}
        for place in range(len(arrived)):
            known = received.setdefault((int(arrived.account[place]), arrived.key[place]), set())
            known.add(int(arrived.index[place]))
        sharers = [
            (place, int(arrived.account[place]), int(arrived.index[place]), arrived.topic[place])
            for place in np.flatnonzero(shares).tolist()
        ]
        spread = Spread(people, self.model.figures, self.friends, f"{world.seed}:{turn}")
        seen = spread.cascade(sharers, received, arrived.key)
        for one in seen:
            if one.buys:
                topic, at = arrived.topic[one.arrival], int(arrived.at[one.arrival])
                orders.caused(draw, Order(one.person, at, topic, arrived.key[one.arrival], one.redeems))
        return _Decided(opens, clicks, leaves, blocks, complains, len(sharers), seen)

    async def _browse(self, arrived: Arrivals, decided: "_Decided", concurrency: int) -> None:
        """Open the links of receivers, then of those who saw a share, one step of sharing after the other."""
        links: dict[int, str] = {}
        direct = [
            _Visit(int(arrived.index[place]), arrived.link[place], bool(decided.clicks[place]), place)
            for place in np.flatnonzero(decided.opens).tolist()
            if arrived.link[place]
        ]
        people = self.progress["total"]
        self.progress["done"] = max(0, people - len(direct))
        async with Browser(concurrency) as browser:
            await self._visit(browser, direct, links, concurrency)
            steps = max((one.depth for one in decided.shares), default=0)
            for step in range(1, steps + 1):
                wave = []
                for number, one in enumerate(decided.shares):
                    origin = one.arrival if one.parent is None else -1 - one.parent
                    link = links.get(origin) or arrived.link[one.arrival]
                    if one.depth == step and one.opens and link:
                        wave.append(_Visit(one.person, link, one.clicks, -1 - number))
                await self._visit(browser, wave, links, concurrency)

    async def _visit(self, browser: Browser, visits: list[_Visit], links: dict[int, str], concurrency: int) -> None:
        """Open many links; `links` gets what each page offers for sharing."""
        queue = iter(visits)

        async def work() -> None:
            for visit in queue:
                shared = await self._open(browser, visit)
                if shared:
                    links[visit.place] = shared
                self.progress["done"] = min(self.progress["total"], self.progress["done"] + (visit.place >= 0))

        workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(visits)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def _open(self, browser: Browser, visit: _Visit) -> str:
        """Open a link and, for who clicks, follow the page's button. The link that the page offers for sharing."""
        agent, progress = agent_of(self._world, visit.person), self.progress
        page, address = await browser.fetch(visit.link, agent)
        if page is None:
            progress["open_failed"] += 1
            return ""
        progress["opened"] += 1
        button = BUTTON.search(page) if visit.clicks else None
        target = HREF.search(button.group(0)) if button else None
        if target is not None:
            _, end = await browser.fetch(urljoin(address, html.unescape(target.group(1))), agent, referer=address)
            progress["clicked"] += 1
            progress["locations"][end] = progress["locations"].get(end, 0) + 1
        offered = SHARE.search(page)
        shared = HREF.search(offered.group(0)) if offered else None
        return urljoin(address, html.unescape(shared.group(1))) if shared else ""

    def _apply(self, arrived: Arrivals, decided: "_Decided") -> None:
        """Who leaves, refuses messages or follows from now on, with the platform's events."""
        world, progress = self._world, self.progress
        reading.note(world, arrived, decided.opens, decided.clicks)
        reading.note_shares(world, arrived, decided.shares)
        for place in np.flatnonzero(decided.leaves | decided.blocks).tolist():
            account = world.account(int(arrived.account[place]))
            leaves, stays = bool(decided.leaves[place]), account["kind"] == "wecom"
            follows, blocks = (None, True) if stays or not leaves else (False, None)
            if relations.change(world, account, int(arrived.index[place]), follows=follows, blocks=blocks):
                progress["left" if leaves else "blocked"] += 1
        progress["complained"] = int(decided.complains.sum())
        progress["shared"], progress["reached"] = decided.sharers, len(decided.shares)
        for one in decided.shares:
            account = world.account(one.account)
            if one.follows and not world.reach_of(account).follows[one.person]:
                progress["followed"] += relations.change(world, account, one.person, follows=True, blocks=None)


@dataclass(frozen=True)
class _Decided:
    """What was drawn: per arrival, and for those who saw a share."""

    opens: NDArray[np.bool_]
    clicks: NDArray[np.bool_]
    leaves: NDArray[np.bool_]
    blocks: NDArray[np.bool_]
    complains: NDArray[np.bool_]
    sharers: int
    shares: list[Share]


def agent_of(world: World, index: int) -> str:
    """The User-Agent of a person's WeChat."""
    device = world.population.people.traits["device"][index]
    return (_APPLE if device == "iPhone" else _ANDROID.format(device)) + _WECHAT
