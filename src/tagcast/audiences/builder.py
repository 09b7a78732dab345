"""From the parts of a text, as the grammar `segment.lark` names them, to the tree of an expression."""

import json
from typing import Any, Literal, cast

from lark import Token, Transformer, v_args

from tagcast.audiences import forms, spans
from tagcast.audiences.spans import EVER, Day, Span
from tagcast.audiences.tree import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Measure,
    Nobody,
    Not,
    Op,
    Or,
    RankLeaf,
    Scalar,
    SegmentLeaf,
    SendLeaf,
    TagLeaf,
    ThenLeaf,
)
from tagcast.kit.errors import Invalid
from tagcast.outcomes import Outcome

_COMPARE: dict[str, Op] = {
    "=": "is", "==": "is", "＝": "is", "!=": "is_not", "<>": "is_not", "≠": "is_not",
    "<": "<", "＜": "<", "<=": "<=", "≤": "<=", ">": ">", "＞": ">", ">=": ">=", "≥": ">=",
}  # fmt: skip
_MEASURES: dict[str, Measure] = {
    "times": "times", "次数": "times", "days": "days", "天数": "days", "sum": "sum", "总额": "sum",
    "average": "average", "均额": "average", "least": "least", "最小额": "least", "most": "most", "最大额": "most",
}  # fmt: skip
_OUTCOMES: dict[str, Outcome] = {
    "received": "received", "sent": "received", "收到": "received", "收到过": "received",
    "delivered": "delivered", "送达": "delivered", "opened": "opened", "打开": "opened", "打开过": "opened",
    "clicked": "clicked", "点击": "clicked", "点击过": "clicked", "failed": "failed", "发送失败": "failed",
    "held_back": "held_back", "未发送": "held_back",
    "held_out": "held_out", "holdout": "held_out", "对照组": "held_out",
}  # fmt: skip
_MINUTES = {"minute": 1, "分钟": 1, "hour": 60, "小时": 60, "day": 1440, "天": 1440}
_PROPERTIES = {"金额": "amount", "数量": "quantity"}

Figure = tuple[Literal["figure"], tuple[Measure, Op, Any]]
Said = tuple[str, Any]


class BadString(Exception):
    """A text in quotes with an escape that JSON does not know; the argument is its token."""


def _string(token: Token) -> str:
    if token.startswith("“"):
        return str(token[1:-1])
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        raise BadString(token) from None


def _name(token: Token) -> str:
    if token.type == "PROPERTY_WORD":
        return _PROPERTIES[token]
    return str(token[1:-1]) if token.type == "QUOTED_NAME" else str(token)


def _literal(token: Token) -> Scalar:
    match token.type:
        case "STRING":
            return _string(token)
        case "INTEGER":
            return int(token)
        case "NUMBER":
            return float(token)
        case "DATE":
            return str(token)
        case kind:
            return kind == "TRUE"


def _op(sign: Token) -> Op:
    return _COMPARE.get(sign) or ("is_not" if "not" in sign.lower() or sign.startswith("不") else "is")


def _days(token: Token, *, least: int = 0) -> int:
    if int(token) < least:
        raise Invalid("audiences.no_days", found=str(token)[:40], least=least)
    return int(token)


def _minutes(number: Token, unit: Token) -> int:
    word = unit.lower()
    return int(number) * _MINUTES[word.removesuffix("s").removesuffix("内")]


def _once(said: list[Said], leaf: str) -> dict[str, Any]:
    """What was said in a leaf's brackets, by kind. Raises Invalid for the same kind twice."""
    found: dict[str, Any] = {}
    for kind, value in said:
        if kind in found:
            raise Invalid("audiences.twice", leaf=leaf, kind=kind)
        found[kind] = value
    return found


