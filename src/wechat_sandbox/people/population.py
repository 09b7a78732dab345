"""The simulated people: who they are, whom they follow, and which words of a message concern them.

Everything follows from (size, seed) and the account's id; only later changes (following, blocking) are stored.
The people are invented: no real person is behind any of them.
"""

import base64
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.state import Document, State

DATA: dict[str, Any] = tomllib.loads(files("wechat_sandbox.people").joinpath("population.toml").read_text("utf-8"))
TASTES: list[str] = list(DATA["traits"]["taste"])
_WORD_TOPIC = {word: topic for topic in TASTES for word in DATA["words"][topic]}
_TOPIC = re.compile("|".join(map(re.escape, _WORD_TOPIC)))
_OFFER = re.compile("|".join(map(re.escape, DATA["words_offer"]["offer"])))


def topic_of(text: str) -> str:
    """What a message is about: a category, `+offer` when it names one; "" = neither."""
    found = _TOPIC.search(text)
    topic = _WORD_TOPIC[found.group(0)] if found else ""
    return f"{topic}+offer" if _OFFER.search(text) else topic


def _identifier(length: int, *parts: object) -> str:
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=24).digest()
    return base64.urlsafe_b64encode(digest).decode()[:length]


def unit(*parts: object) -> float:
    """A reproducible number in [0, 1) for the given parts."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


class People:
    """Traits of `size` people, by index, from one seed."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        draw = np.random.default_rng(seed)
        traits = DATA["traits"]
        self.traits: dict[str, list[str]] = {
            name: self._choose(draw, traits[name])
            for name in ("device", "age_band", "sex", "taste", "price_sensitivity")
        }
        regions = {region["name"]: region for region in DATA["regions"]}
        self.traits["region"] = self._choose(draw, {name: region["share"] for name, region in regions.items()})
        pick = draw.random(size)
        places = [
            regions[name]["cities"][int(u * len(regions[name]["cities"]))].split(":")
            for name, u in zip(self.traits["region"], pick, strict=True)
        ]
        self.traits["city"] = [place[0] for place in places]
        self.traits["city_tier"] = [place[1] for place in places]
        hours = np.array(traits["active_hour"], dtype=float)
        self.hours: list[int] = draw.choice(24, size=size, p=hours / hours.sum()).tolist()
        self.names = self._names(draw)
        self.unionids = [f"oU{_identifier(26, 'unionid', seed, index)}" for index in range(size)]
        self.index = {unionid: index for index, unionid in enumerate(self.unionids)}

    def _choose(self, draw: np.random.Generator, shares: dict[str, float]) -> list[str]:
        weights = np.array(list(shares.values()))
        numbers = draw.choice(len(weights), size=self.size, p=weights / weights.sum())
        names = list(shares)
        return [names[number] for number in numbers.tolist()]

    def _names(self, draw: np.random.Generator) -> list[str]:
        surnames, given = DATA["names"]["surnames"], DATA["names"]["given"]
        first = draw.integers(0, len(surnames), self.size).tolist()
        second, third = (draw.integers(0, len(given), self.size).tolist() for _ in range(2))
        return [surnames[a] + given[b] + given[c] for a, b, c in zip(first, second, third, strict=True)]

    def row(self, index: int) -> dict[str, Any]:
        traits = {name: values[index] for name, values in self.traits.items()}
        return {
            "index": index,
            "unionid": self.unionids[index],
            "name": self.names[index],
            **traits,
            "active_hour": self.hours[index],
        }


@dataclass
class Reach:
    """Whom an account can reach. `follows` and `blocks` hold 0 or 1 per index; `staff` one or two employee numbers."""

    ids: list[str]
    follows: bytearray
    blocks: bytearray
    staff: list[tuple[int, ...]]

    @cached_property
    def index(self) -> dict[str, int]:
        return {ident: index for index, ident in enumerate(self.ids)}

    @cached_property
    def customers(self) -> dict[int, list[int]]:
        """Customers per employee number, friends or not."""
        found: dict[int, list[int]] = {}
        for index, numbers in enumerate(self.staff):
            for number in numbers:
                found.setdefault(number, []).append(index)
        return found


