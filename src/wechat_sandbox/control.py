"""The control API under /sandbox: accounts, people, ledger, clock, faults, speed."""

import os
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from wechat_sandbox import official, tokens, wecom
from wechat_sandbox.errors import ControlError
from wechat_sandbox.faults import PRESETS
from wechat_sandbox.official import people as acts
from wechat_sandbox.people import employees, phone, relations
from wechat_sandbox.people.behaviour import Behaviour
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import tasks as wecom_tasks
from wechat_sandbox.world import OPTIONS, World

Answer = tuple[int, Any]
Handler = Callable[[dict[str, str], dict[str, Any]], Answer | Awaitable[Answer]]
_DAY_MS = 86_400_000
_SHOWN = (
    "id",
    "kind",
    "name",
    "appid",
    "corpid",
    "agentid",
    "secret",
    "callback_url",
    "token",
    "encoding_aes_key",
    "reception",
    "employees",
)


class Control:
    """One method per call; `answer` finds it. An iterator as payload is streamed as JSON lines."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.behaviour = Behaviour(world)
        self._table: dict[tuple[str, str], Handler] = {
            ("GET", "health"): self.health,
            ("GET", "accounts"): self.accounts,
            ("POST", "accounts"): self.create_account,
            ("GET", "population"): self.show_population,
            ("POST", "population"): self.create_population,
            ("GET", "people"): self.people,
            ("POST", "people/change"): self.change_people,
            ("GET", "population/act"): self.show_act,
            ("POST", "population/act"): self.act,
            ("GET", "orders"): self.orders,
            ("POST", "truth"): self.truth,
            ("GET", "ledger/summary"): self.summary,
            ("GET", "ledger"): self.ledger,
            ("POST", "ledger/judge"): self.judge,
            ("GET", "clock"): self.show_clock,
            ("POST", "clock"): self.clock,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.add_fault,
            ("DELETE", "faults"): self.clear_faults,
            ("GET", "faults/presets"): self.presets,
            ("GET", "model"): self.model,
            ("POST", "model"): self.model,
            ("POST", "tokens/drop"): self.drop_tokens,
            ("POST", "employees/confirm"): self.confirm,
            ("GET", "employees/messages"): self.member_messages,
            ("GET", "settings"): self.settings,
            ("POST", "settings"): self.settings,
            ("GET", "limits"): self.limits,
            ("POST", "limits"): self.limits,
        }
        for module in (*official.MODULES, acts, phone, employees, *wecom.MODULES):
            for (method, path), handler in getattr(module, "CONTROL", {}).items():
                self._table[method, path] = partial(handler, world)

    async def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """Status and payload of one call; ControlError otherwise."""
        handler = self._table.get((method, path))
        try:
            if handler is not None:
                answer = handler(query, body)
                return answer if isinstance(answer, tuple) else await answer
            parts = path.split("/")
            if parts[0] == "faults" and len(parts) == 2 and method == "DELETE":
                self.world.faults.remove(int(parts[1]))
                return self.faults(query, body)
            if parts[0] == "accounts" and len(parts) in (2, 3):
                return await self._one_account(method, parts, body)
        except (TypeError, ValueError) as error:
            raise ControlError(400, f"a value has the wrong type: {error}") from error
        if any(name == path for _, name in self._table):
            raise ControlError(405, f"{method} is not for /sandbox/{path}")
        raise ControlError(404, f"no such call: {method} /sandbox/{path}")

    def health(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        world = self.world
        callbacks = {
            "waiting": world.callbacks.waiting(),
            "delivered": world.callbacks.delivered,
            "given_up": world.callbacks.given_up,
            "lost": world.callbacks.lost,
        }
        pending = {"jobs": world.pending(), "callbacks": callbacks["waiting"]}
        return 200, {
            "ok": True,
            "pid": os.getpid(),
            "now": world.now(),
            "pending": pending,
            "callbacks": callbacks,
            "requests": world.requests,
            "calls": world.calls,
        }

    def _account(self, query: dict[str, str], body: dict[str, Any]) -> Document:
        return self.world.account(body.get("account", query.get("account")))

    def accounts(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        rows = sorted(self.world.accounts(), key=lambda account: int(account["id"]))
        return 200, {"accounts": [_shown(account) for account in rows]}

    def create_account(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 201, _shown(self.world.create_account(body))

    async def _one_account(self, method: str, parts: list[str], body: dict[str, Any]) -> Answer:
        account = self.world.account(parts[1])
        if parts[2:] == ["verify"] and method == "POST":
            if not account["callback_url"]:
                raise ControlError(409, "the account has no callback_url")
            return 200, await self.world.callbacks.verify(account)
        if len(parts) == 2 and method in ("GET", "PATCH"):
            if method == "PATCH":
                self.world.change_account(account, body)
            return 200, _shown(account)
        raise ControlError(404, f"no such call: {method} /sandbox/{'/'.join(parts)}")

    def show_population(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        population, rows = self.world.population, {}
        for account in self.world.accounts():
            reach = population.reach(account)
            rows[str(account["id"])] = {"reachable": reach.follows.count(1), "blocking": reach.blocks.count(1)}
        return 200, {"size": population.people.size, "seed": population.people.seed, "accounts": rows}

    def create_population(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        size, seed, people = (
            int(body.get("size", 23_570)),
            int(body.get("seed", self.world.seed)),
            self.world.population.people,
        )
        if size < 1:
            raise ControlError(400, "size must be 1 or more")
        if people.size and (people.size, people.seed) != (size, seed):
            raise ControlError(
                409, f"there is a population of {people.size} with seed {people.seed}; start with another state file"
            )
        if not people.size:
            self.world.population.create(size, seed)
        return 201, self.show_population(query, body)[1]

    def people(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        after, limit = int(query.get("after", -1)), int(query.get("limit", 10**9))
        return 200, self.world.population.rows(self.world.accounts(), after, limit)

    def change_people(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        account = self._account(query, body)
        found = relations.indexes(self.world, body.get("people") or [])
        changed = [
            relations.change(self.world, account, index, body.get("follows"), body.get("blocks")) for index in found
        ]
        return 200, {"changed": sum(changed)}

    def show_act(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, self.behaviour.progress

    def act(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 202, self.behaviour.start(int(body.get("days", 3)), int(body.get("concurrency", 32)))

    def orders(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        names = ("seq", "order_id", "unionid", "at", "amount_cents", "category", "message", "coupon")
        after, limit = int(query.get("after", 0)), int(query.get("limit", 100_000))
        rows = self.world.state.query("SELECT * FROM purchase WHERE seq>? ORDER BY seq LIMIT ?", (after, limit))
        return 200, {
            "orders": [dict(zip(names, row, strict=True)) for row in rows],
            "last_seq": rows[-1][0] if rows else after,
        }

    def truth(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, self.behaviour.truth(body)

    def summary(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, self.world.ledger.summary(self._account(query, body)["id"], int(query.get("since_seq", 0)))

    def ledger(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        filters: dict[str, Any] = dict(query)
        if "account" in query:
            filters["account"] = self._account(query, body)["id"]
        after, limit = int(query.get("after", 0)), int(query.get("limit", 100_000))
        return 200, self.world.ledger.entries(filters, after=after, limit=limit, newest="newest" in query)

    def judge(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        account = self._account(query, body)
        reach = self.world.reach_of(account)
        expected = body.get("expected")
        if not isinstance(expected, list):
            raise ControlError(400, "expected must be a list of recipient ids")
        known = self.world.population.people.index
        wanted = [reach.ids[known[ident]] if ident in known else str(ident) for ident in expected]
        return 200, self.world.ledger.judge(account["id"], wanted, int(body.get("since_seq", 0)))

    def show_clock(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, self.world.clock.shown()

    async def clock(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        """Mode, and a move: by seconds or to a moment; with `act`, the people live through it day by day."""
        unknown = set(body) - {"mode", "advance_seconds", "to", "act", "concurrency"}
        if unknown:
            raise ControlError(400, f"unknown field: {', '.join(sorted(unknown))}")
        world = self.world
        if "mode" in body:
            world.clock.set_mode(str(body["mode"]))
        start = world.now()
        end = int(body["to"]) if "to" in body else start + int(float(body.get("advance_seconds", 0)) * 1000)
        if end < start:
            raise ControlError(400, f"the clock does not go back: it is {start}")
        if body.get("act") and end - start < _DAY_MS:
            raise ControlError(400, "act lets people live whole days: advance by 86400 seconds or more")
        while body.get("act") and end - start >= _DAY_MS:
            world.advance(start + _DAY_MS)
            self.behaviour.start(1, int(body.get("concurrency", 32)), (start, start + _DAY_MS))
            await self.behaviour.finished()
            start += _DAY_MS
        if end > world.now():
            world.advance(end)
        return self.show_clock(query, body)

    def faults(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, {"faults": self.world.faults.shown()}

    def add_fault(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        self.world.faults.add(body, self.world.now())
        return 201, self.faults(query, body)[1]

    def clear_faults(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        self.world.faults.remove()
        return 200, {"faults": []}

    def presets(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        return 200, {"presets": PRESETS}

    def model(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        model = self.behaviour.model
        if body:
            model.override(body)
        return 200, {"figures": model.figures, "overrides": model.overrides}

    def drop_tokens(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        account = self._account(query, body)["id"] if body.get("account") is not None else None
        return 200, {"dropped": tokens.drop(self.world, account)}

    def confirm(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        account = self._account(query, body)
        return 200, {
            "confirmed": wecom_tasks.confirm_all(self.world, account["id"], body.get("msgid"), body.get("userid"))
        }

    def member_messages(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        account = self._account(query, body)["id"]
        rows = [entry for entry in self.world.state.documents["member_message"].values() if entry["account"] == account]
        return 200, {"messages": sorted(rows, key=lambda entry: int(entry["at"]))}

    def settings(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if body:
            self.world.set_settings(body)
        return 200, self.world.settings

    def limits(self, query: dict[str, str], body: dict[str, Any]) -> Answer:
        if body:
            try:
                self.world.limits.override(body)
            except KeyError as error:
                raise ControlError(400, f"unknown limit: {error.args[0]}") from error
        return 200, self.world.limits.values


def _shown(account: Document) -> dict[str, Any]:
    own = {"advertiser": account["advertiser"]} if account.get("advertiser") else {}
    return {**{name: account[name] for name in _SHOWN}, **own, **{name: account.get(name) for name in OPTIONS}}


def is_stream(payload: Any) -> bool:
    """Whether an answer is JSON lines that are made one by one."""
    return isinstance(payload, Iterator)
