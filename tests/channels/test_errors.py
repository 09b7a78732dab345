"""The errcode table: complete, unambiguous, and dispatched on more than the number."""

import tomllib
from importlib import resources
from typing import get_args

import pytest

from tagcast.channels.errors import (
    Effect,
    Platform,
    Reaction,
    Scope,
    address_in,
    lost,
    meaning,
    refusal,
    special,
    table,
)


@pytest.mark.parametrize(
    ("platform", "operation", "code", "reaction", "scope", "reason"),
    [
        ("official", "message/mass/sendall", 40001, "renew_token", "account", "token_expired"),
        ("official", "stable_token", 40001, "permanent", "account", "bad_secret"),
        ("official", "user/get", 42001, "renew_token", "account", "token_expired"),
        ("official", "message/template/send", 43004, "permanent", "recipient", "unsubscribed"),
        ("official", "message/template/send", 40249, "permanent", "job", "marketing_in_template"),
        ("official", "message/template/send", 48002, "permanent", "recipient", "refused_messages"),
        ("official", "message/mass/send", 45028, "wait_until", "job", "mass_quota"),
        ("official", "message/mass/send", 45065, "duplicate", "job", "already_accepted"),
        ("official", "tags/create", 45003, "permanent", "job", "bad_content"),
        ("official", "tags/create", 9001123, "retry", "call", "busy"),
        ("wecom", "gettoken", 40001, "permanent", "account", "bad_credentials"),
        ("wecom", "externalcontact/get", 40014, "renew_token", "account", "token_expired"),
        ("wecom", "externalcontact/get", 48002, "permanent", "account", "not_permitted"),
        ("wecom", "externalcontact/mark_tag", 43004, "permanent", "sender", "member_not_ready"),
        ("wecom", "externalcontact/mark_tag", 84061, "permanent", "recipient", "not_a_friend"),
        ("wecom", "externalcontact/add_msg_template", 41048, "permanent", "job", "no_recipient"),
    ],
)
def test_codes_are_dispatched_on_platform_and_operation(
    platform: str, operation: str, code: int, reaction: str, scope: str, reason: str
) -> None:
    error = refusal(platform, operation, code, effect=Effect.READ)  # type: ignore[arg-type]  # parametrised text
    assert (error.reaction, error.scope, error.reason, error.errcode) == (reaction, scope, reason, code)


@pytest.mark.parametrize(
    ("code", "wait", "until"),
    [(45011, 60, ""), (45066, 60, ""), (45009, 0, "day"), (45028, 0, "period"), (89507, 3600, "")],
)
def test_waits_say_how_long(code: int, wait: int, until: str) -> None:
    error = refusal("official", "x", code, effect=Effect.KEYED)
    assert (error.reaction, error.wait_seconds, error.until) == (Reaction.WAIT_UNTIL, wait, until)


@pytest.mark.parametrize("platform", ["official", "wecom"])
def test_a_busy_platform_leaves_only_a_bare_send_in_doubt(platform: str) -> None:
    reactions = [
        refusal(platform, "x", -1, effect=effect).reaction  # type: ignore[arg-type]  # parametrised text
        for effect in (Effect.READ, Effect.KEYED, Effect.SEND)
    ]
    assert reactions == [Reaction.RETRY, Reaction.RETRY, Reaction.IN_DOUBT]


def test_a_lost_answer_leaves_every_send_in_doubt() -> None:
    reactions = [lost("wecom", "x", effect=effect).reaction for effect in (Effect.READ, Effect.KEYED, Effect.SEND)]
    assert reactions == [Reaction.RETRY, Reaction.IN_DOUBT, Reaction.IN_DOUBT]
    assert special("wecom", "x", "not_sent").reaction is Reaction.RETRY


def test_an_unknown_code_is_shown_as_it_came() -> None:
    error = refusal("official", "x", 987654, errmsg="strange thing rid: 65eac940\n-1a79", effect=Effect.READ)
    assert (error.reaction, error.scope, error.reason) == (Reaction.PERMANENT, Scope.JOB, "unknown_code")
    assert error.sentence("zh") == "平台返回了未收录的错误码 987654: strange thing rid: 65eac940 -1a79"
    assert meaning("official", 987654).zh == "平台返回了未收录的错误码 987654"


def test_the_text_of_an_error_names_nobody() -> None:
    error = refusal("official", "message/template/send", 40003, errmsg="invalid openid oSomebody1", effect=Effect.KEYED)
    assert str(error) == "official message/template/send: 40003, invalid_openid, permanent (recipient)"
    assert "oSomebody1" not in repr(error)
    assert error.errmsg == "invalid openid oSomebody1"


