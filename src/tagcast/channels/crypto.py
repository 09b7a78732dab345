"""Callback crypto, the same for 公众号, 服务号 and 企业微信, in secure mode (安全模式) only.

The platform's signature is a SHA-1 over an unseparated join, and its cipher has a fixed IV. Hence the order: strict
shapes first, so that no byte can move from one field into another; then the signature, in constant time; only then
decryption. Whatever fails, the caller sees one and the same `BadCallback`.

Source: developer.work.weixin.qq.com/document/path/90968 (加解密方案), developers.weixin.qq.com 消息加解密说明.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from xml.parsers import expat

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MAX_BODY = 64 * 1024
"""Largest callback body, in bytes."""
WINDOW_SECONDS = 300
"""How far a callback's timestamp may be from the present."""
_MAX_QUERY = 4096
_MAX_DEPTH = 12
_MAX_ELEMENTS = 2000
_MOST_PARAMS = 16

_TIMESTAMP = re.compile(r"[0-9]{10}")
_NONCE = re.compile(r"[A-Za-z0-9]{1,32}")
_SIGNATURE = re.compile(r"[0-9a-f]{40}")
_ENVELOPE = {"ToUserName", "AgentID", "Encrypt"}
# Spellings in which the platforms write, read without a parser; whatever is spelled otherwise goes to the parser, which
# gives the same for these.
_NEVER = r"\x00-\x08\x0b-\x1f\ufffe\uffff\]"
_ONE = rf"[ \t\n]*<([A-Za-z][A-Za-z0-9_]*)>(?:<!\[CDATA\[([^{_NEVER}]*)\]\]>|([^{_NEVER}<&]*))</\1>"
_ELEMENT = re.compile(_ONE)
_FLAT = re.compile(rf"<xml>(?:{_ONE})+[ \t\n]*</xml>[ \t\n]*")
_MAX_FLAT = 100
_PLAIN_ENVELOPE = re.compile(
    rb"<xml>[ \t\r\n]*(?:<ToUserName><!\[CDATA\[[\x20-\x5c\x5e-\x7e]*\]\]></ToUserName>[ \t\r\n]*)?"
    rb"<Encrypt><!\[CDATA\[([A-Za-z0-9+/]+={0,2})\]\]></Encrypt>[ \t\r\n]*"
    rb"(?:<AgentID><!\[CDATA\[[0-9]*\]\]></AgentID>[ \t\r\n]*)?</xml>[ \t\r\n]*"
)

T = TypeVar("T")

Fields = dict[str, Any]
"""A parsed XML element: texts, nested `Fields`, or lists of either where a name repeats."""


class BadCallback(Exception):
    """The callback is refused; why is not told."""

    def __init__(self) -> None:
        super().__init__("callback refused")


@lru_cache(maxsize=256)
def _cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


@dataclass(frozen=True, slots=True)
class CallbackKeys:
    """What an account and its platform share.

    `aes_key` is the EncodingAESKey of 43 characters, `receive_id` the appid or corpid.
    """

    token: str = field(repr=False)
    aes_key: str = field(repr=False)
    receive_id: str

    def __post_init__(self) -> None:
        """Raises ValueError when a part cannot be right; an empty receive id would authenticate nobody."""
        if not self.token or not self.receive_id or not re.fullmatch(r"[A-Za-z0-9]{43}", self.aes_key):
            raise ValueError("callback token, EncodingAESKey of 43 characters and receive id are all needed")

    def key(self) -> bytes:
        """The 32 bytes of the AES key."""
        return base64.b64decode(self.aes_key + "=")

    def cipher(self) -> Cipher[modes.CBC]:
        """AES-256-CBC with the fixed IV."""
        return _cipher(self.aes_key)


@dataclass(frozen=True, slots=True)
class Callback:
    """A genuine callback."""

    fields: Fields = field(repr=False)


def signature(token: str, timestamp: str, nonce: str, encrypted: str = "") -> str:
    """SHA-1 in hex of the sorted parts, joined; without `encrypted` it is the plain signature of a 公众号 URL check."""
    parts = [token, timestamp, nonce, encrypted] if encrypted else [token, timestamp, nonce]
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324 - the platform's algorithm


def open_callback(keys: CallbackKeys, query: bytes, body: bytes, *, now: int) -> Callback:
    """Check and decrypt one delivery. `query` is the raw query string, `now` Unix seconds. Raises `BadCallback`."""

    def check() -> Callback:
        params = _query(query)
        if params.get("encrypt_type", "aes") != "aes":
            raise BadCallback
        return Callback(_read_xml(_decrypt(keys, params, _encrypted(body), now)))

    return _guarded(check)


def open_echo(keys: CallbackKeys, query: bytes, *, now: int) -> bytes:
    """Answer of a 企业微信 URL check: the decrypted `echostr`. Raises `BadCallback`."""

    def check() -> bytes:
        params = _query(query)
        return _decrypt(keys, params, params["echostr"], now)

    return _guarded(check)


def plain_echo(token: str, query: bytes, *, now: int) -> bytes:
    """Answer of a 公众号 or 服务号 URL check: `echostr` as it came. Raises `BadCallback`."""

    def check() -> bytes:
        params = _query(query)
        echo = params["echostr"]
        if not re.fullmatch(r"[A-Za-z0-9]{1,64}", echo):
            raise BadCallback
        _check_signature(token, params, "signature", "", now)
        return echo.encode()

    return _guarded(check)


