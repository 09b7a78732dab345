"""公众号 and 服务号: tokens, followers, tags, drafts, mass messages, template messages."""

import pytest
from tests.wechat_sandbox.conftest import Client, Sandbox, wait_for

PICTURES = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n")
_TEMPLATE = "message/template/send"
_ARTICLE = {"title": "数码新品", "content": "<p>来看看</p>", "content_source_url": "http://127.0.0.1:9/a"}


@pytest.fixture
def service(sandbox: Sandbox) -> Client:
    return sandbox.account("service", reach=1)


@pytest.fixture
def official(sandbox: Sandbox) -> Client:
    return sandbox.account("official", reach=1)


def _template(client: Client, person: str, **more: object) -> dict[str, object]:
    template = client.get("template/get_all_private_template")["template_list"][0]["template_id"]
    data = {
        "character_string1": {"value": "A1"},
        "thing2": {"value": "数码新品"},
        "amount3": {"value": "¥12.00"},
        "time4": {"value": "2026-11-23 10:00"},
    }
    return {"touser": person, "template_id": template, "data": data, **more}


def test_the_two_kinds_of_token_do_not_disturb_each_other(service: Client) -> None:
    query = {"grant_type": "client_credential", "appid": service.account["appid"], "secret": service.account["secret"]}
    classic = service.sandbox.get("/cgi-bin/token", **query)
    assert (classic["expires_in"], "errcode" in classic) == (7200, False)
    again = service.sandbox.post("/cgi-bin/stable_token", query)
    assert again["access_token"] == service.token
    assert again["expires_in"] <= 7200
    second = service.sandbox.get("/cgi-bin/token", **query)
    assert second["access_token"] != classic["access_token"]
    for token in (classic["access_token"], second["access_token"]):
        assert "tags" in service.sandbox.get("/cgi-bin/tags/get", access_token=token)


def test_token_errors(sandbox: Sandbox, service: Client) -> None:
    good = {"grant_type": "client_credential", "appid": service.account["appid"], "secret": service.account["secret"]}

    def code(**change: object) -> int:
        return int(sandbox.get("/cgi-bin/token", **{k: v for k, v in {**good, **change}.items() if v})["errcode"])

    assert [code(grant_type="x"), code(appid="wx0"), code(secret="x"), code(appid=None), code(secret=None)] == [
        40002,
        40013,
        40125,
        41002,
        41004,
    ]
    assert sandbox.get("/cgi-bin/tags/get")["errcode"] == 41001
    wrong = sandbox.get("/cgi-bin/tags/get", access_token="wrong")
    assert wrong["errcode"] == 40014
    assert wrong["errmsg"].startswith("invalid access_token rid: ")
    assert sandbox.call("GET", "/cgi-bin/stable_token")[1]["errcode"] == 43002
    assert sandbox.call("POST", f"/cgi-bin/tags/get?access_token={service.token}", b"{}")[1]["errcode"] == 43001


def test_forced_refresh_kills_the_old_token_at_once_and_is_rationed(sandbox: Sandbox, service: Client) -> None:
    sandbox.to_noon()
    body = {"grant_type": "client_credential", "appid": service.account["appid"], "secret": service.account["secret"]}
    forced = sandbox.post("/cgi-bin/stable_token", {**body, "force_refresh": True})
    assert service.get("tags/get")["errcode"] == 40001
    assert "tags" in sandbox.get("/cgi-bin/tags/get", access_token=forced["access_token"])
    assert sandbox.post("/cgi-bin/stable_token", {**body, "force_refresh": True})["errcode"] == 45011
    codes = []
    for _ in range(20):
        sandbox.post("/sandbox/clock", {"advance_seconds": 31})
        codes.append(sandbox.post("/cgi-bin/stable_token", {**body, "force_refresh": True}).get("errcode", 0))
    assert codes == [0] * 19 + [45009]


def test_tokens_expire_and_can_be_dropped(sandbox: Sandbox, service: Client) -> None:
    sandbox.post("/sandbox/clock", {"advance_seconds": 7201})
    assert service.get("tags/get")["errcode"] == 42001
    service.renew()
    assert sandbox.post("/sandbox/tokens/drop", {"account": service.id}) == {"dropped": 2}
    assert service.get("tags/get")["errcode"] == 40001


