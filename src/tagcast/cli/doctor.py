"""`tagcast doctor`: what is well and what is not, each with its remedy."""

import errno
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import typer

from tagcast import access, accounts, behaviour, broadcasts, compliance, contacts, tag_rules
from tagcast.cli.frame import FAILED, Frame
from tagcast.cli.trouble import known
from tagcast.kit import clock
from tagcast.kit.errors import Lang, TagcastError
from tagcast.kit.settings import Settings
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Runtime, Work

LEAST_SQLITE = (3, 40)
LITTLE_DISK, TOO_LITTLE_DISK = 2_000_000_000, 200_000_000
SKEW_SECONDS = 2
LATE_SECONDS = 10
READ_BYTES = 500_000_000
"""A lake up to this size is read whole."""

State = Literal["ok", "warn", "fail"]
MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at."""

    check: str
    state: State
    text: str
    remedy: str = ""


@cache
def _texts() -> dict[str, dict[str, Any]]:
    return read_toml("cli", "doctor.toml")


@dataclass(frozen=True, slots=True)
class Doctor:
    """Looks at one thing after the other, and says what it found in one language."""

    lang: Lang

    def found(self, check: str, state: State, what: str, **params: object) -> Line:
        """A finding in words."""
        texts = _texts()
        text, remedy = texts[what][self.lang], texts[what].get(f"{self.lang}_remedy", "")
        name, _, rest = check.partition(" ")
        label = f"{texts['check'][name][self.lang]} {rest}".strip()
        return Line(label, state, text.format(**params), remedy.format(**params))

    def failed(self, check: str, error: TagcastError) -> Line:
        """An error in words."""
        found = self.found(check, "fail", "plain", value="")
        return replace(found, text=error.text(self.lang), remedy=error.remedy(self.lang))

    def lines(self, frame: Frame) -> Iterator[Line]:
        """Everything, in the order in which it can be mended."""
        yield self.found("python", "ok", "plain", value=sys.version.split()[0])
        yield self.sqlite()
        settings = frame.settings()
        yield self.time(settings)
        if not settings.home.exists():
            yield self.found("home", "fail", "no_home", home=settings.home)
            return
        yield self.rights(settings)
        yield self.disk(settings)
        yield self.waits(settings)
        yield self.port(settings)
        try:
            runtime = access.open_home(settings)
        except Exception as error:
            if (problem := known(error)) is None:
                raise
            yield self.failed("database", problem)
            return
        try:
            yield self.found("database", "ok", "database_current", kind=runtime.engine.dialect.name)
            yield self.skew(runtime)
            yield from self.lake(runtime)
            yield self.rules(runtime)
            yield from self.sending(runtime)
            yield self.compliance(runtime)
            yield from self.every_account(runtime)
        finally:
            runtime.close()

    def sqlite(self) -> Line:
        """Its version."""
        if sqlite3.sqlite_version_info < LEAST_SQLITE:
            needed = ".".join(map(str, LEAST_SQLITE))
            return self.found("sqlite", "fail", "old_sqlite", found=sqlite3.sqlite_version, needed=needed)
        return self.found("sqlite", "ok", "plain", value=sqlite3.sqlite_version)

    def time(self, settings: Settings) -> Line:
        """Whether it can be right."""
        now = clock.now()
        if now < datetime(2026, 1, 1, tzinfo=UTC):
            return self.found("clock", "fail", "wrong_clock", now=f"{now:%Y-%m-%d %H:%M}")
        local = now.astimezone(ZoneInfo(settings.zone))
        return self.found("clock", "ok", "clock_is", now=f"{local:%Y-%m-%d %H:%M:%S}", zone=settings.zone)

    def rights(self, settings: Settings) -> Line:
        """Who can read the key."""
        key, others = settings.home / "key", stat.S_IRWXG | stat.S_IRWXO
        if settings.key:
            return self.found("key", "ok", "key_in_environment")
        if not key.exists():
            return self.found("key", "fail", "no_key", key=key)
        if key.stat().st_mode & others:
            return self.found("key", "fail", "open_key", key=key)
        if settings.home.stat().st_mode & others:
            return self.found("key", "warn", "open_home", home=settings.home)
        return self.found("key", "ok", "key_is_safe")

    def disk(self, settings: Settings) -> Line:
        """How much is free."""
        free = shutil.disk_usage(settings.home).free
        state: State = "fail" if free < TOO_LITTLE_DISK else "warn" if free < LITTLE_DISK else "ok"
        what = {"fail": "disk_full", "warn": "disk_low", "ok": "disk_ok"}[state]
        return self.found("disk", state, what, free=f"{free / 1e9:.1f}", home=settings.home)

    def waits(self, settings: Settings) -> Line:
        """Whether a lost call is looked up only after it must have ended."""
        given = {"wait": settings.in_doubt_seconds, "call": settings.http_timeout_seconds}
        short = settings.in_doubt_seconds < settings.http_timeout_seconds
        return self.found("waits", "warn" if short else "ok", "wait_short" if short else "wait_ok", **given)

    def port(self, settings: Settings) -> Line:
        """Whether a server could listen."""
        place = f"{settings.host}:{settings.port}"
        try:
            socket.create_server((settings.host, settings.port)).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return self.found("port", "ok", "port_taken", place=place)
            return self.found("port", "fail", "port_unusable", place=place, reason=error.strerror)
        return self.found("port", "ok", "port_free", place=place)

    def skew(self, runtime: Runtime) -> Line:
        """Whether the database's clock agrees with this machine's."""
        if runtime.engine.dialect.name != "postgresql":
            return self.found("clocks", "ok", "same_machine")
        with runtime.engine.connect() as connection:
            theirs = connection.scalar(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp())))
        skew = abs(float(theirs or 0) - clock.to_ms(clock.now()) / 1000)
        if skew > SKEW_SECONDS:
            return self.found("clocks", "warn", "skew", skew=f"{skew:.1f}")
        return self.found("clocks", "ok", "no_skew")

    def lake(self, runtime: Runtime) -> Iterator[Line]:
        """Whether what it holds of each type of event can be believed. All of a small one is read, some of a large."""
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "doctor") as work:
            tables = behaviour.moving.status(work)
        large = sum(one.bytes for one in tables) > READ_BYTES
        wrong = behaviour.mending.verify(runtime, workspace, sample=large)
        for one in wrong:
            yield self.found(f"lake {one.type}", "fail", "lake_damaged", file=one.file)
        told = {one.type for one in wrong}
        for table in tables:
            if not table.agrees and table.type not in told:
                yield self.found(f"lake {table.type}", "fail", "lake_other")
                told.add(table.type)
        if not told:
            rows, waiting = sum(one.rows for one in tables), sum(one.waiting for one in tables)
            yield self.found("lake", "ok", "lake_ok", rows=f"{rows:,}", waiting=f"{waiting:,}")

    def rules(self, runtime: Runtime) -> Line:
        """Whether what changes is followed."""
        with runtime.read(access.only_workspace(runtime), "doctor") as work:
            found = tag_rules.health(work)
        if found.trouble is not None:
            problem, since = found.trouble.problem, clock.from_ms(found.trouble.since)
            line = self.found("rules", "fail", "rules_fail", since=f"{since:%Y-%m-%d %H:%M}", why=problem[self.lang])
            return replace(line, remedy=str(problem[f"{self.lang}_remedy"]))
        told = {"running": found.running, "filling": found.filling, "changes": f"{found.lag.changes:,}"}
        late = found.lag.seconds > LATE_SECONDS
        what = "rules_late" if late else "rules_ok"
        return self.found("rules", "warn" if late else "ok", what, seconds=round(found.lag.seconds), **told)

    def compliance(self, runtime: Runtime) -> Line:
        """Whether what it asks of people is still there to be asked."""
        with runtime.read(access.only_workspace(runtime), "doctor") as work:
            declared = contacts.attributes(work)
            zones, minors = compliance.zones(work), compliance.minors_setting(work)
            hours, caps = compliance.quiet_hours(work), len(compliance.caps(work))
        for attribute, what in ((minors.attribute, "no_minors"), (zones.attribute, "no_zones")):
            if attribute is not None and attribute not in declared:
                return self.found("compliance", "fail", what, attribute=attribute)
        if zones.strange:
            value, count = max(zones.strange.items(), key=lambda pair: pair[1])
            return self.found("compliance", "warn", "strange_zone", value=value, count=count)
        quiet = f"{hours.start}–{hours.end}" if hours.on else "–"
        return self.found("compliance", "ok", "compliance_ok", caps=caps, quiet=quiet)

    def sending(self, runtime: Runtime) -> Iterator[Line]:
        """Whether every broadcast that is being sent moves."""
        with runtime.read(access.only_workspace(runtime), "doctor") as work:
            stuck = broadcasts.stuck_ones(work)
        for broadcast, found in stuck:
            why = found.zh if self.lang == "zh" else found.en
            told = {"name": broadcast.name, "id": broadcast.id, "since": f"{found.since:%Y-%m-%d %H:%M}", "why": why}
            yield self.found("sending", "warn", "sending_stuck", **told)
        if not stuck:
            yield self.found("sending", "ok", "sending_ok")

    def every_account(self, runtime: Runtime) -> Iterator[Line]:
        """Whether each can be used."""
        with runtime.read(access.only_workspace(runtime), "doctor") as work:
            every = accounts.all_(work)
            if not every:
                yield self.found("accounts", "warn", "no_accounts")
            for account in every:
                yield self.one_account(work, account)

    def one_account(self, work: Work, account: accounts.Account) -> Line:
        """Whether its secrets are there."""
        check = f"account {account.name}"
        try:
            secrets = accounts.secrets(work, account.id)
        except TagcastError as error:
            return self.failed(check, error)
        if account.kind != "custom" and not secrets.callback_token:
            return self.found(check, "warn", "no_callbacks", kind=account.kind)
        return self.found(check, "ok", "account_at", kind=account.kind, address=account.base_url)


def doctor(ctx: typer.Context) -> None:
    """Look at this machine, the home, the database and the accounts."""
    frame = Frame.of(ctx)
    lines = list(Doctor("en" if frame.json else frame.lang).lines(frame))
    if frame.json:
        frame.table(lines, [])
    else:
        for line in lines:
            print(f"{MARKS[line.state]} {line.check}{'：' if frame.lang == 'zh' else ': '}{line.text}")
            if line.remedy:
                print(f"    {line.remedy}")
    if any(line.state == "fail" for line in lines):
        raise typer.Exit(FAILED)
