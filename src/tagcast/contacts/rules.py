"""What identities and attribute values may be, and when two records are one person. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple, cast

from tagcast.kit.errors import Invalid

AttributeType = Literal["choice", "number", "date", "flag", "text"]
TYPES: tuple[AttributeType, ...] = ("choice", "number", "date", "flag", "text")
FREE_KINDS = ("customer_id", "unionid", "phone")
ACCOUNT_KINDS = ("openid", "external_userid", "member_id")
KIND_OF: Mapping[str, str] = {
    "official": "openid",
    "service": "openid",
    "wecom": "external_userid",
    "custom": "member_id",
}
"""Kind of account → the kind of identity by which it knows people."""
KINDS = FREE_KINDS + ACCOUNT_KINDS

EPOCH = date(1970, 1, 1)
EVERYONE = "contact"
"""The key of everyone who is there."""
HIGHEST = (1 << 31) - 1
"""The highest number of a contact: engines that answer from the lake have no unsigned numbers."""
_MOST_HOURS = 31 * 24
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_PHONE_NOISE = re.compile(r"[\s\-()（）]")
_CHINESE_MOBILE = re.compile(r"(?:\+?86|0086)?(1\d{10})")
_INTERNATIONAL = re.compile(r"\+?\d{6,15}")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d+")
_DAY = re.compile(r"(\d{4})[-/.年]?(\d{1,2})[-/.月]?(\d{1,2})日?(?:[T ]00:00(:00(\.0+)?)?)?")
_YES = frozenset({"true", "1", "yes", "y", "t", "是", "同意", "有"})
_NO = frozenset({"false", "0", "no", "n", "f", "否", "拒绝", "不同意", "无"})
_WIDEST = 1 << 62
_PLAIN_DIGITS = 12
"""So many digits, with the largest scale, are less than the widest number."""


class Identity(NamedTuple):
    """Under what a person is known: the kind, and the account it belongs to (0 for kinds that need none)."""

    kind: str
    account: int = 0

    @property
    def text(self) -> str:
        """`kind` or `kind:account`."""
        return f"{self.kind}:{self.account}" if self.account else self.kind


@dataclass(frozen=True, slots=True)
class PersonIn:
    """One person as told from outside: identities, and private texts (name, address …) that only the vault holds."""

    identities: Mapping[Identity, str]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A declared attribute. Numbers are kept times 10**scale; `purpose` says what it is collected for.

    Floors above describe what they compute in the same way, in a `family` of keys of their own; `choices` are the
    values of a closed choice.
    """

    name: str
    type: AttributeType
    purpose: str
    scale: int = 0
    label_zh: str = ""
    label_en: str = ""
    retention_days: int | None = None
    family: str = "attribute"
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key of its sets."""
        return f"{self.family}:{self.name}"


def check_attribute(attribute: Attribute) -> None:
    """Raises Invalid for a bad name, type, scale or a missing purpose."""
    if not _NAME.fullmatch(attribute.name):
        raise Invalid("contacts.bad_name", name=attribute.name)
    if attribute.type not in TYPES:
        raise Invalid("contacts.bad_type", name=attribute.name, type=attribute.type, known=", ".join(TYPES))
    if not attribute.purpose.strip():
        raise Invalid("contacts.no_purpose", name=attribute.name)
    if not 0 <= attribute.scale <= 6 or (attribute.scale and attribute.type != "number"):
        raise Invalid("contacts.bad_scale", name=attribute.name, scale=attribute.scale)


def check_identity(kind: str, account: int) -> Identity:
    """The identity named. Raises Invalid for an unknown kind, or an account where none or one belongs."""
    if kind not in KINDS:
        raise Invalid("contacts.bad_kind", kind=kind, known=", ".join(KINDS))
    if (kind in ACCOUNT_KINDS) != (account > 0):
        raise Invalid("contacts.bad_account", kind=kind, account=account)
    return Identity(kind, account)


def clean_identity(kind: str, value: str) -> str:
    """The value in its one spelling: phones as digits, Chinese mobiles without +86. Raises Invalid."""
    text = value.strip()
    if kind == "phone":
        text = _PHONE_NOISE.sub("", text)
        if _SCIENTIFIC.fullmatch(text) and "e" in text.lower():
            raise Invalid("contacts.phone_mangled")
        if (mobile := _CHINESE_MOBILE.fullmatch(text)) is not None:
            return mobile[1]
        if not _INTERNATIONAL.fullmatch(text):
            raise Invalid("contacts.bad_phone")
    if not text or len(text) > 128 or not text.isprintable():
        raise Invalid("contacts.bad_identity", kind=kind)
    return text


def clean_identities(kind: str, values: Sequence[str]) -> tuple[list[str | None], dict[int, Invalid]]:
    """As `clean_identity` for many: None for an empty value, and for a bad one, whose error stands by its index."""
    found: list[str | None] = [*map(str.strip, values)]
    bad: dict[int, Invalid] = {}
    if kind == "phone":
        asking = [at for at, text in enumerate(found) if text and not _plain_mobile(text)]
    elif "".join(cast("list[str]", found)).isprintable() and max(map(len, cast("list[str]", found)), default=0) <= 128:
        asking = []
    else:
        asking = [at for at, text in enumerate(found) if text]
    for at in asking:
        try:
            found[at] = clean_identity(kind, values[at])
        except Invalid as error:
            found[at], bad[at] = None, error
    return ([text or None for text in found] if "" in found else found), bad


def _plain_mobile(text: str) -> bool:
    return len(text) == 11 and text[0] == "1" and text.isascii() and text.isdigit()


def parse_value(attribute: Attribute, value: object) -> int | str:
    """A value as it is kept: scaled integer, days since 1970-01-01, or text. Raises Invalid naming the attribute."""
    text = str(value).strip()
    match attribute.type:
        case "number":
            return _number(attribute, text)
        case "date":
            return value_of_day(value) if isinstance(value, date) else _day(attribute, text)
        case "flag":
            flag = parse_flag(text)
            if flag is None:
                raise Invalid("contacts.bad_flag", name=attribute.name)
            return "true" if flag else "false"
        case "choice":
            if not text or len(text) > 80 or not text.isprintable():
                raise Invalid("contacts.bad_choice", name=attribute.name)
            return text
        case _:
            if len(text) > 2000:
                raise Invalid("contacts.bad_text", name=attribute.name)
            return text


def parse_flag(text: str) -> bool | None:
    """Yes or no in the usual spellings, else None."""
    word = text.strip().lower()
    return True if word in _YES else False if word in _NO else None


def parse_day(text: str) -> date | None:
    """A calendar day: 20260102, 2026-01-02, 2026/1/2, 2026年1月2日; None for anything else."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def value_of_day(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def shown(attribute: Attribute, kept: int | str) -> Any:
    """A kept value for people and exports: Decimal, date, bool or text."""
    if isinstance(kept, str):
        return kept == "true" if attribute.type == "flag" else kept
    if attribute.type == "date":
        return EPOCH + timedelta(days=kept)
    return Decimal(kept).scaleb(-attribute.scale) if attribute.scale else kept


def _number(attribute: Attribute, text: str) -> int:
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdigit():
        return int(text + "0" * attribute.scale)
    try:
        scaled = Decimal(text.replace(",", "")).scaleb(attribute.scale)
        kept = int(scaled) if scaled.is_finite() and abs(scaled) < _WIDEST else None
    except InvalidOperation:
        kept = None
    if kept is None:
        raise Invalid("contacts.bad_number", name=attribute.name)
    if kept != scaled:
        raise Invalid("contacts.too_precise", name=attribute.name, scale=attribute.scale)
    return kept


def _day(attribute: Attribute, text: str) -> int:
    day = parse_day(text)
    if day is None:
        raise Invalid("contacts.bad_date", name=attribute.name)
    return value_of_day(day)


def check_every(hours: int) -> int:
    """How often an account is compared with its platform, in hours; 0: never. Raises Invalid outside of a month."""
    if not 0 <= hours <= _MOST_HOURS:
        raise Invalid("contacts.sync_every", hours=hours, most=_MOST_HOURS)
    return hours
