"""Previews: what somebody would get, what is too long, what a browser makes of it. Nothing is sent."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import access, broadcasts, contacts
from tagcast.broadcasts import previews
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work, open_runtime
from tagcast.server import create_app
from tests.broadcasts.test_actions import account
from tests.cli.conftest import Shell
from tests.tags.served import Served
from tests.tracking.serving import call, serving
from tests.wechat_sandbox import browser

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
ARTICLE = {
    "kind": "article",
    "title": "会员日",
    "description": HOSTILE,
    "body": f"今天全场九折\n{HOSTILE}",
    "url": "https://shop.example.com/day",
    "button": "去看看",
}
TEXT = {"kind": "text", "text": "亲爱的{{城市|朋友}}，会员日开始了"}
OTHER = {"kind": "text", "text": "新品到店" * 20}


def world(work: Work) -> tuple[int, list[int]]:
    """A corp's account and five customers, of whom three have a city."""
    contacts.declare_attribute(work, "city", "choice", purpose="greeting", label_zh="城市")
    at = account(work, "wecom", "platform")
    numbers = contacts.ensure(work, [PersonIn({Identity("external_userid", at): f"w{n}"}) for n in range(5)])
    work.bitmaps.add(f"following:{at}", BitMap(numbers), why="test")
    work.bitmaps.add(f"employee:{at}:anna", BitMap(numbers), why="test")
    cities = dict(zip(numbers, ("杭州", "呼和浩特", "沪"), strict=False))
    contacts.set_values(work, "city", cities, why="test")
    return at, numbers


def draft(work: Work, at: int, content: dict[str, Any], **settings: Any) -> int:
    return broadcasts.draft(work, name="会员日", account=at, audience="all", content=content, settings=settings).id


