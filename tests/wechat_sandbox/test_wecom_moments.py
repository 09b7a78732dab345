"""企业微信 客户朋友圈: jobs, members who publish or do not, customers who see, like and comment."""

import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from tests.wechat_sandbox.conftest import Client, Sandbox, wait_for
from tests.wechat_sandbox.wecom import CONTACT, by_member, control, failing

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@pytest.fixture
def corp(sandbox: Sandbox) -> Client:
    return sandbox.account("wecom", reach=1, employees=5)


@pytest.fixture
def patient(sandbox: Sandbox) -> Iterator[None]:
    """Nobody publishes by himself, and nothing is being dispatched."""
    sandbox.post("/sandbox/settings", {"confirm_share": 0, "list_delay_seconds": 0})
    yield
    sandbox.post("/sandbox/settings", {"confirm_share": 0.9, "list_delay_seconds": 0.2})


def _attach(client: Client, content: bytes, kind: str = "image", purpose: int = 1) -> Any:
    body = b'--x\r\nContent-Disposition: form-data; name="media"; filename="a"\r\n\r\n' + content + b"\r\n--x--\r\n"
    query = {"access_token": client.token, "media_type": kind, "attachment_type": purpose}
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    path = f"/cgi-bin/media/upload_attachment?{urllib.parse.urlencode(query)}"
    return client.sandbox.call("POST", path, body, headers)[1]