class Population:
    """The people, if any were created, and each account's reach."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._reach: dict[int, Reach] = {}
        made = state.get("config", "population")
        self.people = People(made["size"], made["seed"]) if made else People(0, 0)

    def create(self, size: int, seed: int) -> None:
        self.people = People(size, seed)
        self._state.put("config", "population", {"size": size, "seed": seed})
        self._reach.clear()

    def reach(self, account: Document) -> Reach:
        """The account's reach, made on first use."""
        known = self._reach.get(account["id"])
        if known is None:
            known = self._reach[account["id"]] = self._make_reach(account)
        return known

    def _make_reach(self, account: Document) -> Reach:
        people, kind = self.people, account["kind"]
        draw = np.random.default_rng([people.seed, account["id"], 11])
        share, blocks = account["reach"], account["blocks"]
        prefix, root = ("wm", account["corpid"]) if kind == "wecom" else ("o", account["appid"])
        length = 30 if kind == "wecom" else 27
        ids = [prefix + _identifier(length, root, index) for index in range(people.size)]
        follows = (draw.random(people.size) < share).astype(np.uint8)
        blocking = ((draw.random(people.size) < blocks) & (follows == 1)).astype(np.uint8)
        staff = self._staff(draw, len(account["employees"]), follows) if kind == "wecom" else []
        reach = Reach(ids, bytearray(follows.tobytes()), bytearray(blocking.tobytes()), staff)
        for index, flags in self._changes(account["id"]):
            reach.follows[index], reach.blocks[index] = flags
            if kind == "wecom" and flags[0] and not reach.staff[index]:
                reach.staff[index] = (index % len(account["employees"]),)
        return reach

    def _staff(self, draw: np.random.Generator, employees: int, follows: NDArray[np.uint8]) -> list[tuple[int, ...]]:
        size = self.people.size
        first = draw.integers(0, employees, size)
        second = (first + draw.integers(1, max(employees, 2), size)) % employees
        pair = draw.random(size) < (DATA["reach"]["second_employee"] if employees > 1 else 0.0)
        return [
            (int(a), int(b)) if both else (int(a),) if friend else ()
            for a, b, both, friend in zip(
                first.tolist(), second.tolist(), (pair & (follows == 1)).tolist(), follows.tolist(), strict=True
            )
        ]

    def _changes(self, account: int) -> Iterator[tuple[int, tuple[int, int]]]:
        if not self.people.size:
            return
        for ident, change in self._state.documents["relation"].items():
            owner, _, index = ident.partition(":")
            if int(owner) == account:
                yield int(index), (change["follows"], change["blocks"])

    def change(self, account: Document, index: int, follows: bool | None, blocks: bool | None) -> tuple[bool, bool]:
        """Set what is given; (did following change, did blocking change)."""
        reach = self.reach(account)
        before = (reach.follows[index], reach.blocks[index])
        after = (before[0] if follows is None else int(follows), before[1] if blocks is None else int(blocks))
        if after == before:
            return False, False
        reach.follows[index], reach.blocks[index] = after
        self._state.put("relation", f"{account['id']}:{index}", {"follows": after[0], "blocks": after[1]})
        if account["kind"] == "wecom" and after[0] and not reach.staff[index]:
            reach.staff[index] = (index % len(account["employees"]),)
            reach.__dict__.pop("customers", None)
        return after[0] != before[0], after[1] != before[1]

    def find(self, ident: str, accounts: list[Document]) -> int | None:
        """Index of a person by unionid, openid or external_userid."""
        index = self.people.index.get(ident)
        if index is None:
            for account in accounts:
                index = self.reach(account).index.get(ident)
                if index is not None:
                    return index
        return index

    def rows(self, accounts: list[Document], after: int, limit: int) -> Iterator[dict[str, Any]]:
        """People after an index with their ids at every account."""
        reaches = [(account, self.reach(account)) for account in accounts]
        for index in range(after + 1, min(self.people.size, after + 1 + limit)):
            ids: dict[str, Any] = {}
            for account, reach in reaches:
                entry: dict[str, Any] = {"follows": bool(reach.follows[index]), "blocks": bool(reach.blocks[index])}
                if account["kind"] == "wecom":
                    entry["external_userid"] = reach.ids[index]
                    entry["employees"] = (
                        [account["employees"][number] for number in reach.staff[index]] if reach.follows[index] else []
                    )
                else:
                    entry["openid"] = reach.ids[index]
                ids[str(account["id"])] = entry
            yield {**self.people.row(index), "ids": ids}
