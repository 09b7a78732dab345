"""A real Spark cluster on this machine: a master, two workers and a Connect server, all on the loopback address.

`python3 dev.py spark` installs Spark beside the environment (the package of the same name as its client) and runs this.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
WAIT_SECONDS = 120.0
TESTS = ("tests/lake/test_questions.py", "tests/behaviour/test_history_engines.py")


class NotStarted(Exception):
    """What is missing, and what to do."""


@contextmanager
def cluster(spark: Path, logs: Path) -> Iterator[str]:
    """The Connect address of a cluster; all its processes end with the block, by their ids. Raises NotStarted."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise NotStarted("Spark needs Java 17: apt-get install openjdk-17-jre-headless, or name one in JAVA_HOME.")
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    master, connect = _free_port(), _free_port()
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> None:
        with (logs / f"{name}.log").open("wb") as out:
            started.append(
                subprocess.Popen(
                    [str(spark / "bin" / command[0]), *command[1:]], stdout=out, stderr=subprocess.STDOUT,
                    env=_environment(spark, logs), cwd=logs, start_new_session=True,
                )
            )  # fmt: skip

    try:
        deploy = "org.apache.spark.deploy"
        start("master", "spark-class", f"{deploy}.master.Master", "--host", HOST, "--port", str(master),
              "--webui-port", "0")  # fmt: skip
        _wait_for(master, started, logs, "master")
        for number in (1, 2):
            work = ("--webui-port", "0", "--work-dir", str(logs / f"work{number}"))
            size = ("--host", HOST, "--cores", "1", "--memory", "1g")
            start(f"worker{number}", "spark-class", f"{deploy}.worker.Worker", *size, *work, f"spark://{HOST}:{master}")
        settings = {
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.connect.grpc.binding.address": HOST,
            "spark.connect.grpc.binding.port": str(connect),
            "spark.executor.memory": "700m",
            "spark.sql.shuffle.partitions": "2",
            "spark.locality.wait": "0",
            "spark.ui.enabled": "false",
        }
        server = "org.apache.spark.sql.connect.service.SparkConnectServer"
        given = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        start("connect", "spark-submit", "--master", f"spark://{HOST}:{master}", "--class", server, *given,
              "spark-internal")  # fmt: skip
        _wait_for(connect, started, logs, "connect")
        _wait_for_workers(logs / "master.log", started)
        yield f"sc://{HOST}:{connect}"
    finally:
        _end(started)


def _environment(spark: Path, logs: Path) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    return found | {
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_MASTER_HOST": HOST,
        "SPARK_LOCAL_DIRS": str(logs / "scratch"),
    }


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def _alive(started: list[subprocess.Popen[bytes]], logs: Path) -> None:
    for one in started:
        if one.poll() is not None:
            raise NotStarted(f"A process of the cluster ended by itself; its log is in {logs}.")


def _wait_for(port: int, started: list[subprocess.Popen[bytes]], logs: Path, name: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        _alive(started, logs)
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.2)
    raise NotStarted(f"The {name} did not answer in {WAIT_SECONDS:.0f} s; its log is in {logs}.")


def _wait_for_workers(log: Path, started: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while log.read_text("utf-8", "replace").count("Registering worker") < 2:
        _alive(started, log.parent)
        if time.monotonic() > end:
            raise NotStarted(f"The workers did not register in {WAIT_SECONDS:.0f} s; their logs are in {log.parent}.")
        time.sleep(0.2)


def _end(started: list[subprocess.Popen[bytes]]) -> None:
    """Each leads a group of its own, with the executors that it started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for one in reversed(started):
            with suppress(ProcessLookupError):
                os.killpg(one.pid, sent)
        for one in started:
            with suppress(subprocess.TimeoutExpired):
                one.wait(10)


def main(arguments: list[str]) -> int:
    """Run the engines' tests, or those that are named, against a cluster; the exit code."""
    root = Path(__file__).parents[2]
    spark = root / ".venv" / "spark" / "pyspark"
    begun = time.monotonic()
    # Whoever is told to stop ends the cluster too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with cluster(spark, root / ".dev" / "spark") as url:
            print(
                f"  Spark with two workers at {url} after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True
            )
            command = [sys.executable, "-m", "pytest", *(arguments or TESTS)]
            return subprocess.run(
                command, cwd=root, env={**os.environ, "TAGCAST_TEST_SPARK": url}, check=False
            ).returncode
    except NotStarted as problem:
        print(f"\n✗ {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
