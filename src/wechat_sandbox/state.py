"""The state file: documents and pairs held in memory, every change written to SQLite by a group commit.

The server flushes before it answers, all requests of one turn of its loop together, and every 10 ms. What was
written survives a kill of the process, though not a power cut (WAL, not synced). Ledger rows and orders are only
appended.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS document(
    kind TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY(kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pair(
    kind TEXT, owner TEXT, member TEXT, PRIMARY KEY(kind, owner, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger(
    seq INTEGER PRIMARY KEY, account INTEGER NOT NULL, person TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL,
    at INTEGER NOT NULL, outcome TEXT NOT NULL, via TEXT NOT NULL, link TEXT NOT NULL, topic TEXT NOT NULL,
    client TEXT NOT NULL, allowed INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS ledger_key ON ledger(key);
CREATE TABLE IF NOT EXISTS purchase(
    seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, unionid TEXT NOT NULL, at INTEGER NOT NULL,
    amount_cents INTEGER NOT NULL, category TEXT NOT NULL, message TEXT, coupon INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS happening(
    seq INTEGER PRIMARY KEY, account INTEGER NOT NULL, day INTEGER NOT NULL, hour INTEGER NOT NULL, kind TEXT NOT NULL,
    person TEXT NOT NULL, subject TEXT NOT NULL, scene INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS content(hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callback(
    seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, account INTEGER NOT NULL, sender TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS happening_kind ON happening(account, kind, day);
"""
_LEDGER = "INSERT INTO ledger VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"
_LEDGER_BLOCK = "INSERT INTO ledger SELECT ?+key, ?, value, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM json_each(?)"
_HAPPENING = "INSERT INTO happening(account, day, hour, kind, person, subject, scene) VALUES(?,?,?,?,?,?,?)"
_PURCHASE = "INSERT INTO purchase VALUES(?,?,?,?,?,?,?,?)"
_CONTENT = "INSERT OR IGNORE INTO content VALUES(?,?)"
_CALLBACK = "INSERT INTO callback VALUES(?,?,?,?,?)"
_VERSION = 2
_MAGIC = b"SQLite format 3"


class StateError(Exception):
    """The file cannot be used; the text says why, and what to do."""


class State:
    """Documents by (kind, id) and directed pairs by (kind, owner, member), in memory and on disk."""

    def __init__(self, path: str) -> None:
        self.connection = _open(path)
        self.documents: defaultdict[str, dict[str, Document]] = defaultdict(dict)
        self.members: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self.owners: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self.ledger_rows: list[tuple[Any, ...]] = []
        # The first number, what all share, and a JSON list of the people.
        self.ledger_blocks: list[tuple[Any, ...]] = []
        self.purchase_rows: list[tuple[Any, ...]] = []
        self.happening_rows: list[tuple[Any, ...]] = []
        self.content_rows: list[tuple[str, str]] = []
        self.callback_rows: dict[int, tuple[int, int, int, str, str]] = {}
        self._callbacks_done: list[tuple[int]] = []
        self._dirty: set[tuple[str, str]] = set()
        self._pairs: list[tuple[bool, str, str, str]] = []
        for kind, ident, body in self.connection.execute("SELECT kind, id, body FROM document"):
            self.documents[kind][ident] = orjson.loads(body)
        for kind, owner, member in self.connection.execute("SELECT kind, owner, member FROM pair"):
            self.members[kind, owner][member] = None
            self.owners[kind, member][owner] = None

    def put(self, kind: str, ident: str, body: Document) -> Document:
        """Store a document, or mark one that was changed in place."""
        self.documents[kind][ident] = body
        self._dirty.add((kind, ident))
        return body

    def get(self, kind: str, ident: str) -> Document | None:
        return self.documents[kind].get(ident)

    def remove(self, kind: str, ident: str) -> None:
        self.documents[kind].pop(ident, None)
        self._dirty.add((kind, ident))

    def next_number(self, name: str, first: int = 1) -> int:
        """The next number of a persistent counter."""
        counter = self.documents["counter"].get(name) or {"value": first - 1}
        counter["value"] += 1
        self.put("counter", name, counter)
        return int(counter["value"])

    def pair(self, kind: str, owner: str, member: str) -> None:
        if member not in self.members[kind, owner]:
            self.members[kind, owner][member] = None
            self.owners[kind, member][owner] = None
            self._pairs.append((True, kind, owner, member))

    def unpair(self, kind: str, owner: str, member: str) -> None:
        if member in self.members[kind, owner]:
            del self.members[kind, owner][member]
            self.owners[kind, member].pop(owner, None)
            self._pairs.append((False, kind, owner, member))

    def unpair_all(self, kind: str, owners: Iterable[str], member: str) -> None:
        for owner in list(owners):
            self.unpair(kind, owner, member)

    def callback_done(self, seq: int) -> None:
        """A callback needs no keeping any more."""
        if self.callback_rows.pop(seq, None) is None:
            self._callbacks_done.append((seq,))

    def flush(self) -> None:
        """Write everything that changed, in one transaction."""
        appended = (
            (_LEDGER, self.ledger_rows),
            (_LEDGER_BLOCK, self.ledger_blocks),
            (_CONTENT, self.content_rows),
            (_PURCHASE, self.purchase_rows),
            (_HAPPENING, self.happening_rows),
            ("DELETE FROM callback WHERE seq=?", self._callbacks_done),
        )
        if not (self._dirty or self._pairs or self.callback_rows or any(rows for _, rows in appended)):
            return
        run = self.connection
        run.execute("BEGIN IMMEDIATE")
        for kind, ident in self._dirty:
            body = self.documents[kind].get(ident)
            if body is None:
                run.execute("DELETE FROM document WHERE kind=? AND id=?", (kind, ident))
            else:
                run.execute("INSERT OR REPLACE INTO document VALUES(?,?,?)", (kind, ident, orjson.dumps(body)))
        for added, *pair in self._pairs:
            if added:
                run.execute("INSERT OR IGNORE INTO pair VALUES(?,?,?)", pair)
            else:
                run.execute("DELETE FROM pair WHERE kind=? AND owner=? AND member=?", pair)
        run.executemany(_CALLBACK, self.callback_rows.values())
        for sql, rows in appended:
            if rows:
                run.executemany(sql, rows)
        run.execute("COMMIT")
        self._dirty.clear()
        self._pairs.clear()
        self.callback_rows.clear()
        for _, rows in appended:
            rows.clear()

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read rows, everything appended so far included."""
        self.flush()
        return self.connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        self.flush()
        self.connection.close()


def forget(path: str) -> None:
    """Delete a state file; StateError when it is something else."""
    file = Path(path)
    if file.exists() and file.stat().st_size:
        with file.open("rb") as content:
            if content.read(len(_MAGIC)) != _MAGIC:
                raise StateError(f"{path} is no state file and is left alone: use another name")
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)


def _open(path: str) -> sqlite3.Connection:
    """The file with its tables; StateError when it is none of ours or of another version."""
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if tables and version != _VERSION:
            raise StateError(f"{path} was not written by this version of the sandbox: use another file, or --fresh")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(f"{_SCHEMA} PRAGMA user_version={_VERSION};")
    except sqlite3.Error as error:
        raise StateError(f"{path} cannot be used as state file ({error}): use another file, or --fresh") from error
    return connection
