"""Control calls of one person's phone: who he is, what arrived, what a link opens."""

import html
import json
import re
from typing import Any
from urllib.parse import urljoin

import numpy as np

from wechat_sandbox.callbacks import Browser, loopback
from wechat_sandbox.errors import ControlError
from wechat_sandbox.people.behaviour import BUTTON, HREF, SHARE, agent_of
from wechat_sandbox.world import World

Answer = tuple[int, Any]
_TAG = re.compile(r"<[^>]+>")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_NAMES = ("openid", "external_userid", "member_id")
_LINES = 20
_MOST = 200


def _index(world: World, ident: Any) -> int:
    index = world.population.find(str(ident or ""), world.accounts())
    if index is None:
        raise ControlError(404, f"no person {ident}")
    return index


def _row(world: World, index: int) -> dict[str, Any]:
    (row,) = world.population.rows(world.accounts(), index - 1, 1)
    return row


def find(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """People by a part of the name, by any id, or by index; at most `limit`."""
    text, limit = query.get("text", "").strip(), min(int(query.get("limit", 20)), _MOST)
    people = world.population.people
    index = world.population.find(text, world.accounts()) if text else None
    if index is not None:
        return 200, {"people": [_row(world, index)]}
    if text.isdigit():
        found = [int(text)] if int(text) < people.size else []
    elif len(text) <= 3:
        found = (people.names.containing(text) if text else np.arange(min(limit, people.size)))[:limit].tolist()
    else:
        found = []
    return 200, {"people": [_row(world, number) for number in found]}


def phone(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """A person and what arrived at him, the newest first, as it may be read."""
    row = _row(world, _index(world, query.get("person")))
    idents = [str(entry[name]) for entry in row["ids"].values() for name in _NAMES if name in entry]
    names = {account["id"]: account["name"] for account in world.accounts()}
    messages = []
    for entry in world.ledger.had_by(idents, min(int(query.get("limit", 50)), _MOST)) if idents else []:
        shown = {name: entry[name] for name in ("seq", "account", "at", "via", "key", "link", "topic")}
        messages.append({**shown, "name": names.get(entry["account"], ""), **rendered(entry["text"])})
    return 200, {"person": row, "messages": messages}


def rendered(text: str) -> dict[str, Any]:
    """A kept content as lines to read, and its attachments: the fields of a template, an article, a text."""
    brace, bracket = text.find("{"), text.find("[{")
    if brace >= 0 and (bracket < 0 or brace < bracket):
        fields = _json(text[brace:])
        if isinstance(fields, dict):
            values = [
                (name, value.get("value", "") if isinstance(value, dict) else value) for name, value in fields.items()
            ]
            return {"lines": [f"{name}：{value}" for name, value in values], "attachments": []}
    attachments = _json(text[bracket:]) if bracket >= 0 else None
    words = text[:bracket] if isinstance(attachments, list) else text
    lines = [line.strip() for line in html.unescape(_TAG.sub("\n", words)).splitlines()]
    return {"lines": [line for line in lines if line][:_LINES], "attachments": _attached(attachments)}


def _attached(attachments: Any) -> list[dict[str, str]]:
    found = []
    for entry in attachments if isinstance(attachments, list) else []:
        kind = str(entry.get("msgtype", "")) if isinstance(entry, dict) else ""
        part = entry.get(kind) if kind else None
        if isinstance(part, dict):
            found.append({"kind": kind, "title": str(part.get("title") or part.get("pic_url") or "")})
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


async def open_link(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """A person opens a link of this machine and, with `click`, follows the page's button; what came of it."""
    index, link = _index(world, body.get("person")), str(body.get("link", ""))
    if not loopback(link):
        raise ControlError(400, "link must be an address of this machine: the sandbox does not talk to others")
    agent = agent_of(world, index)
    async with Browser(1) as browser:
        page, address = await browser.fetch(link, agent)
        title = _TITLE.search(page) if page else None
        button, share = (_target(page or "", pattern, address) for pattern in (BUTTON, SHARE))
        end = ""
        if body.get("click") and button:
            _, end = await browser.fetch(button, agent, referer=address)
    text = html.unescape(title.group(1)).strip()[:200] if title else ""
    return 200, {
        "opened": page is not None,
        "address": address,
        "title": text,
        "button": button,
        "share": share,
        "clicked": end,
    }


def _target(page: str, pattern: re.Pattern[str], address: str) -> str:
    found = pattern.search(page)
    target = HREF.search(found.group(0)) if found else None
    return urljoin(address, html.unescape(target.group(1))) if target else ""


CONTROL = {
    ("GET", "people/find"): find,
    ("GET", "people/phone"): phone,
    ("POST", "people/open"): open_link,
}
