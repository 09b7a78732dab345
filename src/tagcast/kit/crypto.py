"""Keys and sealing. The master key wraps the keys of each workspace; all that identifies a person is sealed with those.

A sealed value is: format 1 (one byte) ‖ number of its key (two bytes, big-endian) ‖ nonce ‖ ciphertext ‖ tag, with
AES-256-GCM and a random 96-bit nonce. The context (table, column, row) is authenticated, so a sealed value cannot be
moved to another row. The newest key seals, the others only open what has not been sealed anew yet.

Look-ups go through HMAC-SHA256 fingerprints and links are signed. Their keys come of the workspace's root key, which is
never replaced: fingerprints stand in the database in place of what they are found by, and links are in people's hands.
"""

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tagcast.kit.errors import Invalid, Unavailable

NONCE = 12
SIGNATURE = 16
FORMAT = 1
HEADER = 3
"""Bytes before the nonce: the format and the number of the key."""
_HMAC_BLOCK = 64
_AT_ONCE = 1000


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


def header(number: int) -> bytes:
    """The first bytes of what a key has sealed."""
    return bytes((FORMAT, *number.to_bytes(2, "big")))


def read_master_keys(configured: str, file: Path) -> tuple[bytes, ...]:
    """The master keys from the settings or their file: the first wraps, the others only open what they wrapped before.

    They stand in one text, parted by commas or lines. Raises Unavailable if there is none, Invalid if one is unusable.
    """
    text = configured
    if not text:
        if not file.exists():
            raise Unavailable("kit.key_missing", where=str(file))
        if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise Invalid("kit.key_open", where=str(file))
        text = file.read_text("ascii")
    try:
        keys = tuple(base64.b64decode(part, validate=True) for part in text.replace(",", " ").split())
    except (binascii.Error, ValueError):
        raise Invalid("kit.bad_key") from None
    if not keys or any(len(key) != 32 for key in keys):
        raise Invalid("kit.bad_key")
    return keys


def write_master_key(file: Path) -> None:
    """Make a master key, readable by its owner only. Raises FileExistsError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        _write(out.fileno(), [new_key()])


def replace_master_keys(file: Path, keys: tuple[bytes, ...]) -> None:
    """Write a key file anew; whoever looks, also after a crash, finds the former keys or these."""
    fresh = file.with_name(f"{file.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        _write(out.fileno(), keys)
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(handle: int, keys: tuple[bytes, ...] | list[bytes]) -> None:
    os.write(handle, b"".join(base64.b64encode(key) + b"\n" for key in keys))
    os.fsync(handle)


def _no_more() -> Mapping[int, bytes]:
    return {}


@dataclass(frozen=True, slots=True)
class Vault:
    """Sealing, fingerprints and signatures of one workspace.

    `key` is its root key, `seals` its keys by number, of which the highest seals; without any the root key stands in.
    `more` reads the keys again when a value was sealed with one that another process has made since.
    """

    key: bytes = field(repr=False)
    seals: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    more: Callable[[], Mapping[int, bytes]] = field(default=_no_more, repr=False)
    number: int = field(init=False)
    _header: bytes = field(init=False, repr=False)
    _cipher: AESGCM = field(init=False, repr=False)
    _ciphers: dict[bytes, AESGCM] = field(init=False, repr=False)
    _finger: bytes = field(init=False, repr=False)
    _signing: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        derived = {name: hmac.digest(self.key, name.encode(), "sha256") for name in ("seal", "finger", "sign")}
        seals = self.seals or {0: derived["seal"]}
        ciphers = {header(number): AESGCM(key) for number, key in seals.items()}
        object.__setattr__(self, "number", max(seals))
        object.__setattr__(self, "_header", header(max(seals)))
        object.__setattr__(self, "_cipher", ciphers[self._header])
        object.__setattr__(self, "_ciphers", ciphers)
        object.__setattr__(self, "_finger", derived["finger"])
        object.__setattr__(self, "_signing", derived["sign"])

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """A sealed value; the context must be given again to open it."""
        nonce = os.urandom(NONCE)
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, context.encode())

    def seal_all(self, values: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """As `seal`, for many (plaintext, context): randomness is asked for a thousand at a time."""
        encrypt, head, random = self._cipher.encrypt, self._header, os.urandom
        found: list[bytes] = []
        rest = iter(values)
        while part := list(islice(rest, _AT_ONCE)):
            nonces = random(NONCE * len(part))
            of_each = [nonces[at : at + NONCE] for at in range(0, len(nonces), NONCE)]
            found += [
                head + nonce + encrypt(nonce, plaintext, context)
                for nonce, (plaintext, context) in zip(of_each, part, strict=True)
            ]
        return found

    def open(self, sealed: bytes, context: str) -> bytes:
        """The plaintext. Raises Broken."""
        cipher = self._ciphers.get(sealed[:HEADER]) or self._missing(sealed[:HEADER])
        if cipher is not None:
            try:
                return cipher.decrypt(sealed[HEADER : HEADER + NONCE], sealed[HEADER + NONCE :], context.encode())
            except (InvalidTag, ValueError):
                pass
        raise Broken(context.partition(":")[0])

    def _missing(self, head: bytes) -> AESGCM | None:
        for number, key in self.more().items():
            self._ciphers.setdefault(header(number), AESGCM(key))
        return self._ciphers.get(head)

    def fingerprint(self, kind: str, value: str) -> bytes:
        """32 bytes that stand for a value in look-ups; useless without the key."""
        return hmac.digest(self._finger, f"{kind}\0{value}".encode(), "sha256")

    def fingerprints(self, kind: str, values: Iterable[str]) -> list[bytes]:
        """As `fingerprint`, for many of a kind: HMAC (RFC 2104) from hashes that have taken in key and kind already."""
        key = self._finger.ljust(_HMAC_BLOCK, b"\0")
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + f"{kind}\0".encode()).copy
        outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key)).copy
        found = []
        for value in values:
            first, second = inner(), outer()
            first.update(value.encode())
            second.update(first.digest())
            found.append(second.digest())
        return found

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
