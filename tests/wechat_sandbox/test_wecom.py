"""企业微信: customers, corp tags, mass-message tasks, messages to members."""

import time
from collections.abc import Iterator

import pytest
from tests.wechat_sandbox.conftest import Client, Sandbox, wait_for

_CONTACT = "externalcontact"


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


@pytest.fixture
def patient(sandbox: Sandbox) -> Iterator[None]:
    """Nobody confirms by himself."""
    sandbox.post("/sandbox/settings", {"confirm_share": 0})
    yield
    sandbox.post("/sandbox/settings", {"confirm_share": 1})


def _by_member(client: Client) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in client.sandbox.people():
        entry = row["ids"][str(client.id)]
        for userid in entry["employees"]:
            found.setdefault(userid, []).append(entry["external_userid"])
    return found


def test_gettoken_gives_the_same_token_and_its_own_errors(sandbox: Sandbox, corp: Client) -> None:
    query = {"corpid": corp.account["corpid"], "corpsecret": corp.account["secret"]}
    answer = sandbox.get("/cgi-bin/gettoken", **query)
    assert (answer["errcode"], answer["errmsg"], answer["access_token"]) == (0, "ok", corp.token)
    assert sandbox.get("/cgi-bin/gettoken", corpid="ww0", corpsecret="x")["errcode"] == 40013
    assert sandbox.get("/cgi-bin/gettoken", **{**query, "corpsecret": "x"})["errcode"] == 40001
    assert sandbox.get("/cgi-bin/gettoken", corpsecret="x")["errcode"] == 41002
    assert sandbox.get("/cgi-bin/gettoken", corpid="x")["errcode"] == 41004
    sandbox.post("/sandbox/tokens/drop", {"account": corp.id})
    dead = corp.get(f"{_CONTACT}/get_follow_user_list")
    assert dead["errcode"] == 40014
    assert "more info at https://open.work.weixin.qq.com/devtool/query?e=40014" in dead["errmsg"]


def test_a_token_of_one_platform_is_none_of_the_other(sandbox: Sandbox, corp: Client) -> None:
    assert corp.get("tags/get")["errcode"] == 40014
    service = sandbox.account("service")
    assert service.get(f"{_CONTACT}/get_follow_user_list")["errcode"] == 40014
    assert service.get("getcallbackip") == {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}
    assert corp.get("getcallbackip")["errcode"] == 0


def test_bad_json_is_warned_of(sandbox: Sandbox, corp: Client) -> None:
    answer = sandbox.call("POST", f"/cgi-bin/{_CONTACT}/mark_tag?access_token={corp.token}", b"{")[1]
    assert answer["errcode"] == 47001
    assert "Warning: wrong json format." in answer["errmsg"]


def test_customers_are_listed_per_member(sandbox: Sandbox, corp: Client) -> None:
    members = corp.get(f"{_CONTACT}/get_follow_user_list")["follow_user"]
    assert members == corp.account["employees"]
    expected = _by_member(corp)
    listed = {userid: corp.get(f"{_CONTACT}/list", userid=userid)["external_userid"] for userid in members}
    assert listed == expected
    assert corp.get(f"{_CONTACT}/list", userid="nobody")["errcode"] == 40003
    assert (
        sandbox.account("wecom", reach=0, employees=1).get(f"{_CONTACT}/list", userid="employee001")["errcode"] == 84061
    )


def test_a_customer_has_a_unionid_and_one_entry_per_member(sandbox: Sandbox, corp: Client) -> None:
    row = next(row for row in sandbox.people() if len(row["ids"][str(corp.id)]["employees"]) == 2)
    entry = row["ids"][str(corp.id)]
    found = corp.get(f"{_CONTACT}/get", external_userid=entry["external_userid"])
    assert found["external_contact"]["unionid"] == row["unionid"]
    assert found["external_contact"]["name"] == row["name"]
    assert [follow["userid"] for follow in found["follow_user"]] == entry["employees"]
    assert corp.get(f"{_CONTACT}/get", external_userid="wm-nobody")["errcode"] == 40096
    sandbox.post("/sandbox/people/change", {"account": corp.id, "people": [row["unionid"]], "follows": False})
    assert corp.get(f"{_CONTACT}/get", external_userid=entry["external_userid"])["errcode"] == 84061


