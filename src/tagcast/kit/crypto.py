"""Keys and sealing. A master key wraps a data key per workspace; all that identifies a person is sealed with it.

AES-256-GCM with a random 96-bit nonce; the context (table, column, row) is authenticated, so a sealed value cannot be
moved to another row. Look-ups go through HMAC-SHA256 fingerprints.
"""

import base64
import binascii
import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tagcast.kit.errors import Invalid, Unavailable

NONCE = 12
SIGNATURE = 16


class Broken(Exception):
    """A sealed value does not open: another key, another context, or changed bytes."""


def new_key() -> bytes:
    """32 random bytes."""
    return os.urandom(32)


def seal(key: bytes, plaintext: bytes, context: str) -> bytes:
    """nonce ‖ ciphertext ‖ tag."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """The plaintext. Raises Broken."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise Broken(context.partition(":")[0]) from error


def read_master_key(configured: str, file: Path) -> bytes:
    """The master key from the settings or its file. Raises Unavailable if it is missing, Invalid if it is unusable."""
    text = configured
    if not text:
        if not file.exists():
            raise Unavailable("kit.key_missing", where=str(file))
        if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise Invalid("kit.key_open", where=str(file))
        text = file.read_text("ascii").strip()
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("kit.bad_key") from None
    if len(key) != 32:
        raise Invalid("kit.bad_key")
    return key


def write_master_key(file: Path) -> None:
    """Make a master key, readable by its owner only. Raises FileExistsError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(base64.b64encode(new_key()) + b"\n")
        out.flush()
        os.fsync(out.fileno())


@dataclass(frozen=True, slots=True)
class Vault:
    """Sealing, fingerprints and signatures of one workspace."""

    key: bytes = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False)
    _finger: bytes = field(init=False, repr=False)
    _signing: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        derived = {name: hmac.digest(self.key, name.encode(), "sha256") for name in ("seal", "finger", "sign")}
        object.__setattr__(self, "_cipher", AESGCM(derived["seal"]))
        object.__setattr__(self, "_finger", derived["finger"])
        object.__setattr__(self, "_signing", derived["sign"])

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """nonce ‖ ciphertext ‖ tag; the context must be given again to open it."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, plaintext, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The plaintext. Raises Broken."""
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise Broken(context.partition(":")[0]) from error

    def fingerprint(self, kind: str, value: str) -> bytes:
        """32 bytes that stand for a value in look-ups; useless without the key."""
        return hmac.digest(self._finger, f"{kind}\0{value}".encode(), "sha256")

    def sign(self, purpose: str, message: bytes) -> bytes:
        """A 16-byte signature, good for one purpose only."""
        return hmac.digest(self._signing, purpose.encode() + b"\0" + message, "sha256")[:SIGNATURE]

    def verify(self, purpose: str, message: bytes, signature: bytes) -> bool:
        """Whether the signature is ours, in constant time."""
        return hmac.compare_digest(self.sign(purpose, message), signature)


def digest(*parts: bytes | str) -> str:
    """Hex SHA-256 over parts with their lengths, so that borders count."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()
