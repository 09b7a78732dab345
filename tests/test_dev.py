"""The set-up script: what it says when something is missing, and that its locks hold."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "dev.py"), *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with nothing but the script and its locks."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    for name in ("dev.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_help_names_every_command(dev: ModuleType) -> None:
    shown = run(ROOT, "--help").stdout
    assert [name for name in (*dev.LAYERS, "lock", "doctor") if f"dev.py {name}" not in shown] == []


def test_help_of_a_command_starts_nothing(dev: ModuleType) -> None:
    for name in dev.PLAIN:
        done = run(ROOT, name, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"python3 dev.py {name}")


def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    done = run(ROOT, "tset")
    assert done.returncode == 2
    assert "'tset'" in done.stderr
    assert "test" in done.stderr


def test_an_old_python_is_named(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 4, "final", 0))
    assert dev.main(["demo"]) == 2
    assert "needs python 3.11" in capsys.readouterr().err


def test_without_an_index_it_says_so_and_remembers_nothing(clone: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    done = run(clone, "demo", **nowhere, PIP_FIND_LINKS="", PIP_NO_CACHE_DIR="1")
    assert done.returncode == 1
    assert "install uv failed" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr
    assert not (clone / ".venv" / ".stamps" / "uv").exists()


def test_an_incomplete_clone_is_named(clone: Path) -> None:
    (clone / "requirements" / "uv.txt").unlink()
    done = run(clone, "demo")
    assert done.returncode == 1
    assert "uv.txt" in done.stderr


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("error: No space left on device (os error 28)", "disk is full"),
        ("error sending request for url", "index does not answer"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "differs from the lock"),
        ("OSError: [Errno 30] Read-only file system", "cannot be written"),
    ],
)
def test_a_failed_step_ends_with_what_to_do(dev: ModuleType, output: str, remedy: str) -> None:
    assert remedy in dev.explain("install", output).splitlines()[-1]


def test_a_stamp_follows_the_content_of_every_input(dev: ModuleType, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    before = dev.stamp(one, two)
    assert dev.stamp(one, two) == before
    two.write_text("c")
    assert dev.stamp(one, two) != before


def test_settings_of_pip_reach_uv(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://mirror.example/simple\nextra-index-url = https://a.example https://b.example\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://nearer.example/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.setenv("UV_INDEX", "https://mine.example/simple")
    env = dev.uv_environment()
    assert env["UV_DEFAULT_INDEX"] == "https://nearer.example/simple"
    assert env["UV_INDEX"] == "https://mine.example/simple"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_locks_hold_names_versions_and_hashes_only(lock: Path) -> None:
    lines = lock.read_text("utf-8").splitlines()
    shape = re.compile(r"[a-z0-9._-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not shape.fullmatch(line)] == []
    assert len(lines) >= 2


def test_all_locks_agree_on_versions() -> None:
    found: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^(\S+?)==(\S+)", lock.read_text("utf-8"), re.MULTILINE):
            found.setdefault(name, set()).add(version)
    by_python = {"deprecated", "numpy", "scipy"}  # the newest that each python still has
    assert {name for name, versions in found.items() if len(versions) > 1} - by_python == set()
    assert {len(found[name]) for name in by_python} == {2}
