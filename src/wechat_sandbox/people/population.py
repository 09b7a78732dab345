"""The simulated people: who they are, whom they follow, and which words of a message concern them.

Everything follows from (size, seed) and the account's id; only later changes (following, blocking) are stored.
Traits are arrays of small numbers and ids are computed, so that millions of people fit into a hundred megabytes.
The people are invented: no real person is behind any of them.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.people.codes import Codes, Finder
from wechat_sandbox.state import Document, State

DATA: dict[str, Any] = tomllib.loads(files("wechat_sandbox.people").joinpath("population.toml").read_text("utf-8"))
TASTES: list[str] = list(DATA["traits"]["taste"])
_WORD_TOPIC = {word: topic for topic in TASTES for word in DATA["words"][topic]}
_TOPIC = re.compile("|".join(map(re.escape, _WORD_TOPIC)))
_OFFER = re.compile("|".join(map(re.escape, DATA["words_offer"]["offer"])))
_PAGE = 2000
T = TypeVar("T")


def topic_of(text: str) -> str:
    """What a message is about: a category, `+offer` when it names one; "" = neither."""
    found = _TOPIC.search(text)
    topic = _WORD_TOPIC[found.group(0)] if found else ""
    return f"{topic}+offer" if _OFFER.search(text) else topic


def unit(*parts: object) -> float:
    """A reproducible number in [0, 1) for the given parts."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


class Coded(Generic[T]):
    """A trait of everybody: small numbers in `codes`, each naming one of `values`; `trait[index]` is the value."""

    def __init__(self, values: Sequence[T], codes: NDArray[np.uint8]) -> None:
        self.values: list[T] = list(values)
        self.codes = codes

    def __getitem__(self, index: int) -> T:
        return self.values[int(self.codes[index])]

    def __len__(self) -> int:
        return len(self.codes)

    def slice(self, start: int, end: int) -> list[T]:
        """The values of a range."""
        values = self.values
        return [values[code] for code in self.codes[start:end].tolist()]


class Names:
    """Names of everybody, from three arrays of characters."""

    def __init__(self, surnames: str, given: str, parts: NDArray[np.uint8]) -> None:
        self._surnames, self._given, self._parts = surnames, given, parts

    def __getitem__(self, index: int) -> str:
        first, second, third = self._parts[:, index].tolist()
        return self._surnames[first] + self._given[second] + self._given[third]

    def containing(self, text: str) -> NDArray[np.int64]:
        """Indexes of those whose name has a text of one to three characters in it."""
        alphabets = (self._surnames, self._given, self._given)
        found = np.zeros(self._parts.shape[1], dtype=np.bool_)
        for start in range(4 - len(text)):
            places = [alphabets[start + offset].find(character) for offset, character in enumerate(text)]
            if min(places, default=-1) >= 0:
                hits = [self._parts[start + offset] == place for offset, place in enumerate(places)]
                found |= np.logical_and.reduce(hits)
        return np.flatnonzero(found)


