"""公众号 and 服务号: media, materials, drafts, publishing, and what becomes of mass messages."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox
from tests.wechat_sandbox.test_callbacks import _open

_PNG = b"\x89PNG\r\n\x1a\n0123456789"


def _fetch(address: str, body: Any = None) -> tuple[int, str, bytes]:
    """Status, content type and bytes behind an address."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data=data), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def _raw(client: Client, path: str, body: Any = None, **query: str) -> tuple[int, str, bytes]:
    words = urllib.parse.urlencode({"access_token": client.token, **query})
    return _fetch(f"{client.sandbox.url}/cgi-bin/{path}?{words}", body)


def _draft(client: Client, content: str = "<p>来看看</p>", count: int = 1, **more: Any) -> str:
    cover = client.upload("material/add_material", _PNG)["media_id"]
    articles = [
        {"title": f"数码新品{n}", "author": "店长", "content": content, "thumb_media_id": cover, **more}
        for n in range(count)
    ]
    return str(client.post("draft/add", {"articles": articles})["media_id"])


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return sandbox.account("service", reach=1)


def test_media_come_back_as_files_for_three_days(sandbox: Sandbox, client: Client) -> None:
    ident = client.upload("media/upload", _PNG)["media_id"]
    assert _raw(client, "media/get", media_id=ident) == (200, "image/jpeg", _PNG)
    video = client.upload("media/upload", b"film", kind="video")["media_id"]
    address = client.get("media/get", media_id=video)["video_url"]
    assert _fetch(address) == (200, "video/mp4", b"film")
    assert client.get("media/get", media_id="x")["errcode"] == 40007
    sandbox.post("/sandbox/clock", {"advance_seconds": 3 * 86_400})
    client.renew()
    assert client.get("media/get", media_id=ident)["errcode"] == 40007


def test_sizes_per_type(sandbox: Sandbox, client: Client) -> None:
    sandbox.post("/sandbox/limits", {"thumb_bytes": 8, "image_bytes": 8})
    codes = [client.upload("media/upload", b"123456789", kind=kind)["errcode"] for kind in ("thumb", "image")]
    sandbox.post("/sandbox/limits", {"thumb_bytes": 65_536, "image_bytes": 10_485_760})
    assert codes == [45001, 40009]


def _film(client: Client, description: str | None) -> Any:
    fields = [b'name="media"; filename="a.mp4"\r\n\r\nfilm']
    if description is not None:
        fields.append(b'name="description"\r\n\r\n' + description.encode())
    body = b"".join(b"--x\r\nContent-Disposition: form-data; " + one + b"\r\n" for one in fields) + b"--x--\r\n"
    path = f"/cgi-bin/material/add_material?access_token={client.token}&type=video"
    return client.sandbox.call("POST", path, body, {"Content-Type": "multipart/form-data; boundary=x"})[1]


def test_materials_are_kept_listed_counted_and_deleted(sandbox: Sandbox, client: Client) -> None:
    picture = client.upload("material/add_material", _PNG)["media_id"]
    assert _film(client, None)["errcode"] == 47001
    film = _film(client, '{"title": "新品", "introduction": "介绍"}')
    assert set(film) == {"media_id"}
    shown = client.post("material/get_material", {"media_id": film["media_id"]})
    assert (shown["title"], shown["description"]) == ("新品", "介绍")
    assert _fetch(shown["down_url"])[2] == b"film"
    assert _raw(client, "material/get_material", {"media_id": picture})[2] == _PNG
    counts = {"voice_count": 0, "video_count": 1, "image_count": 1, "news_count": 0}
    assert client.get("material/get_materialcount") == counts
    page = client.post("material/batchget_material", {"type": "video", "offset": 0, "count": 20})
    assert (page["total_count"], page["item_count"], page["item"][0]["name"]) == (1, 1, "新品")
    assert client.code("material/batchget_material", {"type": "video", "offset": 0, "count": 21}) == 40097
    sandbox.post("/sandbox/materials/use", {"account": client.id, "media_id": picture})
    assert client.code("material/del_material", {"media_id": picture}) == 48005
    sandbox.post("/sandbox/materials/use", {"account": client.id, "media_id": picture, "used": False})
    assert client.code("material/del_material", {"media_id": picture}) == 0
    assert client.code("material/get_material", {"media_id": picture}) == 40007


def test_drafts_are_changed_listed_and_deleted(client: Client) -> None:
    first, second = _draft(client), _draft(client, count=2)
    assert client.get("draft/count") == {"total_count": 2}
    article = {**client.post("draft/get", {"media_id": second})["news_item"][1], "title": "改过"}
    body = {"media_id": second, "index": 1, "articles": article}
    assert client.code("draft/update", body) == 0
    assert client.code("draft/update", {**body, "index": 2}) == 40114
    titles = [one["title"] for one in client.post("draft/get", {"media_id": second})["news_item"]]
    assert titles == ["数码新品0", "改过"]
    page = client.post("draft/batchget", {"offset": 0, "count": 20, "no_content": 1})
    assert {item["media_id"] for item in page["item"]} == {first, second}
    assert {one["content"] for item in page["item"] for one in item["content"]["news_item"]} == {""}
    assert client.code("draft/delete", {"media_id": first}) == 0
    assert client.code("draft/get", {"media_id": first}) == 40007
    texts = {"author": ("长" * 17, 45110), "digest": ("长" * 121, 45004)}
    codes = [
        client.code("draft/update", {**body, "articles": {**article, name: text}}) for name, (text, _) in texts.items()
    ]
    assert codes == [code for _, code in texts.values()]
    pictures = {"title": "图", "content": "图", "article_type": "newspic", "image_info": {"image_list": []}}
    assert client.code("draft/add", {"articles": [pictures]}) == 40007


