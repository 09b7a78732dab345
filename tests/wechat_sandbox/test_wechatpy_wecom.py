"""wechatpy's own 企业微信 client against the sandbox: unmodified, only its connections go to another machine.

`wechatpy.enterprise` of 1.8.18 is its WeCom client (`wechatpy.work` came with 2.x). What is not called here:

- agent, appchat, batch, calendar, chat, department, jsapi, material, menu, oauth, OA, schedule, service,
  shakearound, tag (tags of members), and user apart from convert_to_openid: office endpoints that the sandbox
  does not imitate, because a marketing product does not need them.
- external_contact.get_unassigned_list and transfer: replaced by the platform with transfer_customer and its
  resigned variant, which the sandbox has and wechatpy 1.8 does not.
- media.get_jssdk_url: gives an address and calls nothing; media.download: opens a connection of its own to the
  platform's fixed address (the same address is fetched here over the client's session).
"""

import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.wecom import by_member, control, events, listening
from wechatpy.enterprise import WeChatClient, WeChatCrypto, parse_message
from wechatpy.exceptions import APILimitedException, InvalidSignatureException, WeChatClientException

_PLATFORM = "https://qyapi.weixin.qq.com"
_PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


class _Elsewhere(HTTPAdapter):
    """Requests to the platform go to the sandbox."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        request.url = str(request.url).replace(_PLATFORM, self._url, 1)
        return super().send(request, *args, **more)


def _elsewhere(sandbox: Sandbox, corpid: str, secret: str) -> WeChatClient:
    made = WeChatClient(corpid, secret)
    made._http.mount(_PLATFORM, _Elsewhere(sandbox.url))
    return made


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5, groups=3)


@pytest.fixture
def client(sandbox: Sandbox, corp: Client) -> Iterator[WeChatClient]:
    made = _elsewhere(sandbox, corp.account["corpid"], corp.account["secret"])
    yield made
    made._http.close()


def test_the_token_is_fetched_and_renewed(sandbox: Sandbox, corp: Client, client: WeChatClient) -> None:
    assert client.access_token == corp.token
    sandbox.post("/sandbox/tokens/drop", {"account": corp.id})
    assert client.external_contact.get_follow_user_list()["follow_user"] == corp.account["employees"]
    assert client.access_token != corp.token
    with pytest.raises(WeChatClientException, match="40013"):
        _elsewhere(sandbox, "ww0", "x").fetch_access_token()


def test_customers(corp: Client, client: WeChatClient) -> None:
    userid, people = next(iter(by_member(corp).items()))
    assert client.external_contact.list(userid)["external_userid"] == people
    found = client.external_contact.get(people[0])
    assert found["external_contact"]["external_userid"] == people[0]
    assert userid in [entry["userid"] for entry in found["follow_user"]]
    with pytest.raises(WeChatClientException) as refused:
        client.external_contact.get("wm-nobody")
    assert refused.value.errcode == 40096


def test_contact_ways(corp: Client, client: WeChatClient) -> None:
    made = client.external_contact.add_contact_way(1, 2, remark="门店", state="shop-1", user=["employee001"])
    assert made["qr_code"].startswith("https://")
    changed = client.external_contact.update_contact_way(made["config_id"], "门店二", state="shop-2")
    assert changed["errcode"] == 0
    way = client.external_contact.get_contact_way(made["config_id"])["contact_way"]
    assert (way["remark"], way["state"], way["user"]) == ("门店二", "shop-2", ["employee001"])
    assert client.external_contact.del_contact_way(made["config_id"])["errcode"] == 0
    with pytest.raises(WeChatClientException) as refused:
        client.external_contact.get_contact_way(made["config_id"])
    assert refused.value.errcode == 41037


def test_tags(corp: Client, client: WeChatClient) -> None:
    api = client.external_contact
    group = api.add_corp_tag(None, "兴趣", 1, [{"name": "数码"}, {"name": "美妆"}])["tag_group"]
    digital, beauty = (tag["id"] for tag in group["tag"])
    assert api.edit_corp_tag(digital, "手机", 5)["errcode"] == 0
    listed = api.get_corp_tag_list([digital])["tag_group"]
    assert [(tag["name"], tag["order"]) for tag in listed[0]["tag"]] == [("手机", 5)]
    assert len(api.get_corp_tag_list()["tag_group"][0]["tag"]) == 2
    userid, people = next(iter(by_member(corp).items()))
    assert api.mark_tag(userid, people[0], add_tag=[digital, beauty])["errcode"] == 0
    follow = next(entry for entry in api.get(people[0])["follow_user"] if entry["userid"] == userid)
    assert {tag["tag_name"] for tag in follow["tags"]} == {"手机", "美妆"}
    assert api.mark_tag(userid, people[0], remove_tag=[digital])["errcode"] == 0
    assert api.del_corp_tag(tag_id=[digital])["errcode"] == 0
    assert api.del_corp_tag(group_id=[group["group_id"]])["errcode"] == 0
    assert api.get_corp_tag_list()["tag_group"] == []


def test_mass_messages_and_their_results(sandbox: Sandbox, corp: Client, client: WeChatClient) -> None:
    sandbox.post("/sandbox/settings", {"confirm_share": 1})
    api, (userid, people) = client.external_contact, next(iter(by_member(corp).items()))
    link = {"title": "新品", "url": "http://127.0.0.1/new"}
    template = {"external_userid": people[:2], "sender": userid, "text": {"content": "你好"}, "link": link}
    made = api.add_msg_template(template)
    assert made["fail_list"] == []
    sandbox.quiet()
    rows = api.get_group_msg_result(made["msgid"])["detail_list"]
    assert [(row["external_userid"], row["status"]) for row in rows] == [(people[0], 1), (people[1], 1)]
    assert sandbox.get("/sandbox/ledger", account=corp.id)[-1]["link"] == link["url"]
    with pytest.raises(WeChatClientException) as refused:
        api.add_msg_template({"external_userid": ["wm-nobody"], "text": {"content": "你好"}})
    assert refused.value.errcode == 41048


def test_a_welcome_message(corp: Client, client: WeChatClient) -> None:
    outside = corp.sandbox.account("wecom", reach=0, employees=2)
    other = _elsewhere(corp.sandbox, outside.account["corpid"], outside.account["secret"])
    way = other.external_contact.add_contact_way(1, 1, user=["employee002"])
    people = [corp.sandbox.people()[0]["unionid"]]
    code = control(outside, "contact_ways/scan", {"config_id": way["config_id"], "people": people})["added"][0][
        "welcome_code"
    ]
    assert other.external_contact.send_welcome_msg({"welcome_code": code, "text": {"content": "欢迎"}})["errcode"] == 0
    with pytest.raises(WeChatClientException) as refused:
        other.external_contact.send_welcome_msg({"welcome_code": code, "text": {"content": "欢迎"}})
    assert refused.value.errcode == 41051


def test_behaviour_and_chats(corp: Client, client: WeChatClient) -> None:
    now = int(time.time())
    rows = client.external_contact.get_user_behavior_data(["employee001"], now - 5 * 86400, now - 86400)
    assert len(rows["behavior_data"]) == 5
    chats = client.external_contact_group_chat
    found = chats.list_all(limit=2)
    assert len(found) == 3
    assert len(chats.list(owner_userid_list=["employee001"])["group_chat_list"]) == 1
    chat = chats.get(found[0]["chat_id"])["group_chat"]
    assert [entry["type"] for entry in chat["member_list"]] == [1] + [2] * 20
    items = chats.statistic(now, owner_userid_list=["employee001", "employee002"])
    assert (items["total"], items["items"][0]["data"]["chat_total"]) == (2, 1)


def test_messages_to_members_of_every_kind(sandbox: Sandbox, corp: Client, client: WeChatClient) -> None:
    agent, to = corp.account["agentid"], ["employee001", "employee002"]
    image = client.media.upload("image", ("a.png", BytesIO(_PNG)))["media_id"]
    voice = client.media.upload("voice", ("a.amr", BytesIO(b"#!AMR\n0123")))["media_id"]
    video = client.media.upload("video", ("a.mp4", BytesIO(b"0" * 32)))["media_id"]
    file = client.media.upload("file", ("a.pdf", BytesIO(b"%PDF-1.4 x")))["media_id"]
    say = client.message
    articles = [{"title": "标题", "description": "说明", "url": "http://127.0.0.1/", "image": "http://127.0.0.1/a.png"}]
    paper = {
        "thumb_media_id": image,
        "author": "甲",
        "title": "标题",
        "content": "<p>正文</p>",
        "content_source_url": "",
        "digest": "摘要",
        "show_cover_pic": 1,
    }
    sent = [
        say.send(agent, to, msg={"msgtype": "text", "text": {"content": "甲"}}),
        say.send_text(agent, [*to, "ghost"], "乙"),
        say.send_text_card(agent, to, "标题", "说明", "http://127.0.0.1/"),
        say.send_image(agent, to, image),
        say.send_voice(agent, to, voice),
        say.send_video(agent, to, video, "标题", "说明"),
        say.send_file(agent, to, file),
        say.send_articles(agent, to, articles),
        say.send_mp_articles(agent, to, [paper]),
        say.send_markdown(agent, "@all", "**重点**"),
    ]
    assert [answer["invaliduser"] for answer in sent] == ["", "ghost", *[""] * 8]
    kinds = [
        message["msgtype"]
        for message in sandbox.get("/sandbox/employees/messages", account=corp.id)["messages"]
        if message["userid"] == "employee002"
    ]
    expected = ["text", "text", "textcard", "image", "voice", "video", "file", "news", "mpnews", "markdown"]
    assert sorted(kinds) == sorted(expected)


def test_media_come_back(sandbox: Sandbox, corp: Client, client: WeChatClient) -> None:
    media_id = client.media.upload("image", ("a.png", BytesIO(_PNG)))["media_id"]
    address = client.media.get_url(media_id)
    assert urlsplit(address).netloc == "qyapi.weixin.qq.com"
    answer = client._http.get(address)
    assert (answer.status_code, answer.content) == (200, _PNG)
    assert client._http.get(client.media.get_url("x")).json()["errcode"] == 40007
    assert client.media.upload_img(("a.png", BytesIO(_PNG)))["url"].startswith("http")


def test_addresses_and_openids(corp: Client, client: WeChatClient) -> None:
    assert "127.0.0.1" in client.misc.get_wechat_ips()
    assert client.user.convert_to_openid("employee001")["openid"].startswith("o")


def test_a_full_window_is_its_own_exception(sandbox: Sandbox, corp: Client, client: WeChatClient) -> None:
    sandbox.post("/sandbox/faults", {"path": "/cgi-bin/externalcontact/list", "kind": "quota", "times": 1})
    with pytest.raises(APILimitedException):
        client.external_contact.list("employee001")
    sandbox.call("DELETE", "/sandbox/faults")


def test_events_and_the_address_check_open_with_its_crypto(sandbox: Sandbox, receiver: Receiver) -> None:
    corp = listening(sandbox, receiver)
    crypto = WeChatCrypto(corp.account["token"], corp.account["encoding_aes_key"], corp.account["corpid"])
    receiver.answers = lambda path, query, n: (
        (200, {}, crypto.check_signature(query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"]))
        if "echostr" in query
        else (200, {}, "")
    )
    assert sandbox.post(f"/sandbox/accounts/{corp.id}/verify")["ok"] is True
    receiver.requests.clear()
    person = corp.reachable()[0]
    sandbox.post("/sandbox/people/change", {"account": corp.id, "people": [person], "follows": False})
    found = events(corp, receiver, 1)
    assert (found[0]["ChangeType"], found[0]["ExternalUserID"]) == ("del_external_contact", person)
    _, query, body, _ = receiver.requests[0]
    text = crypto.decrypt_message(body, query["msg_signature"], query["timestamp"], query["nonce"])
    message = parse_message(text)
    assert (message.target, message.source) == (corp.account["corpid"], "sys")
    with pytest.raises(InvalidSignatureException):
        crypto.decrypt_message(body, query["msg_signature"], query["timestamp"], "1")
