"""Every code that a client of 企业微信 must handle, and the numbers that mean something else on the other platform."""

import pytest

from tagcast.channels.errors import Effect, Platform, Reaction, Scope, refusal, table

FIX, BACKOFF, WAIT, RENEW, IGNORE = (
    Reaction.PERMANENT,
    Reaction.RETRY,
    Reaction.WAIT_UNTIL,
    Reaction.RENEW_TOKEN,
    Reaction.DUPLICATE,
)


def codes(text: str) -> list[int]:
    found: list[int] = []
    for word in text.split():
        first, _, last = word.partition("..")
        found += range(int(first), int(last or first) + 1)
    return found


@pytest.mark.parametrize(
    ("which", "reaction", "scope"),
    [
        ("-1 6000 45035", BACKOFF, Scope.CALL),
        ("40001 40013 40091 41002 41004 2000002", FIX, Scope.ACCOUNT),
        ("40014 42001", RENEW, Scope.ACCOUNT),
        ("42009 42007 40082 40085", RENEW, Scope.ACCOUNT),
        ("41001 40126 41046 41047 41048 41093 301002", FIX, None),
        ("45009", WAIT, Scope.ACCOUNT),
        ("45033", BACKOFF, Scope.ACCOUNT),
        ("60020 301042 48002 48003..48009 50003 50006 60031 301007 701008", FIX, Scope.ACCOUNT),
        ("60011 60021 60030 50002 81011 81013", FIX, Scope.SENDER),
        ("60111 40003 46004 301021 41054 40098 43004", FIX, Scope.SENDER),
        ("84061 84084 84083 84074 40096 41035 41056 610004 41049 41050 41053", FIX, Scope.RECIPIENT),
        ("41063 41079 41078 41094", WAIT, Scope.JOB),
        ("41064 41065 41080..41090 41059..41062 41067 41052", FIX, Scope.JOB),
        ("41051", IGNORE, Scope.RECIPIENT),
        ("41096", BACKOFF, Scope.RECIPIENT),
        ("41037..41045 41055 41091 41095 40068 40071 40072 41017 41018", FIX, Scope.JOB),
        ("40097 40099 40100 40128..40131 40143 90500..90509", FIX, Scope.RECIPIENT),
        ("40007 40004 40005 40006 40008 40009 40010 40011 44001 45001 45002 45007 45008", FIX, Scope.JOB),
        ("50100", BACKOFF, Scope.CALL),
        ("81017 40032 82001..82003 90511", FIX, Scope.JOB),
        ("301052 301053 301058..301061", FIX, Scope.ACCOUNT),
        ("610014 610018 41057", FIX, Scope.RECIPIENT),
        ("610015 610016 610017", FIX, Scope.ACCOUNT),
    ],
)
def test_codes_and_their_reactions(which: str, reaction: Reaction, scope: Scope | None) -> None:
    for code in codes(which):
        error = refusal("wecom", "x", code, effect=Effect.READ)
        assert (error.reaction, error.reason != "unknown_code") == (reaction, True), code
        assert scope is None or error.scope is scope, code


@pytest.mark.parametrize(
    ("code", "official", "wecom"),
    [
        (40001, "token_expired", "bad_credentials"),
        (40003, "invalid_openid", "no_such_member"),
        (43004, "unsubscribed", "member_not_ready"),
        (48002, "refused_messages", "not_permitted"),
        (50002, None, "out_of_scope"),
        (48004, None, "authorization_withdrawn"),
        (50001, None, "untrusted_domain"),
        (45033, None, "too_many_concurrent"),
        (42007, None, "suite_token_expired"),
        (40032, None, "bad_batch"),
    ],
)
def test_the_same_number_means_something_else_on_the_other_platform(
    code: int, official: str | None, wecom: str
) -> None:
    here, there = (refusal(platform, "x", code, effect=Effect.READ) for platform in _PLATFORMS)
    assert here.reason == wecom
    assert there.reason == (official or there.reason)
    assert here.meaning is not there.meaning
    assert here.sentence("zh") != there.sentence("zh")


_PLATFORMS: tuple[Platform, Platform] = ("wecom", "official")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (60020, "应用管理 → 自建应用 → 企业可信IP"),
        (48002, "客户联系 → 可调用接口的应用"),
        (48002, "客户联系 → 使用范围"),
        (60011, "可见范围"),
        (84074, "客户联系 → 使用范围"),
        (301042, "会话内容存档"),
    ],
)
def test_sentences_name_the_place_in_the_console(code: int, words: str) -> None:
    error = refusal("wecom", "x", code, effect=Effect.READ)
    assert words in error.sentence("zh")
    assert words in error.sentence("en")


def test_a_tag_of_another_app_is_not_a_question_of_visibility() -> None:
    assert refusal("wecom", "externalcontact/edit_corp_tag", 81011, effect=Effect.READ).reason == "foreign_tag"
    assert refusal("wecom", "message/send", 81011, effect=Effect.KEYED).reason == "out_of_scope"


def test_a_chat_that_is_none_is_not_a_refused_hand_over() -> None:
    for operation in ("groupchat/get", "groupchat/add_join_way", "add_msg_template"):
        error = refusal("wecom", f"externalcontact/{operation}", 90508, effect=Effect.READ)
        assert (error.reason, error.scope) == ("no_group_chat", Scope.JOB)
    assert (
        refusal("wecom", "externalcontact/groupchat/transfer", 90508, effect=Effect.READ).reason == "transfer_refused"
    )


@pytest.mark.parametrize(("code", "seconds"), [(45009, 60), (41063, 60), (41078, 300), (41094, 86400)])
def test_waits_of_wecom(code: int, seconds: int) -> None:
    error = refusal("wecom", "x", code, effect=Effect.SEND)
    assert (error.wait_seconds, error.until) == (seconds, "")


def test_a_reason_has_one_reaction() -> None:
    """Callers decide by the reason, so the same word must not ask for two things."""
    found: dict[str, set[tuple[Reaction, Scope]]] = {}
    for (platform, _, _), row in table().items():
        if platform == "wecom":
            found.setdefault(row.reason, set()).add((row.reaction, row.scope))
    assert {reason: kinds for reason, kinds in found.items() if len(kinds) > 1 and reason != "answer_lost"} == {}
