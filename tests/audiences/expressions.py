"""Random expressions, and what they mean to plain Python sets."""

from datetime import date

from hypothesis import strategies as st

from tagcast.audiences.rules import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    Span,
    TagLeaf,
    ThenLeaf,
)
from tagcast.behaviour import Where
from tagcast.outcomes import OUTCOMES

CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"))
NAMES = st.text(CHARACTERS, min_size=1, max_size=12).filter(str.strip)
FIELDS = NAMES.filter(lambda name: "`" not in name)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15)
SCALARS = st.text(CHARACTERS, max_size=8) | NUMBERS | st.booleans()

field_leaves = st.one_of(
    st.builds(FieldLeaf, FIELDS, st.sampled_from(["is", "is_not", "<", "<=", ">", ">="]), SCALARS),
    st.builds(FieldLeaf, FIELDS, st.just("in"), st.lists(SCALARS, min_size=1, max_size=4).map(tuple)),
    st.builds(FieldLeaf, FIELDS, st.just("between"), st.tuples(SCALARS, SCALARS)),
    st.builds(FieldLeaf, FIELDS, st.sampled_from(["known", "unknown"])),
)

OFFSETS = st.integers(-36525, 36525) | st.integers(-2, 2)
DATES = st.dates(date(1900, 1, 1), date(2199, 12, 31))
spans = st.one_of(
    st.just(Span()),
    st.tuples(OFFSETS, OFFSETS).map(lambda ends: Span(min(ends), max(ends))),
    st.tuples(DATES, DATES).map(lambda ends: Span(min(ends), max(ends))),
    st.builds(Span, st.none() | OFFSETS | DATES, st.none()),
    st.builds(Span, st.none(), OFFSETS | DATES),
    st.builds(Span, OFFSETS, DATES),
    st.builds(Span, DATES, OFFSETS),
)
told_spans = spans.filter(lambda span: span != Span())
CENTS = st.integers(-(10**15), 10**15) | st.integers(-200, 200)
COUNTS = st.integers(0, 10**9)
FIGURES = ["is", "is_not", "<", "<=", ">", ">="]


def _conditions(names: st.SearchStrategy[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[Where]:
    return st.one_of(
        st.builds(Where, names, st.sampled_from(FIGURES), values),
        st.builds(Where, names, st.just("in"), st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Where, names, st.just("between"), st.tuples(values, values)),
        st.builds(Where, names, st.sampled_from(["known", "unknown"])),
    )


PROPERTIES = (FIELDS | st.sampled_from(["times", "last", "金额", "ever", "price"])).filter(
    lambda name: name != "amount"
)
wheres = _conditions(PROPERTIES, SCALARS) | _conditions(st.just("amount"), CENTS)


def _figured(leaf: type, figures: st.SearchStrategy[int], **parts: st.SearchStrategy[object]) -> st.SearchStrategy:
    one = st.builds(leaf, op=st.sampled_from(FIGURES), value=figures, **parts)
    return one | st.builds(leaf, op=st.just("between"), value=st.tuples(figures, figures), **parts)


asked = {"event": NAMES, "during": spans, "where": st.lists(wheres, max_size=3).map(tuple)}
halves = st.builds(DidLeaf, **asked)
did_leaves = st.one_of(
    halves,
    _figured(DidLeaf, COUNTS, measure=st.sampled_from(["times", "days"]), **asked),
    _figured(DidLeaf, CENTS, measure=st.sampled_from(["sum", "average", "least", "most"]), **asked),
)
ACCOUNTS = st.none() | st.integers(1, 2**31 - 1)
sent = {"outcome": st.sampled_from(OUTCOMES), "sending": NAMES | ACCOUNTS, "account": ACCOUNTS, "during": spans}
new_leaves = st.one_of(
    did_leaves,
    st.builds(ThenLeaf, halves, halves, st.integers(1, 366 * 1440) | st.sampled_from([60, 1440]), st.booleans()),
    st.builds(SendLeaf, **sent),
    _figured(SendLeaf, COUNTS, **sent),
    st.builds(DateLeaf, FIELDS, told_spans),
    st.builds(
        BirthdayLeaf,
        FIELDS,
        st.tuples(st.integers(-36525, 36000), st.integers(0, 365)).map(lambda one: Span(one[0], one[0] + one[1])),
    ),
    st.builds(
        RankLeaf,
        FIELDS,
        st.sampled_from(["top", "bottom"]),
        st.integers(1, 100) | st.floats(0, 100, exclude_min=True),
    ),
)
any_leaves = st.one_of(
    new_leaves,
    st.just(All()),
    st.just(Nobody()),
    st.builds(TagLeaf, NAMES, st.none() | st.integers(1, 2**31 - 1), st.booleans()),
    st.builds(SegmentLeaf, NAMES),
    field_leaves,
)


def trees(leaves: st.SearchStrategy[Expression], size: int = 12) -> st.SearchStrategy[Expression]:
    """Expressions over given leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=size,
    )
