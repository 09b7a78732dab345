"""The shell over real HTTP: errors of one shape in two languages, limits, headers, replay, health."""

import http.client
import io
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import APIRouter
from pydantic import BaseModel, Field

from tagcast import access, tracking
from tagcast.access import Guarded
from tagcast.kit import logs
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Runtime, Work, workspaces
from tagcast.server import create_app
from tagcast.server.app import MODULES
from tagcast.server.problems import MAX_BODY, language
from tests.tracking.serving import call, serving

BOTH = re.compile("[^·]*[\u4e00-\u9fff][^·]*· [A-Z][^·]*[a-z][^·]*")
"""A summary: Chinese, a dot in the middle, English."""

trial = APIRouter(prefix="/trial", tags=["trial"])


class Named(BaseModel):
    name: str = Field(max_length=5)


@trial.post("", status_code=201)
def rename(body: Named, entry: Guarded) -> Named:
    def use_case(work: Work) -> Named:
        before = work.connection.scalar(sa.select(workspaces.c.name).where(workspaces.c.id == work.workspace))
        work.connection.execute(sa.update(workspaces).values(name=before + body.name))
        return Named.model_construct(name=before + body.name)

    return entry.write(use_case)


@trial.get("/missing")
def missing(entry: Guarded) -> Named:
    raise NotFound("access.no_key", key="abc", extra=entry.caller.workspace)


@trial.get("/broken")
def broken() -> Named:
    raise ValueError("the secret 13800138000")


class Served:
    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    def call(self, path: str, method: str = "GET", **options: Any) -> tuple[int, dict[str, str], Any]:
        status, headers, body = call(self.port, path, method, **{"Authorization": f"Bearer {self.key}", **options})
        return status, headers, json.loads(body) if body else None

    def post(self, body: object, **options: str) -> tuple[int, dict[str, str], Any]:
        sent = json.dumps(body).encode()
        return self.call("/api/v1/trial", "POST", body=sent, Content_Type="application/json", **options)


@pytest.fixture
def served(runtime: Runtime) -> Iterator[Served]:
    with runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
    app = create_app(runtime)
    app.api.include_router(trial, prefix="/api/v1")
    with serving(app, lifespan="on") as port:
        yield Served(port, key)


def test_an_error_names_itself_in_the_callers_language(served: Served) -> None:
    status, headers, body = served.call("/api/v1/trial/missing", Accept_Language="zh-CN,zh;q=0.9,en;q=0.8")
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert body == {
        "type": "/problems/access.no_key",
        "title": "不存在",
        "status": 404,
        "detail": "没有有效的 API 密钥 abc。",
        "code": "access.no_key",
        "remedy": "请用 `tagcast key ls` 查看密钥。",
        "params": {"key": "abc", "extra": 1},
    }
    assert headers["content-language"] == "zh-CN"
    english = served.call("/api/v1/trial/missing", Accept_Language="en")
    assert english[2]["detail"] == "There is no API key abc that still stands."


def test_who_has_no_key_gets_401_and_no_more(served: Served) -> None:
    for sent in ("", "Bearer nonsense", "Basic abc", f"Bearer {served.key[:-1]}x"):
        status, headers, body = served.call("/api/v1/trial/missing", Authorization=sent)
        assert (status, body["code"], headers["www-authenticate"]) == (401, "server.unauthorized", "Bearer")


def test_wrong_input_is_named_and_not_repeated(served: Served) -> None:
    status, headers, body = served.post({"name": "13800138000"})
    assert (status, headers["content-type"]) == (422, "application/problem+json")
    assert body["code"] == "server.invalid_input"
    assert body["params"]["errors"] == [
        {"where": "body.name", "problem": "String should have at most 5 characters"},
    ]
    assert "13800138000" not in json.dumps(body)
    assert served.call("/api/v1/trial", "POST", body=b"{", Content_Type="application/json")[0] == 422


def test_a_mistake_of_ours_tells_nothing(served: Served) -> None:
    stream = io.StringIO()
    logs.configure("ERROR")
    with redirect_stderr(stream):
        status, headers, body = served.call("/api/v1/trial/broken", X_Request_ID="abc-1")
        # The log is written once the answer has gone.
        end = time.monotonic() + 10
        while "request failed" not in (logged := stream.getvalue()) and time.monotonic() < end:
            time.sleep(0.01)
    line = next(json.loads(text) for text in logged.splitlines() if "request failed" in text)
    assert (line["request"], line["path"], line["exc_type"]) == ("abc-1", "/api/v1/trial/broken", "ValueError")
    assert "13800138000" not in logged
    assert (status, body["code"], body["params"]) == (500, "server.unexpected", {"request": "abc-1"})
    assert headers["x-request-id"] == "abc-1"
    assert "13800138000" not in json.dumps(body)


