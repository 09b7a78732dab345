"""datacube: what happened in the sandbox, per finished day."""

import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Client, Receiver, Sandbox, wait_for

_ZONE = timedelta(hours=8)


def _today(sandbox: Sandbox, back: int = 0) -> str:
    now = datetime.fromtimestamp(sandbox.get("/sandbox/clock")["now"] / 1000, UTC) + _ZONE
    return (now - timedelta(days=back)).date().isoformat()


def _next_day(client: Client) -> None:
    client.sandbox.quiet()
    client.sandbox.post("/sandbox/clock", {"advance_seconds": 86_400})
    client.renew()


def _cube(client: Client, name: str, first: str, last: str | None = None) -> Any:
    path = f"/datacube/{name}?access_token={client.token}"
    return client.sandbox.call("POST", path, {"begin_date": first, "end_date": last or first})[1]


def _rows(client: Client, name: str, day: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _cube(client, name, day)["list"]
    return rows


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    sandbox.to_noon()
    return sandbox.account("service", reach=1)


def test_spans_and_dates(sandbox: Sandbox, client: Client) -> None:
    yesterday = _today(sandbox, 1)
    assert _cube(client, "getusersummary", _today(sandbox))["errcode"] == 61501
    assert _cube(client, "getusersummary", _today(sandbox, 8), yesterday)["errcode"] == 61501
    assert len(_cube(client, "getusersummary", _today(sandbox, 7), yesterday)["list"]) == 7
    assert _cube(client, "getusersummary", yesterday, _today(sandbox, 2))["errcode"] == 61501
    assert _cube(client, "getusersummary", "2026/11/23")["errcode"] == 61500
    assert _cube(client, "getuserreadhour", _today(sandbox, 2), yesterday)["errcode"] == 61501
    assert _cube(client, "getupstreammsgmonth", _today(sandbox, 30), yesterday) == {"list": []}


def test_followers_won_and_lost_are_counted_by_source(sandbox: Sandbox, client: Client) -> None:
    day, people = _today(sandbox), client.reachable()
    body = {"action_name": "QR_SCENE", "action_info": {"scene": {"scene_id": 7}}, "expire_seconds": 60}
    ticket = client.post("qrcode/create", body)["ticket"]
    change = {"account": client.id, "people": people[:4]}
    sandbox.post("/sandbox/people/change", {**change, "follows": False})
    sandbox.post("/sandbox/people/scan", {"account": client.id, "person": people[0], "ticket": ticket})
    sandbox.post("/sandbox/people/change", {**change, "people": people[1:2], "follows": True})
    _next_day(client)
    sandbox.post("/sandbox/people/change", {**change, "people": people[5:6], "follows": False})
    assert _rows(client, "getusersummary", day) == [
        {"ref_date": day, "user_source": 0, "new_user": 0, "cancel_user": 4},
        {"ref_date": day, "user_source": 1, "new_user": 1, "cancel_user": 0},
        {"ref_date": day, "user_source": 30, "new_user": 1, "cancel_user": 0},
    ]
    assert _rows(client, "getusercumulate", day) == [{"ref_date": day, "user_source": 0, "cumulate_user": 398}]
    assert _rows(client, "getusercumulate", _today(sandbox, 2))[0]["cumulate_user"] == 400


def _article(client: Client) -> tuple[Any, list[str]]:
    cover = client.upload("material/add_material", b"\x89PNG\r\n\x1a\n")["media_id"]
    articles = [{"title": "数码新品", "content": "<p>看看</p>", "thumb_media_id": cover}]
    draft = client.post("draft/add", {"articles": articles})["media_id"]
    people = client.reachable()[:3]
    body = {"touser": people, "msgtype": "mpnews", "mpnews": {"media_id": draft}}
    return client.post("message/mass/send", body), people


def test_reads_of_an_article_are_counted_on_its_page(sandbox: Sandbox, client: Client) -> None:
    day = _today(sandbox)
    sent, people = _article(client)
    sandbox.quiet()
    (link,) = {row["link"] for row in sandbox.get("/sandbox/ledger", account=client.id)}
    for person, scene in ((people[0], 0), (people[0], 0), (people[1], 2)):
        with urllib.request.urlopen(f"{link}&openid={person}&scene={scene}") as answer:
            assert answer.status == 200
    _next_day(client)
    subject = f"{sent['msg_data_id']}_1"
    (row,) = _rows(client, "getarticlesummary", day)
    figures = (row["int_page_read_user"], row["int_page_read_count"], row["share_count"])
    assert (row["msgid"], row["title"], figures) == (subject, "数码新品", (2, 3, 0))
    (total,) = _rows(client, "getarticletotal", day)
    (detail,) = total["details"]
    assert (total["msgid"], detail["stat_date"], detail["target_user"]) == (subject, day, 3)
    assert [detail[f"int_page_from_{name}_read_count"] for name in ("session", "feed", "other")] == [2, 1, 0]
    by_source = {row["user_source"]: row["int_page_read_count"] for row in _rows(client, "getuserread", day)}
    assert by_source == {0: 2, 2: 1, 99_999_999: 3}
    hours = {row["ref_hour"] for row in _rows(client, "getuserreadhour", day)}
    assert hours == {1200}
    assert _rows(client, "getusershare", day) == []
    assert _rows(client, "getbizsummary", day)[0]["int_page_read_user"] == 2


def test_messages_of_people_are_counted_by_type_and_how_many_each(sandbox: Sandbox, client: Client) -> None:
    day, (one, two) = _today(sandbox), client.reachable()[:2]
    for person, kind, times in ((one, "text", 6), (two, "text", 1), (two, "image", 1)):
        for _ in range(times):
            sandbox.post("/sandbox/people/say", {"account": client.id, "person": person, "type": kind, "text": "x"})
    _next_day(client)
    expected = [
        {"ref_date": day, "msg_type": 2, "msg_user": 1, "msg_count": 1},
        {"ref_date": day, "msg_type": 1, "msg_user": 2, "msg_count": 7},
    ]
    assert _rows(client, "getupstreammsg", day) == expected
    assert _rows(client, "getupstreammsghour", day)[0]["ref_hour"] == 1200
    month = [(row["msg_type"], row["msg_user"], row["msg_count"]) for row in _rows(client, "getupstreammsgmonth", day)]
    assert month == [(1, 2, 7), (2, 1, 1)]
    assert _rows(client, "getupstreammsgmonth", day)[0]["ref_date"] == f"{day[:8]}01"
    for name in ("getupstreammsgdist", "getupstreammsgdistweek", "getupstreammsgdistmonth"):
        found = [(row["count_interval"], row["msg_user"]) for row in _rows(client, name, day)]
        assert found == [(1, 1), (2, 1)]


def test_callbacks_are_counted_with_their_failures(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.to_noon()
    client = sandbox.account("official", reach=1, callback_url=f"{receiver.url}/callback")
    day, person = _today(sandbox), client.reachable()[0]
    sandbox.post("/sandbox/people/say", {"account": client.id, "person": person, "text": "x"})
    sandbox.quiet()
    receiver.answers = lambda path, query, n: (500 if n < 4 else 200, {}, "")
    sandbox.post("/sandbox/people/say", {"account": client.id, "person": person, "text": "y"})
    wait_for(lambda: len(receiver.requests) == 4)
    _next_day(client)
    (row,) = _rows(client, "getinterfacesummary", day)
    assert (row["callback_count"], row["fail_count"]) == (4, 2)
    assert row["total_time_cost"] >= row["max_time_cost"] >= 0
    assert _rows(client, "getinterfacesummaryhour", day)[0]["ref_hour"] == 1200


def test_what_the_population_reads_and_shares_is_counted(sandbox: Sandbox, client: Client) -> None:
    day = _today(sandbox)
    cover = client.upload("material/add_material", b"\x89PNG\r\n\x1a\n")["media_id"]
    article = {"title": "数码新品", "content": "<p>看看</p>", "thumb_media_id": cover}
    article["content_source_url"] = f"{sandbox.url}/sandbox/clock"
    draft = client.post("draft/add", {"articles": [article]})["media_id"]
    body = {"touser": client.reachable(), "msgtype": "mpnews", "mpnews": {"media_id": draft}}
    sent = client.post("message/mass/send", body)
    sandbox.quiet()
    sandbox.post("/sandbox/population/act", {"days": 1})
    wait_for(lambda: sandbox.get("/sandbox/population/act")["state"] == "done")
    _next_day(client)
    (row,) = _rows(client, "getarticlesummary", day)
    assert row["msgid"] == f"{sent['msg_data_id']}_1"
    assert 400 > row["int_page_read_user"] > row["ori_page_read_user"] > 0
    shared = sum(share["share_count"] for share in _rows(client, "getusershare", day))
    assert shared == row["share_count"]
