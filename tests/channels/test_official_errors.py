"""The codes of 公众号, 服务号 and 小程序: every documented one has its reaction, whom it concerns, and a way out."""

import re

import pytest

from tagcast.channels.errors import Effect, Reaction, Scope, refusal, table

FIX, RETRY, WAIT = Reaction.PERMANENT, Reaction.RETRY, Reaction.WAIT_UNTIL

# codes, reaction, whom it concerns; as the platform's global table and our reading of it have them
READINGS = [
    ("-1 268487001 268487002 61450 9001001 9001999", RETRY, Scope.CALL),
    ("40001 40014 42001", Reaction.RENEW_TOKEN, Scope.ACCOUNT),
    ("40013 40125 40243 41002 41004", FIX, Scope.ACCOUNT),
    ("40164 61004 48001 48003 48004 48006 61007 61016", FIX, Scope.ACCOUNT),
    ("89501 89503 89506 89507 45009 45011 42010", WAIT, Scope.ACCOUNT),
    ("45028 45066 89504", WAIT, Scope.JOB),
    ("45065", Reaction.DUPLICATE, Scope.JOB),
    ("41001 43002 45067 89505 45062 45113 48021 48022 53503 53504 53505 53600", FIX, Scope.JOB),
    ("40004 40005 40006 40007 40008 40009 45001 45002 45003 45004 45005 45006 45007 45008", FIX, Scope.JOB),
    ("44001 44002 44003 44004 45162 47001 40032 40031 40130", FIX, Scope.JOB),
    ("40003 49003 43004 50005 46004 43019 43101 45015 45047 48002 50001 50002 45059", FIX, Scope.RECIPIENT),
    ("43116 40249 40036 40037 47003 41030 40039 40246 40247 40062 48005", FIX, Scope.JOB),
    ("45056 45057 45058 45157 45158 45159 40152 40092 40059 40060 40065 40204 45083 45084", FIX, Scope.JOB),
    ("45169 45171", RETRY, Scope.CALL),
    ("40029 40163 76001 76002 76003 76004 76021 76022", FIX, Scope.CALL),
    ("61500 61501 45029", FIX, Scope.JOB),
]

# the codes that the page of each endpoint lists
LISTED = {
    "stable_token": "-1 40002 40013 40125 40164 41002 41004 43002 45009 45011 89503 89506 89507 40243",
    "clear_quota": "40013 48006",
    "clear_quota/v2": "-1 40013 41002 41004 48006",
    "openapi/quota/get": "76021 76022",
    "openapi/rid/get": "76001 76002 76003 76004",
    "tags/create": "-1 40001 45009 45056 45157 45158 48001",
    "tags/update": "-1 40001 41001 42001 44002 45009 45058 45157 45158 47001 48001",
    "tags/delete": "40001 41001 42001 44002 45009 45057 45058 47001 48001 61004",
    "user/tag/get": "-1 40001 40003 45159",
    "tags/members/batchtagging": "-1 40001 40003 40032 41001 42001 44002 45009 45011 45059 45159 45169 45171 47001 "
    "48001 49003 50002 50005 61007 61016",
    "tags/members/getblacklist": "-1 40001 40003 49003",
    "tags/members/batchblacklist": "40003 40032 44002 49003 50002 268487001",
    "user/get": "-1 40001 40003 40013 41001 42001 45009 48001 50002 61004 61007 61016 268487002",
    "user/info/updateremark": "40092 43004",
    "media/upload": "40004",
    "media/uploadimg": "40005 40009",
    "material/add_material": "40007",
    "freepublish/submit": "48001 53503 53504 53505",
    "freepublish/getarticle": "53600",
    "message/custom/send": "45015 45047 45008",
    "message/mass/sendall": "40001 40007 40008 40152 42010 45028 45062 45065 45066 45067 45113 48001 48021 48022 89504 "
    "89505 268488001",
    "message/mass/send": "40130 40031 40032 45162 9500002",
    "message/mass/get": "40059 89504 89505",
    "message/mass/delete": "40059 40060 40065 40204 9500001",
    "message/mass/speed/set": "45083 45084 89504 89505",
    "message/template/send": "-1 40001 40003 40008 40013 40036 40037 40039 40249 43004 43116 47003",
    "template/api_add_template": "40037 40246 40247",
    "message/subscribe/bizsend": "40003 40037 41030 43101 47003",
    "message/template/subscribe": "-1 40001 40003 40013 40037 40062",
    "datacube/getusersummary": "61500 61501 48001",
    "qrcode/create": "45029",
    "sns/oauth2/access_token": "40029 40163",
    "sns/userinfo": "48001",
    "sns/jscode2session": "40029 40163 45011",
    "message/subscribe/send": "40003 40037 41030 43101 47003",
}
ROWS = {(code, operation): row for (platform, code, operation), row in table().items() if platform == "official"}
CODES = {key: row for key, row in ROWS.items() if isinstance(key[0], int)}


@pytest.mark.parametrize(("codes", "reaction", "scope"), READINGS)
def test_each_code_is_read_as_documented(codes: str, reaction: Reaction, scope: Scope) -> None:
    for code in map(int, codes.split()):
        assert (ROWS[code, ""].reaction, ROWS[code, ""].scope) == (reaction, scope), code


@pytest.mark.parametrize(("operation", "codes"), LISTED.items(), ids=list(LISTED))
def test_each_endpoints_codes_are_known(operation: str, codes: str) -> None:
    for code in map(int, codes.split()):
        found = refusal("official", operation, code, effect=Effect.READ)
        assert found.reason != "unknown_code", code


def test_a_secret_is_never_renewed_like_a_token() -> None:
    for operation in ("stable_token", "clear_quota/v2", "sns/oauth2/access_token", "sns/jscode2session"):
        for code in (40001, 40125, 41004):
            assert ROWS[code, operation].reason == "bad_secret"
    assert {code for (code, operation), row in CODES.items() if row.reaction is Reaction.RENEW_TOKEN} == {
        40001,
        40014,
        42001,
    }


def test_waiting_times_are_the_documented_ones() -> None:
    waits = {code: (ROWS[code, ""].wait_seconds, ROWS[code, ""].until) for code in (45009, 45028, 45011, 42010, 45066)}
    assert waits == {45009: (0, "day"), 45028: (0, "period"), 45011: (60, ""), 42010: (60, ""), 45066: (60, "")}
    assert (ROWS[89506, ""].wait_seconds, ROWS[89507, ""].wait_seconds) == (86_400, 3600)


def test_only_a_busy_platform_may_have_done_the_work() -> None:
    assert {row.reason for row in CODES.values() if row.maybe_done} == {"busy"}


def test_operations_with_a_row_of_their_own_exist() -> None:
    operations = {operation for _, operation in CODES} - {""}
    assert operations <= set(LISTED) | {"sns/auth", "sns/oauth2/refresh_token"}


@pytest.mark.parametrize("code", [40164, 61004, 89503, 89506, 89507])
def test_a_refused_address_is_told_with_the_consoles_words(code: int) -> None:
    row = ROWS[code, ""]
    assert "开发接口管理 → 基本配置 → IP白名单" in row.zh
    assert "开发接口管理 → 基本配置 → IP白名单" in row.en


def test_every_sentence_is_one_of_its_own_or_means_the_same() -> None:
    """Both languages agree on which codes are told apart."""
    said: dict[str, set[str]] = {}
    for row in CODES.values():
        said.setdefault(row.zh, set()).add(row.en)
    assert [zh for zh, en in said.items() if len(en) > 1] == []
    assert all(re.search("[一-鿿]", row.zh) and len(row.en) < 240 for row in CODES.values())
