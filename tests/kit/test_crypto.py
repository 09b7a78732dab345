"""The vault: what is sealed opens only with its key and its context; one text is sealed differently each time."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagcast.kit import crypto
from tagcast.kit.crypto import Broken, Vault
from tagcast.kit.errors import Invalid, Unavailable

ONE, TWO = Vault(bytes(32)), Vault(bytes([1]) * 32)


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_is_sealed_opens_with_its_context(plaintext: bytes, context: str) -> None:
    assert ONE.open(ONE.seal(plaintext, context), context) == plaintext


def test_another_key_context_or_byte_opens_nothing() -> None:
    sealed = ONE.seal(b"13800000000", "contact:1")
    changed = bytes([sealed[-1] ^ 1])
    for vault, text, context in (
        (TWO, sealed, "contact:1"),
        (ONE, sealed, "contact:2"),
        (ONE, sealed[:-1] + changed, "contact:1"),
        (ONE, b"short", "contact:1"),
    ):
        with pytest.raises(Broken):
            vault.open(text, context)


def test_one_text_is_sealed_differently_each_time_and_found_by_its_fingerprint() -> None:
    assert ONE.seal(b"x", "c") != ONE.seal(b"x", "c")
    assert ONE.fingerprint("phone", "1") == ONE.fingerprint("phone", "1")
    assert len({ONE.fingerprint("phone", "1"), ONE.fingerprint("openid", "1"), TWO.fingerprint("phone", "1")}) == 3


def test_a_signature_is_good_for_one_purpose_and_one_message() -> None:
    signature = ONE.sign("link", b"42")
    assert ONE.verify("link", b"42", signature)
    assert not ONE.verify("page", b"42", signature)
    assert not ONE.verify("link", b"43", signature)
    assert not TWO.verify("link", b"42", signature)


def test_a_vault_does_not_show_its_key() -> None:
    assert "0000" not in repr(ONE)
    assert "\\x00" not in repr(ONE)


def test_the_master_key_is_written_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    crypto.write_master_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [len(key) for key in crypto.read_master_keys("", file)] == [32]
    with pytest.raises(FileExistsError):
        crypto.write_master_key(file)
    file.chmod(0o640)
    with pytest.raises(Invalid, match="read by others"):
        crypto.read_master_keys("", file)


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"too short").decode()])
def test_an_unusable_master_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        crypto.read_master_keys(text, tmp_path / "none")
    assert caught.value.code == "kit.bad_key"


def test_a_missing_master_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        crypto.read_master_keys("", tmp_path / "none")
    assert str(tmp_path / "none") in caught.value.text("zh")


def test_a_digest_respects_the_borders_of_its_parts() -> None:
    assert crypto.digest("ab", "c") != crypto.digest("a", "bc")
    assert crypto.digest("ab") == crypto.digest(b"ab")