def test_no_route_and_no_method(served: Served) -> None:
    assert served.call("/nowhere")[2]["code"] == "server.no_route"
    status, headers, body = served.call("/livez", "DELETE")
    assert (status, body["code"], headers["allow"]) == (405, "server.bad_method", "GET")
    for page in ("/docs", "/redoc", "/.git/config", "/metrics"):
        assert served.call(page)[0] == 404


def test_a_repeated_write_gives_the_first_answer(served: Served) -> None:
    first = served.post({"name": "a"}, Idempotency_Key="k1")
    again = served.post({"name": "a"}, Idempotency_Key="k1")
    assert (first[0], first[2]) == (again[0], again[2]) == (201, {"name": "testa"})
    assert "idempotency-replayed" not in first[1]
    assert again[1]["idempotency-replayed"] == "true"
    other = served.post({"name": "b"}, Idempotency_Key="k1")
    assert (other[0], other[2]["code"]) == (409, "access.key_reused")
    assert served.post({"name": "b"})[2] == {"name": "testab"}


def test_every_answer_carries_the_safe_headers(served: Served) -> None:
    for path in ("/livez", "/nowhere", "/api/v1/trial/missing", "/api/v1/trial/broken", "/api/v1/openapi.json"):
        headers = served.call(path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert len(headers["x-request-id"]) == 32
        assert "server" not in headers or headers["server"] == "uvicorn"


def test_a_bad_request_id_is_replaced(served: Served) -> None:
    assert len(served.call("/livez", X_Request_ID="<script>")[1]["x-request-id"]) == 32


def test_a_large_body_is_refused_before_and_while_it_comes(served: Served) -> None:
    status, _, body = served.call("/api/v1/trial", "POST", body=b"", Content_Length=str(MAX_BODY + 1))
    assert (status, body["code"], body["params"]) == (413, "server.body_too_large", {"limit": MAX_BODY})
    status, answer = dripped(served, [b"x" * 1024 * 1024] * (MAX_BODY // (1024 * 1024)) + [b"x"])
    assert (status, answer["code"]) == (413, "server.body_too_large")


def dripped(served: Served, chunks: list[bytes]) -> tuple[int, Any]:
    """Send the chunks of a body that does not end, and read the answer.

    Nothing is on its way when the server hangs up, so that its answer is not lost in a reset.
    """
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.putrequest("POST", "/api/v1/trial")
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    for chunk in chunks:
        connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    answer = connection.getresponse()
    status, body = answer.status, json.loads(answer.read())
    connection.close()
    return status, body


def test_health(served: Served) -> None:
    assert served.call("/livez", Authorization="")[2] == {"status": "ok"}
    # The tables of this database were made without migrations, so it is not at any version.
    status, _, body = served.call("/readyz", Authorization="")
    assert (status, body["code"]) == (503, "server.not_migrated")


def test_the_schema_describes_errors_as_they_are(served: Served) -> None:
    schema = served.call("/api/v1/openapi.json", Authorization="")[2]
    assert schema["openapi"].startswith("3.1")
    answers = schema["paths"]["/api/v1/trial"]["post"]["responses"]
    assert set(answers) == {"201", "default"}
    assert answers["default"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert set(schema["components"]["schemas"]["Problem"]["required"]) == {
        "type", "title", "status", "detail", "code", "remedy", "params",
    }  # fmt: skip
    operations = [one for path in schema["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_every_operation_has_a_summary_in_both_languages_and_an_id_of_its_own(runtime_sqlite: Runtime) -> None:
    schema = create_app(runtime_sqlite).api.openapi()
    operations = [one for path in schema["paths"].values() for one in path.values()]
    assert len(operations) > 60
    plain = [one["operationId"] for one in operations if not BOTH.fullmatch(one.get("summary", ""))]
    assert plain == []
    assert {tag for one in operations for tag in one["tags"]} == {*MODULES, "health"}
    assert [one["operationId"] for one in operations if len(one["tags"]) != 1] == []
    names = [one["operationId"] for one in operations]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_links_go_past_the_api(served: Served, runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        url = tracking.personal_urls(work, link, [3], "")[0]
    status, headers, _ = served.call(url, Authorization="")
    assert (status, headers["location"]) == (302, "https://shop.example/")
    with runtime.work(1, "test") as work:
        assert tracking.fold(work) == 1


def test_callbacks_go_past_the_api(served: Served) -> None:
    status, headers, body = call(served.port, "/callback/" + "0" * 32, "POST", body=b"<xml/>")
    assert 400 <= status < 500
    assert "x-request-id" not in headers
    assert b"server.no_route" not in body


@pytest.mark.parametrize(
    ("accepted", "default", "found"),
    [
        ("", "", "en"), ("", "zh", "zh"), ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh"), ("en;q=0.5, zh;q=0.7", "", "zh"),
        ("fr, en;q=0.3", "zh", "en"), ("de", "zh", "zh"), ("zh;q=0, en;q=0.1", "zh", "en"), (";;q=x,,,", "", "en"),
    ],
)  # fmt: skip
def test_language(accepted: str, default: str, found: str) -> None:
    assert language(accepted, default) == found