def test_bodies_that_the_platform_refuses(sandbox: Sandbox, service: Client) -> None:
    path = f"/cgi-bin/tags/create?access_token={service.token}"
    codes = [
        sandbox.call("POST", path, body)[1]["errcode"] for body in (b"", b"{", b"[1]", b'{"tag":{"name":"\\u4e2d"}}')
    ]
    assert codes == [44002, 47001, 47001, 40033]


def test_unknown_path_is_told_clearly(sandbox: Sandbox) -> None:
    status, answer = sandbox.call("GET", "/cgi-bin/nothing")
    assert (status, answer["path"]) == (404, "/cgi-bin/nothing")


def test_followers_come_by_pages_in_one_order(sandbox: Sandbox, service: Client) -> None:
    sandbox.post("/sandbox/limits", {"user_page": 150})
    pages, after = [], ""
    while True:
        answer = service.get("user/get", next_openid=after)
        assert (answer["total"], "errcode" in answer) == (400, False)
        if not answer["count"]:
            break
        pages.append(answer["data"]["openid"])
        after = answer["next_openid"]
    sandbox.post("/sandbox/limits", {"user_page": 10000})
    assert [len(page) for page in pages] == [150, 150, 100]
    assert [person for page in pages for person in page] == service.reachable()
    assert answer["next_openid"] == ""


def test_user_info_gives_unionid_and_no_profile(sandbox: Sandbox, service: Client) -> None:
    row = sandbox.people()[7]
    person = row["ids"][str(service.id)]["openid"]
    info = service.get("user/info", openid=person)
    assert (info["subscribe"], info["openid"], info["unionid"]) == (1, person, row["unionid"])
    assert not {"nickname", "sex", "city", "errcode"} & set(info)
    sandbox.post("/sandbox/people/change", {"account": service.id, "people": [row["unionid"]], "follows": False})
    batch = service.post("user/info/batchget", {"user_list": [{"openid": person}]})
    assert batch == {"user_info_list": [{"subscribe": 0, "openid": person, "unionid": row["unionid"]}]}
    assert service.code("user/info/batchget", {"user_list": [{"openid": person}] * 101}) == 40032
    assert service.get("user/info", openid="nobody")["errcode"] == 40003


def test_tags_have_the_platforms_limits(service: Client) -> None:
    first = service.post("tags/create", {"tag": {"name": "新客"}})
    ident = first["tag"]["id"]
    assert first == {"tag": {"id": ident, "name": "新客"}}
    assert service.code("tags/create", {"tag": {"name": "新客"}}) == 45157
    assert service.code("tags/create", {"tag": {"name": "长" * 11}}) == 45158
    assert service.code("tags/create", {"x": 1}) == 44002
    codes = [service.code("tags/create", {"tag": {"name": f"tag{number}"}}) for number in range(100)]
    assert codes == [0] * 99 + [45056]
    assert service.code("tags/update", {"tag": {"id": ident, "name": "老客"}}) == 0
    assert service.code("tags/update", {"tag": {"id": 2, "name": "老客"}}) == 45058
    assert service.code("tags/update", {"tag": {"id": 99999, "name": "无"}}) == 45159
    people = service.reachable()
    assert service.code("tags/members/batchtagging", {"openid_list": people[:50], "tagid": ident}) == 0
    assert service.code("tags/members/batchtagging", {"openid_list": people[:51], "tagid": ident}) == 40032
    assert service.code("tags/members/batchtagging", {"openid_list": ["x"], "tagid": ident}) == 40003
    assert service.get("tags/get")["tags"][1] == {"id": ident, "name": "老客", "count": 50}
    page = service.post("user/tag/get", {"tagid": ident})
    assert page == {"count": 50, "data": {"openid": people[:50]}, "next_openid": people[49]}
    assert service.post("user/tag/get", {"tagid": ident, "next_openid": people[49]}) == {"count": 0}
    assert service.post("tags/getidlist", {"openid": people[0]}) == {"tagid_list": [ident]}
    assert service.code("tags/members/batchuntagging", {"openid_list": people[:1], "tagid": ident}) == 0
    assert service.post("tags/getidlist", {"openid": people[0]}) == {"tagid_list": []}
    service.sandbox.post("/sandbox/limits", {"tag_delete_fans": 10})
    assert service.code("tags/delete", {"tag": {"id": ident}}) == 45057
    service.sandbox.post("/sandbox/limits", {"tag_delete_fans": 100000})
    assert service.code("tags/delete", {"tag": {"id": 1}}) == 45058
    assert service.code("tags/delete", {"tag": {"id": ident}}) == 0
    assert service.get("user/info", openid=people[1])["tagid_list"] == []


