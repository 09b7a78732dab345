"""The routes of compliance over real HTTP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyroaring import BitMap
from tests.tracking.serving import call, serving

from tagcast import access, accounts, compliance, contacts
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


def test_caps_and_whose_days_they_count_by(ask: Ask, runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        new = accounts.NewAccount("service", "s", "secret", appid="wx0123456789abcdef", profile="platform")
        at = accounts.add(work, new).id
        contacts.declare_attribute(work, "tz", "choice", purpose="test")
        contacts.set_choices(work, "tz", {"Asia/Tokyo": BitMap([1]), "Mars": BitMap([2])}, why="test")
        compliance.record_sent(work, at, "b1", BitMap([1]), work.now)
    status, cap = ask("PUT", "/caps/kind:service/week", {"value": 2, "why": "品牌规定"})
    assert (status, cap["scope"], cap["period"], cap["value"], cap["why"]) == (
        200,
        "kind:service",
        "week",
        2,
        "品牌规定",
    )
    assert cap["who"].startswith("key:")
    assert [(one["scope"], one["who"] is None) for one in ask("GET", "/caps")[1]["caps"]] == [
        ("all", True), ("kind:service", False),
    ]  # fmt: skip
    zones = {"whose": "person", "attribute": "tz"}
    assert ask("PUT", "/caps/zones", zones)[1] == {**zones, "workspace": "Asia/Shanghai", "strange": {"Mars": 1}}
    assert ask("GET", "/caps/zones")[1]["whose"] == "person"
    uses = ask("GET", f"/caps/used/{at}/1")[1]["uses"]
    assert [(one["name"], one["used"], one["left"], one["zone"]) for one in uses] == [
        ("account", 1, 3, "Asia/Shanghai"),
        ("all:month", 1, 7, "Asia/Tokyo"),
        ("kind:service:week", 1, 1, "Asia/Tokyo"),
    ]
    assert [one["scope"] for one in ask("DELETE", "/caps/kind:service/week")[1]["caps"]] == ["all"]
    for method, path, given, answer in (
        ("DELETE", "/caps/kind:service/week", None, (404, "compliance.no_cap")),
        ("PUT", "/caps/account:99/day", {"value": 1}, (404, "accounts.no_account")),
        ("PUT", "/caps/all/year", {"value": 1}, (422, "compliance.bad_period")),
        ("PUT", "/caps/zones", {"whose": "person"}, (422, "compliance.no_zone_attribute")),
        ("GET", f"/caps/used/{at}/99", None, (404, "compliance.unknown_contact")),
    ):
        status, body = ask(method, path, given)
        assert (status, body["code"]) == answer


def test_quiet_hours_are_shown_changed_and_asked(ask: Ask, runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        new = accounts.NewAccount("service", "s", "secret", appid="wx0123456789abcdef", profile="platform")
        at = accounts.add(work, new).id
    assert ask("GET", "/quiet")[1]["start"] == "22:00"
    changed = ask("PUT", "/quiet", {"start": "21:30", "exempt": ["service"], "why": "board"})[1]
    assert changed == {"on": True, "start": "21:30", "end": "08:00", "exempt": ["service"], "source": "board"}
    assert ask("GET", f"/quiet/next/{at}?purpose=service")[1]["quiet"] == 0
    assert ask("GET", f"/quiet/next/{at}")[1]["quiet"] in (0, 3)
    assert ask("GET", f"/quiet/next/{at}?purpose=profiling")[0] == 422
    assert ask("PUT", "/quiet", {"start": "21:37"})[1]["code"] == "compliance.bad_time"
    assert ask("PUT", "/quiet", {"on": False})[1]["code"] == "compliance.no_reason"
    assert ask("PUT", "/quiet", {"on": False, "why": "a test"})[1]["on"] is False


def test_refusals_of_personalisation_by_identity_number_and_segment(ask: Ask) -> None:
    people = {"identity": "unionid", "values": ["oU-1", "oU-9"], "why": "来电"}
    assert ask("POST", "/personalisation/off", people) == (201, {"changed": 1, "unknown": ["oU-9"]})
    numbers = {"values": ["2", "99", "x"], "why": "来电"}
    status, body = ask("POST", "/personalisation/off", numbers)
    assert (status, body["changed"], body["unknown"]) == (201, 1, ["99", "x"])
    assert ask("GET", "/personalisation/off")[1] == {"count": 2, "numbers": [1, 2], "next": None}
    assert ask("GET", "/consents/2")[1]["personalised"] is False
    assert ask("POST", "/personalisation/on", people)[1]["changed"] == 1
    segment = {"text": "all", "why": "the works council"}
    assert ask("POST", "/segments/personalisation", segment)[1] == {"count": 3, "changed": 2}
    assert ask("POST", "/segments/personalisation", {**segment, "refused": False})[1] == {"count": 3, "changed": 3}
    assert [row["state"] for row in ask("GET", "/consents/1")[1]["records"]] == [
        "granted", "withdrawn", "granted", "withdrawn",
    ]  # fmt: skip
    assert ask("POST", "/personalisation/off", {**people, "identity": "horoscope"})[1]["code"] == "contacts.bad_kind"


def test_minors_by_attribute_and_by_hand(ask: Ask, runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        contacts.declare_attribute(work, "age", "number", purpose="test")
        contacts.set_values(work, "age", {1: 12, 2: 40}, why="test")
    assert ask("GET", "/minors")[1]["count"] == 0
    changed = ask("PUT", "/minors", {"attribute": "age"})[1]
    assert (changed["attribute"], changed["years"], changed["count"]) == ("age", 18, 1)
    assert ask("POST", "/minors/mark", {"values": ["3"], "why": "call"})[1]["changed"] == 1
    found = ask("GET", "/minors")[1]
    assert (found["count"], found["marked"]) == (2, 1)
    assert ask("GET", "/consents/3")[1]["minor"] is True
    assert ask("POST", "/minors/unmark", {"values": ["1", "3"], "why": "call"})[1]["changed"] == 1
    assert ask("GET", "/minors")[1]["count"] == 1
    assert ask("PUT", "/minors", {"attribute": "age", "bands": ["x"]})[1]["code"] == "compliance.bad_bands"
    assert ask("PUT", "/minors", {"attribute": "horoscope"})[0] == 404