def test_batch_by_user_pages_to_an_empty_cursor(corp: Client) -> None:
    members, cursor, pairs = corp.account["employees"], "", []
    while True:
        answer = corp.post(f"{_CONTACT}/batch/get_by_user", {"userid_list": members, "limit": 100, "cursor": cursor})
        rows = answer["external_contact_list"]
        pairs += [(row["follow_info"]["userid"], row["external_contact"]["external_userid"]) for row in rows]
        cursor = answer["next_cursor"]
        if not cursor:
            break
    assert pairs == [(userid, ident) for userid in members for ident in _by_member(corp)[userid]]
    path = f"{_CONTACT}/batch/get_by_user"
    assert corp.code(path, {"userid_list": members * 21}) == 40032
    assert corp.code(path, {"userid_list": members, "limit": 101}) == 40058
    assert corp.code(path, {"userid_list": members, "cursor": "x"}) == 50100
    assert corp.code(path, {"userid_list": ["nobody"]}) == 60111


def test_corp_tags_are_two_levels_and_follow_the_platforms_rules(corp: Client) -> None:
    made = corp.post(
        f"{_CONTACT}/add_corp_tag",
        {"group_name": "兴趣", "tag": [{"name": "数码"}, {"name": "数码"}, {"name": "美妆"}]},
    )
    group = made["tag_group"]
    assert (made["errcode"], [tag["name"] for tag in group["tag"]]) == (0, ["数码", "美妆"])
    again = corp.post(f"{_CONTACT}/add_corp_tag", {"group_name": "兴趣", "tag": [{"name": "食品"}]})["tag_group"]
    assert again["group_id"] == group["group_id"]
    known = {"group_id": group["group_id"], "tag": [{"name": "数码"}]}
    assert corp.code(f"{_CONTACT}/add_corp_tag", known) == 40071
    assert corp.code(f"{_CONTACT}/add_corp_tag", {"group_name": "空", "tag": []}) == 40063
    assert corp.code(f"{_CONTACT}/add_corp_tag", {"group_name": "长", "tag": [{"name": "长" * 31}]}) == 40072
    digital, beauty = (tag["id"] for tag in group["tag"])
    assert corp.code(f"{_CONTACT}/edit_corp_tag", {"id": digital, "name": "美妆"}) == 40071
    assert corp.code(f"{_CONTACT}/edit_corp_tag", {"id": digital, "name": "手机"}) == 0
    listed = corp.post(f"{_CONTACT}/get_corp_tag_list", {"tag_id": [digital]})["tag_group"]
    assert [tag["name"] for tag in listed[0]["tag"]] == ["手机"]
    assert corp.code(f"{_CONTACT}/del_corp_tag", {"tag_id": ["x"]}) == 40068
    corp.sandbox.post("/sandbox/limits", {"corp_tags": 3})
    code = corp.code(f"{_CONTACT}/add_corp_tag", {"group_name": "多", "tag": [{"name": "一"}]})
    corp.sandbox.post("/sandbox/limits", {"corp_tags": 10000})
    assert code == 40126
    assert corp.code(f"{_CONTACT}/del_corp_tag", {"tag_id": [digital, beauty, again["tag"][0]["id"]]}) == 0
    assert corp.post(f"{_CONTACT}/get_corp_tag_list", {})["tag_group"] == []


def test_marks_belong_to_the_pair_of_member_and_customer(corp: Client) -> None:
    tag = corp.post(f"{_CONTACT}/add_corp_tag", {"group_name": "g", "tag": [{"name": "t"}]})["tag_group"]["tag"][0][
        "id"
    ]
    members = _by_member(corp)
    userid, other = list(members)[:2]
    ident = next(person for person in members[userid] if person not in members[other])
    pair = {"userid": userid, "external_userid": ident}
    assert corp.code(f"{_CONTACT}/mark_tag", {**pair, "add_tag": [tag]}) == 0
    follow = corp.get(f"{_CONTACT}/get", external_userid=ident)["follow_user"][0]
    assert follow["tags"] == [{"group_name": "g", "tag_name": "t", "tag_id": tag, "type": 1}]
    assert corp.code(f"{_CONTACT}/mark_tag", {**pair, "userid": other, "add_tag": [tag]}) == 84061
    assert corp.code(f"{_CONTACT}/mark_tag", {**pair, "add_tag": ["x"]}) == 40068
    assert corp.code(f"{_CONTACT}/mark_tag", pair) == 40063
    assert corp.code(f"{_CONTACT}/mark_tag", {**pair, "remove_tag": [tag]}) == 0
    assert corp.get(f"{_CONTACT}/get", external_userid=ident)["follow_user"][0]["tags"] == []


