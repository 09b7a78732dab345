"""What a platform's refusal means for us: a data table, dispatched on (platform, errcode, operation).

The same number means different things on the two platforms, so nothing here looks at the number alone.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, Literal, cast, get_args

from tagcast.kit.shipped import read_toml

Platform = Literal["official", "wecom", "ads", "webhook"]
Lang = Literal["zh", "en"]
Until = Literal["", "day", "period"]


class Reaction(StrEnum):
    """What to do with a call that was refused or lost."""

    PERMANENT = "permanent"
    """Do not repeat; the scope says what has failed for good."""
    RETRY = "retry"
    """Repeat after a short, growing delay, at most three times."""
    WAIT_UNTIL = "wait_until"
    """Repeat not before `wait_seconds` have passed, or, with `until`, not before the platform's next day or period."""
    RENEW_TOKEN = "renew_token"  # noqa: S105 - a reaction's name
    """Fetch a new access token once, then repeat once."""
    IN_DOUBT = "in_doubt"
    """It may have happened: repeat only with the same idempotency key, otherwise reconcile."""
    DUPLICATE = "duplicate"
    """The platform did this already: treat as done."""


class Scope(StrEnum):
    """Whom a permanent failure or a wait concerns."""

    CALL = "call"
    RECIPIENT = "recipient"
    SENDER = "sender"
    JOB = "job"
    ACCOUNT = "account"


class Effect(StrEnum):
    """What repeating an operation could do."""

    READ = "read"
    """Nothing: it reads, or sets what is set already."""
    KEYED = "keyed"
    """Nothing while the platform remembers the idempotency key that it carries."""
    SEND = "send"
    """It would happen twice."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table. `reason` is a stable word to count and translate by; `wait_seconds` goes with waits."""

    reaction: Reaction
    scope: Scope
    reason: str
    wait_seconds: int
    until: Until
    maybe_done: bool
    zh: str
    en: str
    source: str

    def sentence(self, lang: Lang = "en") -> str:
        """What an operator reads."""
        return self.zh if lang == "zh" else self.en


class ChannelError(Exception):
    """A platform refused, failed, or cannot be understood.

    `errcode` is None when no code was answered. `errmsg` is the platform's own text, cut to 300 characters in its
    middle, because its end names the request; it can name a person, so neither it nor any argument of the call is part
    of `str()`.
    """

    def __init__(
        self, platform: Platform, operation: str, meaning: Meaning, *, errcode: int | None = None, errmsg: str = ""
    ) -> None:
        code = "no code" if errcode is None else str(errcode)
        super().__init__(f"{platform} {operation}: {code}, {meaning.reason}, {meaning.reaction} ({meaning.scope})")
        self.platform = platform
        self.operation = operation
        self.errcode = errcode
        self.errmsg = "".join(c if c.isprintable() else " " for c in _cut(errmsg))
        self.meaning = meaning
        self.answer: dict[str, Any] = {}
        """The rest of the answer, for the few codes that carry more than a refusal."""

    @property
    def reaction(self) -> Reaction:
        """What to do."""
        return self.meaning.reaction

    @property
    def scope(self) -> Scope:
        """Whom it concerns."""
        return self.meaning.scope

    @property
    def reason(self) -> str:
        """A stable word, e.g. `unsubscribed`."""
        return self.meaning.reason

    @property
    def wait_seconds(self) -> int:
        """Least time before a repetition, in seconds; 0 when the table names none."""
        return self.meaning.wait_seconds

    @property
    def until(self) -> Until:
        """`day`: the next natural day in Asia/Shanghai; `period`: the account's next quota period; else empty."""
        return self.meaning.until

    @property
    def address(self) -> str:
        """The address of ours that the platform says it refuses; empty when it names none."""
        return address_in(self.errmsg) if self.reason.startswith("ip_") else ""

    @property
    def request_id(self) -> str:
        """The platform's id of the call (`rid`), by which it can be looked up for seven days; empty when not given."""
        found = re.search(r"\brid: ?([0-9a-f]+(?:-[0-9a-f]+)*)", self.errmsg)
        return found.group(1) if found else ""

    def sentence(self, lang: Lang = "en") -> str:
        """What an operator reads: with the refused address where one is named, an unknown code as it came."""
        said = self.meaning.sentence(lang)
        if self.meaning.reason == "unknown_code":
            return f"{said} {self.errcode}: {self.errmsg}"
        if self.address:
            return f"{said}平台看到的 IP：{self.address}。" if lang == "zh" else f"{said} It sees {self.address}."
        return said


