"""公众号 and 服务号: the calls about calls, remarks, the blacklist, and quirks of tag writes."""

from tests.wechat_sandbox.conftest import Sandbox


def _rid(answer: dict[str, str]) -> str:
    return answer["errmsg"].rpartition("rid: ")[2]


def test_the_quota_of_a_path_counts_its_calls(sandbox: Sandbox) -> None:
    sandbox.to_noon()
    client = sandbox.account("service")
    for _ in range(3):
        client.get("tags/get")
    sandbox.post("/sandbox/limits", {"mp_api_daily": 5})
    asked = client.post("openapi/quota/get", {"cgi_path": "/cgi-bin/tags/get"})
    assert asked["quota"] == {"daily_limit": 5, "used": 3, "remain": 2}
    assert [client.get("tags/get").get("errcode", 0) for _ in range(3)] == [0, 0, 45009]
    assert client.code("openapi/quota/clear", {"cgi_path": "/cgi-bin/tags/get"}) == 0
    assert "tags" in client.get("tags/get")
    sandbox.post("/sandbox/limits", {"mp_api_daily": 10_000_000})
    codes = [
        client.code("openapi/quota/get", {"cgi_path": path}) for path in ("tags/get", "/cgi-bin/nothing", "/sns/auth")
    ]
    assert codes == [76021, 76021, 76022]
    assert (
        sandbox.account("official").code("openapi/quota/get", {"cgi_path": "/cgi-bin/message/template/send"}) == 76022
    )


def test_the_calendar_month_has_ten_clearings(sandbox: Sandbox) -> None:
    client = sandbox.account("service")
    appid, secret = client.account["appid"], client.account["secret"]
    codes = [client.code("clear_quota", {"appid": appid}) for _ in range(9)]
    without_token = {"appid": appid, "appsecret": secret}
    codes.append(sandbox.post("/cgi-bin/clear_quota/v2", without_token)["errcode"])
    assert codes == [0] * 10
    assert client.code("clear_quota", {"appid": appid}) == 48006
    assert sandbox.post("/cgi-bin/clear_quota/v2", without_token)["errcode"] == 48006
    assert client.code("clear_quota", {"appid": "wx0"}) == 40013
    assert sandbox.post("/cgi-bin/clear_quota/v2", {"appid": appid, "appsecret": "x"})["errcode"] == 40125
    codes = [client.code("openapi/quota/clear", {"cgi_path": "/cgi-bin/tags/get"}) for _ in range(51)]
    assert codes == [0] * 50 + [48006]


def test_a_rid_finds_the_request_for_seven_days(sandbox: Sandbox) -> None:
    client, other = sandbox.account("service"), sandbox.account("official")
    rid = _rid(client.post("tags/create", {"tag": {"name": ""}}))
    found = client.post("openapi/rid/get", {"rid": rid})["request"]
    assert found["request_url"] == f"{sandbox.url}/cgi-bin/tags/create?access_token=***"
    assert found["request_body"] == '{"tag": {"name": ""}}'
    assert '"errcode":45157' in found["response_body"]
    assert other.code("openapi/rid/get", {"rid": rid}) == 76003
    assert client.code("openapi/rid/get", {"rid": "00000000-00000000-00000000"}) == 76001
    assert client.code("openapi/rid/get", {"rid": "x"}) == 76002
    sandbox.post("/sandbox/clock", {"advance_seconds": 7 * 86_400 + 60})
    client.renew()
    assert client.code("openapi/rid/get", {"rid": rid}) == 76004


def test_addresses(sandbox: Sandbox) -> None:
    client = sandbox.account("official")
    assert client.get("get_api_domain_ip") == {"ip_list": ["127.0.0.1"]}
    assert client.get("getcallbackip") == {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}


def test_a_remark_is_kept_and_has_less_than_thirty_bytes(sandbox: Sandbox) -> None:
    client = sandbox.account("service", reach=1)
    person, gone = client.reachable()[:2]
    assert client.code("user/info/updateremark", {"openid": person, "remark": "老主顾"}) == 0
    assert client.get("user/info", openid=person)["remark"] == "老主顾"
    assert client.code("user/info/updateremark", {"openid": person, "remark": "长" * 10}) == 40092
    sandbox.post("/sandbox/people/change", {"account": client.id, "people": [gone], "follows": False})
    assert client.code("user/info/updateremark", {"openid": gone, "remark": "x"}) == 43004