def test_tagging_that_partly_fails_names_who(sandbox: Sandbox, service: Client) -> None:
    ident = service.post("tags/create", {"tag": {"name": "标签"}})["tag"]["id"]
    people = service.reachable()[:3]
    sandbox.post("/sandbox/people/change", {"account": service.id, "people": people[2:], "follows": False})
    answer = service.post("tags/members/batchtagging", {"openid_list": people, "tagid": ident})
    assert (answer["errcode"], answer["fail_openid_list"]) == (45171, people[2:])
    assert service.post("user/tag/get", {"tagid": ident})["data"]["openid"] == people[:2]
    assert service.code("tags/members/batchtagging", {"openid_list": people[2:], "tagid": ident}) == 50005
    sandbox.post("/sandbox/limits", {"tags_per_user": 1})
    other = service.post("tags/create", {"tag": {"name": "另一"}})["tag"]["id"]
    code = service.code("tags/members/batchtagging", {"openid_list": people[:1], "tagid": other})
    sandbox.post("/sandbox/limits", {"tags_per_user": 20})
    assert code == 45059


@pytest.mark.parametrize("kind", ["official", "service", "wecom"])
def test_a_picture_is_kept_for_ever_and_shown_by_its_url(sandbox: Sandbox, kind: str) -> None:
    client = sandbox.account(kind)
    answers = [client.upload("media/uploadimg", start + b"0" * 50) for start in PICTURES for _ in range(2)]
    assert len({answer["url"] for answer in answers}) == 4
    shown = {"errcode": 0, "errmsg": "ok"} if kind == "wecom" else {}
    assert [{**answer, "url": ""} for answer in answers] == [{**shown, "url": ""}] * 4
    assert client.upload("media/uploadimg", b"GIF89a" + b"0" * 50)["errcode"] == 40005
    largest = 1024 * 1024 - 1 - len(PICTURES[0])
    assert "url" in client.upload("media/uploadimg", PICTURES[0] + b"0" * largest)
    too_large = client.upload("media/uploadimg", PICTURES[0] + b"0" * (largest + 1))
    assert too_large["errcode"] == (45007 if kind == "wecom" else 40009)


def test_media_lives_three_days_and_a_draft_needs_a_permanent_cover(sandbox: Sandbox, official: Client) -> None:
    temporary = official.upload("media/upload")
    assert (temporary["type"], isinstance(temporary["created_at"], int), "errcode" in temporary) == (
        "image",
        True,
        False,
    )
    assert official.upload("media/upload", kind="file")["errcode"] == 40004
    permanent = official.upload("material/add_material")
    assert set(permanent) == {"media_id", "url"}
    bad = {"articles": [{**_ARTICLE, "thumb_media_id": temporary["media_id"]}]}
    assert official.code("draft/add", bad) == 40007
    assert official.code("draft/add", {"articles": []}) == 44003
    article = {**_ARTICLE, "thumb_media_id": permanent["media_id"]}
    assert official.code("draft/add", {"articles": [{**article, "title": "长" * 33}]}) == 45003
    draft = official.post("draft/add", {"articles": [article]})["media_id"]
    assert official.post("draft/get", {"media_id": draft})["news_item"][0] == {
        **article,
        "digest": "来看看",
        "url": f"{sandbox.url}/s?tempkey={draft}&idx=1",
    }
    image = {"filter": {"is_to_all": True}, "msgtype": "image", "images": {"media_ids": [temporary["media_id"]]}}
    sandbox.post("/sandbox/clock", {"advance_seconds": 3 * 86400 + 1})
    official.renew()
    assert official.code("message/mass/sendall", image) == 40007


