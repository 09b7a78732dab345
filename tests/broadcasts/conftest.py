"""A sandbox over HTTP and worlds on it, small enough to be made anew for every test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_runtime, wipe
from tests.flows.harness import Sandbox, World, sandbox

TEXT = {"kind": "text", "text": "会员日活动今天开始"}
ARTICLE = {"kind": "article", "title": "会员日", "body": "今天开始", "url": "https://shop.example.com/day"}
NOTICE = {
    "kind": "template",
    "template_id": "",
    "data": {"name1": "会员", "thing2": "本月积分已到账", "thing3": "可在会员中心查看"},
    "url": "https://shop.example.com/points",
}
# route → (kind of account, content, own limits that make several calls of a small broadcast, the path of its calls)
ROUTES: dict[str, tuple[str, dict[str, Any], dict[str, int], str]] = {
    "template": ("service", NOTICE, {}, "/cgi-bin/message/template/send"),
    "list": ("service", TEXT, {"batch": 60}, "/cgi-bin/message/mass/send"),
    "tag": ("official", ARTICLE, {}, "/cgi-bin/message/mass/sendall"),
    "tasks": ("wecom", TEXT, {"batch": 40}, "/cgi-bin/externalcontact/add_msg_template"),
    "webhook": ("custom", ARTICLE, {"batch": 60}, "/webhook/in"),
}
SIZE = 300

Make = Callable[..., World]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with sandbox(tmp_path) as made:
        made.post("/sandbox/settings", confirm_share=1.0, confirm_seconds=0.2, mass_finish_seconds=0.2)
        yield made


@pytest.fixture
def make(box: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make a world with one account of the route's kind and its people."""
    made: list[World] = []

    def world(route: str, *, size: int = SIZE, database: str = "sqlite", **settings: Any) -> World:
        kind, _, limits, _ = ROUTES[route]
        url = ""
        if database == "postgresql":
            url = request.getfixturevalue("postgres_url")
            wipe(url)
        given = {"lease_seconds": 5.0, "settle_seconds": 1.0, "http_timeout_seconds": 1.0, **settings}
        one = World(make_runtime(tmp_path, url, **given), box)
        made.append(one)
        one.add_account(kind)
        one.profile(kind, **limits)
        one.people(size)
        return one

    yield world
    for one in made:
        one.runtime.close()


def content(world: World, route: str) -> dict[str, Any]:
    """What the route's broadcast says."""
    said = ROUTES[route][1]
    return {**said, "template_id": world.template_id()} if said["kind"] == "template" else said


def send(world: World, route: str) -> int:
    """Send to everybody by a route."""
    return world.send(ROUTES[route][0], content(world, route))