@pytest.mark.usefixtures("patient")
def test_a_task_sends_nothing_until_the_member_confirms(sandbox: Sandbox, corp: Client) -> None:
    userid, people = next(iter(_by_member(corp).items()))
    stranger = next(ident for ident in corp.reachable() if ident not in people)
    body = {"sender": userid, "external_userid": [*people[:3], stranger], "text": {"content": "数码新品"}}
    made = corp.post(f"{_CONTACT}/add_msg_template", body)
    assert (made["errcode"], made["fail_list"]) == (0, [stranger])
    month = {"chat_type": "single", "start_time": 0, "end_time": 0}
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    window = {**month, "start_time": now - 3600, "end_time": now + 3600}
    assert corp.code(f"{_CONTACT}/get_groupmsg_list_v2", window) == 41063
    wait_for(lambda: corp.code(f"{_CONTACT}/get_groupmsg_list_v2", window) == 0)
    listed = corp.post(f"{_CONTACT}/get_groupmsg_list_v2", window)["group_msg_list"]
    assert [(task["msgid"], task["text"]) for task in listed] == [(made["msgid"], {"content": "数码新品"})]
    ask, result = {"msgid": made["msgid"]}, {"msgid": made["msgid"], "userid": userid}
    assert corp.post(f"{_CONTACT}/get_groupmsg_task", ask)["task_list"] == [{"userid": userid, "status": 0}]
    rows = corp.post(f"{_CONTACT}/get_groupmsg_send_result", result)["send_list"]
    assert [row["status"] for row in rows] == [0, 0, 0]
    sandbox.post("/sandbox/people/change", {"account": corp.id, "people": people[1:2], "blocks": True})
    assert sandbox.post("/sandbox/employees/confirm", {"account": corp.id}) == {"confirmed": 1}
    task = corp.post(f"{_CONTACT}/get_groupmsg_task", ask)["task_list"][0]
    assert (task["status"], task["send_time"] >= now) == (2, True)
    rows = corp.post(f"{_CONTACT}/get_groupmsg_send_result", {**result, "limit": 2})
    assert [row["status"] for row in rows["send_list"]] == [1, 2]
    rest = corp.post(f"{_CONTACT}/get_groupmsg_send_result", {**result, "cursor": rows["next_cursor"]})
    assert ([row["status"] for row in rest["send_list"]], rest["next_cursor"]) == ([1], "")
    summary = corp.summary()
    assert (summary["asked"], summary["arrived"], summary["failed"], summary["pending"]) == (3, 2, {"not_friend": 2}, 0)


def test_members_confirm_by_themselves_and_a_repeat_is_a_second_task(sandbox: Sandbox, corp: Client) -> None:
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    body = {"external_userid": corp.reachable(), "text": {"content": "你好"}}
    first, second = (corp.post(f"{_CONTACT}/add_msg_template", body) for _ in range(2))
    assert first["msgid"] != second["msgid"]
    sandbox.quiet()
    summary = corp.summary()
    assert (summary["asked"], summary["arrived"], summary["duplicated"]) == (800, 800, 400)
    members = corp.post(f"{_CONTACT}/get_groupmsg_task", {"msgid": first["msgid"], "limit": 2})
    assert (len(members["task_list"]), members["next_cursor"]) == (2, "2")


