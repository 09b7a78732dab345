"""Callback crypto: public vectors, round trips, and the attacks that must fail."""

import base64
import random
import time
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tagcast.channels.crypto import (
    BadCallback,
    CallbackKeys,
    encrypt,
    encrypt_reply,
    open_callback,
    open_echo,
    plain_echo,
    read_xml,
    signature,
)

NOW = 1_780_000_000
KEYS = CallbackKeys(
    token="Tq7kLw", aes_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", receive_id="wx00000000000000a1"
)
EVENT = (
    b"<xml><ToUserName>gh_1</ToUserName><FromUserName><![CDATA[oPerson1]]></FromUserName><CreateTime>1779999999"
    b"</CreateTime><MsgType>event</MsgType><Event>subscribe</Event></xml>"
)

SAMPLE = CallbackKeys(
    token="QDG6eK", aes_key="jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", receive_id="wx5823bf96d3bd56c7"
)
SAMPLE_CIPHER = (
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TU"
    "UkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff"
    "0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVM"
    "NS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2p"
    "DBS8R07+qN+E7Q=="
)
ECHO = CallbackKeys(
    token="kjr2TKI8umCBfVF3wAHk8JiPwma5VBme",
    aes_key="4Ma3YBrSBbX2aez8MJpXGBne5LSDwgGqHbhM9WPYIws",
    receive_id="ww6a112864f8022910",
)


def envelope(encrypted: str, extra: str = "") -> bytes:
    return f"<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt>{extra}</xml>".encode()


def query_of(
    encrypted: str, *, timestamp: str = str(NOW), nonce: str = "n1x", token: str = KEYS.token, **extra: str
) -> bytes:
    signed = signature(token, timestamp, nonce, encrypted)
    return urlencode({"msg_signature": signed, "timestamp": timestamp, "nonce": nonce, **extra}).encode()


def refused(query: bytes, body: bytes, *, keys: CallbackKeys = KEYS, now: int = NOW) -> None:
    with pytest.raises(BadCallback) as error:
        open_callback(keys, query, body, now=now)
    assert str(error.value) == "callback refused"
    assert error.value.__cause__ is None


def test_the_platforms_message_sample_opens() -> None:
    query = b"msg_signature=477715d11cdb4164915debcba66cb864d751f3e6&timestamp=1409659813&nonce=1372623149"
    body = envelope(SAMPLE_CIPHER, "<AgentID>218</AgentID>")
    callback = open_callback(SAMPLE, query, body, now=1409659813 + 300)
    assert callback.fields == {
        "ToUserName": "wx5823bf96d3bd56c7",
        "FromUserName": "mycreate",
        "CreateTime": "1409659813",
        "MsgType": "text",
        "Content": "hello",
        "MsgId": "4561255354251345929",
        "AgentID": "218",
    }
    refused(query, body, keys=SAMPLE, now=1409659813 + 301)
    refused(query, body, keys=SAMPLE, now=1409659813 - 301)


def test_the_url_check_sample_opens() -> None:
    echo = "6KmUQuPVu7UhjyVqRdbo5SfcRqaHvbUlKSHFvBV2ZuR6TIlKsygcfeSd1GDplg1C5KSKr6UPHCaC/nIX3ZNt9w=="
    signed = "1ba3cb09c0d2c2b3ed6900d37f91a6efae6cb011"
    query = (
        f"echostr={quote(echo, safe='')}&msg_signature={signed}&timestamp=1583940690&nonce=VHh7ymSeb0jc4lSb".encode()
    )
    assert open_echo(ECHO, query, now=1583940690) == b"94966531020182955848408"
    with pytest.raises(BadCallback):
        open_echo(ECHO, query.replace(b"%2F", b"/").replace(b"011&", b"010&"), now=1583940690)


def test_a_plain_url_check_echoes_only_under_its_signature() -> None:
    signed = signature("Tq7kLw", str(NOW), "abc")
    query = f"signature={signed}&timestamp={NOW}&nonce=abc&echostr=".encode()
    assert plain_echo("Tq7kLw", query + b"7112345", now=NOW) == b"7112345"
    for bad in (query + b"%3Cscript%3E", query.replace(b"nonce=abc", b"nonce=abd") + b"7"):
        with pytest.raises(BadCallback):
            plain_echo("Tq7kLw", bad, now=NOW)


@pytest.mark.parametrize("length", [*range(70), 5000])
def test_every_length_makes_the_round_trip(length: int) -> None:
    message = b"<xml><Content>" + b"x" * length + b"</Content></xml>"
    encrypted = encrypt(KEYS, message)
    assert open_callback(KEYS, query_of(encrypted), envelope(encrypted), now=NOW).fields == {"Content": "x" * length}


