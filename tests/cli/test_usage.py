"""Values on a line that cannot be used: what is wrong with them and what can stand there, in both languages."""

import pytest
from tests.cli.conftest import Shell

WRONG = {
    "bad_choice": (("rule", "create", "a", "all", "--mode", "x"), ("'mirror', 'grow'", "'mirror', 'grow'")),
    "bad_integer": (("tags", "undo", "x"), ("seq is not a whole number", "seq 应为整数")),
    "bad_date": (("features", "rfm", "--as-of", "2026-13-01"), ("2026-11-01", "不是有效的日期")),
    "bad_moment": (("tags", "as-of", "a", "soon"), ("2026-11-01T08:00:00", "不是有效的日期")),
    "too_small": (("lake", "history", "purchase", "--limit", "0"), ("--limit is less than 1", "--limit 小于 1")),
    "no_value": (("upkeep", "report", "--kind"), ("--kind needs a value", "--kind 后需要一个值")),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_that_cannot_be_used(empty: Shell, wrong: str) -> None:
    line, said = WRONG[wrong]
    for lang, words in zip(("en", "zh"), said, strict=True):
        done = empty(*line, "--lang", lang, code=2)
        assert words in done.stderr
        assert "Value error" not in done.stderr
        assert "Input should" not in done.stderr


def test_the_name_of_a_segment_where_an_expression_belongs(tagcast: Shell) -> None:
    tagcast("segment", "save", "活跃", "all")
    refused = tagcast("segment", "overlap", "活跃", "all", code=2).stderr
    assert "=活跃" in refused
    assert "=活跃" not in tagcast("segment", "overlap", "沉睡", "all", code=2).stderr
    assert tagcast("segment", "count", "=活跃").stdout == "0\n"
    assert tagcast("segment", "count", 'segment("活跃")').stdout == "0\n"


def test_a_name_that_is_like_none_shows_some_that_are_there(tagcast: Shell) -> None:
    assert "Nearest: –" in tagcast("segment", "count", 'did("xyz")', code=2).stderr
    for name in ("purchase", "view"):
        tagcast("events", "declare", name, "--purpose", "t")
    assert "Nearest: purchase、view" in tagcast("segment", "count", 'did("xyz")', code=2).stderr
    assert "Nearest: view." in tagcast("segment", "count", 'did("views")', code=2).stderr
