"""企业微信 tags: what the platform remembers of deleted ones, whose they are, rule groups, marks in parallel."""

import threading
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.wecom import CONTACT, by_member, control, events, failing, listening


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


def _group(client: Client, *names: str, **more: Any) -> dict[str, Any]:
    body = {"group_name": "兴趣", "tag": [{"name": name} for name in names], **more}
    answer: dict[str, Any] = client.post(f"{CONTACT}/add_corp_tag", body)["tag_group"]
    return answer


def test_deleted_tags_are_told_when_asked_for_by_id(corp: Client) -> None:
    group = _group(corp, "数码", "美妆")
    digital, beauty = (tag["id"] for tag in group["tag"])
    assert corp.code(f"{CONTACT}/del_corp_tag", {"tag_id": [digital]}) == 0
    listed = corp.post(f"{CONTACT}/get_corp_tag_list", {"tag_id": [digital]})["tag_group"]
    assert [(tag["id"], tag["deleted"]) for tag in listed[0]["tag"]] == [(digital, True)]
    assert "deleted" not in listed[0]
    assert [tag["id"] for tag in corp.post(f"{CONTACT}/get_corp_tag_list", {})["tag_group"][0]["tag"]] == [beauty]
    assert corp.code(f"{CONTACT}/del_corp_tag", {"group_id": [group["group_id"]]}) == 0
    gone = corp.post(f"{CONTACT}/get_corp_tag_list", {"group_id": [group["group_id"]], "tag_id": ["x"]})["tag_group"]
    assert (gone[0]["deleted"], {tag["id"] for tag in gone[0]["tag"]}) == (True, {digital, beauty})
    assert corp.post(f"{CONTACT}/get_corp_tag_list", {})["tag_group"] == []
    userid, people = next(iter(by_member(corp).items()))
    mark = {"userid": userid, "external_userid": people[0], "add_tag": [digital]}
    assert corp.code(f"{CONTACT}/mark_tag", mark) == 40068


def test_order_is_kept_and_sorts(corp: Client) -> None:
    body = {"group_name": "a", "order": 1, "tag": [{"name": "low", "order": 1}, {"name": "high", "order": 9}]}
    made = corp.post(f"{CONTACT}/add_corp_tag", body)["tag_group"]
    assert (made["order"], [tag["name"] for tag in made["tag"]]) == (1, ["high", "low"])
    corp.post(f"{CONTACT}/add_corp_tag", {"group_name": "b", "order": 5, "tag": [{"name": "t"}]})
    groups = corp.post(f"{CONTACT}/get_corp_tag_list", {})["tag_group"]
    assert [group["group_name"] for group in groups] == ["b", "a"]
    assert corp.code(f"{CONTACT}/edit_corp_tag", {"id": made["group_id"], "order": 2**32}) == 40058
    assert corp.code(f"{CONTACT}/edit_corp_tag", {"id": made["group_id"], "order": 2**32 - 1}) == 0
    assert corp.post(f"{CONTACT}/get_corp_tag_list", {})["tag_group"][0]["group_name"] == "a"


