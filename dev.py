#!/usr/bin/env python3
"""Tagcast from a clean clone: python3 and pip are all it needs.

python3 dev.py demo            set up, run the main job end to end, print the report
python3 dev.py test            set up, check (ruff, mypy, import-linter), run all tests
python3 dev.py test ARGS       only pytest, with these arguments
python3 dev.py check           only ruff, mypy and import-linter
python3 dev.py bench ARGS      set up the peers, then `tagcast bench ARGS`
python3 dev.py fuzz ARGS       fuzz the callbacks; --minutes 10, --seed 7
python3 dev.py docs            write the reference pages that are made from the code
python3 dev.py chaos ARGS      faults of the platforms and kills at random; --minutes 10, --seed 7, --matrix
python3 dev.py spark ARGS      the lake's questions, or these tests, on a Spark cluster of two workers; needs Java 17
python3 dev.py run ARGS        `tagcast ARGS`
python3 dev.py lock            write the locks for what pyproject.toml asks; with --upgrade: newest versions
python3 dev.py doctor          what this machine has and lacks

It makes `.venv`, puts a pinned uv in it and installs the locked requirements, every file checked by its hash. Nothing
outside this folder and the package caches is touched. Index settings of pip and uv are respected.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

LEAST = (3, 11)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
UV = BIN / ("uv.exe" if os.name == "nt" else "uv")
LOCKS = ROOT / "requirements"
NEEDED_BYTES = 1_500_000_000

# What each command needs installed, in this order.
LAYERS = {
    "demo": ("base", "demo"), "run": ("base",), "test": ("test",), "check": ("test",), "fuzz": ("test",),
    "bench": ("test", "bench"), "chaos": ("test",), "docs": ("test",),
    "spark": ("test",),
}  # fmt: skip

# Commands without a help of their own: they would do their work, or print another program's.
PLAIN = ("spark", "check", "docs", "lock", "doctor")

# Commands that are a module of the tests.
MODULES = {
    "spark": "tests.lake.cluster",
    "chaos": "tests.flows.chaos",
    "docs": "tests.endpoints",
    "fuzz": "tests.inbox.fuzz",
}

REMEDIES = (
    (
        ("no space left", "os error 28", "disk quota"),
        "The disk is full: free about 1.5 GB (this folder and the package cache under ~/.cache), then run it again.",
    ),
    (
        ("hash mismatch", "do not match the hashes"),
        "A file differs from the lock. If a mirror serves changed files, name another index and run it again.",
    ),
    (
        (
            "dns error", "name resolution", "failed to fetch", "error sending request", "connection refused",
            "could not connect", "network is unreachable", "timed out", "no matching distribution found", "no route to",
        ),
        "The package index does not answer. Check the network or HTTPS_PROXY, or name a mirror with PIP_INDEX_URL.",
    ),
    (("permission denied", "read-only file system"), "This folder cannot be written. Use a copy that is yours."),
)  # fmt: skip


class Failed(Exception):
    """A step that cannot go on: what is wrong, and what to do about it."""


def say(text: str) -> None:
    """A line for the person, on stderr; stdout belongs to what is run."""
    print(text, file=sys.stderr, flush=True)


def step(title: str, command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command while showing its title and the seconds. Raises Failed with the end of its output."""
    started = time.monotonic()
    done = threading.Event()
    live = sys.stderr.isatty()

    def tick() -> None:
        while not done.wait(0.5):
            print(f"\r  … {title}  {time.monotonic() - started:.0f} s ", end="", file=sys.stderr, flush=True)

    if live:
        threading.Thread(target=tick, daemon=True).start()
    else:
        say(f"  … {title}")
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=env, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise Failed(f"{title}: {command[0]} does not start ({error.strerror}).") from error
    finally:
        done.set()
    seconds = time.monotonic() - started
    if result.returncode != 0:
        raise Failed(explain(title, result.stdout))
    say(f"{chr(13) if live else ''}  ✓ {title}  {seconds:.1f} s ")


