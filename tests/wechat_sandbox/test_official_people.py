"""公众号, 服务号 and 小程序: answers to what people do, templates, subscriptions, codes, who somebody is."""

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.test_callbacks import _open
from tests.wechat_sandbox.test_official_content import _fetch


@pytest.fixture
def client(sandbox: Sandbox, receiver: Receiver) -> Client:
    return sandbox.account("service", reach=1, callback_url=f"{receiver.url}/callback")


def _events(client: Client, receiver: Receiver) -> list[dict[str, str]]:
    client.sandbox.quiet()
    found = [_open(client, query, body) for _, query, body, _ in receiver.requests]
    receiver.requests.clear()
    return [{part.tag: part.text or "" for part in event.iter()} for event in found]


def _act(client: Client, what: str, person: str, **more: Any) -> Any:
    body = {"account": client.id, "person": person, **more}
    return client.sandbox.post(f"/sandbox/people/{what}", body)


def _text(person: str, text: str = "在的") -> dict[str, Any]:
    return {"touser": person, "msgtype": "text", "text": {"content": text}}


def test_a_message_opens_a_window_of_five_answers_in_48_hours(
    sandbox: Sandbox, client: Client, receiver: Receiver
) -> None:
    person = client.reachable()[0]
    assert client.code("message/custom/send", _text(person)) == 45015
    said = _act(client, "say", person, text="有货吗")
    (event,) = _events(client, receiver)
    assert (event["MsgType"], event["Content"], event["MsgId"]) == ("text", "有货吗", said["MsgId"])
    assert "Event" not in event
    codes = [client.code("message/custom/send", _text(person, str(n))) for n in range(6)]
    assert codes == [0] * 5 + [45047]
    _act(client, "say", person, text="还在吗")
    sandbox.post("/sandbox/clock", {"advance_seconds": 48 * 3600})
    client.renew()
    assert client.code("message/custom/send", _text(person)) == 45015
    assert [client.summary()[name] for name in ("asked", "arrived", "failed")] == [5, 5, {"window_closed": 3}]
    rows = sandbox.get("/sandbox/ledger", account=client.id)
    assert {row["via"] for row in rows} == {"custom"}


def test_tapping_following_and_scanning_open_short_windows(
    sandbox: Sandbox, client: Client, receiver: Receiver
) -> None:
    person, other = client.reachable()[:2]
    _act(client, "tap", person, key="menu_1")
    assert [client.code("message/custom/send", _text(person, str(n))) for n in range(4)] == [0] * 3 + [45047]
    sandbox.post("/sandbox/clock", {"advance_seconds": 60})
    assert client.code("message/custom/send", _text(person)) == 45015
    for follows in (False, True):
        sandbox.post("/sandbox/people/change", {"account": client.id, "people": [other], "follows": follows})
    assert client.code("message/custom/send", _text(other)) == 0
    _act(client, "tap", person, url="http://127.0.0.1:9/")
    assert client.code("message/custom/send", _text(person)) == 45015
    events = [(event["Event"], event["EventKey"]) for event in _events(client, receiver)]
    assert events[0] == ("CLICK", "menu_1")
    assert ("VIEW", "http://127.0.0.1:9/") in events


def test_contents_of_customer_messages(client: Client) -> None:
    person = client.reachable()[0]
    _act(client, "say", person, text="hi")
    picture = client.upload("media/upload")["media_id"]
    article = {"title": "新品", "description": "", "url": "http://127.0.0.1:9/", "picurl": ""}

    def code(kind: str, content: Any) -> int:
        return client.code("message/custom/send", {"touser": person, "msgtype": kind, kind: content})

    assert code("sticker", {}) == 40008
    assert code("text", {"content": ""}) == 44004
    assert code("image", {"media_id": "x"}) == 40007
    assert code("news", {"articles": [article, article]}) == 45008
    assert code("mpnewsarticle", {"article_id": "x"}) == 53600
    assert code("news", {"articles": [article]}) == 0
    assert code("image", {"media_id": picture}) == 0
    assert code("msgmenu", {"head_content": "满意吗", "list": [{"id": "1", "content": "满意"}]}) == 0
    change = {"account": client.id, "people": [person]}
    client.sandbox.post("/sandbox/people/change", {**change, "blocks": True})
    assert code("text", {"content": "在吗"}) == 48002
    client.sandbox.post("/sandbox/people/change", {**change, "follows": False})
    assert code("text", {"content": "在吗"}) == 43004


