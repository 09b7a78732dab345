"""Publishing (发布) of 公众号 and 服务号: accepted now, finished later by PUBLISHJOBFINISH; nobody is notified."""

import base64
from functools import partial
from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.official import articles, review
from wechat_sandbox.official.drafts import draft
from wechat_sandbox.official.materials import paging
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_DONE, _RUNNING, _REPRINT, _DELETED = 0, 1, 2, 5


def _whole(texts: list[Document]) -> str:
    return "\n".join(f"{text['title']}\n{text.get('digest', '')}\n{text['content']}" for text in texts)


def submit(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/freepublish/submit: the draft is accepted, or refused by 53503 to 53505."""
    entry = draft(world, call.account, call.body.get("media_id"))
    code = review.verdict("submit", _whole(entry["articles"]))
    if code:
        raise ApiError(code)
    number = world.state.next_number("mass_message", 1_000_000_001) + 1_247_000_000
    job = {
        "publish_id": number + 100_000_000_000,
        "data_id": number,
        "account": call.account["id"],
        "draft": entry["media_id"],
        "status": _RUNNING,
        "at": world.now(),
    }
    world.state.put("publish", str(job["publish_id"]), job)
    world.later(world.settings["publish_finish_seconds"], partial(finish, world, job))
    return {**OK, "publish_id": str(job["publish_id"]), "msg_data_id": str(number)}


def finish(world: World, job: Document) -> None:
    """The publication ran: articles get their pages, the draft is used up, the event goes out."""
    if job["status"] != _RUNNING:
        return
    account, entry = world.account(job["account"]), world.state.get("draft", job["draft"])
    texts = entry["articles"] if entry is not None else []
    reprints = [place for place, text in enumerate(texts, 1) if review.reprint(_whole([text])) == "refused"]
    status = review.verdict("publish", _whole(texts)) or (_REPRINT if reprints else _DONE)
    if entry is None:
        status = 3
    if status == _DONE:
        made = articles.create(world, account, texts, job["data_id"], via="publish")
        made["article_id"] = _article_id(job["data_id"])
        world.state.put("published", made["article_id"], {"number": job["data_id"]})
        world.state.remove("draft", job["draft"])
    job.update(status=status, failed=reprints or (list(range(1, len(texts) + 1)) if status else []))
    world.state.put("publish", str(job["publish_id"]), job)
    told = _state(world, job)
    detail = told.pop("article_detail", None)
    if detail is not None:
        told["article_detail"] = {"count": detail["count"], "item": tuple(detail["item"])}
    event = {**told, "publish_id": job["publish_id"], "fail_idx": tuple(told["fail_idx"])}
    world.callbacks.send(account, "PUBLISHJOBFINISH", account["original"], {"PublishEventInfo": event}, world.now())


def _article_id(number: int) -> str:
    return base64.urlsafe_b64encode(f"sandbox-article-{number}".encode()).decode().rstrip("=")


def _state(world: World, job: Document) -> dict[str, Any]:
    answer: dict[str, Any] = {"publish_id": str(job["publish_id"]), "publish_status": job["status"]}
    entry = world.state.get("article", str(job["data_id"]))
    if job["status"] == _DONE and entry is not None:
        account = world.account(job["account"])
        if len(entry["deleted"]) == len(entry["texts"]):
            return {**answer, "publish_status": _DELETED, "fail_idx": []}
        rows = [
            {"idx": place, "article_url": articles.address(world, account, job["data_id"], place)}
            for place in range(1, len(entry["texts"]) + 1)
        ]
        answer.update(article_id=entry["article_id"], article_detail={"count": len(rows), "item": rows})
    return {**answer, "fail_idx": job.get("failed", [])}


def get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/freepublish/get: 0 done, 1 running, 2 to 4 failed, 5 deleted since."""
    job = world.state.get("publish", str(call.body.get("publish_id")))
    if job is None or job["account"] != call.account["id"]:
        raise ApiError(40097)
    return _state(world, job)


def _article(world: World, call: Call) -> Document:
    known = world.state.get("published", str(call.body.get("article_id")))
    entry = world.state.get("article", str(known["number"])) if known is not None else None
    if entry is None or entry["account"] != call.account["id"]:
        raise ApiError(53600)
    return entry


def get_article(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/freepublish/getarticle."""
    return {"news_item": articles.shown(world, _article(world, call))}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/freepublish/delete: one article by its place from 1, or all with 0; cannot be undone."""
    entry, place = _article(world, call), call.number("index", 0, 40114)
    if not 0 <= place <= len(entry["texts"]):
        raise ApiError(40114)
    articles.delete(world, entry, place)
    return dict(OK)


def batch(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/freepublish/batchget: last published first, wholly deleted ones left out."""
    start, count = paging(world, call)
    rows = [
        entry
        for entry in world.state.documents["article"].values()
        if entry["account"] == call.account["id"]
        and entry["via"] == "publish"
        and len(entry["deleted"]) < len(entry["texts"])
    ]
    rows.sort(key=lambda entry: -int(entry["number"]))
    items = [
        {
            "article_id": entry["article_id"],
            "content": {"news_item": articles.shown(world, entry, without=bool(call.body.get("no_content")))},
            "update_time": entry["at"],
        }
        for entry in rows[start : start + count]
    ]
    return {"total_count": len(rows), "item_count": len(items), "item": items}


def resume(world: World) -> None:
    """After a start: unfinished publications go on."""
    for job in world.state.documents["publish"].values():
        if job["status"] == _RUNNING:
            world.later(world.settings["publish_finish_seconds"], partial(finish, world, job))


ROUTES = [
    Route("POST", "/cgi-bin/freepublish/submit", submit),
    Route("POST", "/cgi-bin/freepublish/get", get),
    Route("POST", "/cgi-bin/freepublish/getarticle", get_article),
    Route("POST", "/cgi-bin/freepublish/delete", delete),
    Route("POST", "/cgi-bin/freepublish/batchget", batch),
]
