"""The checklist against the sandbox over HTTP: each thing that can be missing is named, with what to click."""

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.accounts.platform import Platform
from tests.accounts.test_backoff import fault
from tests.accounts.test_tokens import add

from tagcast import accounts, inbox
from tagcast.accounts import Health, NewAccount
from tagcast.accounts.checks import address_of
from tagcast.channels import Effect
from tagcast.channels.errors import refusal
from tagcast.inbox.store import Delivery, insert_new
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime

WECOM = ["token", "address", "contact", "range", "tags", "mass", "groups", "moments", "members", "callback"]


def states(health: Health) -> dict[str, str]:
    return {item.check: item.state for item in health.items}


def check(runtime: Runtime, account: int) -> Health:
    return asyncio.run(accounts.check(runtime, 1, account))


@pytest.fixture(autouse=True)
def _no_faults(sandbox: Platform) -> None:
    sandbox.call("DELETE", "/sandbox/faults")


def test_a_good_wecom_account(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "wecom")
    health = check(runtime, account)
    assert list(states(health)) == WECOM
    assert {name for name, state in states(health).items() if state != "ok"} == {"members", "callback"}
    assert health.ok


@pytest.mark.parametrize("kind", ["official", "service"])
def test_a_good_official_account(runtime_sqlite: Runtime, sandbox: Platform, kind: str) -> None:
    account, _ = add(runtime_sqlite, sandbox, kind)
    health = check(runtime_sqlite, account)
    found = states(health)
    assert found.pop("callback") == "open"
    assert set(found.values()) == {"ok"}
    assert ("template" in found) == (kind == "service")


def test_an_untrusted_address_is_told_as_the_platform_saw_it(runtime: Runtime, sandbox: Platform) -> None:
    account, remote = add(runtime, sandbox, "wecom")
    sandbox.call("PATCH", f"/sandbox/accounts/{remote}", {"trusted_ips": ["203.0.113.7"]})
    health = check(runtime, account)
    address = next(item for item in health.items if item.check == "address")
    assert (address.state, address.errcode, health.ok) == ("fail", 60020, False)
    assert "127.0.0.1" in address.en_remedy
    assert "企业可信IP" in address.zh_remedy
    assert {item.state for item in health.items if item.check in ("contact", "tags", "mass")} == {"open"}


def test_a_missing_permission_says_where_to_switch_it_on(runtime: Runtime, sandbox: Platform) -> None:
    account, remote = add(runtime, sandbox, "wecom")
    sandbox.call("PATCH", f"/sandbox/accounts/{remote}", {"permissions": ["message"]})
    health = check(runtime, account)
    contact = next(item for item in health.items if item.check == "contact")
    assert (contact.state, contact.errcode) == ("fail", 48002)
    assert "可调用接口的应用" in contact.zh_remedy
    assert states(health)["address"] == "ok"
    assert states(health)["groups"] == "warn", "not everybody needs it"
    assert not health.ok