class People:
    """Traits of `size` people, by index, from one seed."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        draw = np.random.default_rng(seed)
        traits = DATA["traits"]
        self.traits: dict[str, Coded[str]] = {
            name: self._choose(draw, traits[name])
            for name in ("device", "age_band", "sex", "taste", "price_sensitivity")
        }
        regions = DATA["regions"]
        self.traits["region"] = self._choose(draw, {region["name"]: region["share"] for region in regions})
        self._settle(draw, regions)
        hours = np.array(traits["active_hour"], dtype=float)
        self.hours = Coded(range(24), self._pick(draw, hours))
        surnames, given = DATA["names"]["surnames"], DATA["names"]["given"]
        limits = (len(surnames), len(given), len(given))
        parts = np.array([draw.integers(0, limit, size, dtype=np.uint8) for limit in limits])
        self.names = Names(surnames, given, parts)
        self.unionids = Codes("oU", 26, size, "unionid", seed)
        self.index = Finder(self.unionids)

    def _pick(self, draw: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.uint8]:
        edges = np.cumsum(weights / weights.sum())
        edges[-1] = 1.0
        return np.searchsorted(edges, draw.random(self.size, dtype=np.float32), side="right").astype(np.uint8)

    def _choose(self, draw: np.random.Generator, shares: Mapping[str, float]) -> Coded[str]:
        return Coded(list(shares), self._pick(draw, np.array(list(shares.values()))))

    def _settle(self, draw: np.random.Generator, regions: Sequence[Mapping[str, Any]]) -> None:
        """City and its tier within each person's region."""
        places = [place.split(":") for region in regions for place in region["cities"]]
        counts = np.array([len(region["cities"]) for region in regions])
        first, region = np.cumsum(counts) - counts, self.traits["region"].codes
        within = (draw.random(self.size, dtype=np.float32) * counts[region]).astype(np.int64)
        city = (first[region] + np.minimum(within, counts[region] - 1)).astype(np.uint8)
        tiers = ["1", "2", "3"]
        tier_of = np.array([tiers.index(place[1]) for place in places], dtype=np.uint8)
        self.traits["city"] = Coded([place[0] for place in places], city)
        self.traits["city_tier"] = Coded(tiers, tier_of[city])

    def row(self, index: int) -> dict[str, Any]:
        """One person as the control API shows him, without his ids at accounts."""
        return self._row(index, self.unionids[index])

    def rows(self, start: int, end: int) -> Iterator[dict[str, Any]]:
        """People of a range."""
        for index, unionid in enumerate(self.unionids[start:end], start):
            yield self._row(index, unionid)

    def _row(self, index: int, unionid: str) -> dict[str, Any]:
        traits = {name: values[index] for name, values in self.traits.items()}
        return {
            "index": index,
            "unionid": unionid,
            "name": self.names[index],
            **traits,
            "active_hour": self.hours[index],
        }


class Staff:
    """The members who have a person as a customer: `staff[index]` is a tuple of none, one or two member numbers."""

    def __init__(self, first: NDArray[np.int16], second: NDArray[np.int16]) -> None:
        self.first, self.second = first, second

    def __getitem__(self, index: int) -> tuple[int, ...]:
        one, two = int(self.first[index]), int(self.second[index])
        return (one, two) if two >= 0 else (one,) if one >= 0 else ()

    def __setitem__(self, index: int, numbers: tuple[int, ...]) -> None:
        self.first[index] = numbers[0] if numbers else -1
        self.second[index] = numbers[1] if len(numbers) > 1 else -1

    def of(self, number: int) -> NDArray[np.int64]:
        """Indexes of the customers of a member, ascending."""
        return np.flatnonzero((self.first == number) | (self.second == number))


