"""The text form of a segment expression: one line, read by the grammar `segment.lark`.

tag("会员/金卡") and region = "华东" and rfm.m >= 4 and not segment("沉睡")
标签("会员/金卡") 且 地区 是 "华东" 且 非 人群("沉睡")
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from tagcast.audiences import rules
from tagcast.audiences.rules import (
    All,
    And,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Op,
    Or,
    Scalar,
    SegmentLeaf,
    TagLeaf,
)
from tagcast.kit.errors import Invalid

_COMPARE: dict[str, Op] = {
    "=": "is", "==": "is", "＝": "is", "!=": "is_not", "<>": "is_not", "≠": "is_not",
    "<": "<", "＜": "<", "<=": "<=", "≤": "<=", ">": ">", "＞": ">", ">=": ">=", "≥": ">=",
}  # fmt: skip
_SIGNS: dict[Op, str] = {"is": "=", "is_not": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NAME = re.compile(r"[^\W\d]\w*(\.\w+)*")
_RESERVED = frozenset({"not", "非", "all", "所有人", "全部", "nobody", "无人", "tag", "标签", "segment", "人群"})
_SHOWN = {
    "_OPEN": "(", "_CLOSE": ")", "_COMMA": ",", "_OR": "or", "_AND": "and", "_NOT": "not", "_ALL": "all",
    "_NOBODY": "nobody", "_TAG": 'tag("…")', "_SEGMENT": 'segment("…")', "_ACCOUNT": "account", "_EXACTLY": "exactly",
    "COMPARE": "= != < <= > >=", "IS": "is", "_IN": "in", "_BETWEEN": "between", "_KNOWN": "known",
    "_UNKNOWN": "unknown", "TRUE": "true", "FALSE": "false", "NAME": "field", "STRING": '"…"', "INTEGER": "123",
}  # fmt: skip
_LITERALS = frozenset({"STRING", "NUMBER", "INTEGER", "TRUE", "FALSE"})
_NODES = frozenset({"NAME", "QUOTED_NAME", "_TAG", "_SEGMENT", "_ALL", "_NOBODY", "_NOT"})


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
            # One bracket more than nodes nest: that of tag("…") and of in (…).
            if open_ > most.depth + 1 or nots > most.depth:
                raise rules.over("depth")
            if nodes > most.nodes:
                raise rules.over("nodes")
            if values > most.values + most.nodes:
                raise rules.over("values")
            yield token


def _string(token: Token) -> str:
    if token.startswith("“"):
        return str(token[1:-1])
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        raise _bad(token, str(token), ['\\" \\\\ \\n \\u4f1a']) from None


def _name(token: Token) -> str:
    return str(token[1:-1]) if token.type == "QUOTED_NAME" else str(token)


def _literal(token: Token) -> Scalar:
    match token.type:
        case "STRING":
            return _string(token)
        case "INTEGER":
            return int(token)
        case "NUMBER":
            return float(token)
        case kind:
            return kind == "TRUE"


@v_args(inline=True)
class _Builder(Transformer[Token, Expression]):
    """Makes the tree while the text is parsed."""

    def disjunction(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else Or(parts)

    def conjunction(self, *parts: Expression) -> Expression:
        return parts[0] if len(parts) == 1 else And(parts)

    def negated(self, part: Expression) -> Expression:
        return Not(part)

    def everyone(self) -> Expression:
        return All()

    def nobody(self) -> Expression:
        return Nobody()

    def tag(self, path: Token, *options: int | None) -> Expression:
        accounts = [option for option in options if option is not None]
        return TagLeaf(_string(path), accounts[-1] if accounts else None, None in options)

    def account(self, number: Token) -> int:
        return int(number)

    def exactly(self) -> None:
        return None

    def segment(self, name: Token) -> Expression:
        return SegmentLeaf(_string(name))

    def compared(self, name: Token, sign: Token, value: Token) -> Expression:
        op: Op = _COMPARE.get(sign) or ("is_not" if "not" in sign.lower() or sign.startswith("不") else "is")
        return FieldLeaf(_name(name), op, _literal(value))

    def values(self, *given: Token) -> tuple[Scalar, ...]:
        return tuple(_literal(value) for value in given)

    def listed(self, name: Token, values: tuple[Scalar, ...]) -> Expression:
        return FieldLeaf(_name(name), "in", values)

    def not_listed(self, name: Token, values: tuple[Scalar, ...]) -> Expression:
        return Not(self.listed(name, values))

    def between(self, name: Token, low: Token, high: Token) -> Expression:
        return FieldLeaf(_name(name), "between", (_literal(low), _literal(high)))

    def known(self, name: Token) -> Expression:
        return FieldLeaf(_name(name), "known")

    def unknown(self, name: Token) -> Expression:
        return FieldLeaf(_name(name), "unknown")


@cache
def _parser() -> Lark:
    grammar = (resources.files("tagcast") / "audiences" / "segment.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", transformer=_Builder(), postlex=_Guard(), maybe_placeholders=False)


def parse(text: str) -> Expression:
    """The expression of a text. Raises Invalid naming the place and what could stand there; Refused beyond a limit."""
    if len(text) > rules.limits().text_length:
        raise rules.over("text_length")
    try:
        expression: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(error, text) from None
    rules.check(expression)
    return expression  # type: ignore[no-any-return]  # Lark types its result as a tree; the transformer makes ours


def to_text(expression: Expression) -> str:  # noqa: PLR0911 - one return a kind of node
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
            options = ([f"account {account}"] if account is not None else []) + (["exactly"] if exactly else [])
            return f"tag({', '.join([_quoted(path), *options])})"
        case FieldLeaf():
            return _field_text(expression)


def _within(part: Expression, *bracketed: type[And] | type[Or]) -> str:
    text = to_text(part)
    return f"({text})" if isinstance(part, bracketed) else text


def _field_text(leaf: FieldLeaf) -> str:
    plain = _NAME.fullmatch(leaf.name) is not None and leaf.name.lower() not in _RESERVED
    name = leaf.name if plain else f"`{leaf.name}`"
    match leaf.op, leaf.value:
        case ("in", tuple(values)):
            return f"{name} in ({', '.join(_quoted(value) for value in values)})"
        case ("between", (low, high)):
            return f"{name} between {_quoted(low)} and {_quoted(high)}"
        case (("known" | "unknown") as op, _):
            return f"{name} {op}"
        case (op, value):
            return f"{name} {_SIGNS[op]} {_quoted(value)}"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


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