def test_tags_made_by_hand_send_events_and_are_not_the_apps(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    made = control(corp, "console/tags", {"action": "create", "group_name": "等级", "tags": ["金", "银"]})
    gold, silver = made["tags"]["金"], made["tags"]["银"]
    control(corp, "console/tags", {"action": "rename", "id": gold, "name": "白金"})
    control(corp, "console/tags", {"action": "shuffle", "id": made["group_id"]})
    control(corp, "console/tags", {"action": "delete", "id": silver})
    own = _group(corp, "数码")["tag"][0]["id"]
    assert corp.code(f"{CONTACT}/edit_corp_tag", {"id": own, "name": "手机"}) == 0
    found = [(event["ChangeType"], event["Id"], event["TagType"]) for event in events(corp, receiver, 6)]
    assert sorted(found) == sorted(
        [
            ("create", made["group_id"], "tag_group"),
            ("create", gold, "tag"),
            ("create", silver, "tag"),
            ("update", gold, "tag"),
            ("shuffle", made["group_id"], "tag_group"),
            ("delete", silver, "tag"),
        ]
    )
    assert corp.code(f"{CONTACT}/edit_corp_tag", {"id": gold, "name": "铂金"}) == 81011
    assert corp.code(f"{CONTACT}/del_corp_tag", {"tag_id": [gold]}) == 81011
    assert corp.code(f"{CONTACT}/del_corp_tag", {"group_id": [made["group_id"]]}) == 81011
    userid, people = next(iter(by_member(corp).items()))
    pair = {"userid": userid, "external_userid": people[0]}
    assert corp.code(f"{CONTACT}/mark_tag", {**pair, "add_tag": [gold]}) == 0
    bad = {"account": corp.id, "action": "rename", "id": "x", "name": "y"}
    assert sandbox.call("POST", "/sandbox/wecom/console/tags", bad)[0] == 404


def test_members_change_tags_by_hand(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    userid, people = next(iter(by_member(corp).items()))
    tag = _group(corp, "数码")["tag"][0]["id"]
    change = {"userid": userid, "people": people[:1], "add_tag": [tag], "private_tags": ["怕冷"], "remark": "王"}
    assert control(corp, "console/customers", change) == {"changed": 1}
    event = events(corp, receiver, 1)[0]
    assert (event["ChangeType"], event["ExternalUserID"]) == ("edit_external_contact", people[0])
    rows = corp.get(f"{CONTACT}/get", external_userid=people[0])["follow_user"]
    follow = next(row for row in rows if row["userid"] == userid)
    assert follow["remark"] == "王"
    assert follow["tags"] == [
        {"group_name": "兴趣", "tag_name": "数码", "tag_id": tag, "type": 1},
        {"group_name": "", "tag_name": "怕冷", "type": 2},
    ]
    batch = corp.post(f"{CONTACT}/batch/get_by_user", {"userid_list": [userid]})["external_contact_list"]
    assert batch[0]["follow_info"]["tag_id"] == [tag]


def test_tags_of_rule_groups_are_a_family_of_their_own(corp: Client) -> None:
    body = {"strategy_id": 1, "group_name": "兴趣", "tag": [{"name": "数码"}]}
    made = corp.post(f"{CONTACT}/add_strategy_tag", body)["tag_group"]
    plain = _group(corp, "数码")
    assert (made["strategy_id"], made["group_id"] == plain["group_id"]) == (1, False)
    tag = made["tag"][0]["id"]
    assert corp.code(f"{CONTACT}/add_strategy_tag", {**body, "strategy_id": 9}) == 40058
    assert corp.code(f"{CONTACT}/edit_corp_tag", {"id": tag, "name": "x"}) == 40068
    assert corp.code(f"{CONTACT}/edit_strategy_tag", {"id": tag, "name": "手机"}) == 0
    listed = corp.post(f"{CONTACT}/get_strategy_tag_list", {"strategy_id": 1})["tag_group"]
    assert [(group["group_id"], group["tag"][0]["name"]) for group in listed] == [(made["group_id"], "手机")]
    assert corp.post(f"{CONTACT}/get_strategy_tag_list", {"strategy_id": 2})["tag_group"] == []
    assert [g["group_id"] for g in corp.post(f"{CONTACT}/get_corp_tag_list", {})["tag_group"]] == [plain["group_id"]]
    userid, people = next(iter(by_member(corp).items()))
    assert corp.code(f"{CONTACT}/mark_tag", {"userid": userid, "external_userid": people[0], "add_tag": [tag]}) == 0
    rows = corp.get(f"{CONTACT}/get", external_userid=people[0])["follow_user"]
    assert next(row for row in rows if row["userid"] == userid)["tags"][0]["type"] == 3
    corp.sandbox.post("/sandbox/limits", {"corp_tags": 2})
    full = corp.code(f"{CONTACT}/add_corp_tag", {"group_name": "x", "tag": [{"name": "y"}]})
    corp.sandbox.post("/sandbox/limits", {"corp_tags": 10000})
    assert full == 40126
    assert corp.code(f"{CONTACT}/del_strategy_tag", {"group_id": [made["group_id"]]}) == 0
    assert corp.post(f"{CONTACT}/get_strategy_tag_list", {})["tag_group"] == []


def test_a_pair_bears_so_many_tags_and_is_marked_one_call_at_a_time(sandbox: Sandbox, corp: Client) -> None:
    first, second = (tag["id"] for tag in _group(corp, "a", "b")["tag"])
    userid, people = next(iter(by_member(corp).items()))
    call, pair = failing(corp, "mark_tag"), {"userid": userid, "external_userid": people[0]}
    assert [call(**pair, add_tag=[first]) for _ in range(20)] == [0] * 20
    sandbox.post("/sandbox/limits", {"mark_gap_ms": 60_000})
    codes = [call(**pair, add_tag=[first]), call(**pair, add_tag=[first])]
    other = call(userid=userid, external_userid=people[1], add_tag=[first])
    sandbox.post("/sandbox/limits", {"mark_gap_ms": 0, "member_customer_tags": 1})
    full = call(userid=userid, external_userid=people[1], add_tag=[second])
    sandbox.post("/sandbox/limits", {"member_customer_tags": 3000})
    assert (codes, other, full) == ([0, 45035], 0, 40126)


def test_too_many_reads_at_once(sandbox: Sandbox, corp: Client) -> None:
    sandbox.post("/sandbox/limits", {"wecom_concurrent_reads": 2})
    sandbox.post("/sandbox/faults", {"path": f"/cgi-bin/{CONTACT}/list", "kind": "slow", "seconds": 0.5, "times": 4})
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(corp.get(f"{CONTACT}/list", userid="employee001")["errcode"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sandbox.post("/sandbox/limits", {"wecom_concurrent_reads": 64})
    sandbox.call("DELETE", "/sandbox/faults")
    assert sorted(codes) == [0, 0, 45033, 45033]
