"""The routes of compliance over real HTTP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.tracking.serving import call, serving

from tagcast import access, compliance, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.uow import Runtime
from tagcast.server import create_app

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(runtime: Runtime) -> Iterator[Ask]:
    with runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
        people = [PersonIn({Identity("unionid"): f"oU-{number}"}) for number in (1, 2, 3)]
        assert contacts.ensure(work, people) == [1, 2, 3]
    with serving(create_app(runtime), lifespan="on") as port:

        def asked(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}
            status, _, answer = call(port, f"/api/v1{path}", method, body=data, **headers)
            return status, json.loads(answer)

        yield asked


def consent(**changes: Any) -> dict[str, Any]:
    return {"identity": "unionid", "purpose": "marketing", "source": "注册页", "notice": "v1", **changes}


def test_consents_are_recorded_by_identity_and_proven(ask: Ask, runtime: Runtime) -> None:
    status, body = ask("POST", "/consents", consent(granted=["oU-1", "oU-2", "oU-9"]))
    assert (status, body) == (201, {"granted": 2, "withdrawn": 0, "unknown": ["oU-9"]})
    assert ask("POST", "/consents", consent(source="退订", withdrawn=["oU-2"]))[1]["withdrawn"] == 1
    status, body = ask("GET", "/consents/2")
    assert (status, body["consented"], body["suppressed"]) == (200, [], False)
    assert [(row["state"], row["source"], row["notice"]) for row in body["records"]] == [
        ("withdrawn", "退订", "v1"),
        ("granted", "注册页", "v1"),
    ]
    assert body["records"][0]["who"].startswith("key:")
    with runtime.read(1, "test") as work:
        assert list(compliance.consented(work, "marketing")) == [1]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "profiling", "granted": ["oU-1"]}, "compliance.unknown_purpose"),
        ({"granted": ["oU-1"], "withdrawn": ["oU-1"]}, "compliance.both"),
        ({"source": " ", "granted": ["oU-1"]}, "compliance.no_source"),
        ({"identity": "horoscope", "granted": ["oU-1"]}, "contacts.bad_kind"),
    ],
)
def test_what_cannot_be_right_is_refused(ask: Ask, changes: dict[str, Any], code: str) -> None:
    status, body = ask("POST", "/consents", consent(**changes))
    assert (status, body["code"]) == (422, code)


def test_suppression_and_its_end(ask: Ask) -> None:
    people = {"identity": "unionid", "values": ["oU-1", "oU-3", "oU-8"], "why": "投诉"}
    assert ask("POST", "/suppressions", people) == (201, {"changed": 2, "unknown": ["oU-8"]})
    assert ask("GET", "/suppressions") == (200, {"count": 2})
    assert ask("GET", "/consents/3")[1]["suppressed"] is True
    lifted = {"identity": "unionid", "values": ["oU-3"], "why": "asked"}
    assert ask("POST", "/suppressions/lift", lifted) == (200, {"changed": 1, "unknown": []})
    assert ask("GET", "/suppressions") == (200, {"count": 1})


def test_the_monthly_ceiling_is_shown_tightened_and_bounded(ask: Ask) -> None:
    status, body = ask("GET", "/ceiling")
    assert (status, body["value"], body["shipped"], body["hard"]) == (200, 8, 8, 15)
    assert "article" in body["source"]
    assert ask("PUT", "/ceiling", {"value": 3})[1]["value"] == 3
    assert ask("PUT", "/ceiling", {"value": 12, "why": "approved"})[1] == {**body, "value": 12}
    for sent, code in (
        ({"value": 9}, "bad_ceiling"),
        ({"value": -1}, "bad_cap"),
        ({"value": 16, "why": "more"}, "over_hard_ceiling"),
    ):
        assert ask("PUT", "/ceiling", sent)[1]["code"] == f"compliance.{code}"
    assert ask("GET", "/ceiling")[1]["value"] == 12


def test_purposes_are_shown_in_plain_sentences(ask: Ask) -> None:
    purposes = ask("GET", "/consents/purposes")[1]["purposes"]
    assert [one["name"] for one in purposes] == ["marketing", "service"]
    assert all(one["zh"].endswith("。") and one["en"].endswith(".") for one in purposes)


def test_an_unknown_contact_is_not_found(ask: Ask) -> None:
    status, body = ask("GET", "/consents/99")
    assert (status, body["code"]) == (404, "compliance.unknown_contact")
