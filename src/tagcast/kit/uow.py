"""The unit of work: one transaction, and the only place that commits."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from tagcast.bitmaps import Bitmaps, View
from tagcast.columns import Columns
from tagcast.kit import clock, crypto, db, logs
from tagcast.kit.crypto import Vault
from tagcast.kit.errors import NotFound, Unavailable
from tagcast.kit.settings import Settings
from tagcast.lake import Lake

workspaces = sa.Table(
    "workspace",
    db.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    # The root key of fingerprints and signatures, wrapped by the master key.
    sa.Column("data_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)

sealing_keys = sa.Table(
    "workspace_key",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    # As it stands before what the key has sealed; the highest seals.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # Wrapped by the master key.
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)

KEYS_SECONDS = 30.0
"""How long a process goes on sealing with the key that it knows as the newest."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one use case works with: a transaction in a workspace, who acts, when, sets, records, lake and vault.

    `zone` is the IANA zone of the workspace's calendar days.
    """

    connection: Connection
    workspace: int
    actor: str
    now: datetime
    zone: str
    bitmaps: View
    columns: Columns
    lake: Lake
    vault: Vault

    @property
    def now_ms(self) -> int:
        """`now` as epoch milliseconds."""
        return clock.to_ms(self.now)

    @property
    def today(self) -> date:
        """The calendar day of `now` in the workspace's zone."""
        return clock.local_day(self.now, self.zone)


@dataclass(slots=True)
class Runtime:
    """What one process holds: settings, engine, the caches of derived state, the master key and those before it."""

    settings: Settings
    engine: Engine
    bitmaps: Bitmaps
    columns: Columns
    lake: Lake
    master_key: bytes = field(repr=False)
    old_master_keys: tuple[bytes, ...] = field(default=(), repr=False)
    _vaults: dict[int, tuple[Vault, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def work(self, workspace: int, actor: str, *, now: datetime | None = None) -> Iterator[Work]:
        """A write transaction: committed when the block ends, rolled back when it raises."""
        with self._connection(write=True) as connection, connection.begin():
            yield self._bound(connection, workspace, actor, now)

    @contextmanager
    def read(self, workspace: int, actor: str, *, now: datetime | None = None) -> Iterator[Work]:
        """A read transaction; nothing it does is kept."""
        with self._connection(write=False) as connection:
            transaction = connection.begin()
            try:
                yield self._bound(connection, workspace, actor, now)
            finally:
                transaction.rollback()

    @contextmanager
    def system(self) -> Iterator[Connection]:
        """A write transaction outside any workspace (leases, tokens' locks)."""
        with self._connection(write=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def _connection(self, *, write: bool) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except OperationalError as error:
            raise Unavailable("kit.database_unreachable", reason=type(error.orig).__name__) from error
        with connection:
            yield connection.execution_options(**{db.WRITE: write})

    def _bound(self, connection: Connection, workspace: int, actor: str, now: datetime | None) -> Work:
        moment = now or clock.now()
        view = self.bitmaps.view(connection, workspace, who=actor, at_ms=clock.to_ms(moment))
        vault = self._vault(connection, workspace)
        zone = self.settings.zone
        return Work(connection, workspace, actor, moment, zone, view, self.columns, self.lake, vault)

    def _vault(self, connection: Connection, workspace: int) -> Vault:
        with self._lock:
            vault, until = self._vaults.get(workspace, (None, 0.0))
        if vault is None or time.monotonic() > until:
            vault = Vault(self._root(connection, workspace), self._keys(connection, workspace), self._more(workspace))
            with self._lock:
                self._vaults[workspace] = vault, time.monotonic() + KEYS_SECONDS
        return vault

    def _root(self, connection: Connection, workspace: int) -> bytes:
        sealed = connection.scalar(sa.select(workspaces.c.data_key).where(workspaces.c.id == workspace))
        if sealed is None:
            raise NotFound("access.no_workspace", workspace=workspace)
        return self.unwrap(sealed, f"workspace:{workspace}")

    def _keys(self, connection: Connection, workspace: int) -> dict[int, bytes]:
        rows = connection.execute(
            sa.select(sealing_keys.c.number, sealing_keys.c.wrapped).where(sealing_keys.c.workspace == workspace)
        ).all()
        return {row.number: self.unwrap(row.wrapped, f"workspace_key:{workspace}:{row.number}") for row in rows}

    def _more(self, workspace: int) -> Callable[[], dict[int, bytes]]:
        def read() -> dict[int, bytes]:
            with self._connection(write=False) as connection:
                return self._keys(connection, workspace)

        return read

    def forget_keys(self) -> None:
        """Read the workspaces' keys again before the next transaction."""
        with self._lock:
            self._vaults.clear()

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """A workspace's key. Reads the master keys again if they were changed meanwhile. Raises Broken."""
        for again in (False, True):
            if again:
                self.master_key, *old = crypto.read_master_keys(self.settings.key, self.settings.home / "key")
                self.old_master_keys = tuple(old)
            for master in (self.master_key, *self.old_master_keys):
                try:
                    return crypto.unseal(master, wrapped, context)
                except crypto.Broken:
                    continue
        raise crypto.Broken(context.partition(":")[0])

    def close(self) -> None:
        """Give back connections."""
        self.engine.dispose()
        self.lake.close()


def open_runtime(settings: Settings) -> Runtime:
    """Open what `settings` name. Raises Unavailable or Invalid when the home, the key or the database is not usable."""
    logs.configure(settings.log_level)
    if not settings.home.exists():
        raise NotFound("kit.no_home", home=str(settings.home))
    master, *old = crypto.read_master_keys(settings.key, settings.home / "key")
    engine = db.open_engine(settings.url)
    bitmaps = Bitmaps(engine, _folder(settings, "checkpoints"))
    columns = Columns(_folder(settings, "columns"))
    lake = Lake(
        settings.lake_url or _folder(settings, "lake"), engine=settings.lake_engine, spark_url=settings.spark_url
    )
    return Runtime(settings, engine, bitmaps, columns, lake, master, tuple(old))


def _folder(settings: Settings, name: str) -> Path:
    folder = settings.home / name
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder
