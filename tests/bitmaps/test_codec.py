"""Numbers and pairs as sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast.bitmaps import pack_pairs

words = st.integers(0, 2**32 - 1)
pairs = st.lists(st.tuples(st.integers(0, 3) | words, st.integers(0, 5) | words))


@given(pairs)
def test_pairs_in_any_order_are_one_set_an_owner(given_pairs: list[tuple[int, int]]) -> None:
    owners = np.array([owner for owner, _ in given_pairs], dtype=np.int64)
    numbers = np.array([number for _, number in given_pairs], dtype=np.uint32)
    wanted = {owner: BitMap([number for one, number in given_pairs if one == owner]) for owner, _ in given_pairs}
    assert list(pack_pairs(owners, numbers)) == sorted(wanted.items())


def test_what_is_no_pair_of_numbers_is_refused() -> None:
    good = np.array([1, 2])
    with pytest.raises(ValueError, match="same length"):
        list(pack_pairs(good, np.array([1])))
    with pytest.raises(OverflowError):
        list(pack_pairs(good, np.array([1, -1])))
    with pytest.raises(OverflowError):
        list(pack_pairs(np.array([1, 2**32]), good))
    with pytest.raises(TypeError):
        list(pack_pairs(good, np.array([1.0, 2.0])))
