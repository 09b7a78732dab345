"""Fuzzing of what the platforms push: `python -m tests.inbox.fuzz --minutes 10 [--seed 7] [--only NUMBER]`.

Each case comes from (seed, number) alone, so that it can be made again. Three kinds:

- an outsider changes genuine requests that he has seen: whatever he does, it is refused, or means what it meant;
- the holder of the token signs what is broken inside (ciphertext, padding, length, receiver): refused;
- the holder of both keys sends any XML: no other end than taken or `BadCallback`, whatever is taken can be stored, and
  the plain spellings' reader agrees with the parser.

A case that breaks this is written to a file (JSON; query and body in base64).
"""

import argparse
import base64
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tagcast.channels import BadCallback, CallbackKeys, encrypt, normalise, open_callback, open_echo, signature
from tagcast.channels.crypto import Fields, read_xml

NOW = 1_780_000_000
KEYS = CallbackKeys("Tq7kLw", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx00000000000000a1")
INTERESTING = [
    *(b"\x00", b"\xff\xfe", b"]]>", b"<![CDATA[", b"&lt;", b"&#0;", b"&a;", b"%00", b"%", b"+", b"=", b"&"),
    *(b"<!--", b"-->", b"<?x?>", b"<!DOCTYPE x>", b"<xml>", b"</xml>", b"<Encrypt>", b"</Encrypt>", b" xmlns='u'"),
    *(b"\r\n", b"\x0c", b"\xe3\x80\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc0\xaf", b"\xf0\x9f\x98\x80"),
    *(b"\xef\xbf\xbe", b"9" * 30, b"-1", b"1e9"),
]
NAMES = (
    "ToUserName FromUserName CreateTime MsgType Event EventKey MsgId MsgID Content Status ChangeType UserID State item"
    " ExternalUserID TotalCount FilterCount SentCount ErrorCount ScanCodeInfo xml X-1"
).split()
VALUES = [
    *("o-1", "1780000000", "event", "text", "subscribe", "unsubscribe", "MASSSENDJOBFINISH", "TEMPLATESENDJOBFINISH"),
    *("change_external_contact", "add_external_contact", "-5", "9" * 25, "qrscene_7", "success", "退订", "", " a "),
    *("\u3000全角\u3000", "\U0001d4b3", "e\u0301"),
]


@dataclass(frozen=True)
class Case:
    """A request; `allowed`: what it may mean when it is taken, None for anything, () for nothing."""

    kind: str
    query: bytes
    body: bytes
    allowed: tuple[Fields, ...] | None


class Broken(Exception):
    """A promise that a case breaks."""


def genuine(dice: random.Random) -> tuple[bytes, bytes, Fields]:
    """A request as the platform makes it, and what it means."""
    fields = {
        "ToUserName": "gh_1",
        "FromUserName": f"o-{dice.randrange(10**6)}",
        "CreateTime": str(NOW - dice.randrange(100)),
        **dice.choice(
            [
                {"MsgType": "event", "Event": "subscribe", "EventKey": "qrscene_7"},
                {"MsgType": "text", "Content": "x" * dice.randrange(80), "MsgId": str(dice.randrange(10**16))},
            ]
        ),
    }
    xml = "<xml>" + "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items()) + "</xml>"
    encrypted = encrypt(KEYS, xml.encode())
    return query_of(encrypted, f"n{dice.randrange(10**9)}"), envelope(encrypted), fields


def query_of(encrypted: str, nonce: str = "n1x", at: int = NOW) -> bytes:
    signed = signature(KEYS.token, str(at), nonce, encrypted)
    return urlencode({"msg_signature": signed, "timestamp": at, "nonce": nonce, "encrypt_type": "aes"}).encode()


def envelope(encrypted: str) -> bytes:
    return f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()


def sealed(plain: bytes) -> str:
    """Base64 of AES-CBC over whole blocks of anything."""
    encryptor = Cipher(algorithms.AES(KEYS.key()), modes.CBC(KEYS.key()[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def mutated(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """Bytes with one to four changes."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(out) + 1)
        end = min(len(out), at + dice.randint(1, 40))
        match dice.randrange(9):
            case 0 if out:
                out[at % len(out)] ^= 1 << dice.randrange(8)
            case 1:
                del out[at:]
            case 2:
                del out[at:end]
            case 3:
                out[at:at] = dice.choice(INTERESTING)
            case 4:
                out[at:end] = dice.randbytes(end - at)
            case 5:
                out[at:at] = out[at:end]
            case 6:
                start = dice.randrange(len(other) + 1)
                out[at:end] = other[start : start + dice.randint(1, 60)]
            case 7:
                out[at:at] = dice.randbytes(dice.randint(1, 8))
            case _:
                out[at:end] = bytes(out[at:end]).swapcase()
    return bytes(out)


def outsider(dice: random.Random) -> Case:
    """Changes to one or two genuine requests, without any key."""
    query, body, fields = genuine(dice)
    query2, body2, fields2 = genuine(dice)
    allowed = (fields, fields2)
    match dice.randrange(6):
        case 0:
            query = mutated(dice, query, query2)
        case 1:
            body = mutated(dice, body, body2)
        case 2:
            query, body = mutated(dice, query, query2), mutated(dice, body, body2)
        case 3:
            query = query2
        case 4:
            return Case("outsider", *shifted(dice, query, body), allowed)
        case _:
            parts = query.split(b"&") + query2.split(b"&")
            dice.shuffle(parts)
            query = b"&".join(parts[: dice.randint(1, len(parts))])
    return Case("outsider", query, body, allowed)


def shifted(dice: random.Random, query: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The border between two signed fields moved, so that their join can stay as it was."""
    encrypted = body.partition(b"<Encrypt><![CDATA[")[2].partition(b"]]>")[0]
    cut = dice.randint(1, min(60, len(encrypted) - 1))
    name = dice.choice([b"nonce", b"timestamp"])
    head, found, rest = query.partition(name + b"=")
    value, ampersand, tail = rest.partition(b"&")
    if dice.random() < 0.5:
        moved = value + encrypted[:cut].replace(b"+", b"%2B")
        return head + found + moved + ampersand + tail, body.replace(encrypted, encrypted[cut:])
    return head + found + value[:-1] + ampersand + tail, body.replace(encrypted, value[-1:] + encrypted)


def insider(dice: random.Random) -> Case:
    """Signed with the right token, broken inside."""
    xml = b"<xml><FromUserName>o</FromUserName><CreateTime>1</CreateTime><MsgType>event</MsgType><Event>e</Event></xml>"
    receiver = KEYS.receive_id.encode()
    length, pad_byte, pad_size = len(xml), None, None
    match dice.randrange(7):
        case 0:
            size = dice.choice([0, 1, 15, 16, 31, 33, 47, 65, dice.randrange(200)])
            size += size % 32 == 0
            return signed(base64.b64encode(dice.randbytes(size)).decode())
        case 1:
            length = dice.choice(
                [0, 2**31, 2**32 - 1, length + 1, length - 1, length + len(receiver), dice.randrange(2**32)]
            )
            length += length == len(xml)
        case 2:
            pad_byte = dice.choice([0, 33, 64, 255])
        case 3:
            receiver = dice.choice([b"", b"wx", receiver + b"x", b"x" + receiver, receiver.upper(), receiver[:-1]])
        case 4:
            receiver, length = b"", length - len(receiver)
        case 5:
            plain = dice.randbytes(dice.choice([16, 48, 80]))
            return signed(sealed(plain))
        case _:
            good = encrypt(KEYS, xml)
            return signed(
                dice.choice(
                    [good + "=", " " + good, good + "\n", good[:-1], good.replace("=", "") + "\u00e9", "", "===="]
                )
            )
    inside = bytes(16) + (length % 2**32).to_bytes(4, "big") + xml + receiver
    size = pad_size or 32 - len(inside) % 32
    return signed(sealed(inside + bytes([size if pad_byte is None else pad_byte]) * size))


def signed(encrypted: str) -> Case:
    return Case("insider", query_of(encrypted), envelope(encrypted), ())


def sender(dice: random.Random) -> Case:
    """Any XML, properly sealed and signed."""
    xml = b"<xml>" + "".join(element(dice, 0) for _ in range(dice.randint(0, 12))).encode() + b"</xml>"
    match dice.randrange(6):
        case 0:
            xml = mutated(dice, xml, xml)
        case 1:
            xml = xml.decode().encode(dice.choice(["utf-16", "gb18030", "utf-8-sig", "utf-32"]))
        case 2:
            depth = dice.choice([11, 12, 13, 500])
            xml = b"<xml>" + b"<a>" * depth + b"1" + b"</a>" * depth + b"</xml>"
        case 3:
            xml = b"<xml>" + b"<a>1</a>" * dice.choice([99, 100, 101, 1999, 2000, 2001, 8000]) + b"</xml>"
    encrypted = encrypt(KEYS, xml)
    return Case("sender", query_of(encrypted), envelope(encrypted), None)


def element(dice: random.Random, depth: int) -> str:
    name, value = dice.choice(NAMES), dice.choice(VALUES)
    match dice.randrange(8):
        case 0 if depth < 4:
            inner = "".join(element(dice, depth + 1) for _ in range(dice.randint(0, 3)))
            return f"<{name}>{inner}</{name}>"
        case 1:
            return f"<{name}>{value}</{name}>"
        case 2:
            return f"\n <{name}>{value}&amp;{value}</{name}>\t"
        case 3:
            return f"<{name} a='1'>{value}<![CDATA[{value}]]></{name}>"
        case 4:
            return f"<{name}><![CDATA[{value}]]{dice.choice(['>', ']>', ' >', '>]]>'])}</{name}>"
        case 5:
            return dice.choice([f"<{name}/>", f"<{name}></{name} >", "<!-- c -->", "text", "\u3000", "\x85", "]]>"])
        case _:
            return f"<{name}><![CDATA[{value}]]></{name}>"


KINDS: tuple[Callable[[random.Random], Case], ...] = (outsider, insider, sender)


def case_of(seed: int, number: int) -> Case:
    """The case of a number."""
    dice = random.Random(f"{seed}:{number}")
    return KINDS[number % len(KINDS)](dice)


def check(case: Case) -> str:
    """`taken` or `refused`. Raises Broken, or whatever the code under test should not raise."""
    with suppress(BadCallback):
        open_echo(KEYS, case.query, now=NOW)
    try:
        fields = open_callback(KEYS, case.query, case.body, now=NOW).fields
    except BadCallback:
        return "refused"
    if case.allowed is not None and fields not in case.allowed:
        raise Broken(f"taken, and nobody with the keys has said {fields}")
    orjson.loads(orjson.dumps(fields))
    for platform in ("official", "wecom"):
        try:
            fact = normalise(platform, fields)  # type: ignore[arg-type] # one of the two
        except BadCallback:
            continue
        sha256(fact.message_key.encode()).digest()
    return "taken"


def agree(case: Case) -> None:
    """The reader of plain spellings and the parser say the same; a comment in front makes everything unplain."""
    if not case.body.startswith(b"<xml>"):
        return
    readings: list[Fields | None] = []
    for body in (case.body, b"<!---->" + case.body):
        try:
            readings.append(read_xml(body))
        except BadCallback:
            readings.append(None)
    if readings[0] != readings[1]:
        raise Broken(f"read as {readings[0]}, parsed as {readings[1]}")


def run(seed: int, *, seconds: float, first: int = 0, out: Path | None = None) -> Counter[str]:
    """Cases from `first` on until the time is over; counts. Raises Broken, after writing the case to `out`."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number in range(first, first + 300):
            case = case_of(seed, number)
            try:
                counts[f"{case.kind} {check(case)}"] += 1
                agree(case)
                if case.kind == "sender":
                    agree(Case("sender", b"", opened(case), None))
            except Exception as error:
                if out is not None:
                    _write(out / f"fuzz-{seed}-{number}.json", case, error)
                raise Broken(f"seed {seed}, case {number}: {type(error).__name__}: {error}") from error
        first += 300
    return counts


def opened(case: Case) -> bytes:
    """What a sealed case holds, whether it is XML or not."""
    encrypted = case.body.partition(b"<Encrypt><![CDATA[")[2].partition(b"]]>")[0]
    decryptor = Cipher(algorithms.AES(KEYS.key()), modes.CBC(KEYS.key()[:16])).decryptor()
    plain = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
    return plain[20 : 20 + int.from_bytes(plain[16:20], "big")]


def _write(file: Path, case: Case, error: Exception) -> None:
    found = {
        "kind": case.kind,
        "query": base64.b64encode(case.query).decode(),
        "body": base64.b64encode(case.body).decode(),
        "error": f"{type(error).__name__}: {error}",
    }
    file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


def main() -> int:
    """Exit code 0 when nothing broke."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the callbacks.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", type=int, help="Run one case of the seed, without catching what it raises.")
    chosen = parser.parse_args()
    if chosen.only is not None:
        case = case_of(chosen.seed, chosen.only)
        print(case.kind, check(case))
        agree(case)
        return 0
    began = time.monotonic()
    try:
        counts = run(chosen.seed, seconds=chosen.minutes * 60, out=Path.cwd())
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    seconds = time.monotonic() - began
    print(
        orjson.dumps(
            {"seed": chosen.seed, "cases": counts.total(), "per_second": round(counts.total() / seconds), **counts}
        ).decode()
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
