"""The page about the language tells the truth."""

import json
import re
from pathlib import Path

import pytest

from tagcast.audiences import from_json, parse, to_json
from tagcast.audiences.forms import KEYS
from tagcast.audiences.rules import limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "segments.md").read_text("utf-8")
GRAMMAR = (ROOT / "src" / "tagcast" / "audiences" / "segment.lark").read_text("utf-8")


def table(heading: str) -> list[list[list[str]]]:
    """The table below a heading: rows of cells of what stands between backticks there."""
    section = re.split(r"^## ", PAGE, flags=re.M)
    (found,) = [part for part in section if part.startswith(heading)]
    rows = [line for line in found.splitlines() if line.startswith("|")][2:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:-1]] for row in rows]


def test_every_example_is_read_and_means_what_stands_beside_it() -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.S | re.M)
    assert [kind for kind, _ in blocks] == ["segment", "segment", "json"] * 10
    for i in range(0, len(blocks), 3):
        english, chinese, form = (text.strip() for _, text in blocks[i : i + 3])
        assert parse(english) == parse(chinese) == from_json(json.loads(form)), english
        assert to_json(parse(english)) == json.loads(form)


def test_every_condition_of_the_table_is_read() -> None:
    shown = [text for row in table("Conditions") for text in row[0]]
    assert len(shown) == 24
    kinds = {next(iter(to_json(parse(text)))) for text in shown}
    assert kinds == KEYS.keys() - {"and", "or", "not"}


@pytest.mark.parametrize(
    ("heading", "frame"), [("Spans of days", "a {}"), ("Behaviour", 'did("a", {})'), ("Past sends", "{}")]
)
def test_both_languages_of_a_table_mean_the_same(heading: str, frame: str) -> None:
    rows = table(heading)
    assert len(rows) > 5
    for english, chinese, *_ in rows:
        told = [parse(frame.format(text)) for text in english]
        said = [f'{word}("…")' for word in chinese] if heading == "Past sends" else chinese
        assert [parse(frame.format(text)) for text in said] == told, english


def test_every_word_of_the_grammar_is_on_the_page() -> None:
    patterns = re.findall(r"^[A-Z_]+(?:\.\d)?: /(.*)/i?$", GRAMMAR, re.M)
    words = {word for pattern in patterns for word in re.findall(r"[a-z_]{2,}|[\u4e00-\u9fff]+", pattern)}
    assert len(words) > 120
    assert {word for word in words if word not in PAGE} == set()


def test_the_limits_are_the_real_ones() -> None:
    text = PAGE.split("## Limits")[1].split("##")[0].replace(",", "")
    most = limits()
    figures = (most.text_length, most.depth, most.nodes, most.values, most.value_length, most.amount, most.times)
    spans = (most.span_days, most.first_year, most.last_year, most.asked_days, most.birthday_days, most.within_days)
    for figure in (*figures, *spans):
        assert re.search(rf"\b{figure}\b", text), figure
    assert most.number == 2**53 - 1
    assert f"up to {most.segment_depth} on top" in PAGE
