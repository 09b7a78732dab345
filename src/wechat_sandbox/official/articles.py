"""Articles that were sent or published: their addresses, their pages (served by the sandbox), who read and shared."""

import base64
import hashlib
import html
from typing import Any

from wechat_sandbox.call import Call, Raw, Route
from wechat_sandbox.official import interact
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_HTML = "text/html; charset=utf-8"
_PAGE = """<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"></head><body><h1>{title}</h1><p>{author} {account}</p>
<div id="js_content">{content}</div>{source}</body></html>"""


def create(world: World, account: Document, texts: list[Document], number: int, *, via: str) -> Document:
    """Keep what was sent (`via` mass) or published (publish) under its `msg_data_id`."""
    entry = {
        "number": number,
        "account": account["id"],
        "texts": texts,
        "via": via,
        "at": world.now() // 1000,
        "deleted": [],
    }
    return world.state.put("article", str(number), entry)


def address(world: World, account: Document, number: int, place: int) -> str:
    """Where an article is read: `place` from 1."""
    owner = base64.b64encode(str(account["id"]).encode()).decode().rstrip("=")
    return f"{world.address}/s?__biz={owner}&mid={number}&idx={place}&sn={_sign(account, number, place)}"


def _sign(account: Document, number: int, place: int) -> str:
    return hashlib.blake2b(f"{account['appid']}:{number}:{place}".encode(), digest_size=16).hexdigest()


def is_page(world: World, link: str) -> bool:
    """Whether an address is a page of this sandbox, which counts its views itself."""
    return link.startswith(f"{world.address}/s?")


def find(world: World, account: Document, link: str) -> tuple[Document, int] | None:
    """The articles and the place that an address of the account means."""
    for entry in world.state.documents["article"].values():
        if entry["account"] == account["id"]:
            for place in range(1, len(entry["texts"]) + 1):
                if address(world, account, entry["number"], place).rpartition("/s?")[2] == link.rpartition("/s?")[2]:
                    return entry, place
    return None


def delete(world: World, entry: Document, place: int) -> None:
    """Take the page of one article away, or of all (`place` 0)."""
    entry["deleted"] = sorted({*entry["deleted"], *([place] if place else range(1, len(entry["texts"]) + 1))})
    world.state.put("article", str(entry["number"]), entry)


def happened(world: World, account: int, key: str, person: str, *, kind: str, scene: int = 0) -> None:
    """A person did something with the mass message `key`: kind `read`, `original`, `share` or `favour`.

    `scene` numbers where from (read) or whereto (share) as datacube does. Messages that are no article do not count.
    """
    job = world.state.get("mass", key)
    if job is not None and job.get("articles"):
        interact.note(world, account, kind, person, subject=f"{job['data_id']}_1", scene=scene)


def _text(world: World, call: Call) -> tuple[Document, Document, int, int] | None:
    """Account, article, number and place behind a page's address (number 0: a draft)."""
    place = int(call.query["idx"]) if call.query.get("idx", "").isdecimal() else 1
    if "tempkey" in call.query:
        entry, number = world.state.get("draft", call.query["tempkey"]), 0
        texts = entry["articles"] if entry else []
    else:
        entry = world.state.get("article", call.query.get("mid", ""))
        texts, number = (entry["texts"], entry["number"]) if entry else ([], 0)
    if entry is None or not 1 <= place <= len(texts):
        return None
    account = world.account(entry["account"])
    if number and (place in entry["deleted"] or call.query.get("sn") != _sign(account, number, place)):
        return None
    return account, texts[place - 1], number, place


def page(world: World, call: Call) -> Raw:
    """GET /s: the page of an article, with the button that leads to `content_source_url`; each view counts as read."""
    found = _text(world, call)
    if found is None:
        return Raw("<!doctype html><title>内容已删除</title><p>该内容已被发布者删除</p>".encode(), _HTML, 404)
    account, text, number, place = found
    if number:
        person, scene = call.query.get("openid", ""), call.query.get("scene", "5")
        interact.note(
            world,
            account["id"],
            "read",
            person,
            subject=f"{number}_{place}",
            scene=int(scene) if scene.isdecimal() else 5,
        )
    link = html.escape(str(text.get("content_source_url") or ""), quote=True)
    source = f'<p><a data-button href="{link}">阅读原文</a></p>' if link else ""
    names = {name: html.escape(str(text.get(name) or "")) for name in ("title", "author")}
    body = _PAGE.format(**names, account=html.escape(account["name"]), content=text["content"], source=source)
    return Raw(body.encode(), _HTML)


def shown(world: World, entry: Document, *, without: bool = False) -> list[dict[str, Any]]:
    """Published articles as freepublish returns them."""
    account = world.account(entry["account"])
    return [
        {
            **text,
            **({"content": ""} if without else {}),
            "url": address(world, account, entry["number"], place),
            "is_deleted": place in entry["deleted"],
        }
        for place, text in enumerate(entry["texts"], 1)
    ]


ROUTES = [Route("GET", "/s", page, token=False, page=True)]
