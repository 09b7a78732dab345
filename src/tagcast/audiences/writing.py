"""The text form of an expression, written."""

import json
import re
from typing import Any

from tagcast.audiences.spans import EVER, Span, counted, span_text
from tagcast.audiences.tree import (
    AMOUNTS,
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Op,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    TagLeaf,
    ThenLeaf,
)
from tagcast.behaviour import Where

_SIGNS: dict[Op, str] = {"is": "=", "is_not": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NAME = re.compile(r"[^\W\d]\w*(\.\w+)*")
_PROPERTY = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset(
    """not 非 all 所有人 全部 nobody 无人 tag 标签 segment 人群 did 做过 birthday anniversary 生日 周年
    received sent delivered opened clicked failed held_back held_out holdout""".split()
)
_RESERVED_PROPERTIES = frozenset(
    "times days sum average least most last next in today since before more until ever".split()
)


def to_text(expression: Expression) -> str:  # noqa: PLR0911, C901 - one return a kind of node
    """The text form; `parse` gives the same expression again."""
    match expression:
        case All():
            return "all"
        case Nobody():
            return "nobody"
        case And(parts):
            return " and ".join(_within(part, Or, And) for part in parts)
        case Or(parts):
            return " or ".join(_within(part, Or) for part in parts)
        case Not(part):
            return f"not {_within(part, Or, And)}"
        case SegmentLeaf(name):
            return f"segment({_quoted(name)})"
        case TagLeaf(path, account, exactly):
            return _call("tag", _quoted(path), _account(account), "exactly" if exactly else "")
        case FieldLeaf(name):
            return _condition(_name(name), expression.op, expression.value)
        case DateLeaf(name, during):
            return f"{_name(name)} {span_text(during)}"
        case BirthdayLeaf(name, during):
            return _call("birthday", _name(name), span_text(during))
        case RankLeaf(name, side, percent):
            return f"{_name(name)} {side} {_quoted(percent)} %"
        case DidLeaf():
            return _did_text(expression)
        case ThenLeaf(first, second, minutes, absent):
            did = f"not {_did_text(second)}" if absent else _did_text(second)
            return f"{_did_text(first)} then {did} within {_time_text(minutes)}"
        case SendLeaf():
            return _send_text(expression)


def _within(part: Expression, *bracketed: type[And] | type[Or]) -> str:
    text = to_text(part)
    return f"({text})" if isinstance(part, bracketed) else text


def _call(word: str, *said: str) -> str:
    return f"{word}({', '.join(one for one in said if one)})"


def _account(account: int | None) -> str:
    return "" if account is None else f"account {account}"


def _span(span: Span) -> str:
    return "" if span == EVER else span_text(span)


def _did_text(leaf: DidLeaf) -> str:
    return _call("did", _quoted(leaf.event), _figure(leaf), *map(_where, leaf.where), _span(leaf.during))


def _send_text(leaf: SendLeaf) -> str:
    named = {str: _quoted(leaf.sending), int: f"broadcast {leaf.sending}"}.get(type(leaf.sending), "any")
    if leaf.sending is None and leaf.account is not None:
        named = ""
    counted_text = "" if (leaf.op, leaf.value) == (">=", 1) else _condition("times", leaf.op, leaf.value)
    return _call(leaf.outcome, named, _account(leaf.account), counted_text, _span(leaf.during))


def _figure(leaf: DidLeaf) -> str:
    if leaf.measure in AMOUNTS:
        return _condition(f"{leaf.measure}(amount)", leaf.op, leaf.value, money=True)
    if (leaf.measure, leaf.op, leaf.value) == ("times", ">=", 1):
        return ""
    return _condition(leaf.measure, leaf.op, leaf.value)


def _where(where: Where) -> str:
    plain = _PROPERTY.fullmatch(where.name) is not None and where.name not in _RESERVED_PROPERTIES
    name = where.name if plain else f"`{where.name}`"
    return _condition(name, where.op, where.value, money=where.name == "amount")


def _time_text(minutes: int) -> str:
    if minutes % 1440 == 0:
        return counted(minutes // 1440)
    count, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _condition(name: str, op: Op, value: Any, *, money: bool = False) -> str:
    shown = _money if money else _quoted
    match op, value:
        case ("in", tuple(values)):
            return f"{name} in ({', '.join(shown(one) for one in values)})"
        case ("between", (low, high)):
            return f"{name} between {shown(low)} and {shown(high)}"
        case (("known" | "unknown"), _):
            return f"{name} {op}"
        case _:
            return f"{name} {_SIGNS[op]} {shown(value)}"


def _name(name: str) -> str:
    plain = _NAME.fullmatch(name) is not None and name.lower() not in _RESERVED
    return name if plain else f"`{name}`"


def _money(amount: int) -> str:
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
