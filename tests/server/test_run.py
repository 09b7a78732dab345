"""The server as a process: says where it is, ends in order, tells when it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tagcast import tracking
from tagcast.kit.uow import Runtime
from tagcast.server.run import _listen
from tests.tracking.serving import call

PROGRAM = """
import sys, threading
from pathlib import Path
from tagcast.kit.errors import Unavailable
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
from tagcast.server.run import run

home, port, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def beside(runtime, stop):
    (home / "started").touch()
    if mode == "dies":
        raise ZeroDivisionError
    stop.wait()
    (home / "ended").touch()

runtime = open_runtime(Settings(home=home, port=port))
try:
    run(runtime, background=beside)
except Unavailable as error:
    print(error.code, error.params)
    raise SystemExit(1)
print("closed")
"""


def start(home: Path, *, port: int = 0, mode: str = "stays") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(home), str(port), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_serves_and_ends_in_order(runtime_sqlite: Runtime) -> None:
    home = runtime_sqlite.settings.home
    with runtime_sqlite.work(1, "test") as work:
        link = tracking.make_link(work, "broadcast:1", "https://shop.example/")
        url = tracking.personal_urls(work, link, [3], "")[0]
    process = start(home)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    port = int(said["url"].removeprefix("http://127.0.0.1:"))
    assert call(port, "/livez")[0] == 200
    assert call(port, url)[0] == 302
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("closed\n", "", 0)
    assert (home / "ended").exists()
    with runtime_sqlite.work(1, "test") as work:
        assert tracking.fold(work) == 1


def test_a_taken_port_is_named(runtime_sqlite: Runtime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(runtime_sqlite.settings.home, port=port)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == f"server.port_taken {{'host': '127.0.0.1', 'port': {port}, 'reason': 'Address already in use'}}\n"


def test_it_does_not_go_on_without_its_worker(runtime_sqlite: Runtime) -> None:
    process = start(runtime_sqlite.settings.home, mode="dies")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out.splitlines()[-1] == "server.worker_died {'reason': 'ZeroDivisionError'}"


def test_no_answer_waits_for_the_callers_confirmation() -> None:
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
