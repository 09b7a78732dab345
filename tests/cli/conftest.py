"""`tagcast` in a home of its own, in this process or as a program."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tagcast.cli import main


class Done(NamedTuple):
    """What a command did."""

    code: int
    stdout: str
    stderr: str


class Shell:
    """Runs `tagcast` in one home: in this process, or with `process` as a program of its own."""

    def __init__(self, home: Path, capture: pytest.CaptureFixture[str], **environ: str) -> None:
        self.environ = {"TAGCAST_HOME": str(home), "LANG": "C.UTF-8", **environ}
        self.capture = capture

    def __call__(self, *arguments: object, code: int = 0, process: bool = False, **environ: str) -> Done:
        line = [str(argument) for argument in arguments]
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("TAGCAST_", "LC_", "LANG"))]:
                patch.delenv(name)
            for name, value in {**self.environ, **environ}.items():
                patch.setenv(name, value)
            done = self._process(line) if process else self._here(line, patch)
        assert done.code == code, done.stdout + done.stderr
        return done

    def _process(self, line: list[str]) -> Done:
        command = [sys.executable, "-m", "tagcast", *line]
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return Done(ran.returncode, ran.stdout, ran.stderr)

    def _here(self, line: list[str], patch: pytest.MonkeyPatch) -> Done:
        patch.setattr("sys.stdin", io.StringIO())
        self.capture.readouterr()
        code = main(line)
        return Done(code, *self.capture.readouterr())

    def json(self, *arguments: object, **environ: str) -> Any:
        return json.loads(self(*arguments, "--json", **environ).stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def empty(home: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Before `tagcast init`."""
    return Shell(home, capsys)


@pytest.fixture
def tagcast(empty: Shell) -> Shell:
    empty("init")
    return empty
