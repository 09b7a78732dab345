"""What an account is, and what may be one."""

import base64
import binascii
import re
import secrets as random
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tagcast.channels.webhook import is_secret, new_secret
from tagcast.kit.errors import Invalid

Kind = Literal["wecom", "official", "service", "custom"]
KINDS: tuple[Kind, ...] = get_args(Kind)

BASE_URLS = {
    "wecom": "https://qyapi.weixin.qq.com",
    "official": "https://api.weixin.qq.com",
    "service": "https://api.weixin.qq.com",
}

_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_APPID = re.compile(r"[A-Za-z0-9_-]{4,64}")
SHAPES = {
    "wecom": re.compile(r"w[wx][A-Za-z0-9]{16}"),
    "official": re.compile(r"wx[0-9a-f]{16}"),
    "service": re.compile(r"wx[0-9a-f]{16}"),
}
"""A corpid (企业ID) or AppID as the platforms give them; a platform elsewhere may have its own."""
_CALLBACK_TOKEN = re.compile(r"[A-Za-z0-9]{1,32}")
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")


@dataclass(frozen=True, slots=True)
class Account:
    """One WeChat account (渠道账号), without its secrets.

    `appid` is the corpid of a `wecom` account; `callback_path` is the random part of the address for the platform.
    """

    id: int
    kind: Kind
    name: str
    appid: str
    agentid: int | None
    base_url: str
    profile: str
    zone: str
    callback_path: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only the platform and we know. Never logged, never returned by the API."""

    secret: str = field(default="", repr=False)
    callback_token: str = field(default="", repr=False)
    encoding_aes_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is given to add an account. A `wecom` account gives `corpid`, an `official` or `service` one `appid`.

    The `base_url` of a `custom` one is the whole address of its receiver, its `secret` signs what is sent there.
    """

    kind: str
    name: str
    secret: str = field(default="", repr=False)
    appid: str = ""
    corpid: str = ""
    agentid: int | None = None
    callback_token: str = field(default="", repr=False)
    encoding_aes_key: str = field(default="", repr=False)
    base_url: str = ""
    profile: str = "article"
    zone: str = "Asia/Shanghai"


def check(new: NewAccount) -> tuple[Kind, str, str]:
    """The (kind, appid or corpid, base address) of an account that can be right. Raises Invalid, naming the field."""
    if new.kind not in KINDS:
        raise Invalid("accounts.unknown_kind", kind=new.kind, known=", ".join(KINDS))
    kind: Kind = new.kind
    if not _NAME.fullmatch(new.name) or new.name != new.name.strip():
        raise Invalid("accounts.bad_name", name=new.name)
    identifier = _identifier(new, kind)
    if kind == "custom" and not new.base_url:
        raise Invalid("accounts.missing", kind=kind, field="base_url")
    check_secret(kind, new.secret)
    check_callback(new.callback_token, new.encoding_aes_key)
    _check_zone(new.zone)
    if kind == "custom":
        return kind, identifier, _address(new.base_url, query=True)
    return kind, identifier, _address(new.base_url or BASE_URLS[kind]).rstrip("/")


def check_secret(kind: Kind, secret: str) -> None:
    """Raises Invalid for a secret that is missing, or has not the shape of the kind's."""
    if not secret:
        raise Invalid("accounts.missing", kind=kind, field="secret")
    if kind == "custom" and not is_secret(secret):
        raise Invalid("accounts.bad_webhook_secret")


def shape_of(kind: str) -> re.Pattern[str] | None:
    """What the platform's ids of a kind look like; None for a kind without a platform."""
    return SHAPES.get(kind)


def new_webhook_secret() -> str:
    """A random secret for a receiver of webhooks: `whsec_` and 24 bytes in base64."""
    return new_secret()


def new_callback_keys() -> tuple[str, str]:
    """A random callback token (32 letters and digits) and EncodingAESKey (43) for the platform's console."""
    while not _AES_KEY.fullmatch(key := base64.b64encode(random.token_bytes(32)).decode().rstrip("=")):
        continue
    return random.token_hex(16), key


def _identifier(new: NewAccount, kind: Kind) -> str:
    if kind == "custom":
        return new.appid
    name, value, other = ("corpid", new.corpid, new.appid) if kind == "wecom" else ("appid", new.appid, new.corpid)
    if not value or other:
        raise Invalid("accounts.missing", kind=kind, field=name)
    if not (_APPID if new.base_url.rstrip("/") not in ("", BASE_URLS[kind]) else SHAPES[kind]).fullmatch(value):
        raise Invalid("accounts.bad_field", field=name, value=value)
    return value


def check_callback(token: str, encoding_aes_key: str) -> None:
    """Raises Invalid for a pair of which one is missing or misshapen; none at all is well."""
    if bool(token) != bool(encoding_aes_key):
        raise Invalid("accounts.half_callback", field="encoding_aes_key" if token else "callback_token")
    if not token:
        return
    if not _CALLBACK_TOKEN.fullmatch(token):
        raise Invalid("accounts.bad_callback_token")
    if not _AES_KEY.fullmatch(encoding_aes_key) or not _decodes(encoding_aes_key):
        raise Invalid("accounts.bad_aes_key")


def _decodes(key: str) -> bool:
    try:
        return len(base64.b64decode(key + "=")) == 32
    except binascii.Error:
        return False


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("accounts.bad_field", field="zone", value=zone) from None


def _address(text: str, *, query: bool = False) -> str:
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    plain = all("!" <= character <= "~" for character in text)
    asked = "?" in text and not query
    if not usable or not plain or "@" in url.netloc or asked or url.fragment or len(text) > 300:
        raise Invalid("accounts.bad_field", field="base_url", value=text)
    return text