def test_an_official_account_sends_once_a_day(sandbox: Sandbox, official: Client) -> None:
    cover = official.upload("material/add_material")["media_id"]
    draft = official.post("draft/add", {"articles": [{**_ARTICLE, "thumb_media_id": cover}]})["media_id"]
    body = {"filter": {"is_to_all": True}, "msgtype": "mpnews", "mpnews": {"media_id": draft}}
    sent = official.post("message/mass/sendall", body)
    assert (sent["errcode"], sent["errmsg"], set(sent)) == (
        0,
        "send job submission success",
        {"errcode", "errmsg", "msg_id", "msg_data_id"},
    )
    status = {"msg_id": sent["msg_id"], "msg_status": "SEND_SUCCESS"}
    wait_for(lambda: official.post("message/mass/get", {"msg_id": sent["msg_id"]}) == status)
    assert official.code("draft/get", {"media_id": draft}) == 40007
    text = {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "另一条"}}
    assert official.code("message/mass/sendall", text) == 45028
    sandbox.post("/sandbox/clock", {"advance_seconds": 86400})
    official.renew()
    assert official.code("message/mass/sendall", text) == 0
    sandbox.quiet()
    assert official.summary()["arrived"] == 800
    assert official.code("message/mass/delete", {"msg_id": sent["msg_id"]}) == 0
    assert official.post("message/mass/get", {"msg_id": sent["msg_id"]})["msg_status"] == "DELETE"
    assert official.code("message/mass/get", {"msg_id": 1}) == 40059
    assert official.code("message/mass/send", {"touser": ["a", "b"]}) == 48001
    assert official.code(_TEMPLATE, {}) == 48001


def test_the_same_clientmsgid_is_refused_for_a_day_with_the_first_id(sandbox: Sandbox, service: Client) -> None:
    people = service.reachable()
    body = {"touser": people[:3], "msgtype": "text", "text": {"content": "你好"}, "clientmsgid": "one"}
    sent = service.post("message/mass/send", body)
    sandbox.post("/sandbox/limits", {"clientmsgid_gap_ms": 60000})
    assert service.code("message/mass/send", body) == 45066
    sandbox.post("/sandbox/limits", {"clientmsgid_gap_ms": 0})
    again = service.post("message/mass/send", body)
    assert (again["errcode"], again["msg_id"]) == (45065, sent["msg_id"])
    assert service.code("message/mass/send", {**body, "clientmsgid": "x" * 33}) == 45067
    without = {name: value for name, value in body.items() if name != "clientmsgid"}
    assert service.code("message/mass/send", without) == 0
    assert service.code("message/mass/send", without) == 45065
    sandbox.post("/sandbox/clock", {"advance_seconds": 86401})
    service.renew()
    assert service.code("message/mass/send", body) == 0
    sandbox.quiet()
    assert (service.summary()["asked"], service.summary()["duplicated"]) == (9, 3)


def test_a_service_account_reaches_a_person_four_times_a_month(sandbox: Sandbox, service: Client) -> None:
    people = service.reachable()[:2]
    for number in range(5):
        body = {"touser": people, "msgtype": "text", "text": {"content": f"第{number}条"}}
        assert service.code("message/mass/send", body) == 0
        sandbox.quiet()
    assert service.summary() | {"last_seq": 0} == {
        "asked": 10,
        "arrived": 8,
        "failed": {"over_limit": 2},
        "pending": 0,
        "duplicated": 0,
        "forbidden": 0,
        "last_seq": 0,
    }


def test_mass_send_refuses_what_does_not_fit(service: Client) -> None:
    people, text = service.reachable(), {"msgtype": "text", "text": {"content": "你好"}}
    assert service.code("message/mass/send", {"touser": people[:1], **text}) == 40130
    assert service.code("message/mass/send", {"touser": "all", **text}) == 40031
    assert service.code("message/mass/send", {"touser": ["x", "y"], **text}) == 40003
    assert service.code("message/mass/send", {"touser": [str(n) for n in range(10001)], **text}) == 40032
    assert service.code("message/mass/sendall", {"filter": {"tag_id": 5}, **text}) == 40152
    assert service.code("message/mass/send", {"touser": people[:2], "msgtype": "news"}) == 45162
    assert service.code("message/mass/send", {"touser": people[:2], "msgtype": "text", "text": {}}) == 44004
    everyone = {"filter": {"is_to_all": True}}
    assert service.code("message/mass/sendall", {**everyone, **text}) == 0
    assert service.code("message/mass/sendall", {**everyone, "msgtype": "text", "text": {"content": "再来"}}) == 45028


