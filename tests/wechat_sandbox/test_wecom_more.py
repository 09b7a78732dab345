"""企业微信: acquisition links, hand-over of customers, figures of members, app messages, consent to the archive."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, start
from tests.wechat_sandbox.wecom import CONTACT, by_member, control, events, listening


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


@pytest.fixture
def patient(sandbox: Sandbox) -> Iterator[None]:
    """Nobody confirms by himself."""
    sandbox.post("/sandbox/settings", {"confirm_share": 0})
    yield
    sandbox.post("/sandbox/settings", {"confirm_share": 0.9})


def test_people_come_by_a_link(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver, reach=0)
    path = f"{CONTACT}/customer_acquisition"
    body = {"link_name": "春季", "range": {"user_list": ["employee002"]}}
    link = corp.post(f"{path}/create_link", body)["link"]
    assert corp.post(f"{path}/list_link", {})["link_id_list"] == [link["link_id"]]
    people = [row["unionid"] for row in sandbox.people()[:3]]
    visit = {"link_id": link["link_id"], "people": people[:2], "channel": "渠" * 30}
    rows = control(corp, "acquisition/visit", visit)["visits"]
    control(corp, "acquisition/visit", {"link_id": link["link_id"], "people": people[2:], "adds": False})
    ids = [row["external_userid"] for row in rows]
    control(corp, "interact", {"userid": "employee002", "people": ids[:1], "chat": True})
    came = corp.post(f"{path}/customer", {"link_id": link["link_id"]})["customer_list"]
    state = "渠" * 21
    assert came == [
        {"external_userid": ident, "userid": "employee002", "state": state, "chat_status": status}
        for ident, status in zip(ids, (1, 0), strict=True)
    ]
    follow = corp.get(f"{CONTACT}/get", external_userid=ids[0])["follow_user"][0]
    assert (follow["add_way"], follow["state"]) == (16, state)
    assert {event["State"] for event in events(corp, receiver, 2)} == {state}
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    figures = corp.post(f"{path}/statistic", {"link_id": link["link_id"], "start_time": now, "end_time": now})
    assert (figures["click_link_customer_cnt"], figures["new_customer_cnt"]) == (3, 2)
    quota = corp.get(f"{CONTACT}/customer_acquisition_quota")
    assert quota["total"] - quota["balance"] == 2
    chat = corp.post(f"{path}/get_chat_info", {"chat_key": rows[0]["chat_key"]})
    assert (chat["external_userid"], chat["userid"]) == (ids[0], "employee002")
    sandbox.post("/sandbox/clock", {"advance_seconds": 1801})
    assert corp.code(f"{path}/get_chat_info", {"chat_key": rows[0]["chat_key"]}) == 40058
    assert corp.code(f"{path}/update_link", {**body, "link_id": link["link_id"], "link_name": "夏季"}) == 0
    assert corp.post(f"{path}/get", {"link_id": link["link_id"]})["link"]["link_name"] == "夏季"
    sandbox.post("/sandbox/limits", {"acquisition_links": 1})
    full = corp.code(f"{path}/create_link", body)
    sandbox.post("/sandbox/limits", {"acquisition_links": 3000})
    assert full == 41095
    assert corp.code(f"{path}/delete_link", {"link_id": link["link_id"]}) == 0
    assert corp.code(f"{path}/get", {"link_id": link["link_id"]}) == 40058
    assert corp.code(f"{path}/create_link", {**body, "range": {"user_list": ["employee001"] * 501}}) == 40058


def test_customers_are_handed_over(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    members = by_member(corp)
    only = [
        person
        for person in members["employee001"]
        if [name for name, people in members.items() if person in people] == ["employee001"]
    ]
    moved, refused, waiting = only[:3]
    names = {"handover_userid": "employee001", "takeover_userid": "employee002"}
    tag = corp.post(f"{CONTACT}/add_corp_tag", {"group_name": "g", "tag": [{"name": "t"}]})["tag_group"]["tag"][0]["id"]
    corp.post(f"{CONTACT}/mark_tag", {"userid": "employee001", "external_userid": moved, "add_tag": [tag]})
    asked = {**names, "external_userid": [moved, refused, "wm-nobody"]}
    rows = corp.post(f"{CONTACT}/transfer_customer", asked)["customer"]
    assert [row["errcode"] for row in rows] == [0, 0, 40096]
    again = corp.post(f"{CONTACT}/transfer_customer", {**names, "external_userid": [moved]})["customer"]
    assert again == [{"external_userid": moved, "errcode": 40129}]
    assert control(corp, "transfers/settle", {"refuse": [refused]}) == {"settled": 2}
    corp.post(f"{CONTACT}/transfer_customer", {**names, "external_userid": [waiting]})
    result = corp.post(f"{CONTACT}/transfer_result", names)["customer"]
    assert {row["external_userid"]: row["status"] for row in result} == {moved: 1, refused: 3, waiting: 2}
    follow = corp.get(f"{CONTACT}/get", external_userid=moved)["follow_user"]
    assert [(row["userid"], row["add_way"], row["tags"][0]["tag_id"]) for row in follow] == [("employee002", 202, tag)]
    found = {event["ChangeType"]: event for event in events(corp, receiver, 3)}
    assert found["del_external_contact"]["Source"] == "DELETE_BY_TRANSFER"
    assert (found["add_external_contact"]["UserID"], found["transfer_fail"]["FailReason"]) == (
        "employee002",
        "customer_refused",
    )
    sandbox.post("/sandbox/clock", {"advance_seconds": 86_401})
    corp.renew()
    done = corp.post(f"{CONTACT}/transfer_result", names)["customer"]
    assert {row["external_userid"]: row["status"] for row in done}[waiting] == 1
    for giver, taker, code in (("employee002", "employee003", 0), ("employee003", "employee004", 40128)):
        body = {"handover_userid": giver, "takeover_userid": taker, "external_userid": [moved]}
        assert corp.post(f"{CONTACT}/transfer_customer", body)["customer"][0]["errcode"] == code
        control(corp, "transfers/settle")


def test_customers_of_who_resigned(corp: Client) -> None:
    path, person = f"{CONTACT}/resigned/transfer_customer", by_member(corp)["employee001"][0]
    body = {"handover_userid": "employee001", "takeover_userid": "employee002", "external_userid": [person]}
    assert corp.code(path, body) == 40097
    control(corp, "members/resign", {"userid": "employee001"})
    assert corp.code(f"{CONTACT}/transfer_customer", body) == 40003
    code = corp.post(path, body)["customer"][0]["errcode"]
    control(corp, "transfers/settle")
    rows = corp.post(f"{CONTACT}/resigned/transfer_result", body)["customer"]
    assert (code, [row["status"] for row in rows]) == (0, [1])
    assert "employee001" not in [
        row["userid"] for row in corp.get(f"{CONTACT}/get", external_userid=person)["follow_user"]
    ]


@pytest.mark.usefixtures("patient")
def test_who_last_interacted_gets_the_job(corp: Client) -> None:
    members = by_member(corp)
    both = next(
        person for person in members["employee001"] if sum(person in people for people in members.values()) == 2
    )
    pair = [name for name, people in members.items() if both in people]
    for userid in (*pair, pair[0]):
        control(corp, "interact", {"userid": userid, "people": [both]})
        made = corp.post(f"{CONTACT}/add_msg_template", {"external_userid": [both], "text": {"content": userid}})
        tasks = corp.post(f"{CONTACT}/get_groupmsg_task", {"msgid": made["msgid"]})["task_list"]
        assert tasks == [{"userid": userid, "status": 0}]


def test_figures_of_members(sandbox: Sandbox, corp: Client) -> None:
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    path, ask = f"{CONTACT}/get_user_behavior_data", {"start_time": now - 2 * 86400, "end_time": now - 86400}
    one, two, both = (
        corp.post(path, {**ask, "userid": names})["behavior_data"]
        for names in (["employee001"], ["employee002"], ["employee001", "employee002"])
    )
    assert [row["chat_cnt"] for row in both] == [a["chat_cnt"] + b["chat_cnt"] for a, b in zip(one, two, strict=True)]
    assert len(both) == 2
    assert corp.code(path, {**ask, "userid": ["ghost"]}) == 60111
    assert corp.code(path, {**ask, "userid": ["employee001"], "start_time": now - 40 * 86400}) == 40058
    assert corp.code(path, ask) == 40058
    way = corp.post(f"{CONTACT}/add_contact_way", {"type": 1, "scene": 1, "user": ["employee003"]})["config_id"]
    stranger = next(person for person in corp.reachable() if person not in by_member(corp)["employee003"])
    control(corp, "contact_ways/scan", {"config_id": way, "people": [stranger]})
    today = corp.post(path, {"userid": ["employee003"], "start_time": now, "end_time": now})["behavior_data"]
    assert [row["new_contact_cnt"] for row in today] == [1]


def test_app_messages_are_recalled_and_not_repeated(sandbox: Sandbox, corp: Client) -> None:
    body = {
        "touser": "employee001",
        "toparty": "9",
        "totag": "t",
        "agentid": corp.account["agentid"],
        "msgtype": "text",
        "text": {"content": "你好"},
        "enable_duplicate_check": 1,
    }
    first, second = corp.post("message/send", body), corp.post("message/send", body)
    assert (first["errcode"], first["invalidparty"], first["invalidtag"], second["errcode"]) == (0, "9", "t", 0)
    got = sandbox.get("/sandbox/employees/messages", account=corp.id)["messages"]
    assert [message["msgid"] for message in got] == [first["msgid"]]
    assert corp.code("message/recall", {"msgid": first["msgid"]}) == 0
    assert sandbox.get("/sandbox/employees/messages", account=corp.id)["messages"][0]["recalled"] is True
    assert corp.code("message/recall", {"msgid": "x"}) == 40058
    sandbox.post("/sandbox/limits", {"member_message_daily_per_member": 0})
    full = corp.code("message/send", body)
    sandbox.post("/sandbox/limits", {"member_message_daily_per_member": 200})
    assert full == 45009
    call = partial(corp.code, "message/send")
    assert call({**body, "touser": "", "toparty": "", "totag": ""}) == 82001
    card = {"msgtype": "textcard", "textcard": {"title": "t", "description": "d" * 513, "url": "http://127.0.0.1/"}}
    assert call({**body, **card}) == 40058
    news = {"msgtype": "news", "news": {"articles": [{"title": "t", "url": "u"}] * 9}}
    assert call({**body, **news}) == 40058
    assert call({**body, "msgtype": "image", "image": {"media_id": "x"}}) == 40007
    button = {"msgtype": "template_card", "template_card": {"card_type": "text_notice"}}
    assert corp.post("message/send", {**body, **button})["response_code"]


def test_consent_to_the_archive(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    assert corp.post("msgaudit/get_permit_user_list", {"type": 1})["ids"] == corp.account["employees"]
    person = by_member(corp)["employee001"][0]
    pair = {"userid": "employee001", "exteranalopenid": person}
    before = corp.post("msgaudit/check_single_agree", {"info": [pair]})["agreeinfo"][0]
    assert before["agree_status"] in ("Agree", "Disagree", "Default_Agree")
    control(corp, "consent", {"userid": "employee001", "people": [person], "answer": "Disagree"})
    after = corp.post("msgaudit/check_single_agree", {"info": [pair]})["agreeinfo"][0]
    assert (after["exteranalopenid"], after["agree_status"]) == (person, "Disagree")
    control(corp, "consent", {"userid": "employee001", "people": [person]})
    assert [event["ChangeType"] for event in events(corp, receiver, 1)] == ["msg_audit_approved"]
    path = "msgaudit/check_single_agree"
    assert corp.code(path, {"info": [pair] * 101}) == 301060
    assert corp.code(path, {"info": [{**pair, "userid": "ghost"}]}) == 301061
    assert corp.code("msgaudit/groupchat/get", {"roomid": "x"}) == 301059
    chat = control(corp, "groups", {"owner": "employee001", "people": [person]})["chat_id"]
    rows = corp.post("msgaudit/check_room_agree", {"roomid": chat})["agreeinfo"]
    assert [(row["exteranalopenid"], row["agree_status"]) for row in rows] == [(person, "Agree")]


def test_what_was_done_is_there_after_a_restart(tmp_path: Path) -> None:
    running = start(tmp_path / "state.db", "--population", "60")
    try:
        corp = running.account("wecom", reach=0, employees=3, groups=1)
        way = corp.post(f"{CONTACT}/add_contact_way", {"type": 1, "scene": 1, "user": ["employee003"]})["config_id"]
        people = [row["unionid"] for row in running.people()[:2]]
        rows = control(corp, "contact_ways/scan", {"config_id": way, "people": people})["added"]
        chat = control(corp, "groups", {"owner": "employee003", "people": people})["chat_id"]
        idents = [row["external_userid"] for row in rows]
        names = {"handover_userid": "employee003", "takeover_userid": "employee001"}
        corp.post(f"{CONTACT}/transfer_customer", {**names, "external_userid": idents[:1]})
        listed = corp.get(f"{CONTACT}/list", userid="employee003")["external_userid"]
    finally:
        running.process.kill()
        running.process.wait(10)
        running.process.stdout.close()
    again = start(tmp_path / "state.db")
    try:
        corp.sandbox = again
        assert (
            corp.get(f"{CONTACT}/list", userid="employee003")["external_userid"]
            == listed
            == sorted(idents, key=listed.index)
        )
        assert len(corp.post(f"{CONTACT}/groupchat/get", {"chat_id": chat})["group_chat"]["member_list"]) == 3
        again.post("/sandbox/clock", {"advance_seconds": 86_401})
        corp.renew()
        assert corp.get(f"{CONTACT}/list", userid="employee001")["external_userid"] == idents[:1]
    finally:
        again.stop()
        again.process.stdout.close()