def test_a_service_account_has_at_most_25_templates(client: Client) -> None:
    assert client.code("template/api_add_template", {"template_id_short": "TM0"}) == 40037
    added = client.post("template/api_add_template", {"template_id_short": "TM00015"})
    rows = client.get("template/get_all_private_template")["template_list"]
    assert (len(rows), rows[-1]["template_id"], rows[-1]["title"]) == (4, added["template_id"], "订单支付成功")
    numeric = {"template_id_short": "43216", "keyword_name_list": ["会员姓名", "备注"]}
    assert client.code("template/api_add_template", {**numeric, "keyword_name_list": []}) == 40246
    assert client.code("template/api_add_template", {**numeric, "keyword_name_list": ["别的"]}) == 40247
    chosen = client.post("template/api_add_template", numeric)["template_id"]
    contents = {row["template_id"]: row["content"] for row in rows}
    contents = {
        row["template_id"]: row["content"] for row in client.get("template/get_all_private_template")["template_list"]
    }
    assert contents[chosen] == "会员姓名：{{name1.DATA}}\n备注：{{thing4.DATA}}"
    codes = [client.code("template/api_add_template", {"template_id_short": "TM00015"}) for _ in range(21)]
    assert codes == [0] * 20 + [45026]
    assert client.code("template/del_private_template", {"template_id": chosen}) == 0
    assert client.code("template/del_private_template", {"template_id": chosen}) == 40037
    body = {"touser": client.reachable()[0], "template_id": added["template_id"]}
    data = {"amount1": {"value": "¥1.00"}, "thing2": {"value": "耳机"}}
    assert client.code("message/template/send", {**body, "data": data}) == 0
    named = {"account": client.id, "template_id": added["template_id"]}
    client.sandbox.post("/sandbox/templates/restrict", named)
    assert client.code("message/template/send", {**body, "data": data}) == 43116


def test_industries_change_once_a_month_and_take_their_templates(client: Client) -> None:
    assert client.get("template/get_industry") == {
        "primary_industry": {"first_class": "IT科技", "second_class": "互联网|电子商务"},
        "secondary_industry": {"first_class": "消费品", "second_class": "消费品"},
    }
    chosen = {"industry_id1": "10", "industry_id2": "31"}
    assert client.code("template/api_set_industry", {**chosen, "industry_id1": "42"}) == 40097
    assert client.code("template/api_set_industry", chosen) == 0
    assert client.get("template/get_industry")["primary_industry"]["first_class"] == "餐饮"
    assert client.get("template/get_all_private_template") == {"template_list": []}
    assert client.code("template/api_set_industry", chosen) == 43100


@pytest.mark.parametrize(("kind", "path"), [("service", "bizsend"), ("official", "bizsend"), ("mini", "send")])
def test_each_consent_is_good_for_one_message(sandbox: Sandbox, receiver: Receiver, kind: str, path: str) -> None:
    client = sandbox.account(kind, reach=1, callback_url=f"{receiver.url}/callback")
    person = client.reachable()[0]
    (template,) = sandbox.get("/wxaapi/newtmpl/gettemplate", access_token=client.token)["data"]
    assert template["content"] == "活动名称:{{thing1.DATA}}\n开始时间:{{time2.DATA}}\n温馨提示:{{thing3.DATA}}"
    data = {"thing1": {"value": "会员日"}, "time2": {"value": "10:00"}, "thing3": {"value": "准时"}}
    body = {"touser": person, "template_id": template["priTmplId"], "data": data}

    def code(**change: Any) -> int:
        return client.code(f"message/subscribe/{path}", {**body, **change})

    assert [code(), code(touser="x"), code(template_id="x"), code(data={}), code(page=5)] == [
        43101,
        40003,
        40037,
        47003,
        41030,
    ]
    assert _act(client, "accept", person, template=template["priTmplId"], times=2) == {"openid": person, "left": 2}
    assert [code(), code(), code()] == [0, 0, 43101]
    # Callbacks go out side by side, in no promised order.
    events = sorted(_events(client, receiver), key=lambda event: event["Event"])
    assert [event["Event"] for event in events] == ["subscribe_msg_popup_event", *["subscribe_msg_sent_event"] * 2]
    assert (events[0]["SubscribeStatusString"], events[1]["ErrorStatus"]) == ("accept", "success")
    _act(client, "accept", person, template=template["priTmplId"], times=1)
    _act(client, "accept", person, template=template["priTmplId"], times=0)
    assert code() == 43101
    assert sorted(event["Event"] for event in _events(client, receiver)) == [
        "subscribe_msg_change_event",
        "subscribe_msg_popup_event",
    ]