@pytest.mark.parametrize(("rule", "most"), [("day", 1), ("week", 7)])
def test_a_customer_receives_what_the_rule_allows(sandbox: Sandbox, corp: Client, rule: str, most: int) -> None:
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    sandbox.call("PATCH", f"/sandbox/accounts/{corp.id}", {"reception": rule})
    person = corp.reachable()[0]
    for number in range(most + 1):
        body = {"external_userid": [person], "text": {"content": f"第{number}条"}}
        made = corp.post(f"{_CONTACT}/add_msg_template", body)
        sandbox.quiet()
    userid = corp.post(f"{_CONTACT}/get_groupmsg_task", {"msgid": made["msgid"]})["task_list"][0]["userid"]
    rows = corp.post(f"{_CONTACT}/get_groupmsg_send_result", {"msgid": made["msgid"], "userid": userid})["send_list"]
    assert rows == [{"external_userid": person, "userid": userid, "status": 3}]
    assert (corp.summary()["arrived"], corp.summary()["failed"]) == (most, {"over_limit": 1})


def test_the_default_rule_is_the_days_of_the_month(sandbox: Sandbox, corp: Client) -> None:
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    person, sent = corp.reachable()[0], 0
    for number in range(32):
        corp.post(f"{_CONTACT}/add_msg_template", {"external_userid": [person], "text": {"content": f"第{number}条"}})
    sandbox.quiet()
    sent = corp.summary()["arrived"]
    date = time.gmtime(sandbox.get("/sandbox/clock")["now"] / 1000 + 8 * 3600)
    days = 31 if date.tm_mon in (1, 3, 5, 7, 8, 10, 12) else 30 if date.tm_mon != 2 else 28 + (date.tm_year % 4 == 0)
    assert sent == days


