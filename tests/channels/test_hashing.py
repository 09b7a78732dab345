"""Files of hashed ids."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagcast.channels.ads import IdKind, hash_file


def lines(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["ids.txt"]
        return archive.read("ids.txt").decode().splitlines()


def test_phones_are_hashed_as_eleven_digits() -> None:
    spellings = ["13800138000", "+86 138-0013-8000", "8613800138000", "(138) 0013 8000"]
    assert lines(hash_file(IdKind.PHONE_MD5, spellings)) == ["7945bd83237335e5376ff44d62e4f0ae"]
    assert lines(hash_file(IdKind.PHONE_SHA256, spellings)) == [
        "a6942f9771d67f34034d2f1926988ed3fad3bf1b4e7cedb9a31f31398dea43bc"
    ]


@pytest.mark.parametrize("phone", ["", "12345", "12800138000", "138001380001", "1380013800a", "8613800138"])
def test_what_is_no_number_is_refused_and_not_named(phone: str) -> None:
    with pytest.raises(ValueError, match="mobile number") as caught:
        hash_file(IdKind.PHONE_MD5, [phone])
    assert not phone or phone not in str(caught.value)


@given(st.lists(st.text(st.characters(codec="ascii", categories=["L", "Nd"]), min_size=1, max_size=30)))
def test_openids_are_kept_once_and_the_same_ids_give_the_same_file(openids: list[str]) -> None:
    made = hash_file(IdKind.OPENID, openids)
    assert lines(made) == sorted(set(openids))
    assert hash_file(IdKind.OPENID, reversed(openids)) == made