def test_subscription_templates_come_from_the_library(sandbox: Sandbox) -> None:
    client = sandbox.account("mini")

    def get(name: str, **query: Any) -> Any:
        return sandbox.get(f"/wxaapi/newtmpl/{name}", access_token=client.token, **query)

    def post(name: str, body: Any) -> Any:
        return sandbox.post(f"/wxaapi/newtmpl/{name}", body, access_token=client.token)

    assert [one["id"] for one in get("getcategory")["data"]] == [616, 307]
    titles = get("getpubtemplatetitles", ids="307", start=0, limit=1)
    assert (titles["count"], [one["tid"] for one in titles["data"]]) == (2, [401])
    assert get("getpubtemplatetitles", ids="307", start=0, limit=31)["errcode"] == 200017
    assert [one["kid"] for one in get("getpubtemplatekeywords", tid=402)["data"]] == [1, 2, 3]
    assert post("addtemplate", {"tid": "9", "kidList": [1, 2]})["errcode"] == 200014
    assert post("addtemplate", {"tid": "402", "kidList": [1]})["errcode"] == 200020
    added = post("addtemplate", {"tid": "402", "kidList": [1, 3], "sceneDesc": "到货"})["priTmplId"]
    found = {one["priTmplId"]: one["content"] for one in get("gettemplate")["data"]}
    assert found[added] == "商品名称:{{thing1.DATA}}\n到货日期:{{date3.DATA}}"
    assert post("deltemplate", {"priTmplId": added})["errcode"] == 0
    assert post("deltemplate", {"priTmplId": added})["errcode"] == 200014


def test_the_one_time_subscription_has_a_short_title(client: Client) -> None:
    person = client.reachable()[0]
    template = client.get("template/get_all_private_template")["template_list"][0]["template_id"]
    body = {"touser": person, "template_id": template, "scene": 1000, "title": "到货", "url": None}
    body["data"] = {"content": {"value": "您订的耳机到了", "color": "#000000"}}
    codes = [
        client.code("message/template/subscribe", {**body, **change})
        for change in ({"title": "长" * 16}, {"scene": 10_001}, {"template_id": "x"}, {"data": {}}, {})
    ]
    assert codes == [40062, 40097, 40037, 47003, 43101]
    _act(client, "accept", person, template=template)
    assert client.code("message/template/subscribe", body) == 0


def _code(action: str, name: str, scene: Any, **more: Any) -> dict[str, Any]:
    return {"action_name": action, "action_info": {"scene": {name: scene}}, **more}


def test_codes_with_a_scene_tell_where_a_follower_came_from(
    sandbox: Sandbox, client: Client, receiver: Receiver
) -> None:
    person = client.reachable()[0]
    sandbox.post("/sandbox/people/change", {"account": client.id, "people": [person], "follows": False})
    _events(client, receiver)
    made = client.post("qrcode/create", _code("QR_STR_SCENE", "scene_str", "店A", expire_seconds=600))
    assert (made["expire_seconds"], made["url"].startswith("http://weixin.qq.com/q/")) == (600, True)
    shown = f"{sandbox.url}/cgi-bin/showqrcode?{urllib.parse.urlencode({'ticket': made['ticket']})}"
    status, kind, picture = _fetch(shown)
    assert (status, kind, picture[:8]) == (200, "image/png", b"\x89PNG\r\n\x1a\n")
    assert _act(client, "scan", person, ticket=made["ticket"])["event"] == "subscribe"
    assert _act(client, "scan", person, ticket=made["ticket"])["event"] == "SCAN"
    events = [(event["Event"], event["EventKey"], event["Ticket"]) for event in _events(client, receiver)]
    assert events == [("subscribe", "qrscene_店A", made["ticket"]), ("SCAN", "店A", made["ticket"])]
    info = client.get("user/info", openid=person)
    assert (info["subscribe_scene"], info["qr_scene_str"], info["qr_scene"]) == ("ADD_SCENE_QR_CODE", "店A", 0)
    sandbox.post("/sandbox/clock", {"advance_seconds": 601})
    assert _fetch(shown)[0] == 404
    asked = {"account": client.id, "person": person, "ticket": made["ticket"]}
    assert sandbox.call("POST", "/sandbox/people/scan", asked)[0] == 409