def _events(client: Client, receiver: Receiver) -> list[Any]:
    client.sandbox.quiet()
    found = [_open(client, query, body) for _, query, body, _ in receiver.requests]
    receiver.requests.clear()
    return found


def test_a_publication_has_pages_until_it_is_deleted(sandbox: Sandbox, receiver: Receiver) -> None:
    client = sandbox.account("official", callback_url=f"{receiver.url}/callback")
    draft = _draft(client, count=2, content_source_url="http://127.0.0.1:9/shop?a=1&b=2")
    sandbox.post("/sandbox/settings", {"publish_finish_seconds": 0.1})
    accepted = client.post("freepublish/submit", {"media_id": draft})
    job = {"publish_id": accepted["publish_id"]}
    assert client.post("freepublish/get", job)["publish_status"] == 1
    (event,) = _events(client, receiver)
    assert event.findtext("Event") == "PUBLISHJOBFINISH"
    done = client.post("freepublish/get", job)
    places = [row["article_url"] for row in done["article_detail"]["item"]]
    assert [item.findtext("article_url") for item in event.iterfind(".//article_detail/item")] == places
    assert (done["publish_status"], event.findtext("PublishEventInfo/publish_status")) == (0, "0")
    assert client.code("draft/get", {"media_id": draft}) == 40007
    status, kind, page = _fetch(places[1])
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<h1>数码新品1</h1>" in page.decode()
    assert '<a data-button href="http://127.0.0.1:9/shop?a=1&amp;b=2">' in page.decode()
    named = {"article_id": done["article_id"]}
    assert [one["url"] for one in client.post("freepublish/getarticle", named)["news_item"]] == places
    assert client.post("freepublish/batchget", {"offset": 0, "count": 1})["total_count"] == 1
    assert client.code("freepublish/delete", {**named, "index": 2}) == 0
    assert [_fetch(place)[0] for place in places] == [200, 404]
    assert client.code("freepublish/delete", {**named, "index": 0}) == 0
    assert client.post("freepublish/get", job)["publish_status"] == 5
    assert client.post("freepublish/batchget", {"offset": 0, "count": 1})["total_count"] == 0
    assert client.code("freepublish/getarticle", {"article_id": "x"}) == 53600
    assert _fetch(places[0].replace("sn=", "sn=0"))[0] == 404


@pytest.mark.parametrize(("word", "status"), [("禁止转载", 2), ("常规失败", 3), ("平台审核不通过", 4)])
def test_publications_that_fail(client: Client, word: str, status: int) -> None:
    accepted = client.post("freepublish/submit", {"media_id": _draft(client, f"<p>{word}</p>")})
    client.sandbox.quiet()
    found = client.post("freepublish/get", {"publish_id": accepted["publish_id"]})
    assert (found["publish_status"], found["fail_idx"]) == (status, [1])


def test_a_draft_that_fails_the_check_is_refused(client: Client) -> None:
    words = ("发布检查不通过", "需要官网发布", "需要手动保存")
    codes = [client.code("freepublish/submit", {"media_id": _draft(client, word)}) for word in words]
    assert codes == [53503, 53504, 53505]


def _mass(client: Client, **body: Any) -> Any:
    return client.post("message/mass/send", {"touser": client.reachable()[:3], **body})


def test_a_mass_article_has_a_page_and_can_be_taken_away(sandbox: Sandbox, receiver: Receiver) -> None:
    client = sandbox.account("service", reach=1, callback_url=f"{receiver.url}/callback")
    sent = _mass(client, msgtype="mpnews", mpnews={"media_id": _draft(client, count=2)})
    (event,) = _events(client, receiver)
    places = [item.findtext("ArticleUrl") or "" for item in event.iterfind(".//ArticleUrlResult/ResultList/item")]
    assert [_fetch(place)[0] for place in places] == [200, 200]
    assert client.code("message/mass/delete", {"msg_id": sent["msg_id"], "article_idx": 3}) == 40060
    assert client.code("message/mass/delete", {"msg_id": sent["msg_id"], "article_idx": 1}) == 0
    assert [_fetch(place)[0] for place in places] == [404, 200]
    assert client.code("message/mass/delete", {"url": "http://127.0.0.1:9/s?x"}) == 40065
    assert client.code("message/mass/delete", {"url": places[1]}) == 0
    assert [_fetch(place)[0] for place in places] == [404, 404]


