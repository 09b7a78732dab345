"""The text form of a segment expression: one line, read by the grammar `segment.lark`; `writing` writes it.

tag("会员/金卡") and region = "华东" and rfm.m >= 4 and not segment("沉睡")
标签("会员/金卡") 且 地区 是 "华东" 且 非 人群("沉睡")
did("purchase", times >= 2, last 30 days) and not opened("双十一预热")
做过("purchase", 次数 >= 2, 近 30 天) 且 非 打开过("双十一预热")
"""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, UnexpectedInput
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from tagcast.audiences import rules
from tagcast.audiences.builder import BadString, Builder
from tagcast.audiences.rules import Expression
from tagcast.audiences.writing import to_text
from tagcast.kit.errors import Invalid

__all__ = ["parse", "to_text"]

_SHOWN = {
    "_OPEN": "(", "_CLOSE": ")", "_COMMA": ",", "_OR": "or", "_AND": "and", "_NOT": "not", "_ALL": "all",
    "_NOBODY": "nobody", "_TAG": 'tag("…")', "_SEGMENT": 'segment("…")', "_DID": 'did("…")',
    "OUTCOME": 'received("…")', "_BIRTHDAY": "birthday(…)", "_ACCOUNT": "account", "_EXACTLY": "exactly",
    "COMPARE": "= != < <= > >=", "IS": "is", "_IN": "in", "_BETWEEN": "between", "_KNOWN": "known",
    "_UNKNOWN": "unknown", "TRUE": "true", "FALSE": "false", "NAME": "field", "STRING": '"…"', "INTEGER": "123",
    "_LAST": "last 30 days", "_NEXT": "next 7 days", "_SINCE": "since", "_BEFORE": "before", "_UNTIL": "until",
    "DATE": "2026-01-31", "_TODAY": "today", "_DAYS": "days", "_AGO": "ago", "_TO": "to", "_EVER": "ever",
    "SIDE": "top 10 %", "_PERCENT": "%", "COUNTED": "times", "AMOUNT": "sum(amount)", "_MONEY": "amount",
    "_ANY": "any", "_BROADCAST": "broadcast 12", "_THEN": "then", "_WITHIN": "within 7 days",
    "UNIT": "days / hours / minutes",
}  # fmt: skip
_LITERALS = frozenset({"STRING", "NUMBER", "INTEGER", "TRUE", "FALSE", "DATE"})
_NODES = frozenset(
    {"NAME", "QUOTED_NAME", "_TAG", "_SEGMENT", "_ALL", "_NOBODY", "_NOT", "_DID", "OUTCOME", "_BIRTHDAY"}
)


class _Guard:
    """Watches the tokens as they come, so that a text beyond the limits is refused before it is read to its end."""

    always_accept: Iterable[str] = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        most = rules.limits()
        open_, nots, nodes, values = 0, 0, 0, 0
        for token in stream:
            kind = token.type
            open_ += (kind == "_OPEN") - (kind == "_CLOSE")
            nots = nots + 1 if kind == "_NOT" else 0
            nodes += kind in _NODES
            values += kind in _LITERALS
            # Two brackets more than nodes nest: those of did("…", a in (…)).
            if open_ > most.depth + 2 or nots > most.depth:
                raise rules.over("depth")
            if nodes > most.nodes:
                raise rules.over("nodes")
            if values > most.values + most.nodes:
                raise rules.over("values")
            yield token


@cache
def _parser() -> Lark:
    grammar = (resources.files("tagcast") / "audiences" / "segment.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", transformer=Builder(), postlex=_Guard(), maybe_placeholders=False)


def parse(text: str) -> Expression:
    """The expression of a text. Raises Invalid naming the place and what could stand there; Refused beyond a limit."""
    if len(text) > rules.limits().text_length:
        raise rules.over("text_length")
    try:
        expression: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(error, text) from None
    except BadString as error:
        raise _bad(error.args[0], str(error.args[0]), ['\\" \\\\ \\n \\u4f1a']) from None
    rules.check(expression)
    return expression  # type: ignore[no-any-return]  # Lark types its result as a tree; the transformer makes ours


def _bad(place: Token | UnexpectedInput, found: str, expected: Iterable[str]) -> Invalid:
    shown = "  ".join(dict.fromkeys(expected))
    return Invalid("audiences.bad_text", line=place.line, column=place.column, found=found[:40], expected=shown)


def _unexpected(error: UnexpectedInput, text: str) -> Invalid:
    match error:
        case UnexpectedToken():
            names, found = error.accepts or error.expected, str(error.token)
        case UnexpectedCharacters():
            names, found = error.allowed or set(), error.char
        case _:
            names, found = set(), ""
    expected = [shown for name, shown in _SHOWN.items() if name in names]
    if found:
        return _bad(error, found, expected)
    lines = text.rstrip().split("\n")
    shown = "  ".join(dict.fromkeys(expected))
    return Invalid("audiences.text_ends", line=len(lines), column=len(lines[-1]) + 1, expected=shown)