def test_codes_have_limits(sandbox: Sandbox, client: Client) -> None:
    wrong = [
        _code("QR_SCENE", "scene_id", 0),
        _code("QR_SCENE", "scene_id", 2**32),
        _code("QR_LIMIT_SCENE", "scene_id", 100_001),
        _code("QR_LIMIT_STR_SCENE", "scene_str", "x" * 65),
        _code("QR_SCENE", "scene_id", 5, expire_seconds=2_592_001),
        _code("QR_OTHER", "scene_id", 5),
    ]
    assert [client.code("qrcode/create", body) for body in wrong] == [40053] * 6
    assert client.post("qrcode/create", _code("QR_SCENE", "scene_id", 5))["expire_seconds"] == 30
    sandbox.post("/sandbox/limits", {"qr_permanent": 2})
    permanent = [client.post("qrcode/create", _code("QR_LIMIT_STR_SCENE", "scene_str", name)) for name in "aabc"]
    sandbox.post("/sandbox/limits", {"qr_permanent": 100_000})
    assert permanent[0] == permanent[1]
    assert [row.get("errcode", 0) for row in permanent] == [0, 0, 0, 45029]
    assert "expire_seconds" not in permanent[0]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def _authorize(client: Client, **change: str) -> tuple[int, str]:
    """Status and where the page leads ("" = it stays)."""
    query = {
        "appid": client.account["appid"],
        "redirect_uri": "http://127.0.0.1:9/back?x=1",
        "response_type": "code",
        "scope": "snsapi_userinfo",
        "state": "s1",
        **change,
    }
    address = f"{client.sandbox.url}/connect/oauth2/authorize?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.build_opener(_Stay).open(address) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Location"]


def _login(client: Client, person: str, scope: str = "snsapi_userinfo") -> str:
    _, place = _authorize(client, scope=scope, **{"as": person})
    return urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)["code"][0]


def test_oauth_leads_back_with_a_code_that_works_once(sandbox: Sandbox, client: Client) -> None:
    row = sandbox.people()[3]
    person = row["ids"][str(client.id)]["openid"]
    status, place = _authorize(client, **{"as": row["unionid"]})
    assert (status, place.startswith("http://127.0.0.1:9/back?x=1&code="), place.endswith("&state=s1")) == (
        302,
        True,
        True,
    )
    secrets = {"appid": client.account["appid"], "secret": client.account["secret"]}

    def exchange(code: str) -> Any:
        return sandbox.get("/sns/oauth2/access_token", **secrets, code=code, grant_type="authorization_code")

    code = urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)["code"][0]
    got = exchange(code)
    assert (got["openid"], got["unionid"], got["scope"]) == (person, row["unionid"], "snsapi_userinfo")
    assert exchange(code)["errcode"] == 40163
    assert exchange("x")["errcode"] == 40029
    who = {"access_token": got["access_token"], "openid": person}
    info = sandbox.get("/sns/userinfo", **who, lang="zh_CN")
    assert (info["nickname"], info["unionid"]) == (row["name"], row["unionid"])
    assert sandbox.get("/sns/auth", **who)["errcode"] == 0
    assert sandbox.get("/sns/auth", **{**who, "openid": "x"})["errcode"] == 40003
    renewed = sandbox.get(
        "/sns/oauth2/refresh_token",
        appid=secrets["appid"],
        grant_type="refresh_token",
        refresh_token=got["refresh_token"],
    )
    assert renewed["openid"] == person
    assert renewed["refresh_token"] != got["refresh_token"]
    late = _login(client, person)
    sandbox.post("/sandbox/clock", {"advance_seconds": 300})
    assert exchange(late)["errcode"] == 40029
    sandbox.post("/sandbox/clock", {"advance_seconds": 7000})
    assert sandbox.get("/sns/userinfo", **who)["errcode"] == 42001


