"""The errcode table: complete, unambiguous, and dispatched on more than the number."""

import tomllib
from importlib import resources
from typing import get_args

import pytest

from tagcast.channels.errors import ChannelError, Effect, Platform, Reaction, Scope, lost, refusal, special, table


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


def test_the_text_of_an_error_names_nobody() -> None:
    error = refusal("official", "message/template/send", 40003, errmsg="invalid openid oSomebody1", effect=Effect.KEYED)
    assert str(error) == "official message/template/send: 40003, invalid_openid, permanent (recipient)"
    assert "oSomebody1" not in repr(error)
    assert error.errmsg == "invalid openid oSomebody1"
    assert len(ChannelError("official", "x", error.meaning, errmsg="y" * 9999).errmsg) == 300


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
