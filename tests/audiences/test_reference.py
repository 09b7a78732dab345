"""The page about the language tells the truth."""

import json
import re
from pathlib import Path

from tagcast.audiences import from_json, parse, to_json
from tagcast.audiences.rules import limits

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "segments.md").read_text("utf-8")


def test_every_example_is_read_and_means_what_stands_beside_it() -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.S | re.M)
    assert [kind for kind, _ in blocks] == ["segment", "segment", "json"] * 4
    for i in range(0, len(blocks), 3):
        english, chinese, form = (text.strip() for _, text in blocks[i : i + 3])
        assert parse(english) == parse(chinese) == from_json(json.loads(form)), english
        assert to_json(parse(english)) == json.loads(form)


def test_every_condition_of_the_table_is_read() -> None:
    table = PAGE.split("| text | meaning |")[1].split("\n\n")[0]
    shown = [text for row in table.splitlines()[2:] for text in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(shown) == 12
    for text in shown:
        parse(text)


def test_the_limits_are_the_real_ones() -> None:
    text = PAGE.split("## Limits")[1].split("##")[0].replace(",", "")
    most = limits()
    for figure in (most.text_length, most.depth, most.nodes, most.values, most.value_length):
        assert re.search(rf"\b{figure}\b", text), figure
    assert most.number == 2**53 - 1
    assert f"up to {most.segment_depth} on top" in PAGE
