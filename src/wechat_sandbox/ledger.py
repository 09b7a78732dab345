"""The append-only ledger: what the platform was asked per recipient and what became of it, and the judge over it."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from wechat_sandbox.state import State

_ADDRESS = re.compile(r"https?://[^\s\"'<>\\，。；）]+")
_FIELDS = ("seq", "account", "person", "key", "content", "at", "outcome", "via", "link", "topic", "client")


_FILTERS = ("account", "person", "key", "outcome", "via")
# Texts of so many different contents are kept, to be shown.
_CONTENTS = 200_000


class Message(NamedTuple):
    """What the ledger remembers of one message: `key` is the platform's id, `client` the caller's de-duplication id."""

    key: str
    content: str
    via: str
    link: str
    topic: str
    client: str = ""


class Fingerprint(str):
    """The hash of a content, which remembers what it was made from until the ledger has kept it."""

    __slots__ = ("text",)
    text: str


def fingerprint(text: str) -> str:
    """Hash of a content, the addresses in it left out (they may bear a per-recipient token)."""
    if "http" in text:
        text = _ADDRESS.sub("·", text)
    made = Fingerprint(hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
    made.text = text
    return made


def first_link(text: str) -> str:
    """The first address in a text; empty when there is none."""
    found = _ADDRESS.search(text)
    return found.group(0) if found else ""


class Ledger:
    """Appends go to memory and reach the file with the next group commit; reads see everything."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.seq = int(state.query("SELECT COALESCE(MAX(seq), 0) FROM ledger")[0][0])
        self.received: dict[tuple[int, str], list[int]] = {}
        self._contents = {row[0] for row in state.query("SELECT hash FROM content")}

    def load_received(self, since_ms: int) -> None:
        """Bring back, per (account, person), when mass messages and tasks arrived since `since_ms`."""
        rows = self._state.query(
            "SELECT account, person, at FROM ledger"
            " WHERE outcome='arrived' AND via IN ('mass', 'task') AND at>=? ORDER BY seq",
            (since_ms,),
        )
        for account, person, at in rows:
            self.received.setdefault((account, person), []).append(at)

    def write(
        self, account: int, person: str, message: Message, outcome: str, *, at: int, allowed: bool = True
    ) -> None:
        """Append one entry; `allowed` tells whether the rules let this message reach this person."""
        self.seq += 1
        key, content, via, link, topic, client = message
        if content not in self._contents and len(self._contents) < _CONTENTS and isinstance(content, Fingerprint):
            self._contents.add(str(content))
            self._state.content_rows.append((str(content), content.text))
        self._state.ledger_rows.append(
            (self.seq, account, person, key, str(content), at, outcome, via, link, topic, client, int(allowed))
        )
        if outcome == "arrived" and via in ("mass", "task"):
            self.received.setdefault((account, person), []).append(at)

    def write_many(self, account: int, people: Sequence[str], message: Message, outcome: str, *, at: int) -> None:
        """Append the same entry for many people, at a fraction of what as many calls of `write` cost."""
        if not people:
            return
        self.write(account, people[0], message, outcome, at=at)
        key, content, via, link, topic, client = message
        shared = (account, key, str(content), at, outcome, via, link, topic, client, 1)
        self._state.ledger_blocks.append((self.seq + 1, *shared, orjson.dumps(people[1:]).decode()))
        self.seq += len(people) - 1
        if outcome == "arrived" and via in ("mass", "task"):
            for person in people[1:]:
                self.received.setdefault((account, person), []).append(at)

    def refused(self, account: int, person: str, message: Message, reason: str, at: int) -> None:
        """A recipient that the platform refused at once: an outcome without an `asked` entry and without a key."""
        self.write(account, person, message._replace(key=""), f"failed:{reason}", at=at, allowed=False)

    def asked_for(self, key: str) -> list[str]:
        rows = self._state.query("SELECT person FROM ledger WHERE key=? AND outcome='asked' ORDER BY seq", (key,))
        return [row[0] for row in rows]

    def unsettled(self, via: str) -> list[tuple[int, str, Message, int]]:
        """Asked entries without an outcome: (account, person, message, at); used after a restart."""
        rows = self._state.query(
            "SELECT account, person, key, content, via, link, topic, client, at FROM ledger a"
            " WHERE outcome='asked' AND via=? AND NOT EXISTS"
            " (SELECT 1 FROM ledger b WHERE b.key=a.key AND b.person=a.person AND b.outcome<>'asked') ORDER BY seq",
            (via,),
        )
        return [(row[0], row[1], Message(*row[2:8]), row[8]) for row in rows]

    def clients_since(self, via: str, since_ms: int) -> list[tuple[int, str, str, str, int]]:
        """(account, person, client, key, at) of accepted messages with a client id."""
        rows = self._state.query(
            "SELECT account, person, client, key, at FROM ledger"
            " WHERE outcome='asked' AND via=? AND client<>'' AND at>=? ORDER BY seq",
            (via, since_ms),
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def arrivals(self, after_seq: int) -> list[tuple[int, int, str, str, str, str]]:
        """(seq, account, person, key, link, topic) of everything that arrived after a position, previews left out."""
        rows = self._state.query(
            "SELECT seq, account, person, key, link, topic FROM ledger"
            " WHERE seq>? AND outcome='arrived' AND via<>'preview' ORDER BY seq",
            (after_seq,),
        )
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]

    def entries(
        self, filters: dict[str, Any], *, after: int = 0, limit: int = 100_000, newest: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Entries after a position as dicts; `filters` by account, person, key, outcome, via; in either order."""
        chosen = {name: value for name, value in filters.items() if name in _FILTERS}
        where = "".join(f" AND {name}=?" for name in chosen)
        order = "DESC" if newest else "ASC"
        sql = f"SELECT * FROM ledger WHERE seq>?{where} ORDER BY seq {order} LIMIT ?"  # noqa: S608 - names of our own
        for *row, _ in self._state.query(sql, (after, *chosen.values(), limit)):
            yield dict(zip(_FIELDS, row, strict=True))

    def had_by(self, idents: list[str], limit: int) -> list[dict[str, Any]]:
        """What arrived at a person, given by all of his ids, the newest first, with the text as `text`."""
        marks = ",".join("?" * len(idents))
        sql = (
            "SELECT ledger.*, content.text FROM ledger LEFT JOIN content ON content.hash=ledger.content"  # noqa: S608 - marks
            f" WHERE person IN ({marks}) AND outcome='arrived' ORDER BY seq DESC LIMIT ?"
        )
        rows = self._state.query(sql, (*idents, limit))
        return [{**dict(zip(_FIELDS, row, strict=False)), "text": row[-1] or ""} for row in rows]

    def summary(self, account: int, since_seq: int = 0) -> dict[str, Any]:
        """Totals of one account after a ledger position."""
        rows = self._state.query(
            "SELECT outcome, key='', allowed, COUNT(*) FROM ledger"
            " WHERE account=? AND seq>? AND via<>'preview' GROUP BY 1, 2, 3",
            (account, since_seq),
        )
        asked = sum(n for outcome, _, _, n in rows if outcome == "asked")
        arrived = sum(n for outcome, _, _, n in rows if outcome == "arrived")
        failed: Counter[str] = Counter()
        for outcome, _, _, n in rows:
            if outcome.startswith("failed:"):
                failed[outcome.partition(":")[2]] += n
        refused = sum(n for _, without_key, _, n in rows if without_key)
        beyond = sum(n for outcome, _, allowed, n in rows if outcome == "arrived" and not allowed)
        return {
            "asked": asked,
            "arrived": arrived,
            "failed": dict(sorted(failed.items())),
            "pending": asked - arrived - sum(failed.values()) + refused,
            "duplicated": len(self._duplicated(account, since_seq)),
            "forbidden": beyond,
            "last_seq": self.seq,
        }

    def judge(self, account: int, expected: Iterable[str], since_seq: int) -> dict[str, Any]:
        """Hold what happened after `since_seq` against the recipients that should have been asked, each once."""
        wanted = set(expected)
        rows = self._state.query(
            "SELECT person, outcome, allowed FROM ledger WHERE account=? AND seq>? AND via<>'preview'",
            (account, since_seq),
        )
        seen, asked, arrived, beyond = set(), set(), set(), set()
        for person, outcome, allowed in rows:
            seen.add(person)
            if outcome == "asked":
                asked.add(person)
            elif outcome == "arrived":
                arrived.add(person)
                if not allowed:
                    beyond.add(person)
        found = {
            "lost": wanted - seen,
            "duplicated": self._duplicated(account, since_seq),
            "forbidden": beyond | (arrived - wanted),
            "unexpected": asked - wanted,
        }
        totals = self.summary(account, since_seq)
        return {
            "expected": len(wanted),
            **{name: totals[name] for name in ("asked", "arrived", "failed", "pending", "last_seq")},
            **{name: len(people) for name, people in found.items()},
            "samples": {name: sorted(people)[:20] for name, people in found.items()},
        }

    def _duplicated(self, account: int, since_seq: int) -> set[str]:
        """People asked for one content more often than once, a failed try not counted."""
        sql = (
            "SELECT person FROM ledger WHERE account=? AND seq>? AND via<>'preview' AND key<>''"
            " GROUP BY person, content HAVING SUM(outcome='asked') - SUM(outcome LIKE 'failed:%') > 1"
        )
        return {row[0] for row in self._state.query(sql, (account, since_seq))}
