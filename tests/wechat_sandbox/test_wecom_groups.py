"""企业微信 客户群: chats, ways into them, mass messages to them, their figures, hand-over."""

from collections.abc import Iterator

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.wecom import CONTACT, by_member, control, events, failing, listening

_CHAT = f"{CONTACT}/groupchat"


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5, groups=4)


@pytest.fixture
def prompt(sandbox: Sandbox) -> Iterator[None]:
    """Everybody confirms."""
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    yield
    sandbox.post("/sandbox/settings", {"confirm_share": 0.9})


def _chats(client: Client, **fields: object) -> list[str]:
    rows = client.post(f"{_CHAT}/list", {"limit": 100, **fields})["group_chat_list"]
    return [row["chat_id"] for row in rows]


def test_the_corp_has_chats_to_begin_with(corp: Client) -> None:
    chats = _chats(corp)
    assert len(chats) == 4
    assert len(_chats(corp, owner_filter={"userid_list": ["employee002"]})) == 1
    page = corp.post(f"{_CHAT}/list", {"limit": 3})
    rest = corp.post(f"{_CHAT}/list", {"limit": 3, "cursor": page["next_cursor"]})
    assert [row["chat_id"] for row in page["group_chat_list"] + rest["group_chat_list"]] == chats
    assert "next_cursor" not in rest
    chat = corp.post(f"{_CHAT}/get", {"chat_id": chats[0], "need_name": 1})["group_chat"]
    members = [entry["userid"] for entry in chat["member_list"]]
    assert (members[0], len(members)) == ("employee001", 21)
    assert set(members[1:]) <= set(by_member(corp)["employee001"])
    assert all(entry["name"] for entry in chat["member_list"])
    unnamed = corp.post(f"{_CHAT}/get", {"chat_id": chats[0]})["group_chat"]
    assert not any("name" in entry for entry in unnamed["member_list"])
    assert unnamed["member_list"][1]["join_scene"] == 1
    gid = corp.sandbox.get("/sandbox/wecom/groups", account=corp.id)["chats"][0]["opengid"]
    assert corp.post(f"{CONTACT}/opengid_to_chatid", {"opengid": gid})["chat_id"] == chats[0]
    assert corp.code(f"{CONTACT}/opengid_to_chatid", {"opengid": "x"}) == 90511
    call = failing(corp, "groupchat/list")
    assert (call(), call(limit=0), call(limit=5, status_filter=4)) == (40058, 40058, 40058)
    corp.sandbox.post("/sandbox/limits", {"group_owners_unasked": 4})
    many = call(limit=5)
    corp.sandbox.post("/sandbox/limits", {"group_owners_unasked": 1000})
    assert many == 81017
    corp.sandbox.call("PATCH", f"/sandbox/accounts/{corp.id}", {"visible": ["employee002"]})
    assert corp.code(f"{_CHAT}/get", {"chat_id": chats[0]}) == 60011


def test_people_join_by_a_way_until_the_next_chat_is_made(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver, groups=2)
    chat = control(corp, "groups", {"owner": "employee003", "name": "新客"})["chat_id"]
    sandbox.post("/sandbox/limits", {"group_capacity": 3})
    body = {"scene": 2, "chat_id_list": [chat], "room_base_name": "新客", "room_base_id": 10, "state": "poster"}
    way = corp.post(f"{_CHAT}/add_join_way", body)["config_id"]
    people = corp.reachable()[:5]
    rows = control(corp, "groups/join", {"config_id": way, "people": people})["joined"]
    again = control(corp, "groups/join", {"config_id": way, "people": people[4:]})["joined"]
    shown = corp.post(f"{_CHAT}/get_join_way", {"config_id": way})["join_way"]
    sandbox.post("/sandbox/limits", {"group_capacity": 200})
    places = [row["chat_id"] for row in rows]
    assert places[:2] == [chat, chat]
    assert len(set(places)) == 3
    assert (shown["chat_id_list"], shown["room_base_id"]) == ([chat, places[2], places[4]], 12)
    assert again == [{"external_userid": people[4], "chat_id": places[4], "joined": False}]
    names = [corp.post(f"{_CHAT}/get", {"chat_id": ident})["group_chat"]["name"] for ident in shown["chat_id_list"]]
    assert names == ["新客", "新客10", "新客11"]
    member = corp.post(f"{_CHAT}/get", {"chat_id": chat})["group_chat"]["member_list"][1]
    assert (member["userid"], member["join_scene"], member["state"]) == (people[0], 3, "poster")
    found = events(corp, receiver, 8)
    created = [event["ChatId"] for event in found if event["ChangeType"] == "create"]
    assert sorted(created) == sorted([chat, places[2], places[4]])
    joined = [event for event in found if event.get("UpdateDetail") == "add_member"]
    assert sorted(event["ChatId"] for event in joined) == sorted(places)
    assert {(event["JoinScene"], event["MemChangeCnt"]) for event in joined} == {("3", "1")}
    assert sorted(event["MemChangeList"]["Item"] for event in joined) == sorted(people)


