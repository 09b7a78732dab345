"""The rules of the house that import-linter cannot say, and the house's budgets."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

# Who may import a third-party engine: one file or folder each.
ENGINES = {
    "aiohttp": {"tagcast.kit.http", "wechat_sandbox.callbacks"},
    "alembic": {"tagcast.access.home"},
    "charset_normalizer": {"tagcast.files"},
    "cronsim": {"tagcast.broadcasts.timing"},
    "cryptography": {"tagcast.kit.crypto", "tagcast.channels", "wechat_sandbox.crypto"},
    "deltalake": {"tagcast.lake"},
    "duckdb": {"tagcast.lake"},
    "fastapi": {"tagcast.*.api", "tagcast.access.guard", "tagcast.server"},
    "holidays": {"tagcast.broadcasts.timing"},
    "ibis": {"tagcast.lake"},
    "jinja2": {"tagcast.reports", "tagcast.tracking", "tagcast.broadcasts.previews"},
    "lark": {"tagcast.audiences"},
    "numpy": None,
    "pandas": set(),
    "polars": set(),
    "psycopg": set(),
    "pyarrow": {"tagcast.files", "tagcast.behaviour", "tagcast.lake"},
    "pyreqwest": {"tagcast.kit.fasthttp"},
    "pyspark": {"tagcast.lake"},
    "rich": {"tagcast.cli"},
    "scipy": {"tagcast.statistics"},
    "sqlglot": {"tagcast.lake"},
    "structlog": {"tagcast.kit.logs"},
    "typer": {"tagcast.cli"},
    "uvicorn": {"tagcast.server", "wechat_sandbox"},
    "uvloop": {"tagcast.kit.loop"},
}

# The only calls of `.begin(`; nobody calls `.commit(`.
TRANSACTIONS = {
    "tagcast/kit/uow.py": "the unit of work",
    "tagcast/access/home.py": "migrations run before there is a runtime",
}

# Names that open a connection to somewhere else.
CONNECTORS = re.compile(
    r"\b(?:socket\.create_connection|\.connect\(\(|urllib\.request|http\.client|aiohttp\.ClientSession|urlopen|requests\.|"
    r"httpx\.|asyncio\.open_connection|smtplib|ftplib)"
)

FILE_LINES = 400
FUNCTION_LINES = 50
POSITIONAL = 5
# path or path:function -> why it may be larger
LARGER: dict[str, str] = {}

# Tables without a workspace column -> why.
NOT_BY_WORKSPACE = {
    "workspace": "is the workspace",
    "alembic_version": "Alembic's own",
}


def sources(*roots: str) -> Iterator[Path]:
    """Python files below the roots, migrations left out: they are history."""
    for root in roots:
        for file in sorted((ROOT / root).rglob("*.py")):
            if "migrations" not in file.parts:
                yield file


def short(file: Path) -> str:
    return file.relative_to(SRC if file.is_relative_to(SRC) else ROOT).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("tagcast", "wechat_sandbox", include_external_packages=True, cache_dir=None)


def test_modules_are_used_through_their_front_door_only(graph: grimp.ImportGraph) -> None:
    open_folders = {"kit"}  # a tool box: each of its files is a front door
    back_doors = set()
    for importer in sorted(graph.modules):
        for imported in graph.find_modules_directly_imported_by(importer):
            parts = imported.split(".")
            if parts[0] != "tagcast" or len(parts) < 3 or parts[1] in open_folders:
                continue
            inside = importer.split(".")[:2] == parts[:2]
            mounts_route = parts[2] == "api" and importer.startswith("tagcast.server")
            runs_step = parts[2] in ("workflows", "delivery") and importer == "tagcast.worker"
            public = parts[2] in getattr(importlib.import_module(".".join(parts[:2])), "__all__", ())
            if not (inside or mounts_route or runs_step or public):
                back_doors.add(f"{importer} -> {imported}")
    assert back_doors == set()


def test_each_engine_is_known_in_one_place(graph: grimp.ImportGraph) -> None:
    wrong = set()
    for engine, allowed in ENGINES.items():
        if allowed is None or engine not in graph.modules:
            continue
        for importer in graph.find_modules_that_directly_import(engine):
            if not any(_covers(place, importer) for place in allowed):
                wrong.add(f"{importer} -> {engine}")
    assert wrong == set()


def _covers(place: str, module: str) -> bool:
    pattern = re.escape(place).replace(r"\*", "[^.]+")
    return re.fullmatch(rf"{pattern}(\..*)?", module) is not None


def test_every_third_party_package_has_its_place(graph: grimp.ImportGraph) -> None:
    ours = {"tagcast", "wechat_sandbox"}
    everywhere = {
        "sqlalchemy",
        "pydantic",
        "pydantic_core",
        "orjson",
        "pyroaring",
        "starlette",
        "multipart",
        "click",
        "yarl",
    }
    found = {module.partition(".")[0] for module in graph.modules} - ours - set(sys.stdlib_module_names)
    assert found - everywhere - set(ENGINES) == set()


def test_only_the_unit_of_work_commits() -> None:
    found = {}
    for file in sources("src/tagcast"):
        text = file.read_text("utf-8")
        if short(file) not in TRANSACTIONS and (calls := re.findall(r"\.commit\(|\.begin\(\)", text)):
            found[short(file)] = calls
    assert found == {}


def test_only_http_opens_outbound_connections() -> None:
    found = {
        short(file): matches
        for file in sources("src/tagcast")
        if short(file) != "tagcast/kit/http.py" and (matches := CONNECTORS.findall(file.read_text("utf-8")))
    }
    assert found == {}


def test_only_channels_speak_to_the_platforms() -> None:
    words = re.compile(r"cgi-bin|access_token=|errcode\b.*40001")
    found = [
        short(file)
        for file in sources("src/tagcast")
        if "channels" not in file.parts and words.search(file.read_text("utf-8"))
    ]
    assert found == []


def test_files_and_functions_keep_their_budgets() -> None:
    over = {}
    for file in sources("src", "bench"):
        lines = len(file.read_text("utf-8").splitlines())
        if lines > FILE_LINES:
            over[short(file)] = f"{lines} lines"
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{short(file)}:{node.name}"
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    over[name] = f"{length} lines"
                positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
                if len(positional) > POSITIONAL and "cli/" not in name and "/api" not in name:
                    over[name] = f"{len(positional)} positional parameters"
    assert {name: what for name, what in over.items() if name not in LARGER} == {}
    assert set(LARGER) - set(over) == set(), "an exception that is needed no longer"


def test_every_module_and_public_function_says_what_it_is() -> None:
    silent = []
    for file in sources("src"):
        if ast.get_docstring(tree(file)) is None and file.read_text("utf-8").strip():
            silent.append(short(file))
        for node in tree(file).body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if "api" in (file.stem, file.parent.name) and node in _routes(tree(file)):
                continue  # a route says what it is in its summary
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
                silent.append(f"{short(file)}:{node.name}")
    assert silent == []


def _routes(module: ast.Module) -> list[ast.stmt]:
    """Functions whose decorator gives a summary."""
    return [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(one, ast.Call) and any(word.arg == "summary" for word in one.keywords)
            for one in node.decorator_list
        )
    ]


def test_every_table_belongs_to_a_workspace() -> None:
    from tagcast import bitmaps
    from tagcast.kit import db
    from tests.conftest import _import_tables

    _import_tables()
    tables = [*db.metadata.tables.values(), *bitmaps.metadata.tables.values()]
    assert {table.name for table in tables if "workspace" not in table.c} - set(NOT_BY_WORKSPACE) == set()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing is tracked")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Written in pieces, so that this file does not find itself.
FORBIDDEN = {
    "a registry's address": "pypi" + r"\.org|files\.pythonhosted|registry\.npmjs|tuna\.tsinghua|mirrors\.aliyun",
    "a path of one machine": r"(?<![\w.])/" + r"(?:root|home/\w+|opt/pypi|work/\w+)/",
    "an open end": r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b",
    "a file's address in a lock": r"(?:resolved|url)\W{1,4}https?://\S+\.(?:whl|tgz|tar\.gz)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_tracked_files_hold_no(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for file in tracked():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


def test_silenced_checks_say_why() -> None:
    bare = re.compile(r"#\s*(?:type: ignore(?:\[[\w, -]+\])?|noqa(?:: [A-Z0-9, ]+)?)\s*$")
    found = []
    for file in sources("src", "tests", "bench"):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if bare.search(line):
                found.append(f"{short(file)}:{number}")
    assert found == []
