"""企业微信: tokens per app, trusted addresses, permissions, the visible range, what an error looks like."""

import re
import urllib.request

import pytest
from tests.wechat_sandbox.conftest import Client, Sandbox
from tests.wechat_sandbox.wecom import CONTACT, by_member


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


def _change(client: Client, **settings: object) -> None:
    status, _ = client.sandbox.call("PATCH", f"/sandbox/accounts/{client.id}", settings)
    assert status == 200


def test_a_secret_of_another_corp_is_told_from_a_wrong_one(sandbox: Sandbox, corp: Client) -> None:
    other = sandbox.account("wecom", reach=0, employees=1)
    query = {"corpid": corp.account["corpid"], "corpsecret": other.account["secret"]}
    assert sandbox.get("/cgi-bin/gettoken", **query)["errcode"] == 40091
    assert sandbox.get("/cgi-bin/gettoken", **{**query, "corpsecret": "x"})["errcode"] == 40001


def test_who_fails_too_often_is_blocked_for_an_hour(sandbox: Sandbox, corp: Client) -> None:
    good = {"corpid": corp.account["corpid"], "corpsecret": corp.account["secret"]}
    sandbox.to_noon()
    sandbox.post("/sandbox/clock", {"advance_seconds": 3600})
    sandbox.post("/sandbox/limits", {"gettoken_failures_per_hour": 3})
    codes = [sandbox.get("/cgi-bin/gettoken", **{**good, "corpsecret": "x"})["errcode"] for _ in range(4)]
    blocked = [sandbox.get("/cgi-bin/gettoken", **query)["errcode"] for query in (good, {**good, "corpsecret": "x"})]
    sandbox.post("/sandbox/clock", {"advance_seconds": 3599})
    still = sandbox.get("/cgi-bin/gettoken", **good)["errcode"]
    sandbox.post("/sandbox/clock", {"advance_seconds": 2})
    free = sandbox.get("/cgi-bin/gettoken", **good)["errcode"]
    sandbox.post("/sandbox/limits", {"gettoken_failures_per_hour": 2000})
    assert (codes, blocked, still, free) == ([40001] * 4, [45009, 45009], 45009, 0)


def test_an_address_that_is_not_trusted_is_refused_and_named(corp: Client) -> None:
    _change(corp, trusted_ips=["10.0.0.0/8"])
    answer = corp.get(f"{CONTACT}/get_follow_user_list")
    assert (answer["errcode"], answer["follow_user"]) == (60020, [])
    tail = r", hint: \[\d+_\d+_[0-9a-f]+\], from ip: 127\.0\.0\.1, more info at https://open\.work\.weixin\.qq\.com/"
    assert re.search(tail + r"devtool/query\?e=60020$", answer["errmsg"])
    _change(corp, trusted_ips=["10.0.0.0/8", "127.0.0.1"])
    assert corp.get(f"{CONTACT}/get_follow_user_list")["errcode"] == 0
    status, _ = corp.sandbox.call("PATCH", f"/sandbox/accounts/{corp.id}", {"trusted_ips": "127.0.0.1"})
    assert status == 400


def test_an_app_calls_what_it_may(corp: Client) -> None:
    _change(corp, permissions=["message"])
    text = {"touser": "@all", "agentid": corp.account["agentid"], "msgtype": "text", "text": {"content": "你好"}}
    assert corp.code(f"{CONTACT}/get_corp_tag_list", {}) == 48002
    assert corp.code("msgaudit/get_permit_user_list", {}) == 48002
    assert corp.code("message/send", text) == 0
    _change(corp, permissions=["externalcontact"])
    assert (corp.code(f"{CONTACT}/get_corp_tag_list", {}), corp.code("message/send", text)) == (0, 48002)


def test_what_is_outside_the_visible_range_is_not_there(corp: Client) -> None:
    members = by_member(corp)
    seen = {*members["employee001"], *members["employee002"]}
    hidden = next(person for person in members["employee003"] if person not in seen)
    _change(corp, visible=["employee001", "employee002"])
    assert corp.get(f"{CONTACT}/get_follow_user_list")["follow_user"] == ["employee001", "employee002"]
    assert corp.get(f"{CONTACT}/list", userid="employee003")["errcode"] == 60011
    assert corp.code(f"{CONTACT}/batch/get_by_user", {"userid_list": ["employee001", "employee003"]}) == 60011
    pair = {"userid": "employee003", "external_userid": hidden, "add_tag": ["x"]}
    assert corp.code(f"{CONTACT}/mark_tag", pair) == 60011
    task = {"text": {"content": "你好"}, "external_userid": [hidden]}
    answer = corp.post(f"{CONTACT}/add_msg_template", task)
    assert (answer["errcode"], answer["fail_list"]) == (41048, [hidden])
    assert corp.get(f"{CONTACT}/get", external_userid=hidden)["errcode"] == 60011
    sent = corp.post(
        "message/send",
        {
            "touser": "employee001|employee003",
            "agentid": corp.account["agentid"],
            "msgtype": "text",
            "text": {"content": "x"},
        },
    )
    assert (sent["errcode"], sent["invaliduser"]) == (0, "employee003")


def test_errors_beside_empty_lists_and_the_shape_of_a_success(corp: Client) -> None:
    dead = Client(corp.sandbox, corp.account)
    dead.token = "x"
    for path, name in (
        (f"{CONTACT}/get_follow_user_list", "follow_user"),
        (f"{CONTACT}/list", "external_userid"),
    ):
        answer = dead.get(path)
        assert (answer["errcode"], answer[name]) == (40014, [])
    assert dead.post(f"{CONTACT}/get_groupmsg_list_v2", {})["group_msg_list"] == []
    ok = corp.post(f"{CONTACT}/get_corp_tag_list", {})
    assert ok == {"errcode": 0, "errmsg": "ok", "tag_group": []}


def test_plain_files_and_json_errors_share_one_path(corp: Client) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
    ident = corp.upload("media/upload", picture)["media_id"]
    address = f"{corp.sandbox.url}/cgi-bin/media/get?access_token={corp.token}&media_id="
    with urllib.request.urlopen(address + ident) as answer:
        assert (answer.headers["Content-Type"].split("/")[0], answer.read()) == ("image", picture)
    with urllib.request.urlopen(address + "x") as answer:
        assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, "application/json")
