"""Pure decisions of tracking: what a token says, where a link may lead, who counts as a person, how hits are packed."""

import hmac
import ipaddress
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag, StrEnum
from functools import cache
from urllib.parse import quote, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt

from tagcast.kit.crypto import Vault
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

VERSION = 1
"""Scheme and key of the signature; a token of another version is unknown."""

SIGNATURE = 14
"""Bytes of the signature kept: with the 13 before them they fill 36 characters, so that no character has a free bit."""

MAX_DESTINATION = 2000
"""Characters; longer addresses are cut by some phones."""

_HEAD = struct.Struct(">BIII")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{36}")
_ADDRESS_SAFE = "/%:@!$&'()*+,;=-._~?"

HIT = np.dtype([("at", "<u8"), ("link", "<u4"), ("number", "<u4"), ("flags", "<u4")])
"""A stored hit: epoch milliseconds, link, contact number (0: unknown), `Flag`s."""


class Kind(StrEnum):
    """What following a link means. Also the purpose of its signature: a token of one kind is nothing to another."""

    CLICK = "click"
    OPEN = "open"

    @property
    def path(self) -> str:
        """First part of the URL's path."""
        return "/k/" if self is Kind.CLICK else "/m/"


class Flag(IntFlag):
    """Why a hit is not counted as a person's."""

    AGENT = 1
    HEAD = 2
    PREFETCH = 4


@dataclass(frozen=True, slots=True)
class Link:
    """A tracked link of something that was sent (`ref`, e.g. `broadcast:12`). It never changes.

    A click link leads to `destination`; an open link leads to the message page kept under the same id.
    """

    id: int
    workspace: int
    ref: str
    no: int
    kind: Kind
    destination: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A message page: plain text, shown with a button when there is a click link to follow."""

    link: Link
    title: str
    body: str
    button_label: str
    button: Link | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Visits of everything sent under one ref: by people, and by programs, which are kept apart."""

    opens: int
    clicks: int
    machine_opens: int
    machine_clicks: int


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says, before or after its signature was checked."""

    workspace: int
    link: int
    number: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One visit: epoch milliseconds, link, contact number (0: the link is shared), `Flag`s (0: a person)."""

    at_ms: int
    link: int
    number: int
    flags: int


def make_urls(vault: Vault, base_url: str, link: Link, numbers: Iterable[int]) -> list[str]:
    """A link's URLs for contacts, in order; number 0 stands for nobody in particular. Raises Invalid.

    The token is 36 characters: version, workspace, link, number, signature.
    """
    pack, sign, encode, purpose = _HEAD.pack, vault.sign, urlsafe_b64encode, link.kind.value
    workspace, no, front = link.workspace, link.id, (base_url.rstrip("/") + link.kind.path).encode()
    made = []
    number = 0
    try:
        for number in numbers:
            head = pack(VERSION, workspace, no, number)
            made.append((front + encode(head + sign(purpose, head)[:SIGNATURE])).decode())
    except struct.error:
        raise Invalid("tracking.bad_number", number=number) from None
    return made


def read_token(text: str) -> Token | None:
    """What the text claims, or None when it cannot be a token. Nothing is proved before `is_genuine`."""
    if _TOKEN.fullmatch(text) is None:
        return None
    version, workspace, link, number = _HEAD.unpack_from(urlsafe_b64decode(text))
    return Token(workspace, link, number) if version == VERSION else None


def is_genuine(vault: Vault, kind: Kind, text: str) -> bool:
    """Whether we made this token for this kind of link, in constant time."""
    raw = urlsafe_b64decode(text)
    head, given = raw[: _HEAD.size], raw[_HEAD.size :]
    return hmac.compare_digest(vault.sign(kind.value, head)[:SIGNATURE], given)


def destination(text: str) -> str:
    """The address as it is stored: http or https, a host, no login, only URL characters. Raises Invalid."""
    if len(text) > MAX_DESTINATION:
        raise Invalid("tracking.destination_long", length=len(text), limit=MAX_DESTINATION)
    if any(character <= " " or character in '\\<>"\x7f' for character in text):
        raise Invalid("tracking.bad_destination", destination=_shown(text))
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _host(parts.hostname or "")
    except (ValueError, UnicodeError):
        raise Invalid("tracking.bad_destination", destination=_shown(text)) from None
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise Invalid("tracking.bad_destination", destination=_shown(text))
    netloc = host if port is None else f"{host}:{port}"
    written = [quote(part, safe=_ADDRESS_SAFE) for part in (parts.path, parts.query, parts.fragment)]
    address = urlunsplit((parts.scheme, netloc, *written))
    if len(address) > MAX_DESTINATION:
        raise Invalid("tracking.destination_long", length=len(address), limit=MAX_DESTINATION)
    return address


def _host(name: str) -> str:
    if ":" in name:
        return f"[{ipaddress.IPv6Address(name)}]"
    return name.encode("idna").decode("ascii")


def _shown(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


@cache
def _machines() -> re.Pattern[str]:
    groups = read_toml("tracking", "machines.toml")["group"]
    return re.compile("|".join(pattern for group in groups for pattern in group["patterns"]), re.IGNORECASE)


def is_machine(agent: str) -> bool:
    """Whether a User-Agent names a crawler, a link preview or a script; an empty one does."""
    return not agent or _machines().search(agent) is not None


def pack_hits(hits: Sequence[Hit]) -> bytes:
    """Hits as stored, `HIT` records one after another."""
    return np.array([(hit.at_ms, hit.link, hit.number, hit.flags) for hit in hits], HIT).tobytes()


def unpack_hits(data: bytes) -> npt.NDArray[np.void]:
    """The records of a stored batch."""
    return np.frombuffer(data, HIT)
