"""The page, the phone and the members: JSON for the page, and the page for this machine's browsers only."""

import re
import urllib.error
import urllib.request
from importlib.resources import files

import pytest
from tests.wechat_sandbox.conftest import Receiver, Sandbox

_FILES = ("/", "/sandbox/page/page.js", "/sandbox/page/views.js", "/sandbox/page/page.css")


def _get(sandbox: Sandbox, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(sandbox.url + path, headers={key.title(): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


@pytest.mark.parametrize("path", _FILES)
def test_the_page_is_our_own_and_nothing_else(sandbox: Sandbox, path: str) -> None:
    status, headers, text = _get(sandbox, path)
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    addresses = set(re.findall(r"(?:https?:)?//[\w.]+[^\s\"'`]*", re.sub(r"^//.*$", "", text, flags=re.MULTILINE)))
    assert addresses <= {"http://127.0.0.1:8000/…"}


def test_texts_enter_the_page_as_texts() -> None:
    for name in ("page.js", "views.js", "index.html"):
        text = files("wechat_sandbox.page").joinpath(name).read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style=|\son\w+=", text)


def test_every_call_of_the_page_exists(sandbox: Sandbox) -> None:
    text = files("wechat_sandbox.page").joinpath("views.js").read_text("utf-8")
    calls = set(re.findall(r"call\(\"(GET|POST|PATCH|DELETE)\", [`\"]([a-z/]+)", text))
    assert len(calls) > 15
    for method, path in calls:
        status, answer = sandbox.call("OPTIONS", f"/sandbox/{path}")
        known = status == 405 or path.split("/")[0] in ("accounts", "faults")
        assert (method, path, known) == (method, path, True), answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "[bad"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_other_sites_pages_are_refused(sandbox: Sandbox, headers: dict[str, str], status: int) -> None:
    for path in ("/", "/sandbox/accounts"):
        assert _get(sandbox, path, **headers)[0] == status
    assert _get(sandbox, "/sandbox/accounts", origin=sandbox.url)[0] == 200


def test_people_are_found_by_name_number_and_id(sandbox: Sandbox) -> None:
    client = sandbox.account("service", reach=1)
    rows = sandbox.people()
    wanted = rows[37]
    for text in (wanted["unionid"], wanted["ids"][str(client.id)]["openid"], "37"):
        assert [row["index"] for row in sandbox.get("/sandbox/people/find", text=text)["people"]] == [37]
    part = wanted["name"][1:]
    found = sandbox.get("/sandbox/people/find", text=part, limit=200)["people"]
    assert [row["index"] for row in found] == [row["index"] for row in rows if part in row["name"]]
    assert sandbox.get("/sandbox/people/find", text="Nobody")["people"] == []


def test_a_phone_shows_what_arrived_and_opens_its_link(sandbox: Sandbox, receiver: Receiver) -> None:
    page = '<title>新品 &amp; 优惠</title><a data-share href="/s?1">x</a><a data-button href="/go">y</a>'
    receiver.answers = lambda path, query, n: (200, {"Content-Type": "text/html"}, page)
    client = sandbox.account("service", name="店", reach=1)
    one, two = client.reachable()[:2]
    text = f"秋季上新 <i>看看</i> {receiver.url}/page"
    client.post("message/mass/send", {"touser": [one, two], "msgtype": "text", "text": {"content": text}})
    sandbox.quiet()
    template = client.get("template/get_all_private_template")["template_list"][1]["template_id"]
    data = {name: {"value": f"会员{name}"} for name in ("name1", "thing2", "thing3")}
    data["name1"] = {"value": "会员"}
    client.post("message/template/send", {"touser": one, "template_id": template, "data": data})
    sandbox.quiet()
    found = sandbox.get("/sandbox/people/phone", person=one)["messages"]
    newest, oldest = [message for message in found if message["account"] == client.id]
    assert newest["lines"] == ["name1：会员", "thing2：会员thing2", "thing3：会员thing3"]
    assert (oldest["lines"], oldest["link"]) == (["秋季上新", "看看", "·"], f"{receiver.url}/page")
    opened = sandbox.post("/sandbox/people/open", {"person": one, "link": oldest["link"], "click": True})
    assert opened == {
        "opened": True,
        "address": f"{receiver.url}/page",
        "title": "新品 & 优惠",
        "button": f"{receiver.url}/go",
        "share": f"{receiver.url}/s?1",
        "clicked": f"{receiver.url}/go",
    }
    status, _ = sandbox.call("POST", "/sandbox/people/open", {"person": one, "link": "http://192.0.2.1/"})
    assert status == 400


def test_a_member_confirms_never_or_late_or_as_set(sandbox: Sandbox) -> None:
    corp = sandbox.account("wecom", reach=1, employees=3)
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    sandbox.post("/sandbox/employees", {"account": corp.id, "userid": "employee001", "share": 0})
    sandbox.post("/sandbox/employees", {"account": corp.id, "userid": "employee002", "share": 1, "seconds": 3600})
    sent = [
        corp.post("externalcontact/add_msg_template", {"sender": f"employee00{number}", "text": {"content": "你好"}})
        for number in (1, 2, 3)
    ]
    assert [answer["errcode"] for answer in sent] == [0, 0, 0]
    sandbox.post("/sandbox/clock", {"advance_seconds": 60})

    def waiting() -> list[str]:
        rows = sandbox.get("/sandbox/employees", account=corp.id)["employees"]
        return [row["userid"] for row in rows if row["waiting"]]

    assert waiting() == ["employee001", "employee002"]
    sandbox.post("/sandbox/clock", {"advance_seconds": 3600})
    assert waiting() == ["employee001"]
    assert sandbox.post("/sandbox/employees/confirm", {"account": corp.id})["confirmed"] == 1
    assert waiting() == []
    sandbox.post("/sandbox/settings", {"confirm_share": 0.9})
    for body, status in (({"userid": "nobody"}, 404), ({"share": 2}, 400), ({"seconds": -1}, 400)):
        assert sandbox.call("POST", "/sandbox/employees", {"account": corp.id, **body})[0] == status