def _done(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """The result of the job for a body."""
    jobid = client.post(f"{CONTACT}/add_moment_task", body)["jobid"]
    assert len(jobid.encode()) <= 64
    answers: list[dict[str, Any]] = []

    def finished() -> bool:
        answers.append(client.get(f"{CONTACT}/get_moment_task_result", jobid=jobid))
        return bool(answers[-1]["status"] == 3)

    wait_for(finished)
    assert all(answer["status"] in (1, 2) and "result" not in answer for answer in answers[:-1])
    result: dict[str, Any] = answers[-1]["result"]
    return result


@pytest.mark.usefixtures("patient")
def test_a_moment_is_seen_once_its_member_publishes(sandbox: Sandbox, corp: Client) -> None:
    members = by_member(corp)
    userid, people = "employee001", members["employee001"]
    group = {"group_name": "g", "tag": [{"name": "t"}]}
    tag = corp.post(f"{CONTACT}/add_corp_tag", group)["tag_group"]["tag"][0]["id"]
    for person in people[:3]:
        pair = {"userid": userid, "external_userid": person, "add_tag": [tag]}
        assert corp.code(f"{CONTACT}/mark_tag", pair) == 0
    sandbox.post("/sandbox/people/change", {"account": corp.id, "people": people[2:3], "blocks": True})
    senders = {"user_list": [userid, "employee002", "ghost"]}
    chosen = {"sender_list": senders, "external_contact_list": {"tag_list": [tag, "x"]}}
    body = {"text": {"content": "新品 http://127.0.0.1/m"}, "visible_range": chosen}
    result = _done(corp, body)
    assert result["invalid_sender_list"]["user_list"] == ["ghost"]
    assert result["invalid_external_contact_list"]["tag_list"] == ["x"]
    moment = {"moment_id": result["moment_id"]}
    tasks = corp.post(f"{CONTACT}/get_moment_task", moment)["task_list"]
    assert tasks == [{"userid": name, "publish_status": 0} for name in (userid, "employee002")]
    ask = {**moment, "userid": userid}
    chosen_rows = corp.post(f"{CONTACT}/get_moment_customer_list", {**ask, "limit": 2})
    assert [row["external_userid"] for row in chosen_rows["customer_list"]] == people[:2]
    assert chosen_rows["next_cursor"] == "2"
    assert corp.post(f"{CONTACT}/get_moment_send_result", ask)["customer_list"] == []
    assert control(corp, "moments/confirm", {"userid": userid}) == {"confirmed": 1}
    seen = corp.post(f"{CONTACT}/get_moment_send_result", ask)["customer_list"]
    assert [row["external_userid"] for row in seen] == people[:2]
    entries = sandbox.get("/sandbox/ledger", account=corp.id)
    assert [(entry["via"], entry["outcome"], entry["link"]) for entry in entries] == [
        *[("moment", "asked", "http://127.0.0.1/m")] * 3,
        *[("moment", "arrived", "http://127.0.0.1/m")] * 2,
        ("moment", "failed:not_friend", "http://127.0.0.1/m"),
    ]
    assert corp.post(f"{CONTACT}/get_moment_task", moment)["task_list"][0]["publish_status"] == 1
    assert corp.code(f"{CONTACT}/cancel_moment_task", moment) == 0
    assert control(corp, "moments/confirm") == {"confirmed": 0}
    assert corp.code(f"{CONTACT}/get_moment_task", {}) == 41059
    assert corp.code(f"{CONTACT}/get_moment_task", {"moment_id": "x"}) == 41060
    assert corp.code(f"{CONTACT}/get_moment_comments", {**moment, "userid": "ghost"}) == 41062


@pytest.mark.usefixtures("patient")
def test_the_record_shows_what_was_said_and_by_whom(sandbox: Sandbox, corp: Client) -> None:
    image = _attach(corp, _PNG + (800).to_bytes(4) + (600).to_bytes(4) + b"0" * 9)["media_id"]
    pictures = [{"msgtype": "image", "image": {"media_id": image}}] * 2
    ours = _done(corp, {"text": {"content": "甲"}, "attachments": pictures})["moment_id"]
    own = control(corp, "moments/personal", {"userid": "employee003", "text": "乙"})["moment_id"]
    now = sandbox.get("/sandbox/clock")["now"] // 1000
    path, ask = f"{CONTACT}/get_moment_list", {"start_time": now - 60, "end_time": now + 1}
    rows = corp.post(path, ask)["moment_list"]
    assert [(row["moment_id"], row["create_type"], row["visible_type"]) for row in rows] == [(ours, 0, 1), (own, 1, 1)]
    assert (rows[0]["text"], len(rows[0]["image"])) == ({"content": "甲"}, 2)
    assert [row["creator"] for row in corp.post(path, {**ask, "filter_type": 1})["moment_list"]] == ["employee003"]
    assert corp.code(path, {**ask, "limit": 21}) == 40058
    assert corp.code(path, {**ask, "start_time": now - 31 * 86400}) == 40058
    sandbox.post("/sandbox/limits", {"moment_likes_permille": 1000, "moment_comments_permille": 0})
    sandbox.post("/sandbox/clock", {"advance_seconds": 3601})
    said = corp.post(f"{CONTACT}/get_moment_comments", {"moment_id": own, "userid": "employee003"})
    sandbox.post("/sandbox/limits", {"moment_likes_permille": 50, "moment_comments_permille": 10})
    assert (len(said["like_list"]), said["comment_list"]) == (len(by_member(corp)["employee003"]), [])


def test_what_a_moment_may_hold(sandbox: Sandbox, corp: Client) -> None:
    call = failing(corp, "add_moment_task")
    image, video = _attach(corp, b"0" * 30)["media_id"], _attach(corp, b"0" * 30, "video")["media_id"]
    picture, film = (
        {"msgtype": kind, kind: {"media_id": ident}} for kind, ident in (("image", image), ("video", video))
    )
    link = {"msgtype": "link", "link": {"title": "t", "url": "http://127.0.0.1/"}}
    plain = {"msgtype": "image", "image": {"media_id": corp.upload("media/upload")["media_id"]}}
    sandbox.post("/sandbox/limits", {"moments_per_minute": 1000})
    codes = [
        call(),
        call(text={"content": "字" * 1334}),
        call(text={"content": "x" * 2001}),
        call(attachments=[picture] * 10),
        call(attachments=[film] * 2),
        call(attachments=[picture, film]),
        call(attachments=[{"msgtype": "file", "file": {"media_id": image}}]),
        call(attachments=[plain]),
        call(attachments=[{"msgtype": "link", "link": {"title": "长" * 22, "url": "http://127.0.0.1/"}}]),
    ]
    fine = [call(attachments=[picture] * 9), call(attachments=[film]), call(attachments=[link])]
    sandbox.post("/sandbox/limits", {"moments_per_minute": 10})
    assert codes == [41086, 41088, 41088, 41089, 41089, 41090, 41090, 40007, 40058]
    assert fine == [0, 0, 0]
    assert corp.get(f"{CONTACT}/get_moment_task_result", jobid="x")["errcode"] == 41087


def test_how_many_moments(sandbox: Sandbox, corp: Client) -> None:
    call, body = failing(corp, "add_moment_task"), {"text": {"content": "你好"}}
    sandbox.post("/sandbox/limits", {"moment_jobs": 1, "moment_job_ms": 60_000})
    running = [call(**body), call(**body)]
    sandbox.post("/sandbox/limits", {"moment_jobs": 20, "moment_job_ms": 200})
    sandbox.post("/sandbox/clock", {"advance_seconds": 61})
    codes = [call(**body) for _ in range(11)]
    assert running == [0, 41078]
    assert (codes.count(0), codes[-1]) == (10, 45009)
    sandbox.post("/sandbox/limits", {"moments_monthly": 11})
    sandbox.post("/sandbox/clock", {"advance_seconds": 61})
    month = call(**body)
    sandbox.post("/sandbox/limits", {"moments_monthly": 100_000})
    assert month == 45009


def test_attachments_have_sizes(sandbox: Sandbox, corp: Client) -> None:
    wide = _PNG + (10_801).to_bytes(4) + (10).to_bytes(4) + b"0" * 9
    assert _attach(corp, wide)["errcode"] == 41081
    assert _attach(corp, wide, purpose=2)["errcode"] == 0
    film = b"0000mvhd" + b"\0" * 12 + (1000).to_bytes(4) + (30_001).to_bytes(4) + b"\0" * 80
    assert _attach(corp, film, "video")["errcode"] == 41082
    assert _attach(corp, film[:20] + (1000).to_bytes(4) + (30_000).to_bytes(4) + film[28:], "video")["errcode"] == 0
    sandbox.post("/sandbox/limits", {"attachment_file_bytes": 9})
    large = _attach(corp, b"0123456789", "file")["errcode"]
    sandbox.post("/sandbox/limits", {"attachment_file_bytes": 20_971_520})
    assert large == 41080
    assert (_attach(corp, b"0123456789", "voice")["errcode"], _attach(corp, b"0123456789", purpose=3)["errcode"]) == (
        40004,
        40058,
    )


def test_attachments_of_mass_messages_have_sizes_too(sandbox: Sandbox, corp: Client) -> None:
    call, person = failing(corp, "add_msg_template"), corp.reachable()[:1]
    ident = corp.upload("media/upload", _PNG + (10_801).to_bytes(4) + (10).to_bytes(4) + b"0" * 9)["media_id"]
    picture = [{"msgtype": "image", "image": {"media_id": ident}}]
    assert call(external_userid=person, attachments=picture) == 41081
    film = b"0000mvhd" + b"\0" * 12 + (1).to_bytes(4) + (31).to_bytes(4) + b"\0" * 80
    video = corp.upload("media/upload", film, "video")["media_id"]
    assert call(external_userid=person, attachments=[{"msgtype": "video", "video": {"media_id": video}}]) == 41082
    sandbox.post("/sandbox/limits", {"attachment_image_bytes": 9})
    small = corp.upload("media/upload", b"0123456789")["media_id"]
    large = call(external_userid=person, attachments=[{"msgtype": "image", "image": {"media_id": small}}])
    sandbox.post("/sandbox/limits", {"attachment_image_bytes": 10_485_760})
    assert large == 41080
    made = corp.upload("media/uploadimg", _PNG + b"0" * 20)["url"]
    assert call(external_userid=person, attachments=[{"msgtype": "image", "image": {"pic_url": made}}]) == 0
    other = [{"msgtype": "image", "image": {"pic_url": "http://127.0.0.1/a.png"}}]
    assert call(external_userid=person, attachments=other) == 40007


def test_pictures_are_counted(sandbox: Sandbox, corp: Client) -> None:
    sandbox.to_noon()
    corp.renew()
    sandbox.post("/sandbox/limits", {"wecom_pictures_daily": 2})
    codes = [corp.upload("media/uploadimg", _PNG + b"0" * 20)["errcode"] for _ in range(3)]
    sandbox.post("/sandbox/limits", {"wecom_pictures_daily": 1000, "wecom_pictures_monthly": 2})
    month = corp.upload("media/uploadimg", _PNG + b"0" * 20)["errcode"]
    sandbox.post("/sandbox/limits", {"wecom_pictures_monthly": 3000})
    assert (codes, month) == ([0, 0, 45009], 45009)
    assert corp.upload("media/uploadimg", _PNG + b"0" * 20)["errcode"] == 0