@pytest.mark.usefixtures("patient")
def test_tag_filter_is_or_within_and_and_between(sandbox: Sandbox, corp: Client) -> None:
    group = {"group_name": "g", "tag": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    a, b, c = (tag["id"] for tag in corp.post(f"{_CONTACT}/add_corp_tag", group)["tag_group"]["tag"])
    userid, people = next(iter(_by_member(corp).items()))
    for place, tags in enumerate([[a], [b], [a, c], [b, c], [c]]):
        pair = {"userid": userid, "external_userid": people[place]}
        assert corp.code(f"{_CONTACT}/mark_tag", {**pair, "add_tag": tags}) == 0
    chosen = {"group_list": [{"tag_list": [a, b]}, {"tag_list": [c]}]}
    corp.post(f"{_CONTACT}/add_msg_template", {"tag_filter": chosen, "text": {"content": "按标签"}})
    entries = sandbox.get("/sandbox/ledger", account=corp.id)
    assert sorted(entry["person"] for entry in entries) == sorted(people[2:4])
    everyone = corp.post(f"{_CONTACT}/add_msg_template", {"sender": userid, "text": {"content": "全部"}})
    rows = corp.post(f"{_CONTACT}/get_groupmsg_send_result", {"msgid": everyone["msgid"], "userid": userid})[
        "send_list"
    ]
    assert [row["external_userid"] for row in rows] == people


def test_task_errors(sandbox: Sandbox, corp: Client) -> None:
    path, text = f"{_CONTACT}/add_msg_template", {"text": {"content": "你好"}}
    person = {"external_userid": corp.reachable()[:1]}
    link = {"msgtype": "link", "link": {"title": "t", "url": "http://127.0.0.1/x"}}
    assert corp.code(path, text) == 40063
    assert corp.code(path, person) == 44004
    assert corp.code(path, {**person, "text": {"content": "字" * 1334}}) == 45002
    assert corp.code(path, {**person, "attachments": [link] * 10}) == 41064
    assert corp.code(path, {**person, "attachments": [{"msgtype": "poll"}]}) == 41065
    assert corp.code(path, {**person, "attachments": [{"msgtype": "link", "link": {"title": "t"}}]}) == 40058
    assert corp.code(path, {**person, "attachments": [{"msgtype": "image", "image": {"media_id": "x"}}]}) == 40007
    assert corp.code(path, {**person, **text, "sender": "nobody"}) == 60111
    nobody = corp.post(path, {**text, "external_userid": ["wm-nobody"]})
    assert (nobody["errcode"], nobody["fail_list"]) == (41048, ["wm-nobody"])
    assert corp.code(path, {**text, "external_userid": ["x"] * 10001}) == 40032
    assert corp.code(f"{_CONTACT}/get_groupmsg_task", {}) == 41046
    assert corp.code(f"{_CONTACT}/get_groupmsg_task", {"msgid": "x"}) == 41047
    media = corp.upload("media/upload")
    assert (media["errcode"], isinstance(media["created_at"], str)) == (0, True)
    assert corp.upload("media/upload", b"12345")["errcode"] == 44001
    sandbox.post("/sandbox/limits", {"image_bytes": 9, "wecom_image_bytes": 9})
    too_large = corp.upload("media/upload")["errcode"], sandbox.account("service").upload("media/upload")["errcode"]
    sandbox.post("/sandbox/limits", {"image_bytes": 10485760, "wecom_image_bytes": 10485760})
    assert too_large == (45007, 40009)
    good = {**person, "attachments": [{"msgtype": "image", "image": {"media_id": media["media_id"]}}, link]}
    assert corp.code(path, good) == 0
    assert sandbox.get("/sandbox/ledger", account=corp.id)[-1]["link"] == "http://127.0.0.1/x"


@pytest.mark.usefixtures("patient")
def test_reminders_and_cancelling(sandbox: Sandbox, corp: Client) -> None:
    body = {"external_userid": corp.reachable()[:2], "text": {"content": "你好"}}
    task = {"msgid": corp.post(f"{_CONTACT}/add_msg_template", body)["msgid"]}
    codes = [corp.code(f"{_CONTACT}/remind_groupmsg_send", task) for _ in range(4)]
    assert codes == [0, 0, 0, 41094]
    assert corp.code(f"{_CONTACT}/cancel_groupmsg_send", task) == 0
    assert corp.code(f"{_CONTACT}/cancel_groupmsg_send", task) == 41093
    assert corp.code(f"{_CONTACT}/remind_groupmsg_send", task) == 41093
    assert sandbox.post("/sandbox/employees/confirm", {"account": corp.id}) == {"confirmed": 0}
    assert (corp.summary()["arrived"], corp.summary()["failed"]) == (0, {"not_confirmed": 2})


def test_messages_to_members(sandbox: Sandbox, corp: Client) -> None:
    body = {
        "touser": "employee001|ghost",
        "agentid": corp.account["agentid"],
        "msgtype": "text",
        "text": {"content": "预览"},
    }
    sent = corp.post("message/send", body)
    assert (sent["errcode"], sent["invaliduser"]) == (0, "ghost")
    assert corp.code("message/send", {**body, "agentid": 1}) == 301002
    assert corp.code("message/send", {**body, "touser": "ghost"}) == 81013
    assert corp.code("message/send", {**body, "touser": "|".join(["x"] * 1001)}) == 40032
    assert corp.code("message/send", {**body, "text": {"content": "字" * 683}}) == 45002
    assert corp.code("message/send", {**body, "msgtype": "poll"}) == 40058
    sandbox.post("/sandbox/clock", {"advance_seconds": 60 - sandbox.get("/sandbox/clock")["now"] // 1000 % 60})
    for _ in range(40):
        assert corp.code("message/send", body) == 0
    got = sandbox.get("/sandbox/employees/messages", account=corp.id)["messages"]
    assert len(got) == 1 + 30  # 30 in this minute, the excess dropped silently
    assert {message["userid"] for message in got} == {"employee001"}


def test_calls_above_the_rate_are_blocked_for_the_window(sandbox: Sandbox, corp: Client) -> None:
    sandbox.post("/sandbox/limits", {"wecom_api_per_minute": 3})
    codes = [corp.get(f"{_CONTACT}/get_follow_user_list")["errcode"] for _ in range(8)]
    sandbox.post("/sandbox/clock", {"advance_seconds": 30})
    blocked = corp.get(f"{_CONTACT}/get_follow_user_list")["errcode"]
    sandbox.post("/sandbox/clock", {"advance_seconds": 31})
    free = corp.get(f"{_CONTACT}/get_follow_user_list")["errcode"]
    sandbox.post("/sandbox/limits", {"wecom_api_per_minute": 10000})
    assert (codes[:3], codes[-1], blocked, free) == ([0, 0, 0], 45009, 45009, 0)
