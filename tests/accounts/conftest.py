"""A sandbox for the tests of accounts."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.accounts.platform import Platform


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    state = tmp_path_factory.mktemp("sandbox") / "state.db"
    arguments = ["--port", "0", "--state", str(state), "--population", "200", "--seed", "7"]
    with subprocess.Popen(
        [sys.executable, "-m", "wechat_sandbox", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Platform(json.loads(process.stdout.readline())["url"])
        process.terminate()