def address_in(errmsg: str) -> str:
    """The first IP address in a platform's message, an IPv4 address before an IPv6 one; empty when there is none.

    公众号 writes `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist`, 企业微信 `from ip: 1.2.3.4`.
    """
    found = []
    for word in re.findall(r"[0-9A-Fa-f:.]{3,}", errmsg):
        with suppress(ValueError):
            address = ipaddress.ip_address(word.strip(".:") if "." in word and "::" not in word else word.rstrip("."))
            mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
            found.append(mapped or address)
    found.sort(key=lambda address: address.version)
    return str(found[0]) if found else ""


def _cut(errmsg: str) -> str:
    return errmsg if len(errmsg) <= 300 else f"{errmsg[:219]}…{errmsg[-80:]}"


def refusal(platform: Platform, operation: str, errcode: int, *, errmsg: str = "", effect: Effect) -> ChannelError:
    """The error for an errcode. A code after which the work may be done all the same is in doubt for a bare send."""
    rows = table()
    row = rows.get((platform, errcode, operation)) or rows.get((platform, errcode, ""))
    row = row or rows[(platform, "unknown", "")]
    if row.maybe_done and effect is Effect.SEND:
        row = rows[(platform, "lost", "")]
    return ChannelError(platform, operation, row, errcode=errcode, errmsg=errmsg)


def meaning(platform: Platform, errcode: int, operation: str = "") -> Meaning:
    """What an errcode means, whatever was called or for one operation. The sentences of an unknown one name it."""
    rows = table()
    known = rows.get((platform, errcode, operation)) or rows.get((platform, errcode, ""))
    unknown = rows[(platform, "unknown", "")]
    return known or replace(unknown, zh=f"{unknown.zh} {errcode}", en=f"{unknown.en} {errcode}")


def lost(platform: Platform, operation: str, *, effect: Effect) -> ChannelError:
    """The error for a request whose answer is missing or cannot be understood."""
    return ChannelError(platform, operation, table()[(platform, "lost_read" if effect is Effect.READ else "lost", "")])


def special(platform: Platform, operation: str, which: str) -> ChannelError:
    """The error for one of the table's named situations, e.g. `not_sent`."""
    return ChannelError(platform, operation, table()[(platform, which, "")])


Key = tuple[str, int | str, str]


@cache
def table() -> dict[Key, Meaning]:
    """(platform, errcode or situation, operation or "") → meaning. Raises ValueError when a key has two rows.

    The situations without a code are the same on every platform; the codes are in each platform's own folder.
    """
    rows: dict[Key, Meaning] = {}
    common = read_toml("channels", "errcodes.toml")["row"]
    for platform in get_args(Platform):
        for row in [*common, *read_toml("channels", platform, "errcodes.toml")["row"]]:
            meaning = _meaning(row)
            for code in _expand(row["codes"]):
                for operation in row.get("operations", [""]):
                    key = (platform, code, operation)
                    if key in rows:
                        raise ValueError(f"two rows for {key}")
                    rows[key] = meaning
    return rows


def _meaning(row: Mapping[str, Any]) -> Meaning:
    return Meaning(
        reaction=Reaction(row["reaction"]),
        scope=Scope(row["scope"]),
        reason=row["reason"],
        wait_seconds=row.get("wait", 0),
        until=cast("Until", row.get("until", "")),
        maybe_done=row.get("maybe_done", False),
        zh=row["zh"],
        en=row["en"],
        source=row["source"],
    )


def _expand(codes: Iterable[int | str]) -> Iterator[int | str]:
    """Numbers as they are, "45001-45008" as a range, words as they are."""
    for code in codes:
        first, dash, last = code.partition("-") if isinstance(code, str) else ("", "", "")
        if dash and first.isdigit():
            yield from range(int(first), int(last) + 1)
        else:
            yield code