def test_a_reply_is_signed_over_its_own_fields() -> None:
    reply = read_xml(encrypt_reply(KEYS, EVENT, now=NOW, nonce="abc"))
    assert (reply["TimeStamp"], reply["Nonce"]) == (str(NOW), "abc")
    assert reply["MsgSignature"] == signature(KEYS.token, str(NOW), "abc", reply["Encrypt"])
    query = f"msg_signature={reply['MsgSignature']}&timestamp={NOW}&nonce=abc".encode()
    fields = open_callback(KEYS, query, envelope(reply["Encrypt"]), now=NOW).fields
    assert fields["FromUserName"] == "oPerson1"


def test_plain_and_compatible_mode_are_refused() -> None:
    encrypted = encrypt(KEYS, EVENT)
    plain = f"signature={signature(KEYS.token, str(NOW), 'n1x')}&timestamp={NOW}&nonce=n1x".encode()
    refused(plain, EVENT)
    refused(query_of(encrypted, encrypt_type="raw"), envelope(encrypted))
    refused(query_of(encrypted), envelope(encrypted, "<Event>subscribe</Event>"))
    assert open_callback(KEYS, query_of(encrypted, encrypt_type="aes"), envelope(encrypted), now=NOW)


def shifts(encrypted: str, nonce: str) -> list[tuple[str, str, str]]:
    """(timestamp, nonce, ciphertext) whose sorted join can equal the genuine one, with the borders moved."""
    forged = [(str(NOW), nonce + encrypted[:cut], encrypted[cut:]) for cut in range(1, len(encrypted))]
    forged += [(str(NOW), encrypted[-cut:] + nonce, encrypted[:-cut]) for cut in range(1, len(encrypted))]
    forged += [(str(NOW) + encrypted[:cut], nonce, encrypted[cut:]) for cut in range(1, len(encrypted))]
    forged += [(str(NOW), nonce[:cut], nonce[cut:] + encrypted) for cut in range(len(nonce))]
    forged += [(str(NOW)[:cut], nonce, str(NOW)[cut:] + encrypted) for cut in range(10)]
    return forged


def test_moving_the_borders_between_fields_never_opens_a_message() -> None:
    """2,000 messages. Without the rules on shapes the signature alone accepts some of the forgeries."""
    dice = random.Random(7)
    signatures_that_hold = accepted = 0
    for _ in range(2000):
        nonce = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=dice.randint(1, 12)))
        encrypted = base64.b64encode(dice.randbytes(dice.choice([32, 64, 96]))).decode()
        genuine = signature(KEYS.token, str(NOW), nonce, encrypted)
        for timestamp, moved, rest in shifts(encrypted, nonce):
            if signature(KEYS.token, timestamp, moved, rest) != genuine:
                continue
            signatures_that_hold += 1
            query = urlencode({"msg_signature": genuine, "timestamp": timestamp, "nonce": moved}).encode()
            try:
                open_callback(KEYS, query, envelope(rest), now=NOW)
            except BadCallback:
                continue
            accepted += 1
    assert signatures_that_hold > 1000
    assert accepted == 0


def test_another_accounts_signature_key_or_receiver_is_refused() -> None:
    other = CallbackKeys(token="Other1", aes_key=KEYS.aes_key, receive_id="wx00000000000000b2")
    mine = encrypt(KEYS, EVENT)
    refused(query_of(mine, token="Other1"), envelope(mine))
    foreign = encrypt(other, EVENT)
    refused(query_of(foreign), envelope(foreign))
    longer = encrypt(CallbackKeys(token="Tq7kLw", aes_key=KEYS.aes_key, receive_id="x" + KEYS.receive_id), EVENT)
    refused(query_of(longer), envelope(longer))
    for empty in ({"receive_id": ""}, {"token": ""}, {"aes_key": "short"}):
        with pytest.raises(ValueError, match="needed"):
            CallbackKeys(**{"token": "a", "aes_key": KEYS.aes_key, "receive_id": "b", **empty})


