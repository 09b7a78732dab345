"""The page in a real browser: what a person sees, clicks and types. Skipped where there is no Chromium."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.wechat_sandbox import browser
from tests.wechat_sandbox.browser import Page
from tests.wechat_sandbox.conftest import Sandbox, start

pytestmark = [
    pytest.mark.skipif(browser.found() is None, reason="no Chromium on PATH, and BROWSER_PATH names none"),
    pytest.mark.slow,
]
_HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
_TABS = ("overview", "accounts", "people", "employees", "clock", "faults", "ledger")


def _with_page(sandbox: Sandbox, folder: Path, run: Callable[[Page], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with browser.page(folder) as page:
            await page.screen(1280)
            await page.goto(f"{sandbox.url}/")
            await run(page)
            assert page.problems == []
            assert page.dialogs == []

    asyncio.run(all_of_it())


def _stop(sandbox: Sandbox) -> None:
    sandbox.stop()
    assert sandbox.process.stdout is not None
    sandbox.process.stdout.close()


async def _show(page: Page, place: str, text: str) -> None:
    await page.js(f"location.hash = {json.dumps('#' + place)}")
    await page.until(f"document.querySelector('main').innerText.includes({json.dumps(text)})")


async def _said(page: Page, text: str) -> None:
    await page.until(f"document.getElementById('notice').textContent.includes({json.dumps(text)})")


async def _into(page: Page, name: str, text: str) -> None:
    await page.until(f"!!document.querySelector('main [name={name}]')")
    await page.js(f"document.querySelector('main [name={name}]').select()")
    await page.write(text)


def test_a_name_is_a_text_and_every_section_fits_a_phone(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "state.db", "--population", "50")

    async def run(page: Page) -> None:
        await page.click("open one")
        for kind in ("wecom", "service", "official", "mini", "custom", "ads"):
            await page.until("!!document.querySelector('main form select[name=kind]')")
            await page.js(f"document.querySelector('main form select[name=kind]').value = '{kind}'")
            await _into(page, "name", f"{kind} {_HOSTILE}")
            await page.click("开通账号")
            await page.until(f"document.querySelector('main').innerText.includes({json.dumps(f'{kind} {_HOSTILE}')})")
        person = sandbox.people()[3]["unionid"]
        for dark in (False, True):
            await page.screen(390, dark=dark)
            for place in (*_TABS, f"phone/{person}"):
                await page.js(f"location.hash = '#{place}'")
                await page.until("location.hash.length > 1 && !!document.querySelector('main h2')")
                await asyncio.sleep(0.3)
                assert await page.js("document.documentElement.scrollWidth") <= 390, place
        assert await page.js("document.querySelectorAll('main script, main img').length") == 0

    try:
        _with_page(sandbox, tmp_path / "profile", run)
        assert {one["name"].partition(" ")[2] for one in sandbox.get("/sandbox/accounts")["accounts"]} == {_HOSTILE}
    finally:
        _stop(sandbox)


def test_a_phone_is_written_on_and_the_keyboard_keeps_its_place(sandbox: Sandbox, tmp_path: Path) -> None:
    shop = sandbox.account("service", name="浏览器店", reach=1)
    person = shop.reachable()[0]
    shop.post("message/mass/send", {"touser": shop.reachable()[:2], "msgtype": "text", "text": {"content": "上新了"}})
    sandbox.quiet()

    async def run(page: Page) -> None:
        await _show(page, f"phone/{person}", "上新了")
        card = (
            f"[...document.querySelectorAll('main section section')].find((one) => one.innerText.includes('{person}'))"
        )
        focus = "document.activeElement.textContent"
        await page.js(
            f"[...{card}.querySelectorAll('button')].find((one) => one.textContent.includes('unfollow')).focus()"
        )
        await page.key("Enter", 13, "\r")
        await page.until(f"{card}.innerText.includes('does not follow')")
        assert "follow" in await page.until(focus)
        assert [row["follows"] for row in _rows(sandbox, shop.id, person)] == [False]
        await page.key("Enter", 13, "\r")
        await page.until(f"{card}.innerText.includes('已关注')")
        assert [row["follows"] for row in _rows(sandbox, shop.id, person)] == [True]
        await page.js(f"{card}.querySelector('input[name=text]').focus()")
        await page.write("你好")
        await page.key("Enter", 13, "\r")
        await _said(page, "已发送")

    _with_page(sandbox, tmp_path / "profile", run)
    assert (
        shop.post("message/custom/send", {"touser": person, "msgtype": "text", "text": {"content": "好"}})["errcode"]
        == 0
    )


def _rows(sandbox: Sandbox, account: int, person: str) -> list[dict[str, bool]]:
    found = sandbox.get("/sandbox/people/find", text=person)["people"]
    return [row["ids"][str(account)] for row in found]


def test_tasks_clock_faults_and_ledger_are_worked(tmp_path: Path) -> None:
    sandbox = start(tmp_path / "state.db", "--population", "50", "--clock", "virtual")
    corp = sandbox.account("wecom", name="浏览器企业", reach=1, employees=2)
    sandbox.post("/sandbox/employees", {"account": corp.id, "share": 0})
    corp.post("externalcontact/add_msg_template", {"sender": "employee001", "text": {"content": "新品到了"}})

    async def run(page: Page) -> None:
        await _show(page, f"employees/{corp.id}", "新品到了")
        await page.click("确认发送")
        await _said(page, "1 个任务")
        before = sandbox.get("/sandbox/clock")["now"]
        await _show(page, "clock", "偏移")
        await page.click("一小时")
        await _said(page, "已完成")
        assert sandbox.get("/sandbox/clock")["now"] == before + 3_600_000
        await _show(page, "faults", "现成场景")
        await page.click("bad_day")
        await page.until("document.querySelectorAll('main tbody tr').length > 2")
        await page.click("全部移除")
        await page.until("document.querySelector('main').innerText.includes('一切正常')")
        assert sandbox.get("/sandbox/faults")["faults"] == []
        await _show(page, "ledger", "arrived")
        await page.js("document.querySelector('select[name=outcome]').value = 'arrived'")
        await page.click("筛选")
        outcomes = "[...document.querySelectorAll('main tbody tr')].map((row) => row.children[4].textContent)"
        await page.until(f"{outcomes}.length && {outcomes}.every((one) => one === 'arrived')")

    try:
        _with_page(sandbox, tmp_path / "profile", run)
    finally:
        _stop(sandbox)


def test_the_callback_is_entered_with_its_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    shop = sandbox.account("service", name="回调店")
    card = "[...document.querySelectorAll('main section')].find((one) => one.innerText.includes('回调店'))"

    async def run(page: Page) -> None:
        await _show(page, "accounts", "EncodingAESKey")
        for name, text in (
            ("callback_url", "http://127.0.0.1:9/cb"),
            ("callback_token", "mytoken"),
            ("encoding_aes_key", "a" * 42 + "A"),
        ):
            await page.js(f"{card}.querySelector('[name={name}]').select()")
            await page.write(text)
        await page.key("Enter", 13, "\r")
        await _said(page, "验证失败")

    _with_page(sandbox, tmp_path / "profile", run)
    made = sandbox.get(f"/sandbox/accounts/{shop.id}")
    assert (made["callback_url"], made["token"], made["encoding_aes_key"][:3]) == (
        "http://127.0.0.1:9/cb",
        "mytoken",
        "aaa",
    )
