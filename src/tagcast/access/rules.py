"""API keys: `tc_<id>_<secret><check>`. The secret has 256 bits, so a plain SHA-256 of it may be stored."""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass

PREFIX = "tc"
_SHAPE = re.compile(r"tc_([0-9a-f]{12})_([A-Za-z0-9_-]{43})([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What an API key is made of."""

    key_id: str
    secret: str


def new_key() -> tuple[KeyParts, str]:
    """A fresh key and its text, which is shown once."""
    parts = KeyParts(secrets.token_hex(6), secrets.token_urlsafe(32))
    return parts, f"{PREFIX}_{parts.key_id}_{parts.secret}{_check(parts)}"


def parse_key(text: str) -> KeyParts | None:
    """The parts, or None when the text cannot be one of our keys (a mistyped key is seen without the database)."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    parts = KeyParts(match[1], match[2])
    return parts if match[3] == _check(parts) else None


def secret_hash(parts: KeyParts) -> bytes:
    """What is stored."""
    return hashlib.sha256(parts.secret.encode()).digest()


def _check(parts: KeyParts) -> str:
    return f"{zlib.crc32(f'{parts.key_id}_{parts.secret}'.encode()):08x}"