def test_join_ways_and_their_rules(corp: Client) -> None:
    chats, call = _chats(corp), failing(corp, "groupchat/add_join_way")
    assert call(scene=2, chat_id_list=[*chats, "a", "b"]) == 41091
    assert call(scene=2, chat_id_list=["x"]) == 90508
    assert call(scene=3, chat_id_list=chats) == 41039
    assert call(scene=2, chat_id_list=[]) == 40063
    assert call(scene=2, chat_id_list=chats, state="长" * 31) == 41045
    way = corp.post(f"{_CHAT}/add_join_way", {"scene": 2, "chat_id_list": chats[:1], "remark": "长" * 40})["config_id"]
    shown = corp.post(f"{_CHAT}/get_join_way", {"config_id": way})["join_way"]
    assert (shown["remark"], shown["auto_create_room"], shown["qr_code"][:8]) == ("长" * 30, 1, "https://")
    body = {"config_id": way, "scene": 2, "chat_id_list": chats[1:2], "auto_create_room": 0}
    assert corp.code(f"{_CHAT}/update_join_way", body) == 0
    corp.sandbox.post("/sandbox/limits", {"group_capacity": 21})
    rows = control(corp, "groups/join", {"config_id": way, "people": corp.reachable()[:1]})["joined"]
    corp.sandbox.post("/sandbox/limits", {"group_capacity": 200})
    assert (rows[0]["joined"], rows[0]["chat_id"]) == (False, None)
    assert corp.code(f"{_CHAT}/del_join_way", {"config_id": way}) == 0
    assert corp.code(f"{_CHAT}/get_join_way", {"config_id": way}) == 41037