@pytest.mark.parametrize(
    ("content", "ignore", "status", "state"),
    [
        ("涉嫌广告", 0, "err(10001)", "1"),
        ("涉嫌互推", 1, "err(22000)", "1"),
        ("转载自别处", 0, "err(30003)", "3"),
        ("转载自别处", 1, "send success", "2"),
        ("禁止转载", 1, "err(30002)", "3"),
    ],
)
def test_the_review_decides_by_words(
    sandbox: Sandbox, receiver: Receiver, content: str, ignore: int, status: str, state: str
) -> None:
    client = sandbox.account("service", reach=1, callback_url=f"{receiver.url}/callback")
    news = {"media_id": _draft(client, content)}
    sent = _mass(client, msgtype="mpnews", mpnews=news, send_ignore_reprint=ignore)
    (event,) = _events(client, receiver)
    assert event.findtext("Status") == status
    assert event.findtext("CopyrightCheckResult/CheckState") == state
    good = status == "send success"
    assert [event.findtext(name) for name in ("TotalCount", "SentCount")] == ["3", "3" if good else "0"]
    found = client.post("message/mass/get", {"msg_id": sent["msg_id"]})
    assert found["msg_status"] == ("SEND_SUCCESS" if good else "SEND_FAIL")
    assert client.summary()["failed"] == ({} if good else {"rejected": 3})


@pytest.mark.parametrize(("answer", "status"), [(True, "send success"), (False, "err(40001)"), (None, "err(40002)")])
def test_a_protected_account_waits_for_its_administrator(
    sandbox: Sandbox, receiver: Receiver, answer: bool | None, status: str
) -> None:
    client = sandbox.account("official", reach=1, callback_url=f"{receiver.url}/callback", api_mass_protection=True)
    body = {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "你好"}}
    sent = client.post("message/mass/sendall", body)
    job = {"msg_id": sent["msg_id"]}
    assert client.code("message/mass/get", job) == 89504
    assert client.code("message/mass/sendall", {**body, "text": {"content": "第二条"}}) == 89504
    assert receiver.requests == []
    if answer is None:
        sandbox.post("/sandbox/clock", {"advance_seconds": 30 * 60 + 1})
    else:
        asked = {"account": client.id, "msg_id": sent["msg_id"], "accept": answer}
        assert sandbox.post("/sandbox/mass/confirm", asked) == {"answered": 1}
    (event,) = _events(client, receiver)
    assert event.findtext("Status") == status
    found = client.post("message/mass/get", job)
    assert (
        found.get("errcode", found.get("msg_status"))
        == ({True: "SEND_SUCCESS", False: 89505, None: "SEND_FAIL"}[answer])
    )


def test_the_speed_decides_when_a_mass_message_is_done(sandbox: Sandbox, client: Client) -> None:
    assert client.post("message/mass/speed/get") == {"speed": 0, "realspeed": 80}
    path = f"/cgi-bin/message/mass/speed/get?access_token={client.token}"
    assert sandbox.call("POST", path)[1] == {"speed": 0, "realspeed": 80}
    assert client.code("message/mass/speed/set", {"speed": 4}) == 0
    assert client.post("message/mass/speed/get") == {"speed": 4, "realspeed": 10}
    assert [client.code("message/mass/speed/set", body) for body in ({"speed": 5}, {"x": 1})] == [45083, 45084]
    sandbox.post("/sandbox/limits", {"mass_speed_4": 60})
    sandbox.post("/sandbox/settings", {"mass_pace": 1})
    sent = _mass(client, msgtype="text", text={"content": "你好"})
    sandbox.post("/sandbox/settings", {"mass_pace": 0.1})
    sandbox.post("/sandbox/limits", {"mass_speed_4": 100_000})
    assert client.post("message/mass/get", {"msg_id": sent["msg_id"]})["msg_status"] == "SENDING"
    sandbox.post("/sandbox/clock", {"advance_seconds": 4})
    assert client.post("message/mass/get", {"msg_id": sent["msg_id"]})["msg_status"] == "SEND_SUCCESS"


def test_many_recipients_are_settled_in_slices(sandbox: Sandbox, client: Client) -> None:
    sandbox.post("/sandbox/limits", {"mass_slice": 3})
    _mass(client, msgtype="text", text={"content": "你好"})
    client.post("message/mass/sendall", {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "好"}})
    sandbox.quiet()
    sandbox.post("/sandbox/limits", {"mass_slice": 20_000})
    totals = client.summary()
    assert (totals["asked"], totals["arrived"], totals["duplicated"]) == (403, 403, 0)


def test_types_of_mass_messages(client: Client) -> None:
    picture = client.upload("media/upload", _PNG)["media_id"]
    assert _mass(client, msgtype="wxcard", wxcard={"card_id": "x"})["errcode"] == 45113
    assert _mass(client, msgtype="image", images={"media_ids": [picture, picture]})["errcode"] == 0
    assert _mass(client, msgtype="image", images={"media_ids": []})["errcode"] == 40007
    client.sandbox.post("/sandbox/limits", {"mass_gap_ms": 60_000})
    code = _mass(client, msgtype="text", text={"content": "太快"})["errcode"]
    client.sandbox.post("/sandbox/limits", {"mass_gap_ms": 0})
    assert code == 42010
