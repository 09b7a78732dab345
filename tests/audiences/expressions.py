"""Random expressions, and what they mean to plain Python sets."""

from hypothesis import strategies as st

from tagcast.audiences import All, And, Expression, FieldLeaf, Nobody, Not, Or, SegmentLeaf, TagLeaf

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
any_leaves = st.one_of(
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
