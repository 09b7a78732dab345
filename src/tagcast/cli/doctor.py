"""`tagcast doctor`: what is well and what is not, each with its remedy."""

import errno
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import typer

from tagcast import access, accounts
from tagcast.cli.frame import FAILED, Frame
from tagcast.kit import clock
from tagcast.kit.errors import Lang, TagcastError
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work

LEAST_SQLITE = (3, 40)
LITTLE_DISK, TOO_LITTLE_DISK = 2_000_000_000, 200_000_000
SKEW_SECONDS = 2
MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at."""

    check: str
    state: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""


def doctor(ctx: typer.Context) -> None:
    """Look at this machine, the home, the database and the accounts."""
    frame = Frame.of(ctx)
    lines = list(_lines(frame))
    if frame.json:
        frame.table(lines, [])
    else:
        for line in lines:
            print(f"{MARKS[line.state]} {line.check}: {line.text}")
            if line.remedy:
                print(f"    {line.remedy}")
    if any(line.state == "fail" for line in lines):
        raise typer.Exit(FAILED)


def _lines(frame: Frame) -> Iterator[Line]:
    yield Line("python", "ok", sys.version.split()[0])
    yield _sqlite()
    settings = frame.settings()
    yield _clock(settings)
    if not settings.home.exists():
        yield Line("home", "fail", f"{settings.home} does not exist.", "Make it with `tagcast init`, or give --home.")
        return
    yield _rights(settings)
    yield _disk(settings)
    yield _port(settings)
    try:
        runtime = access.open_home(settings)
    except TagcastError as error:
        yield _failed("database", error, frame.lang)
        return
    try:
        yield Line("database", "ok", f"{runtime.engine.dialect.name} answers, its tables are current.")
        yield _skew(runtime)
        yield from _accounts(runtime, frame.lang)
    finally:
        runtime.close()


def _failed(check: str, error: TagcastError, lang: Lang) -> Line:
    return Line(check, "fail", error.text(lang), error.remedy(lang))


def _sqlite() -> Line:
    if sqlite3.sqlite_version_info < LEAST_SQLITE:
        needed = ".".join(map(str, LEAST_SQLITE))
        return Line("sqlite", "fail", f"{sqlite3.sqlite_version} is too old.", f"Use a python with SQLite {needed}.")
    return Line("sqlite", "ok", sqlite3.sqlite_version)


def _clock(settings: Settings) -> Line:
    now = clock.now()
    if now < datetime(2026, 1, 1, tzinfo=UTC):
        return Line("clock", "fail", f"{now:%Y-%m-%d %H:%M} cannot be right.", "Set the clock, e.g. with NTP.")
    local = now.astimezone(ZoneInfo(settings.zone))
    return Line("clock", "ok", f"{local:%Y-%m-%d %H:%M:%S} in {settings.zone}")


def _rights(settings: Settings) -> Line:
    key = settings.home / "key"
    if settings.key:
        return Line("key", "ok", "The master key comes from the environment.")
    if not key.exists():
        return Line("key", "fail", f"{key} is missing.", "Put it back from where you keep it, or set TAGCAST_KEY_FILE.")
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Line("key", "fail", f"{key} can be read by others.", f"chmod 600 {key}")
    if settings.home.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Line("key", "warn", f"{settings.home} can be entered by others.", f"chmod 700 {settings.home}")
    return Line("key", "ok", "Only you can read the master key.")


def _disk(settings: Settings) -> Line:
    free = shutil.disk_usage(settings.home).free
    text = f"{free / 1e9:.1f} GB free for {settings.home}"
    if free < TOO_LITTLE_DISK:
        return Line("disk", "fail", text, "Free some: a full disk stops sending.")
    if free < LITTLE_DISK:
        return Line("disk", "warn", text, "Free some before a large import.")
    return Line("disk", "ok", text)


def _port(settings: Settings) -> Line:
    place = f"{settings.host}:{settings.port}"
    try:
        socket.create_server((settings.host, settings.port)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Line("port", "ok", f"{place} is taken: a server runs there, perhaps this one.")
        return Line("port", "fail", f"{place}: {error.strerror}.", "Set TAGCAST_HOST and TAGCAST_PORT.")
    return Line("port", "ok", f"{place} is free.")


def _skew(runtime: Runtime) -> Line:
    if runtime.engine.dialect.name != "postgresql":
        return Line("clocks", "ok", "The database is on this machine.")
    with runtime.engine.connect() as connection:
        theirs = connection.scalar(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp())))
    skew = abs(float(theirs or 0) - clock.to_ms(clock.now()) / 1000)
    if skew > SKEW_SECONDS:
        return Line("clocks", "warn", f"The database's clock is {skew:.1f} s off.", "Set both clocks with NTP.")
    return Line("clocks", "ok", "The database's clock agrees.")


def _accounts(runtime: Runtime, lang: Lang) -> Iterator[Line]:
    with runtime.read(access.only_workspace(runtime), "doctor") as work:
        known = accounts.all_(work)
        if not known:
            yield Line("accounts", "warn", "There is none.", "Add one with `tagcast account add`, or try the demo.")
        for account in known:
            yield _account(work, account, lang)


def _account(work: Work, account: accounts.Account, lang: Lang) -> Line:
    check = f"account {account.name}"
    try:
        secrets = accounts.secrets(work, account.id)
    except TagcastError as error:
        return _failed(check, error, lang)
    if account.kind != "custom" and not secrets.callback_token:
        return Line(
            check,
            "warn",
            f"{account.kind}: no callbacks, so no receipts arrive.",
            "Give --callback-token and --encoding-aes-key as set on the platform.",
        )
    return Line(check, "ok", f"{account.kind} at {account.base_url}")
