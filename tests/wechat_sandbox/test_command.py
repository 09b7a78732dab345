"""`python -m wechat_sandbox`: its line, its state file, and what it says when it cannot start."""

import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.wechat_sandbox.conftest import start

from wechat_sandbox.server import _listen


def _refused(*options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wechat_sandbox", *options], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = _refused("--port", str(port), "--state", str(tmp_path / "state.db"))
    assert f"127.0.0.1:{port}" in said
    assert "--port 0" in said


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_a_file_that_is_no_state_file_is_left_alone(tmp_path: Path, fresh: tuple[str, ...]) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("dear reader, this is no database at all")
    assert str(file) in _refused("--state", str(file), *fresh)
    assert file.read_text().startswith("dear reader")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE mine(x)")
    other.close()
    before = file.read_bytes()
    assert "not written by this version" in _refused("--state", str(file))
    assert file.read_bytes() == before


def test_a_state_file_keeps_its_seed_and_people_unless_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    first = start(file, "--population", "50")
    people = first.people()
    first.stop()
    said = _refused("--state", str(file), "--seed", "6")
    assert "seed 5" in said
    assert "--fresh" in said
    again, anew = start(file, "--population", "70"), None
    try:
        assert again.people() == people
    finally:
        again.stop()
    anew = start(file, "--fresh", "--population", "70")
    try:
        assert len(anew.people()) == 70
    finally:
        anew.stop()
    for one in (first, again, anew):
        assert one.process.stdout is not None
        one.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, number: signal.Signals) -> None:
    running = start(tmp_path / "state.db", "--population", "50")
    running.process.send_signal(number)
    assert running.process.wait(10) == 0
    assert running.process.stdout is not None
    running.process.stdout.close()


def test_accounts_keep_their_order_over_a_restart(tmp_path: Path) -> None:
    running = start(tmp_path / "state.db", "--population", "10")
    for _ in range(11):
        running.post("/sandbox/accounts", {"kind": "official", "name": "号"})
    running.stop()
    again = start(tmp_path / "state.db")
    listed = [account["id"] for account in again.get("/sandbox/accounts")["accounts"]]
    again.stop()
    for one in (running, again):
        assert one.process.stdout is not None
        one.process.stdout.close()
    assert listed == list(range(1, 12))


def test_no_answer_waits_for_the_callers_confirmation() -> None:
    with _listen(0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
