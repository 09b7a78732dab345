"""Faults on demand, the judge over the ledger, and a kill of the sandbox itself."""

import http.client
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.wechat_sandbox.conftest import Client, Sandbox, start, wait_for

_PATH = "/cgi-bin/message/template/send"


def _body(client: Client, person: str, key: str = "") -> dict[str, object]:
    template = client.get("template/get_all_private_template")["template_list"][1]["template_id"]
    data = {name: {"value": "会员"} for name in ("name1", "thing2", "thing3")}
    return {"touser": person, "template_id": template, "data": data, "client_msg_id": key or person}


@pytest.fixture
def service(sandbox: Sandbox) -> Client:
    return sandbox.account("service", reach=1)


@pytest.mark.parametrize(("kind", "code"), [("busy", -1), ("quota", 45009), ("error", 43116)])
def test_a_fault_answers_an_error_so_many_times(sandbox: Sandbox, service: Client, kind: str, code: int) -> None:
    body = _body(service, service.reachable()[0])
    answer = sandbox.post("/sandbox/faults", {"path": _PATH, "kind": kind, "times": 2, "code": code})
    assert (answer["faults"][-1]["kind"], answer["faults"][-1]["hit"]) == (kind, 0)
    assert [service.code("message/template/send", body) for _ in range(3)] == [code, code, 0]
    assert sandbox.call("DELETE", "/sandbox/faults")[1] == {"faults": []}


@pytest.mark.parametrize(("kind", "done"), [("cut", 1), ("timeout_after", 1), ("cut_before", 0), ("timeout_before", 0)])
def test_a_connection_cut_leaves_the_call_done_or_not(sandbox: Sandbox, service: Client, kind: str, done: int) -> None:
    body = _body(service, service.reachable()[0])
    sandbox.post("/sandbox/faults", {"path": _PATH, "kind": kind, "times": 1, "seconds": 0.05})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        service.post("message/template/send", body)
    assert service.summary()["asked"] == done
    assert service.code("message/template/send", body) == 0
    sandbox.quiet()
    assert (service.summary()["arrived"], service.summary()["duplicated"]) == (1, 0)
    sandbox.call("DELETE", "/sandbox/faults")


def test_a_slow_answer_is_still_right_and_too_many_reads_at_once_are_refused(sandbox: Sandbox) -> None:
    corp = sandbox.account("wecom", reach=1, employees=2)
    path = "/cgi-bin/externalcontact/list"
    sandbox.post(
        "/sandbox/faults", {"path": "/cgi-bin/externalcontact/*", "kind": "slow", "probability": 1, "seconds": 0.3}
    )
    sandbox.post("/sandbox/limits", {"wecom_concurrent_reads": 2})
    with ThreadPoolExecutor(6) as pool:
        query = urllib.parse.urlencode({"access_token": corp.token, "userid": "employee001"})
        answers = list(pool.map(lambda _: sandbox.call("GET", f"{path}?{query}")[1]["errcode"], range(6)))
    sandbox.call("DELETE", "/sandbox/faults")
    sandbox.post("/sandbox/limits", {"wecom_concurrent_reads": 64})
    assert set(answers) == {0, 45033}


def test_a_fault_strikes_one_account_within_its_time_with_its_own_words(sandbox: Sandbox, service: Client) -> None:
    other = sandbox.account("service")
    fault = {"path": "/cgi-bin/tags/*", "kind": "error", "probability": 1, "code": 88000, "message": "without comment"}
    sandbox.post("/sandbox/faults", {**fault, "account": service.id, "from_seconds": 100, "until_seconds": 200})
    found = []
    for _ in range(3):
        found.append((service.get("tags/get").get("errcode"), other.get("tags/get").get("errcode")))
        sandbox.post("/sandbox/clock", {"advance_seconds": 110})
    sandbox.call("DELETE", "/sandbox/faults")
    assert found == [(None, None), (88000, None), (None, None)]
    sandbox.post("/sandbox/faults", {**fault, "path": "/cgi-bin/stable_token", "account": service.id})
    credentials = {"grant_type": "client_credential", "secret": "x"}
    answers = [
        sandbox.post("/cgi-bin/stable_token", {**credentials, "appid": one.account["appid"]})
        for one in (service, other)
    ]
    sandbox.call("DELETE", "/sandbox/faults")
    assert [answer["errcode"] for answer in answers] == [88000, 40125]
    assert answers[0]["errmsg"].startswith("without comment rid: ")


