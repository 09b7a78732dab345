"""What the official side had under way goes on after a restart of the sandbox."""

import signal
from pathlib import Path
from typing import Any

from tests.wechat_sandbox.conftest import Client, start


def test_jobs_go_on_after_a_kill(tmp_path: Path) -> None:
    before = start(tmp_path / "state.db", "--population", "60")
    slow = {"mass_finish_seconds": 30, "publish_finish_seconds": 30, "template_finish_seconds": 30}
    before.post("/sandbox/settings", {**slow, "system_failed_share": 0})
    client = before.account("service", reach=1, api_mass_protection=True)
    people = client.reachable()
    cover = client.upload("material/add_material", b"\x89PNG\r\n\x1a\n")["media_id"]
    article = {"title": "数码新品", "content": "<p>看看</p>", "thumb_media_id": cover}
    draft = client.post("draft/add", {"articles": [article]})["media_id"]
    publication = client.post("freepublish/submit", {"media_id": draft})["publish_id"]
    text: dict[str, Any] = {"msgtype": "text", "text": {"content": "你好"}}
    listed = client.post("message/mass/send", {"touser": people[:5], **text})["msg_id"]
    held = client.post("message/mass/sendall", {"filter": {"is_to_all": True}, **text})["msg_id"]
    template = before.get("/wxaapi/newtmpl/gettemplate", access_token=client.token)["data"][0]["priTmplId"]
    consent = {"account": client.id, "person": people[0], "template": template}
    before.post("/sandbox/people/accept", consent)
    before.post("/sandbox/people/say", {"account": client.id, "person": people[0], "text": "hi"})
    values = {"thing1": {"value": "会员日"}, "time2": {"value": "10:00"}, "thing3": {"value": "准时"}}
    body = {"touser": people[0], "template_id": template, "data": values}
    assert client.code("message/subscribe/bizsend", body) == 0
    before.process.send_signal(signal.SIGKILL)
    before.process.wait(10)
    assert before.process.stdout is not None
    before.process.stdout.close()
    after = start(tmp_path / "state.db")
    again = Client(after, client.account)
    try:
        assert again.token == client.token
        assert again.code("message/mass/get", {"msg_id": held}) == 89504
        assert after.post("/sandbox/mass/confirm", {"account": client.id}) == {"answered": 1}
        after.post("/sandbox/clock", {"advance_seconds": 31})
        after.quiet()
        for number in (listed, held):
            assert again.post("message/mass/get", {"msg_id": number})["msg_status"] == "SEND_SUCCESS"
        found = again.post("freepublish/get", {"publish_id": publication})
        assert found["publish_status"] == 0
        assert found["article_detail"]["item"][0]["article_url"].startswith(after.url)
        totals = again.summary()
        assert (totals["asked"], totals["arrived"], totals["pending"]) == (66, 66, 0)
        assert again.code("message/subscribe/bizsend", body) == 43101
        custom = {"touser": people[0], **text}
        assert again.code("message/custom/send", custom) == 0
    finally:
        after.stop()
        assert after.process.stdout is not None
        after.process.stdout.close()
