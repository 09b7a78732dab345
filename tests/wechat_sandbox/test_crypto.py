"""The callback cryptography against two public vectors: WeCom's address check, and Tencent's sample message."""

import pytest

from wechat_sandbox import crypto

_ADDRESS_CHECK = (
    "4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws",
    ("kjr2TKI8umCBfVF3wAHk8JiPwma5VBme", "1583940690", "VHh7ymSeb0jc4lSb"),
    "6KmUQuPVu7UhjyVqRdbo5SfcRqaHvbUlKSHFvBV2ZuR6TIlKsygcfeSd1GDplg1C5KSKr6UPHCaC/nIX3ZNt9w==",
    "1ba3cb09c0d2c2b3ed6900d37f91a6efae6cb011",
)
_MESSAGE = (
    "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
    ("QDG6eK", "1409659813", "1372623149"),
    (
        "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3"
        "TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gs"
        "ijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUa"
        "x5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIG"
        "HBZZIs2pDBS8R07+qN+E7Q=="
    ),
    "477715d11cdb4164915debcba66cb864d751f3e6",
)


def test_the_address_check_of_wecom() -> None:
    key, parts, encrypted, expected = _ADDRESS_CHECK
    assert crypto.signature(*parts, encrypted) == expected
    assert crypto.decrypt(key, encrypted) == (b"94966531020182955848408", "ww6a112864f8022910")


def test_the_message_of_the_platforms_sample_has_a_pad_longer_than_an_aes_block() -> None:
    key, parts, encrypted, expected = _MESSAGE
    assert crypto.signature(*parts, encrypted) == expected
    message, receiver = crypto.decrypt(key, encrypted)
    assert receiver == "wx5823bf96d3bd56c7"
    assert b"<Content><![CDATA[hello]]></Content>" in message


@pytest.mark.parametrize("length", [0, 1, 15, 31, 32, 33, 500])
def test_what_is_encrypted_comes_back(length: int) -> None:
    key, message = crypto.new_key(), b"x" * length
    assert len(key) == 43
    assert crypto.decrypt(key, crypto.encrypt(key, message, "wx1")) == (message, "wx1")
