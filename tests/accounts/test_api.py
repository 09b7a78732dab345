"""The routes of accounts over real HTTP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.tracking.serving import call, serving

from tagcast import access
from tagcast.accounts.tables import accounts as table
from tagcast.kit.uow import Runtime
from tagcast.server import create_app

SECRETS = {
    "secret": "canary-secret-91c2",
    "callback_token": "canaryToken91c2",
    "encoding_aes_key": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
}
SHOP = {"kind": "service", "name": "旗舰店", "appid": "wx5823bf96d3bd56c7", "base_url": "http://127.0.0.1:9", **SECRETS}

Ask = Callable[..., tuple[int, str, Any]]


@pytest.fixture
def ask(runtime: Runtime) -> Iterator[Ask]:
    with runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
    with serving(create_app(runtime), lifespan="on") as port:

        def asked(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {key}", "Content_Type": "application/json", **headers}
            status, _, answer = call(port, f"/api/v1{path}", method, body=data, **headers)
            return status, answer.decode(), json.loads(answer)

        yield asked


def test_an_account_is_added_listed_and_shown_without_secrets(ask: Ask) -> None:
    status, text, made = ask("POST", "/accounts", SHOP)
    assert status == 201
    assert (made["kind"], made["name"], made["appid"]) == ("service", "旗舰店", SHOP["appid"])
    assert made["callback_path"].startswith("/callback/")
    _, listed, body = ask("GET", "/accounts")
    assert body == {"accounts": [made]}
    _, shown, one = ask("GET", f"/accounts/{made['id']}")
    assert one == made
    for secret in SECRETS.values():
        assert secret not in text + listed + shown


def test_a_repeated_request_with_its_key_adds_one_account(ask: Ask, runtime: Runtime) -> None:
    first = ask("POST", "/accounts", SHOP, Idempotency_Key="k1")
    again = ask("POST", "/accounts", SHOP, Idempotency_Key="k1")
    assert first[2] == again[2]
    with runtime.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"kind": "telegram"}, 422, "accounts.unknown_kind"),
        ({"kind": "wecom"}, 422, "accounts.missing"),
        ({"profile": "none"}, 404, "accounts.no_profile"),
    ],
)
def test_bad_input_is_a_problem_with_a_code(ask: Ask, changes: dict[str, str], status: int, code: str) -> None:
    got, text, body = ask("POST", "/accounts", {**SHOP, **changes})
    assert (got, body["code"]) == (status, code)
    assert SECRETS["secret"] not in text


def test_unknown_fields_are_refused(ask: Ask) -> None:
    assert ask("POST", "/accounts", {**SHOP, "workspace": 2})[0] == 422


def test_limits_come_with_their_sources_and_follow_the_profile(ask: Ask) -> None:
    made = ask("POST", "/accounts", SHOP)[2]
    limits = {row["key"]: row for row in ask("GET", f"/accounts/{made['id']}/limits")[2]["limits"]}
    assert limits["broadcast.per_month"]["value"] == 4
    assert limits["broadcast.kinds"]["value"] == ["template"]
    assert limits["tags.count"]["source"]
    assert ask("PUT", f"/accounts/{made['id']}/profile", {"profile": "platform"})[2]["profile"] == "platform"
    limits = {row["key"]: row for row in ask("GET", f"/accounts/{made['id']}/limits")[2]["limits"]}
    assert (limits["broadcast.scope"]["value"], limits["tags.members"]["value"]) == ("person", None)


def test_check_tells_what_is_wrong_in_both_languages(ask: Ask) -> None:
    made = ask("POST", "/accounts", SHOP)[2]
    status, text, health = ask("POST", f"/accounts/{made['id']}/check")
    assert (status, health["ok"], health["problem"]["code"]) == (200, False, "accounts.unreachable")
    assert "旗舰店" in health["problem"]["zh"]
    assert SECRETS["secret"] not in text


def test_missing_accounts_are_not_found(ask: Ask) -> None:
    for method, path in (("GET", "/accounts/9"), ("GET", "/accounts/9/limits"), ("POST", "/accounts/9/check")):
        status, _, body = ask(method, path)
        assert (status, body["code"]) == (404, "accounts.no_account")