def encrypt_reply(keys: CallbackKeys, message: bytes, *, now: int, nonce: str = "") -> bytes:
    """The XML of an encrypted passive reply (also how a callback's body is made, apart from the signature's place)."""
    nonce = nonce or secrets.token_hex(8)
    encrypted = encrypt(keys, message)
    signed = signature(keys.token, str(now), nonce, encrypted)
    return (
        f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signed}]]></MsgSignature>"
        f"<TimeStamp>{now}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
    ).encode()


def encrypt(keys: CallbackKeys, message: bytes) -> str:
    """Base64 of AES-256-CBC over 16 random bytes, length, message, receive id, padded to multiples of 32."""
    plain = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + keys.receive_id.encode()
    pad = 32 - len(plain) % 32
    encryptor = keys.cipher().encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


def read_xml(body: bytes) -> Fields:
    """The children of the root element. Raises `BadCallback` for anything large, deep, broken, or with a DOCTYPE."""
    return _guarded(lambda: _read_xml(body))


def _read_xml(body: bytes) -> Fields:
    flat = _flat(body) if len(body) <= MAX_BODY else None
    return _Reader().read(body) if flat is None else flat


def _flat(body: bytes) -> Fields | None:
    """The fields of a message in the platforms' own plain spelling, one element after another; None for any other."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if _FLAT.fullmatch(text) is None:
        return None
    elements = _ELEMENT.findall(text, len("<xml>"))
    found: Fields = {name: (literal or plain).strip() for name, literal, plain in elements}
    return found if len(found) == len(elements) <= _MAX_FLAT else None


def _guarded(check: Callable[[], T]) -> T:
    try:
        return check()
    except (BadCallback, expat.ExpatError, LookupError, ValueError, TypeError, AttributeError, binascii.Error):
        raise BadCallback from None


def _encrypted(body: bytes) -> Any:
    """The one field of the envelope that counts."""
    plain = _PLAIN_ENVELOPE.fullmatch(body) if len(body) <= MAX_BODY else None
    if plain is not None:
        return plain[1].decode("ascii")
    envelope = read_xml(body)
    if not set(envelope) <= _ENVELOPE:
        raise BadCallback
    return envelope["Encrypt"]


def _query(query: bytes) -> dict[str, str]:
    if len(query) > _MAX_QUERY:
        raise BadCallback
    if b"%" not in query and b"+" not in query:
        pieces = [piece.split("=") for piece in query.decode("ascii").split("&")]
        if len(pieces) <= _MOST_PARAMS and all(len(piece) == 2 for piece in pieces):
            plain = {name: value for name, value in pieces}  # noqa: C416 - two strings each, which dict() cannot know
            if len(plain) != len(pieces):
                raise BadCallback
            return plain
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_PARAMS)
    params = dict(pairs)
    if len(params) != len(pairs):
        raise BadCallback
    return params


def _check_signature(token: str, params: dict[str, str], name: str, encrypted: str, now: int) -> None:
    timestamp, nonce, given = params["timestamp"], params["nonce"], params[name]
    shapes = _TIMESTAMP.fullmatch(timestamp) and _NONCE.fullmatch(nonce) and _SIGNATURE.fullmatch(given)
    if not shapes or abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise BadCallback
    if not hmac.compare_digest(signature(token, timestamp, nonce, encrypted), given):
        raise BadCallback


def _decrypt(keys: CallbackKeys, params: dict[str, str], encrypted: str, now: int) -> bytes:
    cipher = binascii.a2b_base64(encrypted)
    # Only the one canonical spelling comes back as it was.
    if len(cipher) % 32 or len(cipher) < 32 or binascii.b2a_base64(cipher, newline=False).decode() != encrypted:
        raise BadCallback
    _check_signature(keys.token, params, "msg_signature", encrypted, now)
    decryptor = keys.cipher().decryptor()
    plain = decryptor.update(cipher) + decryptor.finalize()
    pad = plain[-1]
    if not 1 <= pad <= 32 or plain[-pad:] != bytes([pad]) * pad:
        raise BadCallback
    receive_id = keys.receive_id.encode()
    end = len(plain) - pad - len(receive_id)
    if end < 20 or int.from_bytes(plain[16:20], "big") != end - 20 or plain[end : len(plain) - pad] != receive_id:
        raise BadCallback
    return plain[20:end]


class _Reader:
    """XML to `Fields` by expat, with every construct refused that a callback has no use for."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.ProcessingInstructionHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._open: list[tuple[str, Fields, list[str]]] = []
        self._elements = 0
        self._root: Fields = {}

    def read(self, body: bytes) -> Fields:
        if len(body) > MAX_BODY:
            raise BadCallback
        self._parser.Parse(body, True)
        return self._root

    def _refuse(self, *_: object) -> None:
        raise BadCallback

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= _MAX_DEPTH or self._elements > _MAX_ELEMENTS or (not self._open and name != "xml"):
            raise BadCallback
        self._open.append((name, {}, []))

    def _text(self, text: str) -> None:
        self._open[-1][2].append(text)

    def _end(self, _name: str) -> None:
        name, children, texts = self._open.pop()
        if not self._open:
            self._root = children
            return
        value: Any = children or "".join(texts).strip()
        siblings = self._open[-1][1]
        if name not in siblings:
            siblings[name] = value
        elif isinstance(siblings[name], list):
            siblings[name].append(value)
        else:
            siblings[name] = [siblings[name], value]
