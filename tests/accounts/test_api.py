"""The routes of accounts over real HTTP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.accounts.platform import Platform
from tests.tracking.serving import call, serving

from tagcast import access, accounts
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


def test_an_account_is_named_by_number_or_by_name(ask: Ask) -> None:
    made = ask("POST", "/accounts", {**SHOP, "name": "shop"})[2]
    digits = ask("POST", "/accounts", {**SHOP, "name": "123456789012"})[2]
    for path in (f"/accounts/{made['id']}", "/accounts/shop"):
        assert ask("GET", path)[2] == made
        assert ask("GET", f"{path}/limits")[0] == 200
        assert ask("POST", f"{path}/check")[2]["problem"]["code"] == "accounts.unreachable"
    assert ask("GET", "/accounts/123456789012")[2] == digits


def test_callback_keys_are_replaced_as_a_pair(ask: Ask, runtime: Runtime) -> None:
    made = ask("POST", "/accounts", SHOP)[2]
    key = "b" * 42 + "A"
    body = {"callback_token": "newtoken", "encoding_aes_key": key}
    status, text, _ = ask("PUT", f"/accounts/{made['id']}/callback-keys", body)
    assert status == 200
    assert key not in text
    with runtime.read(1, "test") as work:
        found = accounts.secrets(work, made["id"])
    assert found == accounts.Secrets(SECRETS["secret"], "newtoken", key)
    for wrong in (
        {"callback_token": "newtoken"},
        {**body, "encoding_aes_key": "short"},
        {**body, "callback_token": "no no"},
    ):
        assert ask("PUT", f"/accounts/{made['id']}/callback-keys", wrong)[0] == 422


def test_a_removed_account_is_gone(ask: Ask) -> None:
    made = ask("POST", "/accounts", SHOP)[2]
    assert ask("DELETE", f"/accounts/{made['id']}")[::2] == (200, made)
    assert ask("GET", "/accounts")[2] == {"accounts": []}
    assert ask("DELETE", f"/accounts/{made['id']}")[0] == 404


def test_a_replaced_secret_is_stored_and_not_shown(ask: Ask, runtime: Runtime) -> None:
    made = ask("POST", "/accounts", SHOP)[2]
    status, text, body = ask("PUT", f"/accounts/{made['id']}/secret", {"secret": "canary-new-5d11"})
    assert (status, body) == (200, made)
    assert "canary" not in text
    with runtime.read(1, "test") as work:
        assert accounts.secrets(work, made["id"]).secret == "canary-new-5d11"
    status, text, _ = ask("PUT", f"/accounts/{made['id']}/secret", {"secret": "canary" * 40})
    assert status == 422
    assert "canary" not in text


def test_a_profile_of_ones_own_is_added_and_followed(ask: Ask) -> None:
    own = {"service": {"broadcast": {"per_month": {"value": 2, "source": "our contract", "date": "2026-11-01"}}}}
    body = {"name": "contract", "base": "platform", "limits": own}
    assert ask("POST", "/accounts/profiles", body)[::2] == (201, {"name": "contract", "base": "platform"})
    made = ask("POST", "/accounts", {**SHOP, "profile": "contract"})[2]
    limits = {row["key"]: row for row in ask("GET", f"/accounts/{made['id']}/limits")[2]["limits"]}
    assert (limits["broadcast.per_month"]["value"], limits["broadcast.per_month"]["profile"]) == (2, "contract")
    assert limits["tags.depth"]["profile"] == "platform"
    wrong = ask("POST", "/accounts/profiles", {**body, "limits": {"service": {"broadcast": {"per_year": 1}}}})
    assert (wrong[0], wrong[2]["code"]) == (422, "accounts.bad_limit")
    taken = ask("POST", "/accounts/profiles", {**body, "name": "article"})
    assert (taken[0], taken[2]["code"]) == (409, "accounts.name_taken")


def test_templates_need_a_service_account_that_answers(ask: Ask) -> None:
    service = ask("POST", "/accounts", SHOP)[2]
    status, _, body = ask("GET", f"/accounts/{service['id']}/templates")
    assert (status, body["code"]) == (503, "accounts.unreachable")
    official = ask("POST", "/accounts", {**SHOP, "kind": "official", "name": "news"})[2]
    status, _, body = ask("GET", f"/accounts/{official['id']}/templates")
    assert (status, body["code"]) == (422, "accounts.no_templates")


def test_templates_are_those_of_the_platform(ask: Ask, sandbox: Platform) -> None:
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": "service", "name": "s"})
    mine = {"kind": "service", "name": "s", "appid": made["appid"], "secret": made["secret"], "base_url": sandbox.url}
    assert ask("POST", "/accounts", mine)[0] == 201
    status, _, body = ask("GET", "/accounts/s/templates")
    assert status == 200
    assert [set(one) for one in body["templates"]] == [{"template_id", "title", "content", "example"}] * 3
    assert all(".DATA}}" in one["content"] for one in body["templates"])
    assert len({one["template_id"] for one in body["templates"]}) == 3


def test_missing_accounts_are_not_found(ask: Ask) -> None:
    for method, path in (
        ("GET", "/accounts/9"), ("GET", "/accounts/9/limits"), ("POST", "/accounts/9/check"),
        ("GET", "/accounts/nobody"), ("GET", "/accounts/9/templates"), ("GET", f"/accounts/{10**30}"),
    ):  # fmt: skip
        status, _, body = ask(method, path)
        assert (status, body["code"]) == (404, "accounts.no_account")