def test_everybody_is_shown_what_he_would_get(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at, numbers = world(work)
        made = draft(work, at, TEXT)
        shown = previews.named(work, made, numbers)
        said = [one.parts[0].fields["content"] for one in shown]
        assert said == [f"亲爱的{city}，会员日开始了" for city in ("杭州", "呼和浩特", "沪", "朋友", "朋友")]
        size = shown[0].parts[0].sizes[0]
        assert (size.field, size.size, size.unit) == ("text.content", len(said[0].encode()), "bytes")
        assert size.limit == 4000
        assert "docs" in size.source or "developer" in size.source
        assert {one.contact for one in previews.sampled(work, made, 20)} == set(numbers)
        with pytest.raises(NotFound):
            previews.named(work, made, [99])
        with pytest.raises(Invalid):
            previews.named(work, made, [numbers[0]], variant="B")


def test_the_worst_cases_are_named(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at, numbers = world(work)
        section = {"items": [{"name": "B", "content": OTHER, "weight": 1}], "choose": "weights"}
        made = draft(work, at, TEXT, variants=section)
        found = {(one.variant, one.why): one for one in previews.worst(work, made)}
    assert found["A", "longest"].contact == numbers[1]
    assert found["A", "shortest"].contact == numbers[2]
    assert (found["A", "missing"].field, found["A", "missing"].size) == ("城市", 2)
    assert found["A", "missing"].contact == numbers[3]
    assert found["B", "same"].parts[0].fields["content"] == OTHER["text"]
    assert set(found) == {("A", "longest"), ("A", "shortest"), ("A", "missing"), ("B", "same")}


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[tuple[Served, int, list[int]]]:
    with runtime_sqlite.work(1, "test") as work:
        at, numbers = world(work)
        section = {"items": [{"name": "B", "content": OTHER, "weight": 1}], "choose": "weights"}
        made = draft(work, at, ARTICLE, variants=section)
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Served(port, key), made, numbers


def _picture(served: Served, path: str) -> tuple[int, dict[str, str], str]:
    status, headers, body = call(served.port, f"/api/v1{path}", Authorization=f"Bearer {served.key}")
    return status, headers, body.decode()


def test_previews_over_http(api: tuple[Served, int, list[int]]) -> None:
    served, made, numbers = api
    status, found = served("GET", f"/broadcasts/{made}/previews?contact={numbers[0]}&variant=A")
    assert status == 200
    (one,) = found["items"]
    assert one["page"] == {"title": "会员日", "text": ARTICLE["body"], "button": "去看看"}
    assert one["parts"][0]["fields"]["title"] == "会员日"
    status, found = served("GET", f"/broadcasts/{made}/previews?worst=true")
    assert [(one["variant"], one["why"]) for one in found["items"]] == [("A", "same"), ("B", "same")]
    status, found = served("GET", f"/broadcasts/{made}/variants")
    assert [share["size"] for share in found["draws"][0]["shares"]] == [0, 0]
    assert served("GET", f"/broadcasts/{made}/previews?sample=99")[0] == 422


def test_the_picture_is_a_page_without_scripts(api: tuple[Served, int, list[int]]) -> None:
    served, made, numbers = api
    status, headers, page = _picture(
        served, f"/broadcasts/{made}/previews/picture?contact={numbers[0]}&variant=A&lang=en"
    )
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{hashed}'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert 'lang="en"' in page


@pytest.mark.skipif(browser.found() is None, reason="no Chromium on PATH, and BROWSER_PATH names none")
@pytest.mark.slow
def test_a_browser_shows_it_in_light_and_dark_and_runs_nothing(
    api: tuple[Served, int, list[int]], tmp_path: Path
) -> None:
    served, made, _ = api
    url = f"http://127.0.0.1:{served.port}/api/v1/broadcasts/{made}/previews/picture?worst=true&lang=zh"

    async def look() -> None:
        async with browser.page(tmp_path / "profile") as page:
            await page.do("Network.enable")
            await page.do("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {served.key}"})
            colours = []
            for dark in (False, True):
                await page.screen(390 if dark else 1100, dark=dark)
                await page.do("Page.navigate", url=url)
                await page.until("document.readyState === 'complete' && !!document.querySelector('.phone')")
                colours.append(await page.js("getComputedStyle(document.body).backgroundColor"))
                text = await page.js("document.body.innerText")
                assert "<script>alert(1)</script>" in text
                assert await page.js("document.documentElement.scrollWidth <= window.innerWidth")
                await page.picture(tmp_path / f"{'dark' if dark else 'light'}.png")
            assert len(set(colours)) == 2
            assert page.dialogs == []
            assert [one for one in page.problems if "favicon" not in one] == []

    asyncio.run(look())
    assert (tmp_path / "light.png").stat().st_size > 10_000


@pytest.fixture
def tagcast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path / "home", capsys, TAGCAST_LANG="zh", LANG="zh_CN.UTF-8")
    made("init")
    return made


def test_by_command(tagcast: Shell, tmp_path: Path) -> None:
    runtime = open_runtime(Settings(home=tmp_path / "home"))
    with runtime.work(1, "test") as work:
        at, numbers = world(work)
        section = {"items": [{"name": "B", "content": OTHER, "weight": 1}], "choose": "weights"}
        made = draft(work, at, TEXT, variants=section)
    runtime.close()
    said = tagcast("broadcast", "preview", made, "--worst").stdout
    assert "亲爱的呼和浩特，会员日开始了" in said
    assert "缺少取值" in said
    assert [one["contact"] for one in tagcast.json("broadcast", "preview", made, "--as", numbers[0])] == [numbers[0]]
    file = tmp_path / "preview.html"
    tagcast("broadcast", "preview", made, "--picture", file)
    assert "亲爱的" in file.read_text("utf-8")
    assert "分到概率" in tagcast("broadcast", "variants", made).stdout
    assert "没有测试人员" in tagcast("broadcast", "test", made, "--yes", code=2).stderr
    assert "同意" in tagcast("broadcast", "tester-add", at, "anna", code=2).stderr
    tester = tagcast.json("broadcast", "tester-add", at, "anna", "--agreed")
    assert tester["userid"] == "anna"
    assert tagcast.json("broadcast", "require-test", "--above", 100) == {"above": 100}
    assert tagcast.json("broadcast", "require-test", "--never") == {"above": None}
    assert "anna" in tagcast("broadcast", "testers").stdout
    tagcast("broadcast", "tester-rm", tester["id"])
    assert "还没有测试人员" in tagcast("broadcast", "testers").stderr