def test_odd_spellings_are_refused() -> None:
    encrypted = encrypt(KEYS, EVENT)
    query = query_of(encrypted)
    signed = signature(KEYS.token, str(NOW), "n1x", encrypted)
    refused(query, envelope(encrypted.rstrip("=") + "===="))
    refused(query, envelope(encrypted + "\n<!-- -->"))
    refused(query, envelope(encrypted[:-4] + " " + encrypted[-4:]))
    refused(query + b"&nonce=n1x", envelope(encrypted))
    refused(query.replace(signed.encode(), signed.upper().encode()), envelope(encrypted))
    refused(query_of(encrypted, timestamp=f"0{NOW}"), envelope(encrypted))
    refused(query_of(encrypted, timestamp="１７８０００００００"), envelope(encrypted))
    refused(query_of(encrypted, nonce="a" * 33), envelope(encrypted))
    refused(query_of(encrypted, nonce=""), envelope(encrypted))
    refused(query_of(encrypted, nonce="a\n"), envelope(encrypted))
    refused(b"", envelope(encrypted))
    refused(b"\xff\xfe=1", envelope(encrypted))
    refused(query, envelope(encrypted, f"<Encrypt>{encrypted}</Encrypt>"))


def test_base64_with_spare_bits_is_refused_even_when_signed() -> None:
    encrypted = encrypt(KEYS, b"<xml><A>" + b"x" * 40 + b"</A></xml>")
    stem, padding = encrypted.rstrip("="), "=" * encrypted.count("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spellings = [stem[:-1] + last + padding for last in alphabet]
    same = [text for text in spellings if base64.b64decode(text) == base64.b64decode(encrypted) and text != encrypted]
    assert len(same) == 3
    for twisted in same:
        refused(query_of(twisted), envelope(twisted))


def sealed(plain: bytes) -> str:
    """Encrypts a layout of the caller's making with the right key and padding."""
    pad = 32 - len(plain) % 32
    encryptor = Cipher(algorithms.AES(KEYS.key()), modes.CBC(KEYS.key()[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


@pytest.mark.parametrize("claimed", [0, len(EVENT) - 1, len(EVENT) + 1, len(EVENT) + 18, 2**32 - 1])
def test_a_length_that_is_not_exact_is_refused_even_when_signed(claimed: int) -> None:
    tail = EVENT + KEYS.receive_id.encode()
    honest = sealed(bytes(16) + len(EVENT).to_bytes(4, "big") + tail)
    assert open_callback(KEYS, query_of(honest), envelope(honest), now=NOW).fields["Event"] == "subscribe"
    forged = sealed(bytes(16) + claimed.to_bytes(4, "big") + tail)
    refused(query_of(forged), envelope(forged))


def test_tampering_with_any_byte_looks_the_same() -> None:
    encrypted = encrypt(KEYS, EVENT)
    raw = base64.b64decode(encrypted)
    query = query_of(encrypted)
    assert open_callback(KEYS, query, envelope(encrypted), now=NOW)
    for position in range(len(raw)):
        for mask in (0x01, 0x80):
            changed = bytearray(raw)
            changed[position] ^= mask
            forged = base64.b64encode(bytes(changed)).decode()
            refused(query, envelope(forged))
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 0x40
        forged = base64.b64encode(bytes(changed)).decode()
        try:
            fields = open_callback(KEYS, query_of(forged), envelope(forged), now=NOW).fields
        except BadCallback:
            continue
        assert position < 16 or fields != read_xml(EVENT)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE xml><xml><A>1</A></xml>',
        b'<!DOCTYPE xml [<!ENTITY a SYSTEM "http://127.0.0.1:1/x">]><xml><A>&a;</A></xml>',
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><xml><A>&b;&b;&b;</A></xml>',
        b"<?xml-stylesheet href='http://127.0.0.1:1/'?><xml><A>1</A></xml>",
        b"<xml>" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</xml>",
        b"<xml>" + b"<a/>" * 3000 + b"</xml>",
        b"<xml><A>" + b"x" * 65_536 + b"</A></xml>",
        b"<other><A>1</A></other>", b"<xml><A>1</xml>", b"<xml>\xff</xml>", b"", b"{}", b"<xml/><xml/>",
    ],
)  # fmt: skip
def test_hostile_xml_is_refused_at_once(body: bytes) -> None:
    begin = time.perf_counter()
    with pytest.raises(BadCallback):
        read_xml(body)
    assert time.perf_counter() - begin < 0.05


def test_hostile_xml_inside_a_genuine_envelope_is_refused() -> None:
    encrypted = encrypt(KEYS, b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><A>&a;</A></xml>')
    refused(query_of(encrypted), envelope(encrypted))


def test_xml_keeps_nesting_and_repetition() -> None:
    body = b"<xml><A> x </A><L><item><N>1</N></item><item><N>2</N></item></L><B/></xml>"
    assert read_xml(body) == {"A": "x", "L": {"item": [{"N": "1"}, {"N": "2"}]}, "B": ""}


def test_secrets_do_not_show() -> None:
    assert "Tq7kLw" not in repr(KEYS)
    assert KEYS.aes_key not in repr(KEYS)
