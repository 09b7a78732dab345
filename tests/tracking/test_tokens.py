"""Tokens, destinations, programs: what cannot be forged, where a link may lead, who is no person."""

import time
from datetime import UTC, datetime

import pytest

from tagcast.kit.crypto import Vault
from tagcast.kit.errors import Invalid
from tagcast.tracking import rules
from tagcast.tracking.rules import Hit, Kind, Link, Token
from tests.tracking.serving import PHONE

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
DESKTOP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0 Safari/537.36"
VAULT = Vault(b"k" * 32)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def link(kind: Kind = Kind.CLICK, id_: int = 7) -> Link:
    return Link(id_, 3, "broadcast:1", 1, kind, "https://example.com/", datetime(2026, 1, 1, tzinfo=UTC))


def url(kind: Kind = Kind.CLICK, number: int = 12345) -> str:
    return rules.make_urls(VAULT, "https://t.example/", link(kind), [number])[0]


def test_a_token_says_what_was_put_in() -> None:
    text = url()
    assert text.startswith("https://t.example/k/")
    token = text.rpartition("/")[2]
    assert len(token) == 36
    assert rules.read_token(token) == Token(workspace=3, link=7, number=12345)
    assert rules.is_genuine(VAULT, Kind.CLICK, token)


def test_every_change_of_every_character_is_seen() -> None:
    token = url().rpartition("/")[2]
    accepted = [
        (place, other)
        for place in range(len(token))
        for other in ALPHABET
        if other != token[place]
        and rules.read_token(changed := token[:place] + other + token[place + 1 :]) is not None
        and rules.is_genuine(VAULT, Kind.CLICK, changed)
    ]
    assert accepted == []


def test_a_token_is_good_for_one_kind_and_one_workspace_key() -> None:
    click, opened = url(Kind.CLICK).rpartition("/")[2], url(Kind.OPEN).rpartition("/")[2]
    assert rules.is_genuine(VAULT, Kind.OPEN, opened)
    assert not rules.is_genuine(VAULT, Kind.OPEN, click)
    assert not rules.is_genuine(VAULT, Kind.CLICK, opened)
    assert not rules.is_genuine(Vault(b"x" * 32), Kind.CLICK, click)


@pytest.mark.parametrize("text", ["", "a" * 35, "a" * 37, "a" * 35 + "=", "a" * 35 + "+", "Ａ" * 36, "a" * 35 + "\n"])
def test_what_cannot_be_a_token_is_not_read(text: str) -> None:
    assert rules.read_token(text) is None


def test_an_impossible_number_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        rules.make_urls(VAULT, "", link(), [1, 2**32])
    assert (caught.value.code, caught.value.params) == ("tracking.bad_number", {"number": 2**32})


def test_urls_are_made_fast() -> None:
    started = time.perf_counter()
    made = rules.make_urls(VAULT, "https://t.example", link(), range(1, 100_001))
    assert len(set(made)) == 100_000
    assert time.perf_counter() - started < 2.0


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("https://example.com", "https://example.com"),
        ("http://example.com:8080/a?b=c#d", "http://example.com:8080/a?b=c#d"),
        ("https://商城.example/活动?渠道=微信", "https://xn--czru2d.example/%E6%B4%BB%E5%8A%A8?%E6%B8%A0%E9%81%93=%E5%BE%AE%E4%BF%A1"),
        ("https://example.com/a%20b", "https://example.com/a%20b"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x"),
    ],
)  # fmt: skip
def test_destinations_that_are_kept(given: str, stored: str) -> None:
    assert rules.destination(given) == stored


@pytest.mark.parametrize(
    "given",
    [
        "", "//evil.example", "/\\evil.example", "javascript:alert(1)", "data:text/html,x", "ftp://example.com/",
        "https://", "https:///path", "https://user@example.com/", "https://user:pw@example.com/",
        "https:\\\\evil.example",
        "https://example.com/\r\nSet-Cookie: a=b", "https://example.com/a b", "https://example.com:99999/",
        "https://[::1", "https://exa\tmple.com", "weixin://dl/chat", "https://example.com/<script>", "https://a..b/",
    ],
)  # fmt: skip
def test_destinations_that_are_refused(given: str) -> None:
    with pytest.raises(Invalid) as caught:
        rules.destination(given)
    assert caught.value.code == "tracking.bad_destination"


def test_a_long_destination_is_refused_with_its_length() -> None:
    with pytest.raises(Invalid) as caught:
        rules.destination("https://example.com/" + "a" * 2000)
    assert caught.value.params == {"length": 2020, "limit": 2000}
    assert "2020" in caught.value.text("zh")


@pytest.mark.parametrize(
    "agent",
    [
        "", "curl/8.5.0", "python-requests/2.32", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
        "Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/126.0 Safari/537.36", "facebookexternalhit/1.1",
        "Go-http-client/2.0",
        "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)", "Slackbot-LinkExpanding 1.0",
    ],
)  # fmt: skip
def test_programs_are_known(agent: str) -> None:
    assert rules.is_machine(agent)


@pytest.mark.parametrize(
    "agent",
    [
        PHONE,
        f"{IPHONE} MicroMessenger/8.0.49(0x18003137) NetType/4G Language/en",
        f"{DESKTOP} NetType/WIFI MicroMessenger/7.0.20.1781(0x6700143B) WindowsWechat(0x63090a13) wxwork/4.1.22",
        "Mozilla/5.0 (Linux; Android 13; CUBOT P60) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36",
    ],
)
def test_people_are_people(agent: str) -> None:
    assert not rules.is_machine(agent)


def test_hits_survive_packing() -> None:
    hits = [Hit(1_793_000_000_123, 4_000_000_000, 4_294_967_295, 5), Hit(1, 2, 0, 0)]
    assert [tuple(row) for row in rules.unpack_hits(rules.pack_hits(hits)).tolist()] == [
        (1_793_000_000_123, 4_000_000_000, 4_294_967_295, 5),
        (1, 2, 0, 0),
    ]