def test_a_long_text_keeps_its_beginning_and_the_request_id_at_its_end() -> None:
    long = "invalid " + "y" * 999 + " rid: 65eac940-1a79c8dc-1be683b5"
    error = refusal("official", "tags/get", 987654, errmsg=long, effect=Effect.READ)
    assert len(error.errmsg) == 300
    assert error.errmsg.startswith("invalid yyy")
    assert error.request_id == "65eac940-1a79c8dc-1be683b5"
    assert refusal("official", "tags/get", 987654, errmsg="no id", effect=Effect.READ).request_id == ""


@pytest.mark.parametrize(
    ("errmsg", "address"),
    [
        ("invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist rid: 65eac940-1a79c8dc", "203.0.113.9"),
        ("invalid ip ::ffff:203.0.113.9, not in whitelist", "203.0.113.9"),
        ("invalid ip 2001:db8::7, not in whitelist", "2001:db8::7"),
        ("not allow to access from your ip, hint: [1599354620_109_ee5b], from ip: 203.0.113.9, more", "203.0.113.9"),
        ("access clientip is not registered, 203.0.113.9.", "203.0.113.9"),
        ("no address: 999.1.1.1 fee ::: ...", ""),
    ],
)
def test_the_refused_address_is_found(errmsg: str, address: str) -> None:
    assert address_in(errmsg) == address


def test_a_refused_address_is_part_of_the_sentence() -> None:
    error = refusal("official", "stable_token", 40164, errmsg="invalid ip 203.0.113.9, not in", effect=Effect.READ)
    assert error.sentence("zh").endswith("“开发接口管理 → 基本配置 → IP白名单”中加入它。平台看到的 IP：203.0.113.9。")
    assert error.sentence("en").endswith("开发接口管理 → 基本配置 → IP白名单. It sees 203.0.113.9.")
    other = refusal("official", "user/get", 40003, errmsg="from 203.0.113.9", effect=Effect.READ)
    assert "203" not in other.sentence("zh")


@pytest.mark.parametrize(
    ("operation", "code", "scope", "reason"),
    [
        ("stable_token", 40001, "account", "bad_secret"),
        ("sns/jscode2session", 40125, "account", "bad_secret"),
        ("tags/get", 40125, "account", "bad_credentials"),
        ("sns/userinfo", 40001, "call", "oauth_token"),
        ("sns/userinfo", 48001, "call", "oauth_scope"),
        ("sns/userinfo", 50001, "call", "oauth_scope"),
        ("tags/get", 48001, "account", "not_permitted"),
        ("message/custom/send", 50001, "recipient", "not_authorized"),
        ("user/get", 40003, "job", "bad_cursor"),
        ("user/get", 50002, "account", "account_limited"),
        ("message/mass/send", 40003, "job", "bad_batch"),
        ("message/mass/sendall", 48002, "job", "send_refused"),
        ("message/template/send", 50002, "recipient", "user_limited"),
    ],
)
def test_a_number_means_different_things_at_different_endpoints(
    operation: str, code: int, scope: str, reason: str
) -> None:
    error = refusal("official", operation, code, effect=Effect.READ)
    assert (error.reaction, error.scope, error.reason) == (Reaction.PERMANENT, scope, reason)


def test_every_row_is_complete_and_sourced() -> None:
    rows = table()
    folder = resources.files("tagcast.channels")
    sources: dict[str, set[str]] = {}
    for platform in get_args(Platform):
        files = (folder / "errcodes.toml", folder / platform / "errcodes.toml")
        tables = [tomllib.loads(file.read_text("utf-8")) for file in files]
        sources[platform] = {name for table in tables for name in table.get("sources", {})}
    assert len(rows) > 390
    for key, row in rows.items():
        assert row.source in sources[key[0]], key
        assert row.zh.endswith("。") or row.reason == "unknown_code", key
        assert row.en.endswith(".") or row.reason == "unknown_code", key
        assert row.wait_seconds > 0 or row.until or row.reaction is not Reaction.WAIT_UNTIL, key


def test_ranges_reach_their_ends() -> None:
    rows = table()
    for code in (45002, 45006, 53503, 53505, 76004, 9001000):
        assert ("official", code, "") in rows
    for code in (41080, 41083, 48003, 48009, 90509, 610018):
        assert ("wecom", code, "") in rows
    assert ("wecom", 90510, "") not in rows