class Customers:
    """Customers per member number, friends or not, found when asked for."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self._known: dict[int, NDArray[np.int64]] = {}

    def get(self, number: int, default: Sequence[int] = ()) -> Sequence[int]:
        """Indexes of the customers of a member."""
        found: list[int] = self.of(number).tolist()
        return found or default

    def of(self, number: int) -> NDArray[np.int64]:
        """The same as an array."""
        if number not in self._known:
            self._known[number] = self._staff.of(number)
        return self._known[number]


@dataclass
class Reach:
    """Whom an account can reach. `follows` and `blocks` hold 0 or 1 per index; `staff` the member numbers.

    `friends_of` is room for what the WeCom side found out about friendships; a change empties it.
    """

    ids: Codes
    follows: bytearray
    blocks: bytearray
    staff: Staff
    index: Finder = field(init=False)
    friends_of: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = Finder(self.ids)

    @cached_property
    def customers(self) -> Customers:
        """Customers per member number, friends or not."""
        return Customers(self.staff)

    def following(self) -> NDArray[np.int64]:
        """Indexes of those who follow (wecom: are friends), ascending."""
        return np.flatnonzero(np.frombuffer(self.follows, dtype=np.uint8))

    def page(self, start: int, count: int) -> list[str]:
        """Ids of the next `count` followers from an index on."""
        found: list[NDArray[np.int64]] = []
        flags, missing = np.frombuffer(self.follows, dtype=np.uint8), count
        while start < len(flags) and missing > 0:
            end = start + 2 * missing + 64
            some = np.flatnonzero(flags[start:end])[:missing] + start
            found.append(some)
            start, missing = end, missing - len(some)
        return self.ids.many(np.concatenate(found)) if found else []

    def friends(self, number: int) -> NDArray[np.int64]:
        """Indexes of the friends of a member, ascending."""
        mine = self.customers.of(number)
        still: NDArray[np.int64] = mine[np.frombuffer(self.follows, dtype=np.uint8)[mine] == 1]
        return still


_IDS: dict[str, Callable[[Document], tuple[str, int, str]]] = {
    "wecom": lambda account: ("wm", 30, account["corpid"]),
    "custom": lambda account: ("m", 15, account["appid"]),
    "ads": lambda account: ("a", 15, str(account["advertiser"])),
}
"""Kind → prefix, length and root of the ids by which an account knows people; the others know openids."""


class Population:
    """The people, if any were created, and each account's reach."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._reach: dict[int, Reach] = {}
        made = state.get("config", "population")
        self.people = People(made["size"], made["seed"]) if made else People(0, 0)

    def create(self, size: int, seed: int) -> None:
        """Make the people; whoever was reached before is forgotten."""
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
        prefix, length, root = _IDS[kind](account) if kind in _IDS else ("o", 27, account["appid"])
        follows = (draw.random(people.size, dtype=np.float32) < share).astype(np.uint8)
        blocking = (draw.random(people.size, dtype=np.float32) < blocks).astype(np.uint8) & follows
        staff = self._staff(draw, len(account["employees"]) if kind == "wecom" else 0, follows)
        ids = Codes(prefix, length, people.size, root)
        reach = Reach(ids, bytearray(follows.tobytes()), bytearray(blocking.tobytes()), staff)
        for index, flags in self._changes(account["id"]):
            reach.follows[index], reach.blocks[index] = flags
            if kind == "wecom" and flags[0] and not reach.staff[index]:
                reach.staff[index] = (index % len(account["employees"]),)
        return reach

    def _staff(self, draw: np.random.Generator, employees: int, follows: NDArray[np.uint8]) -> Staff:
        size = self.people.size
        if employees == 0:
            return Staff(np.empty(0, dtype=np.int16), np.empty(0, dtype=np.int16))
        first = draw.integers(0, employees, size, dtype=np.int16)
        second = (first + draw.integers(1, max(employees, 2), size, dtype=np.int16)) % np.int16(employees)
        pair = draw.random(size, dtype=np.float32) < (DATA["reach"]["second_employee"] if employees > 1 else 0.0)
        friend = follows == 1
        return Staff(
            np.where(friend, first, np.int16(-1)).astype(np.int16),
            np.where(friend & pair, second, np.int16(-1)).astype(np.int16),
        )

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
        reach.friends_of.clear()
        self._state.put("relation", f"{account['id']}:{index}", {"follows": after[0], "blocks": after[1]})
        if account["kind"] == "wecom" and after[0] and not reach.staff[index]:
            reach.staff[index] = (index % len(account["employees"]),)
            reach.__dict__.pop("customers", None)
        return after[0] != before[0], after[1] != before[1]

    def find(self, ident: str, accounts: list[Document]) -> int | None:
        """Index of a person by unionid, openid, external_userid or member id."""
        index = self.people.index.get(ident)
        if index is None:
            for account in accounts:
                index = self.reach(account).index.get(ident)
                if index is not None:
                    return index
        return index

    def rows(self, accounts: list[Document], after: int, limit: int) -> Iterator[dict[str, Any]]:
        """People after an index with their ids at every account."""
        last = min(self.people.size, after + 1 + limit)
        for start in range(after + 1, last, _PAGE):
            end = min(start + _PAGE, last)
            columns = [_relations(account, self.reach(account), start, end) for account in accounts]
            names = [str(account["id"]) for account in accounts]
            for place, row in enumerate(self.people.rows(start, end)):
                row["ids"] = {name: column[place] for name, column in zip(names, columns, strict=True)}
                yield row


def _relations(account: Document, reach: Reach, start: int, end: int) -> list[dict[str, Any]]:
    """What one account has of the people of a range."""
    wecom, employees = account["kind"] == "wecom", account["employees"]
    name = {"wecom": "external_userid", "custom": "member_id"}.get(account["kind"], "openid")
    rows = []
    for index, ident in enumerate(reach.ids[start:end], start):
        follows = bool(reach.follows[index])
        entry: dict[str, Any] = {"follows": follows, "blocks": bool(reach.blocks[index]), name: ident}
        if wecom:
            entry["employees"] = [employees[number] for number in reach.staff[index]] if follows else []
        rows.append(entry)
    return rows