def test_the_base_scope_tells_no_name(sandbox: Sandbox, client: Client) -> None:
    person = client.reachable()[0]
    secrets = {"appid": client.account["appid"], "secret": client.account["secret"]}
    code = _login(client, person, "snsapi_base")
    got = sandbox.get("/sns/oauth2/access_token", **secrets, code=code, grant_type="authorization_code")
    assert "unionid" not in got
    assert sandbox.get("/sns/userinfo", access_token=got["access_token"], openid=person)["errcode"] == 48001


def test_oauth_stays_on_this_machine_and_asks_who_one_is(sandbox: Sandbox, client: Client) -> None:
    person = client.reachable()[0]
    assert _authorize(client) == (200, "")
    assert _authorize(client, redirect_uri="http://192.0.2.1/", **{"as": person}) == (200, "")
    assert _authorize(client, scope="snsapi_login", **{"as": person}) == (200, "")
    assert _authorize(sandbox.account("official"), **{"as": person}) == (200, "")


def test_the_page_lets_one_choose_and_remembers(sandbox: Sandbox, client: Client) -> None:
    words = {"appid": client.account["appid"], "redirect_uri": "http://127.0.0.1:9/", "response_type": "code"}
    words["scope"] = "snsapi_base"
    address = f"{sandbox.url}/connect/oauth2/authorize?{urllib.parse.urlencode(words)}"
    page, row = _fetch(address)[2].decode(), sandbox.people()[1]
    assert f"as={row['unionid']}" in page
    assert row["name"] in page
    opener = urllib.request.build_opener(_Stay)

    def lead(where: str, cookie: str = "") -> Any:
        with pytest.raises(urllib.error.HTTPError) as error:
            opener.open(urllib.request.Request(where, headers={"Cookie": cookie}))
        error.value.close()
        return error.value

    first = lead(f"{address}&as={row['unionid']}")
    again = lead(address, first.headers["Set-Cookie"].partition(";")[0])
    secrets = {"appid": client.account["appid"], "secret": client.account["secret"]}
    found = [
        urllib.parse.parse_qs(urllib.parse.urlsplit(one.headers["Location"]).query)["code"][0] for one in (first, again)
    ]
    openids = [
        sandbox.get("/sns/oauth2/access_token", **secrets, code=code, grant_type="authorization_code")["openid"]
        for code in found
    ]
    assert openids == [row["ids"][str(client.id)]["openid"]] * 2


def test_a_mini_program_learns_who_logs_in_and_a_number(sandbox: Sandbox) -> None:
    client = sandbox.account("mini", reach=1)
    row = sandbox.people()[5]
    made = _act(client, "login", row["unionid"])
    query = {"appid": client.account["appid"], "secret": client.account["secret"], "grant_type": "authorization_code"}
    got = sandbox.get("/sns/jscode2session", **query, js_code=made["code"])
    assert (got["openid"], got["unionid"], "errcode" in got) == (made["openid"], row["unionid"], False)
    again = [sandbox.get("/sns/jscode2session", **query, js_code=code)["errcode"] for code in (made["code"], "x")]
    assert again == [40163, 40029]

    def number(code: str) -> Any:
        path = f"/wxa/business/getuserphonenumber?access_token={client.token}"
        return sandbox.call("POST", path, {"code": code})[1]

    first, second = (number(_act(client, "phone", row["unionid"])["code"])["phone_info"] for _ in range(2))
    assert first["purePhoneNumber"] == second["purePhoneNumber"]
    assert (len(first["phoneNumber"]), first["countryCode"], first["watermark"]["appid"]) == (11, "86", query["appid"])
    assert number("x")["errcode"] == 40029
    assert client.code("message/mass/sendall", {"filter": {"is_to_all": True}}) == 48001
    assert sandbox.account("service").code("message/subscribe/send", {}) == 48001
