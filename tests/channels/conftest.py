"""A sandbox for the tests of the channels, one for each test file."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.channels.boxed import Sandbox, receiving


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    command = [sys.executable, "-m", "wechat_sandbox", "--port", "0", "--state", str(state / "s.db")]
    with subprocess.Popen([*command, "--population", "300", "--seed", "7"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        running = Sandbox(json.loads(process.stdout.readline())["url"])
        try:
            with receiving(running) as address:
                for number, kind in enumerate(("official", "service", "wecom"), 1):
                    body = {"kind": kind, "name": kind, "callback_url": f"{address}/{number}", "employees": 3}
                    running.accounts[kind] = running.control("accounts", body)
                    assert running.accounts[kind]["id"] == number
                running.control("settings", {"confirm_seconds": 0.2, "confirm_share": 1.0, "list_delay_seconds": 0.2})
                yield running
        finally:
            process.terminate()
            process.wait(10)