def test_leaving_renaming_and_dismissing(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    people = corp.reachable()[:3]
    chat = control(corp, "groups", {"owner": "employee001", "name": "旧", "people": people})["chat_id"]
    assert control(corp, "groups/leave", {"chat_id": chat, "people": people[:2]}) == {"left": people[:2]}
    control(corp, "groups/change", {"chat_id": chat, "name": "新", "owner": "employee002"})
    shown = corp.post(f"{_CHAT}/get", {"chat_id": chat})["group_chat"]
    left = [entry["userid"] for entry in shown["member_list"] if entry["type"] == 2]
    assert (shown["name"], shown["owner"], left) == ("新", "employee002", people[2:])
    control(corp, "groups/dismiss", {"chat_id": chat})
    assert corp.code(f"{_CHAT}/get", {"chat_id": chat}) == 90508
    found = events(corp, receiver, 5)
    details = sorted(event.get("UpdateDetail", event["ChangeType"]) for event in found)
    assert details == ["change_name", "change_owner", "create", "del_member", "dismiss"]
    gone = next(event for event in found if event.get("UpdateDetail") == "del_member")
    assert (gone["MemChangeCnt"], gone["QuitScene"], gone["CurMemVer"] != gone["LastMemVer"]) == ("2", "0", True)
    assert gone["MemChangeList"]["Item"] == people[:2]


@pytest.mark.usefixtures("prompt")
def test_mass_messages_to_chats(sandbox: Sandbox, corp: Client) -> None:
    sandbox.call("PATCH", f"/sandbox/accounts/{corp.id}", {"reception": "day"})
    sandbox.to_noon()
    corp.renew()
    chat = control(corp, "groups", {"owner": "employee001"})["chat_id"]
    mine = _chats(corp, owner_filter={"userid_list": ["employee001"]})
    other = next(ident for ident in _chats(corp) if ident not in mine)
    body = {"chat_type": "group", "sender": "employee001", "text": {"content": "群发"}}
    call = failing(corp, "add_msg_template")
    assert call(chat_type="group", text=body["text"]) == 40063
    assert call(**body, chat_id_list=["x"] * 2001) == 40032
    made = corp.post(f"{CONTACT}/add_msg_template", {**body, "chat_id_list": [chat, other]})
    assert (made["errcode"], made["fail_list"]) == (0, [other])
    sandbox.quiet()
    ask = {"msgid": made["msgid"], "userid": "employee001"}
    rows = corp.post(f"{CONTACT}/get_groupmsg_send_result", ask)["send_list"]
    assert [(row["chat_id"], row["status"], "external_userid" in row) for row in rows] == [(chat, 1, False)]
    again = corp.post(f"{CONTACT}/add_msg_template", {**body, "text": {"content": "再发"}})
    sandbox.quiet()
    rows = corp.post(f"{CONTACT}/get_groupmsg_send_result", {**ask, "msgid": again["msgid"]})["send_list"]
    assert {row["chat_id"]: row["status"] for row in rows} == {ident: 3 if ident == chat else 1 for ident in mine}
    assert [entry["via"] for entry in sandbox.get("/sandbox/ledger", account=corp.id)][:1] == ["group"]
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    sandbox.post("/sandbox/clock", {"advance_seconds": 5})
    ask_list = {"chat_type": "group", "start_time": now - 60, "end_time": now + 60}
    assert [row["msgid"] for row in corp.post(f"{CONTACT}/get_groupmsg_list_v2", ask_list)["group_msg_list"]] == [
        made["msgid"],
        again["msgid"],
    ]
    single = {**ask_list, "chat_type": "single"}
    assert corp.post(f"{CONTACT}/get_groupmsg_list_v2", single)["group_msg_list"] == []


def test_personal_mass_messages_are_in_the_record(sandbox: Sandbox, corp: Client) -> None:
    made = control(corp, "tasks/personal", {"userid": "employee002", "text": "个人"})
    assert made["people"] == len(by_member(corp)["employee002"])
    sandbox.post("/sandbox/clock", {"advance_seconds": 5})
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    ask = {"chat_type": "single", "start_time": now - 60, "end_time": now}
    path = f"{CONTACT}/get_groupmsg_list_v2"
    found = {kind: corp.post(path, {**ask, "filter_type": kind})["group_msg_list"] for kind in (0, 1, 2)}
    assert [len(rows) for rows in found.values()] == [0, 1, 1]
    assert (found[1][0]["creator"], found[1][0]["create_type"]) == ("employee002", 1)
    assert corp.post(path, {**ask, "creator": "employee001"})["group_msg_list"] == []
    assert corp.code(path, {**ask, "filter_type": 3}) == 40058


def test_figures_of_chats(sandbox: Sandbox, corp: Client) -> None:
    sandbox.to_noon()
    corp.renew()
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    chat = control(corp, "groups", {"owner": "employee001", "people": corp.reachable()[:3]})["chat_id"]
    owners = {"owner_filter": {"userid_list": ["employee001", "employee002"]}, "day_begin_time": now}
    answer = corp.post(f"{_CHAT}/statistic", {**owners, "order_by": 1, "limit": 1})
    assert (answer["total"], answer["next_offset"], answer["items"][0]["owner"]) == (2, 1, "employee001")
    data = answer["items"][0]["data"]
    assert (data["new_chat_cnt"], data["chat_total"], data["new_member_cnt"]) == (1, 2, 4)
    days = corp.post(f"{_CHAT}/statistic_group_by_day", {**owners, "day_end_time": now + 86400})["items"]
    assert [(item["stat_time"] + 8 * 3600) % 86400 for item in days] == [0, 0]
    assert days[0]["data"]["new_chat_cnt"] == 1
    assert corp.code(f"{_CHAT}/statistic", {**owners, "day_end_time": now + 40 * 86400}) == 40058
    assert corp.code(f"{_CHAT}/statistic", {"day_begin_time": now}) == 40058
    control(corp, "groups/dismiss", {"chat_id": chat})


def test_chats_are_handed_over(sandbox: Sandbox, corp: Client) -> None:
    first, second, *_ = _chats(corp)
    move = {"chat_id_list": [first], "new_owner": "employee005"}
    failed = corp.post(f"{_CHAT}/transfer", move)["failed_chat_list"]
    assert [(row["chat_id"], row["errcode"]) for row in failed] == [(first, 90500)]
    assert corp.post(f"{_CHAT}/onjob_transfer", move)["failed_chat_list"] == []
    assert corp.post(f"{_CHAT}/get", {"chat_id": first})["group_chat"]["owner"] == "employee005"
    control(corp, "members/resign", {"userid": "employee002"})
    assert corp.post(f"{_CHAT}/transfer", {**move, "chat_id_list": [second]})["failed_chat_list"] == []
    assert _chats(corp, status_filter=3) == [second]
    assert "employee002" not in corp.get(f"{CONTACT}/get_follow_user_list")["follow_user"]


def test_welcome_material_of_chats(sandbox: Sandbox, corp: Client) -> None:
    path, link = f"{CONTACT}/group_welcome_template", {"title": "t", "url": "http://127.0.0.1/"}
    ident = corp.post(f"{path}/add", {"text": {"content": "欢迎"}, "link": link, "file": {"media_id": "x"}})[
        "template_id"
    ]
    shown = corp.post(f"{path}/get", {"template_id": ident})
    assert (shown["text"], shown["link"], "file" in shown) == ({"content": "欢迎"}, link, False)
    assert corp.code(f"{path}/edit", {"template_id": ident, "text": {"content": "新"}}) == 0
    assert "link" not in corp.post(f"{path}/get", {"template_id": ident})
    assert corp.code(f"{path}/add", {}) == 44004
    assert corp.code(f"{path}/add", {"image": {"media_id": "x"}}) == 40007
    sandbox.post("/sandbox/limits", {"group_welcome_templates": 1})
    full = corp.code(f"{path}/add", {"text": {"content": "x"}})
    sandbox.post("/sandbox/limits", {"group_welcome_templates": 100})
    assert full == 41055
    assert corp.code(f"{path}/del", {"template_id": ident}) == 0
    assert corp.code(f"{path}/get", {"template_id": ident}) == 40058
