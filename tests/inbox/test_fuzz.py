"""The fuzzer for some seconds, its cases made again, and proof that it finds what it is made for."""

import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inbox import fuzz

from tagcast.channels import BadCallback, open_callback
from tagcast.channels.crypto import Fields, read_xml


def test_nothing_breaks_in_some_seconds() -> None:
    counts = fuzz.run(int(time.time()), seconds=6)
    assert counts["insider taken"] == 0
    assert min(counts[f"{kind} refused"] for kind in ("outsider", "insider", "sender")) > 100
    assert counts["sender taken"] > 30


def test_the_same_seed_makes_the_same_cases() -> None:
    def shape(number: int) -> tuple[str, int, tuple[Fields, ...] | None]:
        case = fuzz.case_of(7, number)  # the ciphertext starts with random bytes, its size is the case's
        return case.kind, len(case.body), case.allowed if case.kind == "insider" else None

    assert [shape(number) for number in range(1, 60, 3)] == [shape(number) for number in range(1, 60, 3)]


def test_a_genuine_request_is_taken_so_that_refusals_mean_something() -> None:
    import random

    query, body, fields = fuzz.genuine(random.Random(1))
    assert fuzz.check(fuzz.Case("outsider", query, body, (fields,))) == "taken"
    with pytest.raises(fuzz.Broken):
        fuzz.check(fuzz.Case("outsider", query, body, ()))


def test_a_broken_case_is_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "KINDS", (lambda dice: fuzz.Case("outsider", *fuzz.genuine(dice)[:2], ()),))
    with pytest.raises(fuzz.Broken, match="seed 3, case 0"):
        fuzz.run(3, seconds=5, out=tmp_path)
    found = orjson.loads((tmp_path / "fuzz-3-0.json").read_bytes())
    assert found["kind"] == "outsider"
    assert found["error"].startswith("Broken")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_way(query: bytes, body: bytes) -> None:
    with pytest.raises(BadCallback):
        open_callback(fuzz.KEYS, query, body, now=fuzz.NOW)


PIECES = st.sampled_from(
    [
        "<A>",
        "</A>",
        "<B>",
        "</B>",
        "<![CDATA[",
        "]]>",
        "]",
        "x",
        " ",
        "\n",
        "\r",
        "\x0c",
        "\u3000",
        "\ufffe",
        "&amp;",
        "&",
        ">",
        "é",
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_plain_spellings_are_read_as_the_parser_reads_them(inner: str) -> None:
    fuzz.agree(fuzz.Case("sender", b"", f"<xml>{inner}</xml>".encode(), None))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(fuzz.NAMES[:-1]), st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
)
def test_what_was_written_is_what_is_read(fields: dict[str, str]) -> None:
    written = {
        name: value.replace("]", "")
        for name, value in fields.items()
        if "\ufffe" not in value and "\uffff" not in value
    }
    body = "<xml>" + "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in written.items()) + "</xml>"
    assert read_xml(body.encode()) == {name: value.strip() for name, value in written.items()}
