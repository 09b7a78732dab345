"""The main job by hand, as the tutorial tells it: every block of the page is run, its outcome checked exactly."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import wipe

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of the answer"


class Block(NamedTuple):
    """A block of the page: commands with their answers, or a file."""

    kind: str
    file: str
    text: str


class Command(NamedTuple):
    """A command and the answer that the page shows."""

    line: str
    answer: str


def commands(block: Block) -> list[Command]:
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", block
    return [Command(*part.partition("\n")[::2]) for part in parts[1:]]


def as_pattern(answer: str) -> str:
    """`…` stands for anything within a line, alone on a line for any number of lines."""
    lines = [
        ".*" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + "\n" for line in answer.splitlines()
    ]
    return "".join("(?:.*\n)*" if line == ".*" else line.replace(".*?", "[^\n]*") for line in lines)


class Terminal:
    """One bash for the whole page, in a folder of its own."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAGCAST_", "LC_", "LANG"))}
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            text=True,
            bufsize=1,
            start_new_session=True,
            env={**kept, "LANG": "C.UTF-8", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environ},
        )

    def type(self, line: str) -> str:
        """Run a line; what it says on both channels."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{line}\necho '{END}' $?\n")
        said = []
        for answer in self.shell.stdout:
            before, found, code = answer.partition(END)
            if found:
                said.append(before)
                assert code.strip() == "0", (line, "".join(said))
                return "".join(said)
            said.append(answer)
        raise AssertionError((line, said))

    def close(self) -> None:
        os.killpg(self.shell.pid, signal.SIGTERM)
        self.shell.wait(30)
        for pipe in (self.shell.stdin, self.shell.stdout):
            assert pipe is not None
            pipe.close()


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, port
        time.sleep(0.1)


@contextmanager
def told(folder: Path, url: str) -> Iterator[tuple[int, int, list[tuple[Command, str]]]]:
    """Type the whole page. Only its two ports are others, for they may be taken here."""
    box, api = free_ports()
    terminal = Terminal(
        folder,
        WECHAT_SANDBOX_URL=f"http://127.0.0.1:{box}",
        TAGCAST_PORT=str(api),
        TAGCAST_PUBLIC_URL=f"http://127.0.0.1:{api}",
        **({"TAGCAST_DATABASE_URL": url} if url else {}),
    )
    said = []
    try:
        page = PAGE.read_text("utf-8").replace("8400", str(box)).replace("8300", str(api))
        for block in [Block(*found) for found in BLOCK.findall(page)]:
            if block.file:
                (folder / block.file).write_text(block.text, "utf-8")
                continue
            for command in commands(block):
                answer = terminal.type(command.line)
                if command.line.endswith("&"):
                    wait_for_port(box if "sandbox" in command.line else api)
                said.append((command, answer))
        yield box, api, said
    finally:
        terminal.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_tutorial_comes_true(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = ""
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
        wipe(url)
    with told(tmp_path, url) as (box, api, said):
        for command, answer in said:
            assert re.fullmatch(as_pattern(command.answer), answer), f"$ {command.line}\n{answer}\n{command.answer}"
        shown = {command.line: answer for command, answer in said}
        key = (tmp_path / "api-key.txt").read_text().strip()

        def ask(path: str) -> Any:
            return http(f"http://127.0.0.1:{api}/api/v1/{path}", {"Authorization": f"Bearer {key}"})

        progress, report = ask("broadcasts/1/progress"), ask("reports/broadcasts/1")
        people = {name: ask(f"broadcasts/1/sets/{name}?limit=1000")["contacts"] for name in ("assigned", "holdout")}
        check_sums(progress, report, people)
        check_rule(api, key)
        check_effect(report, shown)
        following = [ask(f"contacts/{number}")["identities"] for number in people["assigned"]]
        verdict = http(
            f"http://127.0.0.1:{box}/sandbox/ledger/judge",
            {"Content-Type": "application/json"},
            {"account": 1, "expected": [one["openid:1"] for one in following]},
        )
        assert {name: verdict[name] for name in ("lost", "duplicated", "forbidden", "unexpected")} == {
            "lost": 0, "duplicated": 0, "forbidden": 0, "unexpected": 0,
        }  # fmt: skip
        assert verdict["asked"] == progress["assigned"]
        assert verdict["arrived"] == progress["states"]["delivered"]
        assert "<svg" in (tmp_path / "report.html").read_text("utf-8")


def http(url: str, headers: dict[str, str], body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
        return json.load(answer)


def check_rule(port: int, key: str) -> None:
    """Who bought during the story holds the rule's tag, and nobody else."""
    base, headers = f"http://127.0.0.1:{port}/api/v1", {"Authorization": f"Bearer {key}"}
    end = time.monotonic() + 60
    while (rule := http(f"{base}/rules/1", headers))["lag"] != 0:
        assert time.monotonic() < end, rule
        time.sleep(0.1)
    counted = http(f"{base}/segments/count", headers | {"Content-Type": "application/json"}, {"text": rule["text"]})
    assert rule["state"] == "active"
    assert rule["holders"] == counted["count"] > 0


def check_sums(progress: dict[str, Any], report: dict[str, Any], people: dict[str, list[int]]) -> None:
    """Every recipient has one state; everybody addressed is left out for one reason, held out, or sent to."""
    assert progress["state"] == "finished"
    assert sum(progress["states"].values()) == progress["assigned"] == len(people["assigned"])
    assert progress["holdout"] == len(people["holdout"])
    assert not set(people["assigned"]) & set(people["holdout"])
    assert sum(one["count"] for one in progress["failures"]) == progress["states"]["failed"]
    steps = {step["name"]: step["count"] for step in report["waterfall"]}
    assert steps["assigned"] == progress["assigned"]
    assert steps["holdout"] == progress["holdout"]
    assert sum(steps.values()) == 2 * steps["addressed"]
    assert progress["holdout"] == round(0.2 * (progress["assigned"] + progress["holdout"]))
    assert report["states"] == progress["states"]


def check_effect(report: dict[str, Any], shown: dict[str, str]) -> None:
    """What people did in the sandbox is what the report says."""
    acted = dict(line.split() for line in shown["tagcast sandbox act --days 3"].splitlines())
    figures = {one["name"]: one for one in report["figures"]}
    # Who opens what a friend shared is one more visit, and nobody more of the recipients.
    visits = {one["name"]: one["value"] for one in report["visits"]}
    assert 50 < figures["opened"]["numerator"] <= visits["visits_opened"] == int(acted["opened"])
    assert 5 < figures["clicked"]["numerator"] <= visits["visits_clicked"] == int(acted["clicked"])
    assert figures["opened"]["denominator"] == report["states"]["delivered"]
    effect = report["effect"]
    assert effect["sent"]["denominator"] == report["assigned"]
    assert effect["holdout"]["denominator"] == report["holdout"]
    assert 0 < effect["sent"]["numerator"] + effect["holdout"]["numerator"] <= int(acted["bought"])
    reported = ast.literal_eval(shown["python3 report_orders.py"])
    assert reported == {"recorded": int(acted["bought"]), "known": 0, "already": False, "refused": []}