def test_nobody_in_range(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, remote = add(runtime_sqlite, sandbox, "wecom")
    sandbox.call("PATCH", f"/sandbox/accounts/{remote}", {"visible": []})
    health = check(runtime_sqlite, account)
    assert states(health)["range"] == "fail"


def test_an_address_that_is_not_on_the_official_list(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    fault(sandbox, "error", "/cgi-bin/stable_token", times=9, code=40164)
    health = check(runtime_sqlite, account)
    assert states(health)["address"] == "fail"
    assert states(health)["token"] == "open"
    assert health.problem is not None
    assert health.problem.code == "accounts.ip_not_allowed"


def test_an_unverified_account(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    for path in ("tags/get", "user/get"):
        sandbox.call(
            "POST", "/sandbox/faults", {"path": f"/cgi-bin/{path}", "kind": "error", "times": 9, "code": 48001}
        )
    found = states(check(runtime_sqlite, account))
    assert (found["users"], found["tags"], found["materials"], found["verified"]) == ("fail", "fail", "ok", "fail")


def test_a_wrong_secret_leaves_the_rest_untried(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service", secret="0" * 32)
    found = states(check(runtime, account))
    assert found.pop("token") == "fail"
    assert set(found.values()) == {"open"}


def test_a_callback_that_came_is_seen(runtime: Runtime, sandbox: Platform) -> None:
    token, key = accounts.new_callback_keys()
    account, _ = add(runtime, sandbox, "service", callback_token=token, encoding_aes_key=key)
    assert inbox.last_received is not None
    silent = next(item for item in check(runtime, account).items if item.check == "callback")
    assert silent.state == "warn"
    assert "/callback/" in silent.zh_remedy
    assert "安全模式" in silent.zh_remedy
    with runtime.work(1, "test") as work:
        insert_new(work, [Delivery(account, bytes(32), "text", b"<xml/>")])
    assert states(check(runtime, account))["callback"] == "ok"


def test_an_account_is_checked_before_it_is_kept(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": "wecom", "name": "new", "employees": 2})
    new = NewAccount("wecom", "新", made["secret"], corpid=made["corpid"], base_url=sandbox.url)
    assert asyncio.run(accounts.check_new(runtime_sqlite, new)).ok
    wrong = NewAccount("wecom", "新", "0" * 32, corpid=made["corpid"], base_url=sandbox.url)
    assert states(asyncio.run(accounts.check_new(runtime_sqlite, wrong)))["token"] == "fail"
    with runtime_sqlite.read(1, "test") as work:
        assert accounts.all_(work) == []


@pytest.mark.parametrize(
    ("platform", "errmsg", "expected"),
    [
        ("official", "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 65eac940-1a79c8dc", "1.2.3.4"),
        ("official", "invalid ip 2001:db8::17, not in whitelist", "2001:db8::17"),
        (
            "wecom",
            "not allow to access from your ip, hint: [1599_109_ee5b], from ip: 223.104.64.207, more",
            "223.104.64.207",
        ),
        ("wecom", "not allowed at 12:30", ""),
    ],
)
def test_our_address_is_read_from_the_message(platform: Any, errmsg: str, expected: str) -> None:
    error = refusal(platform, "x", {"official": 40164, "wecom": 60020}[platform], errmsg=errmsg, effect=Effect.READ)
    assert address_of(error) == expected


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("service", "appid", "gh_0123456789ab"),
        ("service", "appid", "wx0123456789ABCDEF"),
        ("service", "appid", "wx0123456789abcde"),
        ("wecom", "corpid", "ww0123"),
        ("wecom", "corpid", "gh0123456789abcdef"),
    ],
)
def test_ids_have_the_platform_s_shape(runtime_sqlite: Runtime, kind: str, field: str, value: str) -> None:
    with pytest.raises(Invalid) as raised, runtime_sqlite.work(1, "test") as work:
        accounts.add(work, NewAccount(kind, "店", "secret", **{field: value}))
    assert raised.value.params["field"] == field


def test_new_callback_keys_are_usable(runtime_sqlite: Runtime) -> None:
    for number in range(20):
        token, key = accounts.new_callback_keys()
        new = NewAccount("service", f"店{number}", "secret", appid="wx0123456789abcdef",
                         callback_token=token, encoding_aes_key=key)  # fmt: skip
        with runtime_sqlite.work(1, "test") as work:
            accounts.add(work, new)


class Terminal:
    """A person at a terminal, in front of a command."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TAGCAST_HOME": str(home), "TAGCAST_ALLOW_PRIVATE": "true", "TAGCAST_LANG": "zh"}
        # Whoever runs the tests in the background of a shell has interrupts ignored, and so would the command.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "tagcast", *arguments]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.shown = ""
        self.read = 0

    def until(self, text: str, seconds: float = 60) -> None:
        """Read on until a text is shown, after what was waited for before."""
        end = time.monotonic() + seconds
        while (at := self.shown.find(text, self.read)) < 0:
            assert time.monotonic() < end, self.shown
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    break
        assert at >= 0 or text in self.shown[self.read :], self.shown
        self.read = self.shown.index(text, self.read) + len(text)

    def answer(self, asked: str, text: str, *, hidden: bool = False) -> None:
        self.until(asked)
        end = time.monotonic() + 30
        # Who hides what is typed first throws away what was typed before.
        while hidden and termios.tcgetattr(self.master)[3] & termios.ECHO:
            assert time.monotonic() < end, self.shown
            time.sleep(0.01)
        os.write(self.master, text.encode() + b"\n")

    def ends(self, seconds: float = 60) -> int:
        """The exit code. What is shown meanwhile is read: a process that waits for its terminal cannot end."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                with suppress(OSError):
                    self.shown += os.read(self.master, 4096).decode(errors="replace")
        os.close(self.master)
        return self.process.wait()


def test_what_is_missing_is_asked_for_on_a_terminal(tmp_path: Path, sandbox: Platform) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "TAGCAST_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "tagcast", "init"], env=environment, check=True, capture_output=True)
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": "wecom", "name": "terminal", "employees": 2})
    terminal = Terminal(home, "account", "add", "--base-url", sandbox.url)
    terminal.answer("账号类型", "1")
    terminal.answer("叫什么名字", "企业号")
    terminal.answer("企业ID", made["corpid"])
    terminal.answer("AgentId", "")
    terminal.answer("Secret", made["secret"], hidden=True)
    terminal.until("EncodingAESKey ")
    terminal.until("回调路径")
    assert terminal.ends() == 0
    assert made["secret"] not in terminal.shown
    listed = subprocess.run(
        [sys.executable, "-m", "tagcast", "account", "ls", "--json"], env=environment, check=True, capture_output=True
    )
    assert [row["name"] for row in json.loads(listed.stdout)] == ["企业号"]


def test_an_id_of_the_wrong_shape_is_told_before_the_secret_is_asked_for(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "TAGCAST_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "tagcast", "init"], env=environment, check=True, capture_output=True)
    terminal = Terminal(home, "account", "add", "service", "店")
    terminal.answer("AppID", "gh_0123456789ab")
    terminal.until("gh_0123456789ab。")
    terminal.answer("AppID", "wx0123456789abcdef")
    terminal.until("AppSecret")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ends() == 130


def test_a_platform_that_is_busy_says_nothing_about_permissions(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "wecom")
    fault(sandbox, "busy", "/cgi-bin/externalcontact/*", probability=1)
    busy = check(runtime_sqlite, account)
    items = {item.check: item for item in busy.items}
    assert (busy.ok, items["contact"].state, items["contact"].errcode) == (False, "fail", -1)
    assert {"可调用接口的应用" in items[name].zh_remedy for name in ("contact", "tags", "mass")} == {False}
    assert "run this again" in items["contact"].en_remedy
    fault(sandbox, "error", "/cgi-bin/externalcontact/*", probability=1, code=48002)
    refused = {item.check: item for item in check(runtime_sqlite, account).items}
    assert "可调用接口的应用" in refused["contact"].zh_remedy
