"""Writes docs/reference/endpoints.md: each endpoint of the platforms, who calls it, who imitates it, who tests it.

Everything is read from the code: paths from the clients' calls, the sandbox's table of routes, the tests' calls.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = ROOT / "src" / "tagcast" / "channels"
TARGET = ROOT / "docs" / "reference" / "endpoints.md"
PATH = re.compile(r"/(?:cgi-bin|sns|wxa|wxaapi|datacube|connect|v3\.0)/[\w/.]+")
PLATFORMS = {"official": "公众号 · 服务号 · 小程序", "wecom": "企业微信", "ads": "腾讯广告"}


@dataclass
class Endpoint:
    """One path of a platform."""

    platform: str
    path: str
    methods: list[str] = field(default_factory=list)
    imitated: bool = False
    tests: list[str] = field(default_factory=list)


def client_calls() -> dict[tuple[str, str], list[str]]:
    """(platform, path) → the clients' methods that call it, as a caller writes them after the client."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for platform in PLATFORMS:
        families = _families(CHANNELS / platform / "client.py")
        for file in sorted((CHANNELS / platform).glob("*.py")):
            for owner, function in _functions(ast.parse(file.read_text("utf-8"))):
                name = function.name if owner is None else f"{families.get(owner, owner)}.{function.name}"
                for path in _paths(function):
                    found[platform, path].append(name.removeprefix("self."))
    return found


def _families(client: Path) -> dict[str, str]:
    """Class → the attribute of the client that holds it; the client's own class → self."""
    named: dict[str, str] = {}
    for node in ast.walk(ast.parse(client.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Client"):
            named[node.name] = "self"
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            and isinstance(node.targets[0], ast.Attribute)
        ):
            named[node.value.func.id] = node.targets[0].attr
    return named


def _functions(tree: ast.Module) -> Iterator[tuple[str | None, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield None, node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name, part


def _paths(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PATH.fullmatch(node.value):
            yield node.value


def imitated() -> dict[str, tuple[str, ...]]:
    """Path → the kinds of account that may call it in the sandbox."""
    sys.path.insert(0, str(ROOT / "src"))
    from wechat_sandbox.app import ROUTES

    return {path: route.kinds for path, route in ROUTES.items() if PATH.fullmatch(path)}


def calls_in_tests() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """(family.method → test files, path → test files)."""
    methods: defaultdict[str, set[str]] = defaultdict(set)
    paths: defaultdict[str, set[str]] = defaultdict(set)
    for file in sorted((ROOT / "tests").rglob("*.py")):
        text = file.read_text("utf-8")
        name = file.relative_to(ROOT / "tests").as_posix()
        for path in PATH.findall(text):
            paths[path].add(name)
        if file.is_relative_to(ROOT / "tests" / "channels"):
            for method in _named(ast.parse(text)):
                methods[method].add(name)
    return methods, paths


def _named(tree: ast.AST) -> Iterator[str]:
    """Names, attributes, and attributes with what stands before their dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
            if isinstance(node.value, ast.Attribute | ast.Name):
                yield f"{node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id}.{node.attr}"


def endpoints() -> list[Endpoint]:
    """All endpoints that a client calls or the sandbox imitates, by platform and path."""
    called, routes = client_calls(), imitated()
    methods, paths = calls_in_tests()
    keys = set(called)
    for path, kinds in routes.items():
        platforms = {kind if kind in {"wecom", "ads"} else "official" for kind in kinds}
        known = {platform for platform in platforms if (platform, path) in called}
        keys |= {(platform, path) for platform in (known or platforms)}
    found = []
    for platform, path in sorted(keys, key=lambda key: (list(PLATFORMS).index(key[0]), key[1])):
        names = called.get((platform, path), [])
        tests = set(paths.get(path, ()))
        for name in names:
            tests |= methods.get(name.removeprefix("self."), set())
        found.append(Endpoint(platform, path, names, path in routes, sorted(tests)))
    return found


def page() -> str:
    """The page's text."""
    lines = [
        "# Endpoints",
        "",
        "Generated by `python3 dev.py docs`; do not edit. Client: the method of our client, `–` where we have none.",
        "Sandbox: whether the sandbox imitates it. Tests: the files below `tests/` that call it.",
    ]
    for platform, title in PLATFORMS.items():
        rows = [one for one in endpoints() if one.platform == platform]
        both = sum(bool(one.methods) and one.imitated for one in rows)
        lines += ["", f"## {title}", "", f"{len(rows)} endpoints, {both} of them in both.", ""]
        lines += ["| endpoint | client | sandbox | tests |", "|---|---|---|---|"]
        for one in rows:
            names = " ".join(f"`{name}`" for name in sorted(set(one.methods))) or "–"
            tests = " ".join(one.tests) or "–"
            lines.append(f"| `{one.path}` | {names} | {'✓' if one.imitated else '–'} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