def explain(title: str, output: str) -> str:
    """The end of a failed step's output, then what to do."""
    lowered = output.lower()
    remedy = next((text for marks, text in REMEDIES if any(mark in lowered for mark in marks)), "")
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-12:])
    return f"{title} failed.\n{tail}\n{remedy}".rstrip()


def works(command: list[str]) -> bool:
    """Whether a command can be run and ends well."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def stamp(*parts: Path) -> str:
    """What an installation depends on: the interpreter and the content of files."""
    total = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for part in parts:
        total.update(part.name.encode() + b"\0" + part.read_bytes())
    return total.hexdigest()


def is_current(name: str, wanted: str) -> bool:
    """Whether a layer was installed from exactly these inputs."""
    file = VENV / ".stamps" / name
    return file.exists() and file.read_text("ascii") == wanted


def make_venv() -> None:
    """An environment without pip (Debian's python has no ensurepip), then the pinned uv in it through pip."""
    place = VENV / ".stamps" / "place"
    moved = place.exists() and place.read_text("utf-8") != str(ROOT)
    if moved or not works([str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]):
        free = shutil.disk_usage(ROOT).free
        if free < NEEDED_BYTES:
            raise Failed(f"Only {free / 1e9:.1f} GB are free here; about {NEEDED_BYTES / 1e9:.1f} GB are needed.")
        step("make .venv", [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
        place.parent.mkdir(exist_ok=True)
        place.write_text(str(ROOT), "utf-8")
    wanted = stamp(LOCKS / "uv.txt")
    if is_current("uv", wanted) and UV.exists():
        return
    locked = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    locked += ["--only-binary=:all:", "-r", str(LOCKS / "uv.txt")]
    step("install uv", [*find_pip(), *locked])
    remember("uv", wanted)


def remember(name: str, wanted: str) -> None:
    """Note that a layer stands; written last, so that an interrupted one is done again."""
    folder = VENV / ".stamps"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(wanted, "ascii")


def find_pip() -> list[str]:
    """A pip that installs into .venv. Raises Failed when this machine has none."""
    base = getattr(sys, "_base_executable", sys.executable)
    for python in dict.fromkeys((sys.executable, base, shutil.which("python3") or sys.executable)):
        outside = [python, "-m", "pip", "--python", str(PYTHON)]
        if works([*outside, "--version"]):
            return outside
    if works([str(PYTHON), "-m", "ensurepip"]):
        return [str(PYTHON), "-m", "pip"]
    raise Failed(
        "There is no pip (22.3 or later) for this python, and it cannot make one.\n"
        "On Debian and Ubuntu: apt-get install python3-pip. Elsewhere: python3 -m ensurepip --user."
    )


def uv_environment() -> dict[str, str]:
    """The environment for uv: pip's own index settings stand unless uv has some."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    settings = pip_settings()
    for option, name, separator in (
        ("index-url", "UV_DEFAULT_INDEX", " "),
        ("extra-index-url", "UV_INDEX", " "),
        ("find-links", "UV_FIND_LINKS", ","),
        ("trusted-host", "UV_INSECURE_HOST", " "),
        ("cert", "SSL_CERT_FILE", ""),
    ):
        if option in settings and name not in env:
            env[name] = separator.join(settings[option].split()) if separator else settings[option]
    # pip looks for the best file in all indexes; each file is held to the lock's hash, so this opens nothing.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    env.setdefault("UV_LINK_MODE", "hardlink" if same_disk() else "copy")
    return env


def same_disk() -> bool:
    """Whether uv's cache and this folder lie on one file system, so that files can be linked."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home())
    while not cache.exists() and cache != cache.parent:
        cache = cache.parent
    return cache.stat().st_dev == ROOT.stat().st_dev


def pip_settings() -> dict[str, str]:
    """pip's configuration (files, then environment), by option."""
    try:
        listed = subprocess.run(
            [*find_pip(), "config", "list"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout
    except Failed:
        return {}
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, equals, value = line.partition("=")
        if equals and name.partition(".")[0] in ("global", "install", ":env:"):
            try:
                found[name.partition(".")[2]] = str(ast.literal_eval(value))
            except (SyntaxError, ValueError):
                continue
    return found


def install(layer: str, env: dict[str, str]) -> None:
    """Install one locked layer; a second pair of commands puts the project itself in, built by locked tools."""
    lock = LOCKS / f"{layer}.txt"
    uv = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON)]
    wanted = stamp(lock)
    if not is_current(layer, wanted):
        count = sum("==" in line for line in lock.read_text("utf-8").splitlines())
        name = f"{count} package{'s' if count > 1 else ''} ({layer})"
        step(f"install {name}", [*uv, "--no-deps", "--require-hashes", "-r", str(lock)], env)
        remember(layer, wanted)
    project = stamp(ROOT / "pyproject.toml", LOCKS / "build.txt")
    if not is_current("project", project):
        step("install the build tools", [*uv, "--no-deps", "--require-hashes", "-r", str(LOCKS / "build.txt")], env)
        step("install tagcast", [*uv, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], env)
        remember("project", project)


def install_spark() -> None:
    """Spark beside the environment, in a folder of its own: its package has the name of its client's."""
    place = VENV / "spark"
    wanted = stamp(LOCKS / "spark.txt")
    if is_current("spark", wanted) and place.exists():
        return
    uv = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON), "--target", str(place)]
    locked = ["--no-deps", "--require-hashes", "-r", str(LOCKS / "spark.txt")]
    step("install Spark (400 MB)", [*uv, *locked], uv_environment())
    remember("spark", wanted)


def set_up(command: str) -> None:
    """Make everything that a command needs; nothing to do when nothing changed."""
    make_venv()
    layers = LAYERS[command]
    names = [*(f"{layer}.txt" for layer in layers), "build.txt"]
    if missing := [name for name in names if not (LOCKS / name).exists()]:
        raise Failed(f"requirements/{missing[0]} is missing: this clone is not complete.")
    stale = [layer for layer in layers if not is_current(layer, stamp(LOCKS / f"{layer}.txt"))]
    if stale or not is_current("project", stamp(ROOT / "pyproject.toml", LOCKS / "build.txt")):
        env = uv_environment()
        for layer in layers:
            install(layer, env)


def in_venv(*command: str) -> int:
    """Run .venv's python with arguments as if it were activated; the exit code."""
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    env.pop("PYTHONHOME", None)
    started = subprocess.Popen([str(PYTHON), *command], cwd=ROOT, env=env)
    while True:
        try:
            return started.wait()
        except KeyboardInterrupt:  # the program got the signal too: let it end in its own way
            continue


def check() -> int:
    """ruff, mypy and import-linter, all of them; the first failure's exit code."""
    first = 0
    targets = [name for name in ("src", "tests", "bench", "dev.py") if (ROOT / name).exists()]
    for title, command in (
        ("ruff check", ["-m", "ruff", "check", "--quiet", *targets]),
        ("ruff format", ["-m", "ruff", "format", "--check", "--quiet", *targets]),
        ("mypy", ["-m", "mypy", "--no-error-summary"]),
        ("import-linter", ["-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-logo"]),
    ):
        started = time.monotonic()
        code = in_venv(*command)
        say(f"  {'✓' if code == 0 else '✗'} {title}  {time.monotonic() - started:.1f} s")
        first = first or code
    return first


def lock(rest: list[str]) -> int:
    """Resolve the requirements: the base first, the others held to its versions."""
    make_venv()
    env = uv_environment()
    compiled = [
        str(UV), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--python", str(PYTHON), *rest,
    ]  # fmt: skip
    held = ["-c", "requirements/base.txt"]
    for name, inputs in (
        ("uv", ["requirements/uv.in"]),
        ("build", ["requirements/build.in"]),
        ("base", ["pyproject.toml", "--extra", "postgres"]),
        ("demo", ["--no-deps", "requirements/demo.in"]),
        ("test", ["pyproject.toml", "--group", "test", *held]),
        ("bench", ["pyproject.toml", "--group", "bench", "-c", "requirements/test.txt"]),
        ("spark", ["--group", "spark", "-c", "requirements/test.txt"]),
    ):
        step(f"lock {name}", [*compiled, "-o", f"requirements/{name}.txt", *inputs], env)
    return 0


def doctor() -> int:
    """What this machine has and lacks for the commands above."""
    try:
        pip = " ".join(find_pip())
    except Failed as problem:
        pip = ""
        say(f"  ✗ pip: {problem}")
    free = shutil.disk_usage(ROOT).free
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or shutil.which("postgres")
    rows = [
        (True, f"python {sys.version.split()[0]} ({sys.executable})"),
        (bool(pip), f"pip: {pip}" if pip else "pip: missing"),
        (free > NEEDED_BYTES, f"{free / 1e9:.1f} GB free here"),
        (PYTHON.exists(), ".venv is there" if PYTHON.exists() else ".venv: not made yet, the first command makes it"),
        (True, f"PostgreSQL for the tests: {'found' if postgres else 'the one among the test requirements'}"),
    ]
    for layer in ("base", "demo", "test", "bench"):
        current = is_current(layer, stamp(LOCKS / f"{layer}.txt"))
        rows.append((True, f"{layer}: {'installed' if current else 'installed when a command needs it'}"))
    for fine, text in rows:
        say(f"  {'✓' if fine else '✗'} {text}")
    return 0 if pip and free > NEEDED_BYTES else 1


def run(command: str, rest: list[str]) -> int:
    """One command of the list at the top of this file."""
    if command == "lock":
        return lock(rest)
    if command == "doctor":
        return doctor()
    started = time.monotonic()
    set_up(command)
    if (seconds := time.monotonic() - started) > 2:
        say(f"  ready after {seconds:.0f} s")
    if command == "check":
        return check()
    if command == "test":
        # A file's tests share servers and databases, so whole files are dealt out; many of them wait, so one more runs.
        dealt = ["-n", str(max(2, min(4, (os.cpu_count() or 1) + 1))), "--dist", "loadfile"]
        return in_venv("-m", "pytest", *rest) if rest else check() or in_venv("-m", "pytest", *dealt)
    if command == "spark":
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            raise Failed("Spark needs Java 17. On Debian and Ubuntu: apt-get install openjdk-17-jre-headless.")
        install_spark()
    if command in MODULES:
        return in_venv("-m", MODULES[command], *rest)
    prefix = [] if command == "run" else [command]
    return in_venv("-m", "tagcast", *prefix, *rest)


def main(arguments: list[str]) -> int:
    """Exit code of a command line."""
    if sys.version_info < LEAST:  # the point of the line: say it instead of failing later
        say(f"Tagcast needs python 3.11 or later; this is {sys.version.split()[0]}. Run dev.py with a newer python3.")
        return 2
    command, *rest = arguments or ["help"]
    plain = command in PLAIN and {"-h", "--help"} & set(rest)
    if plain or command in ("help", "-h", "--help"):
        lines = (__doc__ or "").splitlines()
        print(next(one for one in lines if one.startswith(f"python3 dev.py {command}")) if plain else __doc__)
        return 0
    if command not in {*LAYERS, "lock", "doctor"}:
        say(f"dev.py has no command {command!r}. It has: {', '.join((*LAYERS, 'lock', 'doctor'))}.")
        return 2
    try:
        return run(command, rest)
    except Failed as problem:
        say(f"\n✗ {problem}")
    except OSError as error:
        say(f"\n✗ {explain(command, str(error))}")
    except KeyboardInterrupt:
        say("\nInterrupted. Run the same command again: it goes on where it stopped.")
        return 130
    return 1


def _exit() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    _exit()
