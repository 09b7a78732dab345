"""Every error a user can meet has its sentence and remedy in both languages, and every sentence is used."""

import ast
import string
import tomllib
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "tagcast"
KINDS = {"Invalid", "NotFound", "Conflict", "Refused", "Unavailable", "TagcastError"}
SENTENCES = ("en", "en_remedy", "zh", "zh_remedy")


@cache
def raised() -> dict[str, list[tuple[str, set[str] | None]]]:
    """code -> [(where, names of the parameters; None when given as **mapping)]."""
    found: dict[str, list[tuple[str, set[str] | None]]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in KINDS or not node.args:
                continue
            where = f"{file.relative_to(PACKAGE)}:{node.lineno}"
            names = {keyword.arg for keyword in node.keywords}
            given = None if None in names else {name for name in names if name}
            for code in codes(node.args[0]):
                found.setdefault(code, []).append((where, given))
    return found


def codes(argument: ast.expr) -> list[str]:
    """The codes an argument can be: a text, or either side of a conditional."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value]
    if isinstance(argument, ast.IfExp):
        return codes(argument.body) + codes(argument.orelse)
    return []


@cache
def texts() -> dict[str, dict[str, str]]:
    """code -> its four sentences."""
    return {
        f"{file.parent.name}.{name}": sentences
        for file in sorted(PACKAGE.glob("*/texts.toml"))
        for name, sentences in tomllib.loads(file.read_text("utf-8")).items()
    }


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_every_code_raised_has_its_text() -> None:
    known = texts()
    assert {code: uses[0][0] for code, uses in raised().items() if code not in known} == {}


def test_every_text_is_used() -> None:
    """Named whole anywhere, or by its last part in its own module, which puts the code together."""
    everywhere = "\n".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    unused = []
    for code in texts():
        module, _, name = code.partition(".")
        own = "\n".join(file.read_text("utf-8") for file in (PACKAGE / module).rglob("*.py"))
        if f'"{code}"' not in everywhere and f'"{name}"' not in own:
            unused.append(code)
    assert unused == []


def of_no_language(sentence: str) -> set[str]:
    """Placeholders; `said_en` and `said_zh` are one, each in its own language."""
    return {name.removesuffix("_en").removesuffix("_zh") for name in placeholders(sentence)}


@pytest.mark.parametrize("code", sorted(texts()))
def test_text_is_complete(code: str) -> None:
    sentences = texts()[code]
    assert set(sentences) == set(SENTENCES)
    assert all(sentence.strip() for sentence in sentences.values())
    assert of_no_language(sentences["en"]) == of_no_language(sentences["zh"])
    assert of_no_language(sentences["en_remedy"]) == of_no_language(sentences["zh_remedy"])
    assert any("\u4e00" <= letter <= "\u9fff" for letter in sentences["zh"])


def test_every_placeholder_is_given() -> None:
    missing = {}
    for code, sentences in texts().items():
        wanted = set().union(*(placeholders(sentences[name]) for name in SENTENCES))
        for where, given in raised().get(code, []):
            if given is not None and (lacking := wanted - given):
                missing[f"{code} at {where}"] = sorted(lacking)
    assert missing == {}


def test_sentences_render() -> None:
    wrong = []
    for code, sentences in texts().items():
        for name, sentence in sentences.items():
            given = dict.fromkeys(placeholders(sentence), "x")
            try:
                sentence.format(**given)
            except (KeyError, ValueError, IndexError, AttributeError) as error:
                wrong.append(f"{code}.{name}: {error!r}")
    assert wrong == []