def test_sixty_mass_calls_a_minute(service: Client) -> None:
    codes = [service.code("message/mass/send", {"touser": []}) for _ in range(130)]
    assert codes[:60] == [40130] * 60
    assert 45011 in codes


def test_preview_reaches_one_and_is_not_judged(sandbox: Sandbox, service: Client) -> None:
    person = service.reachable()[0]
    body = {"touser": person, "msgtype": "text", "text": {"content": "预览"}}
    assert service.code("message/mass/preview", body) == 0
    entries = sandbox.get("/sandbox/ledger", account=service.id)
    assert [(entry["person"], entry["outcome"], entry["via"]) for entry in entries] == [
        (person, "asked", "preview"),
        (person, "arrived", "preview"),
    ]
    assert service.summary()["asked"] == 0
    sandbox.post("/sandbox/people/change", {"account": service.id, "people": [person], "follows": False})
    assert service.code("message/mass/preview", body) == 43004
    named = {"towxname": "somebody", "msgtype": "text", "text": {"content": "预览"}}
    sandbox.post("/sandbox/limits", {"preview_wxname_daily": 1})
    codes = [service.code("message/mass/preview", named) for _ in range(2)]
    sandbox.post("/sandbox/limits", {"preview_wxname_daily": 100})
    assert codes == [0, 45009]


def test_template_messages_are_deduplicated_for_ten_minutes(sandbox: Sandbox, service: Client) -> None:
    one, other = service.reachable()[:2]
    first = service.post(_TEMPLATE, _template(service, one, client_msg_id="k"))
    assert (first["errcode"], set(first)) == (0, {"errcode", "errmsg", "msgid"})
    assert service.post(_TEMPLATE, _template(service, one, client_msg_id="k")) == first
    assert service.post(_TEMPLATE, _template(service, other, client_msg_id="k"))["msgid"] != first["msgid"]
    sandbox.post("/sandbox/clock", {"advance_seconds": 601})
    assert service.post(_TEMPLATE, _template(service, one, client_msg_id="k"))["msgid"] != first["msgid"]
    sandbox.quiet()
    assert (service.summary()["arrived"], service.summary()["duplicated"]) == (3, 1)


def test_template_errors(sandbox: Sandbox, service: Client) -> None:
    person = service.reachable()[0]
    good = _template(service, person)

    def code(**change: object) -> int:
        return service.code(_TEMPLATE, {**good, **change})

    def data(**values: str) -> dict[str, object]:
        return {"data": {**good["data"], **{name: {"value": value} for name, value in values.items()}}}  # type: ignore[dict-item] # a dict

    assert code(template_id="x") == 40037
    assert code(touser="nobody") == 40003
    assert code(url="http://127.0.0.1/" + "x" * 2048) == 40039
    assert code(**data(thing2="字" * 21)) == 47003
    assert code(**data(amount3="twelve")) == 47003
    assert code(**data(time4="soon")) == 47003
    assert code(data={}) == 47003
    assert service.post(_TEMPLATE, {**good, **data(thing2="")})["errmsg"].startswith("argument invalid! thing2.DATA")
    assert code(**data(thing2="红包来了")) == 40249
    sandbox.post("/sandbox/limits", {"template_daily": 1})
    codes = [code(), code()]
    sandbox.post("/sandbox/limits", {"template_daily": 100000})
    assert codes == [0, 45009]
    sandbox.post("/sandbox/people/change", {"account": service.id, "people": [person], "follows": False})
    assert code() == 43004


def test_quota_tells_the_day_of_a_path(service: Client) -> None:
    service.post(_TEMPLATE, _template(service, service.reachable()[0]))
    answer = service.post("openapi/quota/get", {"cgi_path": "/cgi-bin/message/template/send"})
    assert answer["quota"] == {"daily_limit": 100000, "used": 1, "remain": 99999}
    assert service.code("openapi/quota/get", {"cgi_path": "/nothing"}) == 76021
    assert service.get("getcallbackip")["ip_list"][0] == "127.0.0.1"