def test_the_blacklist_has_pages_and_stops_messages(sandbox: Sandbox) -> None:
    client = sandbox.account("service", reach=1)
    people = client.reachable()
    assert client.code("tags/members/batchblacklist", {"openid_list": people[:21]}) == 40032
    assert client.code("tags/members/batchblacklist", {"openid_list": people[:5]}) == 0
    sandbox.post("/sandbox/limits", {"blacklist_page": 3})
    first = client.post("tags/members/getblacklist", {"begin_openid": ""})
    assert first == {"total": 5, "count": 3, "data": {"openid": people[:3]}, "next_openid": people[2]}
    rest = client.post("tags/members/getblacklist", {"begin_openid": people[2]})
    assert (rest["count"], rest["data"]["openid"]) == (2, people[3:5])
    sandbox.post("/sandbox/limits", {"blacklist_page": 1000})
    template = client.get("template/get_all_private_template")["template_list"][1]["template_id"]
    data = {name: {"value": "会员"} for name in ("name1", "thing2", "thing3")}
    body = {"touser": people[0], "template_id": template, "data": data}
    assert client.code("message/template/send", body) == 43019
    client.post("message/mass/send", {"touser": people[:6], "msgtype": "text", "text": {"content": "你好"}})
    sandbox.quiet()
    assert client.summary()["failed"] == {"blacklisted": 6}
    assert client.code("tags/members/batchunblacklist", {"openid_list": people[:1]}) == 0
    assert client.code("message/template/send", body) == 0


def test_openids_of_another_account_and_busy_ones_are_refused(sandbox: Sandbox) -> None:
    client, other = sandbox.account("service", reach=1), sandbox.account("official", reach=1)
    tag = client.post("tags/create", {"tag": {"name": "新客"}})["tag"]["id"]
    mine, foreign = client.reachable()[0], other.reachable()[0]
    assert client.code("tags/members/batchtagging", {"openid_list": [foreign], "tagid": tag}) == 49003
    assert client.code("tags/members/batchblacklist", {"openid_list": [foreign]}) == 49003
    assert client.code("tags/members/batchtagging", {"openid_list": ["nobody"], "tagid": tag}) == 40003
    sandbox.post("/sandbox/limits", {"tag_lock_ms": 60_000})
    body = {"openid_list": [mine], "tagid": tag}
    codes = [client.code("tags/members/batchtagging", body), client.code("tags/members/batchuntagging", body)]
    sandbox.post("/sandbox/limits", {"tag_lock_ms": 0})
    assert codes == [0, 45169]
    assert client.code("tags/members/batchuntagging", body) == 0


def test_a_tag_with_too_many_fans_is_not_deleted(sandbox: Sandbox) -> None:
    client = sandbox.account("service", reach=1)
    tag = client.post("tags/create", {"tag": {"name": "新客"}})["tag"]["id"]
    client.post("tags/members/batchtagging", {"openid_list": client.reachable()[:3], "tagid": tag})
    sandbox.post("/sandbox/limits", {"tag_delete_fans": 2})
    code = client.code("tags/delete", {"tag": {"id": tag}})
    sandbox.post("/sandbox/limits", {"tag_delete_fans": 100_000})
    assert [code, client.code("tags/delete", {"tag": {"id": tag}})] == [45057, 0]


def test_an_allow_list_names_the_address_that_is_not_on_it(sandbox: Sandbox) -> None:
    client = sandbox.account("service")
    sandbox.call("PATCH", f"/sandbox/accounts/{client.id}", {"trusted_ips": ["192.0.2.1"]})
    asked = {"grant_type": "client_credential", "appid": client.account["appid"], "secret": client.account["secret"]}
    refused = [sandbox.get("/cgi-bin/token", **asked), sandbox.post("/cgi-bin/stable_token", asked)]
    for answer in refused:
        assert answer["errcode"] == 40164
        assert answer["errmsg"].startswith("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ")
    sandbox.call("PATCH", f"/sandbox/accounts/{client.id}", {"trusted_ips": ["127.0.0.1"]})
    assert sandbox.post("/cgi-bin/stable_token", asked)["access_token"] == client.token