def test_a_gateway_answers_a_page_instead_of_the_platform(sandbox: Sandbox, service: Client) -> None:
    sandbox.post("/sandbox/faults", {"path": "/cgi-bin/tags/get", "kind": "gateway", "code": 504})
    with pytest.raises(json.JSONDecodeError):
        service.get("tags/get")
    assert "errcode" not in service.get("tags/get")
    sandbox.call("DELETE", "/sandbox/faults")


def test_presets_add_faults_for_an_account_or_all_and_can_be_removed_one_by_one(
    sandbox: Sandbox, service: Client
) -> None:
    presets = sandbox.get("/sandbox/faults/presets")["presets"]
    for name, preset in presets.items():
        found = sandbox.post("/sandbox/faults", {"preset": name, "account": service.id})["faults"]
        assert (len(found), {one["account"] for one in found}) == (len(preset["faults"]), {service.id})
        left = sandbox.call("DELETE", f"/sandbox/faults/{found[0]['id']}")[1]["faults"]
        assert left == found[1:]
        sandbox.call("DELETE", "/sandbox/faults")
    sandbox.post("/sandbox/faults", {"preset": "platform_down"})
    assert service.get("tags/get")["errcode"] == -1
    sandbox.call("DELETE", "/sandbox/faults")
    assert sandbox.call("DELETE", "/sandbox/faults/12345")[0] == 404


def test_the_judge_counts_lost_doubled_forbidden_and_unexpected(sandbox: Sandbox, service: Client) -> None:
    people = service.reachable()
    start_seq = service.summary()["last_seq"]
    for person in people[:4]:
        service.post("message/template/send", _body(service, person))
    service.post("message/template/send", _body(service, people[0], "again"))
    sandbox.post("/sandbox/people/change", {"account": service.id, "people": [people[4]], "follows": False})
    assert service.code("message/template/send", _body(service, people[4])) == 43004
    sandbox.quiet()
    expected = [*people[1:5], people[9]]
    verdict = sandbox.post(
        "/sandbox/ledger/judge", {"account": service.id, "expected": expected, "since_seq": start_seq}
    )
    counts = {
        name: verdict[name] for name in ("asked", "arrived", "failed", "lost", "duplicated", "forbidden", "unexpected")
    }
    assert counts == {
        "asked": 5,
        "arrived": 5,
        "failed": {"not_follower": 1},
        "lost": 1,
        "duplicated": 1,
        "forbidden": 1,
        "unexpected": 1,
    }
    assert verdict["samples"] == {
        "lost": [people[9]],
        "duplicated": [people[0]],
        "forbidden": [people[0]],
        "unexpected": [people[0]],
    }
    later = {"account": service.id, "expected": [], "since_seq": verdict["last_seq"]}
    assert sandbox.post("/sandbox/ledger/judge", later)["asked"] == 0


