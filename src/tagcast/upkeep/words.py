"""Findings, suggestions and uses as sentences."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tagcast.kit.errors import Lang
from tagcast.kit.shipped import read_toml
from tagcast.upkeep import graph
from tagcast.upkeep.graph import Used
from tagcast.upkeep.rules import Finding, Operation


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    return read_toml("upkeep", "words.toml")


def kind(name: str, lang: Lang) -> str:
    """What a kind of finding is called."""
    return _words()["kinds"][name][lang]


def sentence(finding: Finding, lang: Lang) -> str:
    """What was found, with its figures."""
    facts: dict[str, Any] = finding.facts
    return _words()["sentences"][finding.kind][lang].format(**facts)


def suggestion(operation: Operation | None, paths: Mapping[int, str], lang: Lang) -> str:
    """What may be done, or nothing."""
    if operation is None:
        return ""
    into = "" if operation.into is None else paths.get(operation.into, str(operation.into))
    return _words()["does"][operation.do][lang].format(tag=paths.get(operation.tag, str(operation.tag)), into=into)


def used_lines(found: Sequence[Used], lang: Lang) -> list[str]:
    """A tree of uses, a use a line."""
    return list(graph.lines(found, {name: words[lang] for name, words in _words()["uses"].items()}))