@v_args(inline=True)
class Builder(Transformer[Token, Expression]):
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

    def tag(self, path: Token, *said: Said) -> Expression:
        found = _once(list(said), "tag")
        return TagLeaf(_string(path), found.get("account"), "exactly" in found)

    def account(self, number: Token) -> Said:
        return "account", int(number)

    def exactly(self) -> Said:
        return "exactly", True

    def segment(self, name: Token) -> Expression:
        return SegmentLeaf(_string(name))

    def compared(self, name: Token, sign: Token, value: Token) -> FieldLeaf:
        return FieldLeaf(_name(name), _op(sign), _literal(value))

    def values(self, *given: Token) -> tuple[Scalar, ...]:
        return tuple(_literal(value) for value in given)

    def listed(self, name: Token, values: tuple[Scalar, ...]) -> FieldLeaf:
        return FieldLeaf(_name(name), "in", values)

    def not_listed(self, name: Token, values: tuple[Scalar, ...]) -> Expression:
        return Not(self.listed(name, values))

    def between(self, name: Token, low: Token, high: Token) -> FieldLeaf:
        return FieldLeaf(_name(name), "between", (_literal(low), _literal(high)))

    def known(self, name: Token) -> FieldLeaf:
        return FieldLeaf(_name(name), "known")

    def unknown(self, name: Token) -> FieldLeaf:
        return FieldLeaf(_name(name), "unknown")

    def during(self, name: Token, span: Span) -> Expression:
        return DateLeaf(_name(name), span)

    def ranked(self, name: Token, side: Token, percent: Token) -> Expression:
        return RankLeaf(
            _name(name), "top" if side.lower() in ("top", "前") else "bottom", cast(float, _literal(percent))
        )

    def birthday(self, name: Token, span: Span) -> Expression:
        return BirthdayLeaf(_name(name), span)

    def did(self, event: Token, *said: Span | Figure | FieldLeaf) -> DidLeaf:
        where = tuple(forms.where_of(one.name, one.op, one.value) for one in said if isinstance(one, FieldLeaf))
        found = _once([_said(one) for one in said if not isinstance(one, FieldLeaf)], "did")
        measure, op, value = found.get("figure", ("times", ">=", 1))
        figures: Any = forms.figures(measure, op, value)
        return DidLeaf(_string(event), found.get("span", EVER), measure, op, figures, where)

    def followed(self, first: DidLeaf, second: DidLeaf, number: Token, unit: Token) -> Expression:
        return ThenLeaf(first, second, _minutes(number, unit))

    def not_followed(self, first: DidLeaf, second: DidLeaf, number: Token, unit: Token) -> Expression:
        return ThenLeaf(first, second, _minutes(number, unit), absent=True)

    def outcome(self, word: Token, *said: Said | Span) -> Expression:
        found = _once([_said(one) for one in said], word.lower())
        measure, op, value = found.get("figure", ("times", ">=", 1))
        if measure != "times":
            raise Invalid("audiences.times_only", leaf=word.lower(), measure=measure)
        figures: Any = forms.figures(measure, op, value)
        return SendLeaf(
            _OUTCOMES[word.lower()], found.get("sending"), found.get("account"), found.get("span", EVER), op, figures
        )

    def named(self, name: Token) -> Said:
        return "sending", _string(name)

    def any(self) -> Said:
        return "sending", None

    def broadcast(self, number: Token) -> Said:
        return "sending", int(number)

    def amount(self, word: Token) -> Token:
        return word

    def figure(self, measure: Token, sign: Token, value: Token) -> Figure:
        return "figure", (_MEASURES[measure.lower()], _op(sign), _literal(value))

    def figures(self, measure: Token, low: Token, high: Token) -> Figure:
        return "figure", (_MEASURES[measure.lower()], "between", (_literal(low), _literal(high)))

    def one_day(self, day: Day) -> Span:
        return Span(day, day)

    def from_to(self, first: Day, last: Day) -> Span:
        return Span(first, last)

    def last(self, days: Token) -> Span:
        return spans.last_days(_days(days, least=1))

    def next(self, days: Token) -> Span:
        return spans.next_days(_days(days, least=1))

    def from_to_ago(self, least: Token, most: Token) -> Span:
        return Span(-_days(most), -_days(least))

    def from_to_ahead(self, least: Token, most: Token) -> Span:
        return Span(_days(least), _days(most))

    def since(self, day: Day) -> Span:
        return Span(day, None)

    def before(self, day: Day) -> Span:
        return spans.before(day)

    def more_than(self, days: Token) -> Span:
        return spans.before(-_days(days))

    def until(self, day: Day) -> Span:
        return spans.until(day)

    def ever(self) -> Span:
        return EVER

    def date(self, token: Token) -> Day:
        day = spans.read_day(token)
        if day is None:
            raise Invalid("audiences.no_such_day", day=str(token))
        return day

    def today(self) -> Day:
        return 0

    def ago(self, days: Token) -> Day:
        return -_days(days)

    def ahead(self, days: Token) -> Day:
        return _days(days)


def _said(one: Span | Said | Figure) -> Said:
    return ("span", one) if isinstance(one, Span) else one