def test_a_second_try_after_a_failure_is_no_duplicate(sandbox: Sandbox, service: Client) -> None:
    person = service.reachable()[0]
    sandbox.post("/sandbox/settings", {"system_failed_share": 1})
    service.post("message/template/send", _body(service, person, "1"))
    sandbox.quiet()
    sandbox.post("/sandbox/settings", {"system_failed_share": 0})
    service.post("message/template/send", _body(service, person, "2"))
    sandbox.quiet()
    assert service.summary()["duplicated"] == 0
    assert (service.summary()["arrived"], service.summary()["failed"]) == (1, {"system_failed": 1})


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    first = start(state, "--population", "300")
    first.post(
        "/sandbox/settings", {"template_finish_seconds": 60, "mass_finish_seconds": 60, "system_failed_share": 0}
    )
    service, corp = first.account("service", reach=1), first.account("wecom", reach=1, employees=2)
    people = service.reachable()
    sent = [service.post("message/template/send", _body(service, person))["msgid"] for person in people[:40]]
    mass = service.post("message/mass/send", {"touser": people[:5], "msgtype": "text", "text": {"content": "你好"}})
    tag = service.post("tags/create", {"tag": {"name": "标签"}})["tag"]["id"]
    service.post("tags/members/batchtagging", {"openid_list": people[:3], "tagid": tag})
    task = corp.post("externalcontact/add_msg_template", {"sender": "employee001", "text": {"content": "你好"}})
    first.post("/sandbox/people/change", {"account": service.id, "people": people[7:8], "follows": False})
    rows = first.people()
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()

    second = start(state, "--population", "300")
    try:
        again, other = Client(second, service.account), Client(second, corp.account)
        assert again.token == service.token
        assert second.people() == rows
        assert again.summary()["asked"] == 45
        repeats = [again.post("message/template/send", _body(again, person))["msgid"] for person in people[:7]]
        assert repeats == sent[:7]
        assert again.post("user/tag/get", {"tagid": tag})["data"]["openid"] == people[:3]
        second.post("/sandbox/settings", {"confirm_seconds": 0.05, "confirm_share": 1})
        second.post("/sandbox/clock", {"advance_seconds": 120})
        done = {"msg_id": mass["msg_id"], "msg_status": "SEND_SUCCESS"}
        wait_for(lambda: again.post("message/mass/get", {"msg_id": mass["msg_id"]}) == done)
        wait_for(lambda: again.summary()["pending"] == 0)
        assert again.summary() | {"last_seq": 0} == {
            "asked": 45,
            "arrived": 44,
            "failed": {"system_failed": 1},
            "pending": 0,
            "duplicated": 0,
            "forbidden": 0,
            "last_seq": 0,
        }
        status = other.post("externalcontact/get_groupmsg_task", {"msgid": task["msgid"]})["task_list"][0]["status"]
        assert status == 2
    finally:
        second.stop()
        assert second.process.stdout is not None
        second.process.stdout.close()


def test_the_control_api_says_what_is_wrong(sandbox: Sandbox) -> None:
    cases = [
        ("POST", "/sandbox/accounts", {"kind": "fax", "name": "x"}, 400),
        ("GET", "/sandbox/accounts/999", None, 404),
        ("GET", "/sandbox/nothing", None, 404),
        ("DELETE", "/sandbox/clock", None, 405),
        ("POST", "/sandbox/population", {"size": 7}, 409),
        ("POST", "/sandbox/settings", {"sped": 1}, 400),
        ("POST", "/sandbox/limits", {"nothing": 1}, 400),
        ("POST", "/sandbox/faults", {"path": "/x", "kind": "fire"}, 400),
        ("POST", "/sandbox/faults", {"kind": "busy"}, 400),
        ("POST", "/sandbox/faults", {"path": "/x", "kind": "late"}, 400),
        ("POST", "/sandbox/faults", {"path": "/x", "kind": "busy", "often": 1}, 400),
        ("POST", "/sandbox/faults", {"path": "/x", "kind": "busy", "probability": 7}, 400),
        ("POST", "/sandbox/faults", {"preset": "good_day"}, 400),
        ("POST", "/sandbox/model", {"reaction.match": 1}, 400),
        ("POST", "/sandbox/model", {"reaction.match.open": 2}, 400),
        ("POST", "/sandbox/model", {"no.such": 1}, 400),
        ("POST", "/sandbox/clock", {"advance_seconds": "soon"}, 400),
    ]
    for method, path, body, expected in cases:
        status, answer = sandbox.call(method, path, body)
        assert (path, status, bool(answer["error"])) == (path, expected, True)
    assert json.dumps(sandbox.get("/sandbox/accounts"))
