"""企业微信: relations of members and customers, their ids elsewhere, contact ways, welcome messages."""

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.wecom import CONTACT, by_member, control, events, failing, listening


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


@pytest.fixture
def empty(sandbox: Sandbox) -> Client:
    """A corp without customers."""
    return sandbox.account("wecom", reach=0, employees=3)


def _follow(client: Client, ident: str, userid: str) -> dict[str, object]:
    rows = client.get(f"{CONTACT}/get", external_userid=ident)["follow_user"]
    return next(row for row in rows if row["userid"] == userid)


def test_a_customer_of_many_members_comes_in_pages(sandbox: Sandbox, corp: Client) -> None:
    person = corp.reachable()[0]
    way = corp.post(f"{CONTACT}/add_contact_way", {"type": 2, "scene": 2, "user": corp.account["employees"]})
    for userid in corp.account["employees"]:
        one = corp.post(f"{CONTACT}/add_contact_way", {"type": 1, "scene": 2, "user": [userid]})
        control(corp, "contact_ways/scan", {"config_id": one["config_id"], "people": [person]})
    assert (
        control(corp, "contact_ways/scan", {"config_id": way["config_id"], "people": [person]})["added"][0]["added"]
        is False
    )
    whole = corp.get(f"{CONTACT}/get", external_userid=person)
    assert "next_cursor" not in whole
    assert sorted(row["userid"] for row in whole["follow_user"]) == corp.account["employees"]
    sandbox.post("/sandbox/limits", {"get_followers_page": 2})
    found, cursor = [], ""
    while True:
        page = corp.get(f"{CONTACT}/get", external_userid=person, cursor=cursor)
        found += [row["userid"] for row in page["follow_user"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    sandbox.post("/sandbox/limits", {"get_followers_page": 500})
    assert found == [row["userid"] for row in whole["follow_user"]]
    for userid in corp.account["employees"]:
        assert person in corp.get(f"{CONTACT}/list", userid=userid)["external_userid"]


def test_remarks(corp: Client) -> None:
    userid, people = next(iter(by_member(corp).items()))
    call, pair = failing(corp, "remark"), {"userid": userid, "external_userid": people[0]}
    assert call(**pair, remark="王总", remark_company="甲公司", remark_mobiles=["13800000000"], description="老客") == 0
    info = _follow(corp, people[0], userid)
    assert (info["remark"], info["remark_corp_name"], info["remark_mobiles"], info["description"]) == (
        "王总",
        "甲公司",
        ["13800000000"],
        "老客",
    )
    assert call(**pair, remark_mobiles=[]) == 0
    assert (_follow(corp, people[0], userid)["remark_mobiles"], call(**pair)) == ([], 40063)
    assert call(**pair, remark="长" * 21) == 40058
    assert call(userid=userid, external_userid="wm-nobody", remark="x") == 40096


def test_ids_of_one_person(sandbox: Sandbox, corp: Client, empty: Client) -> None:
    row = sandbox.people()[0]
    unionid, ident = row["unionid"], row["ids"][str(corp.id)]["external_userid"]
    service = sandbox.account("service", reach=1)
    openid = sandbox.people()[0]["ids"][str(service.id)]["openid"]
    strange = sandbox.people()[1]["ids"][str(service.id)]["openid"]
    path = "idconvert/unionid_to_external_userid"
    assert corp.post(path, {"unionid": unionid, "openid": openid})["external_userid"] == ident
    assert corp.code(path, {"unionid": unionid, "openid": strange}) == 610018
    assert corp.code(path, {"unionid": "x", "openid": openid}) == 610014
    assert corp.code(path, {"unionid": unionid}) == 40058
    pending = empty.post(path, {"unionid": unionid, "openid": openid})
    assert "external_userid" not in pending
    other = sandbox.people()[0]["ids"][str(empty.id)]["external_userid"]
    listed = empty.post("idconvert/batch/external_userid_to_pending_id", {"external_userid": [other, "x"]})
    assert listed["result"] == [{"external_userid": other, "pending_id": pending["pending_id"]}]
    assert corp.post(f"{CONTACT}/unionid_to_external_userid", {"unionid": unionid})["external_userid"] == ident
    assert empty.code(f"{CONTACT}/unionid_to_external_userid", {"unionid": unionid}) == 84061
    first, again = (corp.post(f"{CONTACT}/convert_to_openid", {"external_userid": ident})["openid"] for _ in range(2))
    assert first == again != openid
    status, _ = sandbox.call("PATCH", f"/sandbox/accounts/{corp.id}", {"unionid_bound": False})
    assert status == 200
    assert "unionid" not in corp.get(f"{CONTACT}/get", external_userid=ident)["external_contact"]


def test_the_hour_of_conversions(sandbox: Sandbox, corp: Client) -> None:
    sandbox.post("/sandbox/limits", {"idconvert_per_hour": 0})
    code = corp.code("idconvert/unionid_to_external_userid", {"unionid": "x", "openid": "y"})
    sandbox.post("/sandbox/limits", {"idconvert_per_hour": 10000})
    assert code == 45009


def test_a_scan_makes_a_customer_with_state_and_a_welcome(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver, reach=0)
    body = {"type": 1, "scene": 2, "user": ["employee004"], "state": "shop-7"}
    way = corp.post(f"{CONTACT}/add_contact_way", body)["config_id"]
    people = [row["unionid"] for row in sandbox.people()[:2]]
    rows = control(corp, "contact_ways/scan", {"config_id": way, "people": people})["added"]
    found = {event["ExternalUserID"]: event for event in events(corp, receiver, 2)}
    for row in rows:
        event = found[row["external_userid"]]
        assert (event["Event"], event["ChangeType"]) == ("change_external_contact", "add_external_contact")
        assert (event["UserID"], event["State"], event["WelcomeCode"]) == ("employee004", "shop-7", row["welcome_code"])
        info = _follow(corp, row["external_userid"], "employee004")
        assert (info["state"], info["add_way"]) == ("shop-7", 1)
        assert abs(int(info["createtime"]) - sandbox.get("/sandbox/clock")["now"] // 1000) < 10
    assert corp.get(f"{CONTACT}/list", userid="employee004")["external_userid"] == [
        row["external_userid"] for row in rows
    ]


def test_a_welcome_is_sent_once_within_twenty_seconds(sandbox: Sandbox, empty: Client) -> None:
    way = empty.post(f"{CONTACT}/add_contact_way", {"type": 1, "scene": 1, "user": ["employee001"]})["config_id"]
    people = [row["unionid"] for row in sandbox.people()[:4]]
    rows = control(empty, "contact_ways/scan", {"config_id": way, "people": people})["added"]
    codes = [row["welcome_code"] for row in rows]
    call, text = failing(empty, "send_welcome_msg"), {"content": "欢迎 http://127.0.0.1/w"}
    assert (call(text=text), call(welcome_code="x", text=text)) == (41049, 41050)
    assert call(welcome_code=codes[0]) == 44004
    assert (call(welcome_code=codes[0], text=text), call(welcome_code=codes[0], text=text)) == (0, 41051)
    talk = {"userid": "employee001", "people": [rows[1]["external_userid"]], "chat": True}
    assert control(empty, "interact", talk) == {"changed": 1}
    assert call(welcome_code=codes[1], text=text) == 41051
    sandbox.post("/sandbox/clock", {"advance_seconds": 19})
    assert call(welcome_code=codes[2], text=text) == 0
    sandbox.post("/sandbox/clock", {"advance_seconds": 2})
    assert call(welcome_code=codes[3], text=text) == 41050
    entries = sandbox.get("/sandbox/ledger", account=empty.id)
    arrived = [entry for entry in entries if entry["outcome"] == "arrived"]
    assert [(entry["via"], entry["person"], entry["link"]) for entry in arrived] == [
        ("welcome", rows[place]["external_userid"], "http://127.0.0.1/w") for place in (0, 2)
    ]


def test_no_code_where_the_console_has_a_welcome(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver, reach=0, own_welcome=["employee002"])
    people = [row["unionid"] for row in sandbox.people()[:1]]
    for userid in ("employee001", "employee002"):
        way = corp.post(f"{CONTACT}/add_contact_way", {"type": 1, "scene": 1, "user": [userid]})["config_id"]
        control(corp, "contact_ways/scan", {"config_id": way, "people": people})
    found = {event["UserID"]: "WelcomeCode" in event for event in events(corp, receiver, 2)}
    assert found == {"employee001": True, "employee002": False}
    half = {"config_id": way, "people": [sandbox.people()[1]["unionid"]], "half": True}
    control(corp, "contact_ways/scan", half)
    changes = [event["ChangeType"] for event in events(corp, receiver, 3)]
    assert sorted(changes) == ["add_external_contact"] * 2 + ["add_half_external_contact"]


def test_contact_ways_and_their_rules(sandbox: Sandbox, corp: Client) -> None:
    call, good = failing(corp, "add_contact_way"), {"type": 1, "scene": 2, "user": ["employee001"]}
    assert call(**{**good, "type": 3}) == 41038
    assert call(**{**good, "scene": 0}) == 41039
    assert call(**{**good, "user": ["employee001", "employee002"]}) == 41041
    assert call(**{**good, "user": []}) == 41041
    assert call(**{**good, "user": ["ghost"]}) == 60111
    assert call(**good, state="长" * 31) == 41045
    assert call(**good, remark="长" * 31) == 41044
    assert call(**good, is_temp=True, expires_in=15 * 86400) == 40058
    sandbox.post("/sandbox/limits", {"contact_ways": 1})
    first = corp.post(f"{CONTACT}/add_contact_way", good)["config_id"]
    full = call(**good)
    sandbox.post("/sandbox/limits", {"contact_ways": 500000})
    assert full == 41043
    corp.post(f"{CONTACT}/add_contact_way", {**good, "is_temp": True})
    assert corp.post(f"{CONTACT}/list_contact_way", {})["contact_way"] == [{"config_id": first}]
    people = corp.reachable()[:1]
    later = corp.post(f"{CONTACT}/add_contact_way", {**good, "is_temp": True, "expires_in": 60})["config_id"]
    sandbox.post("/sandbox/clock", {"advance_seconds": 61})
    body = {"account": corp.id, "config_id": later, "people": people}
    assert sandbox.call("POST", "/sandbox/wecom/contact_ways/scan", body)[0] == 404
    assert corp.code(f"{CONTACT}/close_temp_chat", {"userid": "ghost", "external_userid": people[0]}) == 60111


def test_friendships_end_from_both_sides(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    members = by_member(corp)
    both = next(person for person in members["employee001"] if sum(person in people for people in members.values()) > 1)
    assert control(corp, "console/drop", {"userid": "employee001", "people": [both]}) == {"changed": 1}
    assert both not in corp.get(f"{CONTACT}/list", userid="employee001")["external_userid"]
    rows = corp.get(f"{CONTACT}/get", external_userid=both)["follow_user"]
    assert "employee001" not in [row["userid"] for row in rows]
    tag = corp.post(f"{CONTACT}/add_corp_tag", {"group_name": "g", "tag": [{"name": "t"}]})["tag_group"]["tag"][0]
    pair = {"userid": "employee001", "external_userid": both, "add_tag": [tag["id"]]}
    assert corp.code(f"{CONTACT}/mark_tag", pair) == 84061
    userid = rows[0]["userid"]
    assert control(corp, "console/drop", {"userid": userid, "people": [both], "by": "customer"}) == {"changed": 1}
    assert corp.get(f"{CONTACT}/get", external_userid=both)["errcode"] == 0
    kinds = [(event["ChangeType"], event["UserID"]) for event in events(corp, receiver, 2)]
    assert sorted(kinds) == sorted([("del_external_contact", "employee001"), ("del_follow_user", userid)])
