"""Texts with placeholders: what is read, what is refused and how fast, and that rendering many equals rendering one."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagcast.broadcasts.content import grouping, rendering, templates
from tagcast.broadcasts.content.fields import Column, Field, harmless
from tagcast.broadcasts.content.kinds import Content
from tagcast.broadcasts.content.rendering import Frame
from tagcast.broadcasts.content.scripts import Script, fill_of, filled
from tagcast.broadcasts.content.templates import Block, Condition, Link, Parts, Slot, parse
from tagcast.kit.errors import Invalid

LITERAL = [
    "%s",
    "${x}",
    "$x",
    "{x}",
    "{ {x} }",
    "}}",
    "{%if%}",
    "<%= 1 %>",
    "#{7*7}",
    "{0.__class__}",
    "\\",
    "\\n",
    "a\\b",
]
HOSTILE = [
    "{{7*7}}", "{{x.__class__}}", "{{x['a']}}", "{{config}}{{", "{{a{{b}}}}", "{{{a}}}", "{{}}", "{{ }}", "{{|x}}",
    "{{#each a}}{{/each}}", "{{#if}}a{{/if}}", "{{else}}", "{{/if}}", "{{#if a}}", "{{#if a}}{{else}}{{else}}{{/if}}",
    "{{__import__('os')}}", "{{a\nb}}", "{{link javascript:1}}", "{{-a}}", "{{%s}}", "{{" * 50_000, "{{a}}" * 60_000,
    "{{#if a}}" * 10_000, "{{#if a}}" * 6 + "{{/if}}" * 6, "x" * 1_000_000, "{{a|" + "b" * 1_000_000 + "}}",
    "{{a|b}}" * 51, "\\" * 99_999 + "{{",
]  # fmt: skip


@pytest.mark.parametrize("text", LITERAL)
def test_what_is_no_placeholder_is_literal(text: str) -> None:
    assert parse(text) == (text,)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_templates_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert len(refused.value.text("zh")) < 200


def test_what_is_read() -> None:
    assert parse("") == ()
    assert parse("你好{{ 称呼 | 朋友 }}！") == ("你好", Slot("称呼", "朋友"), "！")
    assert parse("{{a|}}{{b}}") == (Slot("a", ""), Slot("b"))
    assert parse("\\{{a}} \\\\{{a}} \\\\\\{{a}}") == ("{{a}} \\", Slot("a"), " \\{{a}}")
    assert parse('{{link "https://a.example/?b=1"}}') == (Link("https://a.example/?b=1"),)
    assert parse("{{#if 金卡}}是{{else}}否{{/if}}") == (Block(Condition("金卡"), ("是",), ("否",)),)
    for quoted in ("'tag(\"金卡\")'", '"tag(\\"金卡\\")"', '“tag("金卡")”'):
        assert parse(f"{{{{#if {quoted}}}}}是{{{{/if}}}}") == (Block(Condition('tag("金卡")', inline=True), ("是",)),)
    nested = parse("{{#if a}}1{{#if b}}2{{/if}}{{else}}{{c|3}}{{/if}}")
    assert nested == (Block(Condition("a"), ("1", Block(Condition("b"), ("2",))), (Slot("c", "3"),)),)


@given(st.text(alphabet=st.sampled_from("{}|\\#/ab \n\"'if else"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parts = parse(text)
    except Invalid:
        parts = ()
        assert "{{" in text
    if "{{" not in text:
        assert "".join(str(part) for part in parts) == text


@given(st.text(max_size=60) | st.text(alphabet=st.sampled_from("ab.<>{}/:\n\r\t\u202e\u2028\u200b\0 w"), max_size=60))
def test_a_value_stays_a_value(text: str) -> None:
    shown = harmless(text)
    assert not {unicodedata.category(letter) for letter in shown.replace("\u200d", "")} & {"Cc", "Cf", "Zl", "Zp"}
    assert not set("<>{}\r\n") & set(shown)
    assert "://" not in shown
    assert shown == shown.strip()
    assert harmless(shown) == shown
    assert templates.parse(shown) in ((shown,), ())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("张\n三\t先生", "张 三 先生"),
        ("看 www.evil.example/x", "看 www．evil．example/x"),
        ("https://evil.example", "https：//evil．example"),
        ('<a href="x">', '＜a href="x"＞'),
        ("{{nick}}", "｛｛nick｝｝"),
        ("\u202e反\u200b了", "反 了"),
        ("3.5 折", "3.5 折"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("\n \x00", ""),
    ],
)
def test_values_are_made_harmless(value: str, shown: str) -> None:
    assert harmless(value) == shown


NAMES, CONDITIONS = ("a", "b"), (Condition("p"), Condition("q", inline=True))
WORDS = ("", "x", "金卡", "很长的名字")


def _parts(children: st.SearchStrategy[Parts]) -> st.SearchStrategy[Parts]:
    block = st.builds(Block, st.sampled_from(CONDITIONS), children, children)
    return st.lists(_LEAF | block, max_size=4).map(tuple)


_LEAF = (
    st.sampled_from(("甲", " ", "b\n", "\\"))
    | st.builds(Slot, st.sampled_from(NAMES), st.sampled_from((None, "", "默认")))
    | st.just(Link("https://a.example"))
)
PARTS = st.recursive(st.lists(_LEAF, max_size=3).map(tuple), _parts, max_leaves=6)


@dataclass
class Person:
    """One contact of the naive model."""

    values: dict[str, str]
    holds: dict[Condition, bool]
    link: str

    def text(self, parts: Parts) -> str:
        said = ""
        for part in parts:
            if isinstance(part, str):
                said += part
            elif isinstance(part, Slot):
                said += self.values.get(part.name) or part.default or ""
            elif isinstance(part, Link):
                said += self.link
            else:
                said += self.text(part.then if self.holds[part.condition] else part.other)
        return said

    def lacks(self, parts: Parts) -> set[str]:
        found: set[str] = set()
        for part in parts:
            if isinstance(part, Slot) and part.default is None and not self.values.get(part.name):
                found.add(part.name)
            elif isinstance(part, Block):
                found |= self.lacks(part.then if self.holds[part.condition] else part.other)
        return found


PEOPLE = st.lists(
    st.builds(
        Person,
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS)),
        st.fixed_dictionaries({condition: st.booleans() for condition in CONDITIONS}),
        st.just("https://t.example/k/1"),
    ),
    max_size=12,
)


def frame_of(people: list[Person]) -> Frame:
    words = tuple(word for word in WORDS if word)

    def codes(name: str) -> list[int]:
        return [words.index(word) if (word := one.values.get(name)) else -1 for one in people]

    columns = {name: Column(np.array(codes(name), dtype=np.int32), words) for name in NAMES}
    masks = {one: np.array([person.holds[one] for person in people], dtype=bool) for one in CONDITIONS}
    return Frame(len(people), columns, masks, {"https://a.example": "https://t.example/k/1"})


@given(PARTS, PEOPLE)
def test_rendering_many_is_rendering_each(parts: Parts, people: list[Person]) -> None:
    frame = frame_of(people)
    assert rendering.texts(parts, frame) == [one.text(parts) for one in people]
    for measure in (len, lambda text: len(text.encode())):
        assert rendering.sizes(parts, frame, measure).tolist() == [measure(one.text(parts)) for one in people]
    lacking = {name: np.flatnonzero(mask).tolist() for name, mask in rendering.lacking(parts, frame).items()}
    expected = {name: [at for at, one in enumerate(people) if name in one.lacks(parts)] for name in NAMES}
    assert lacking == {name: at for name, at in expected.items() if at}


@given(PARTS, PARTS, PEOPLE)
def test_groups_part_everybody_and_their_text_is_each_members(one: Parts, two: Parts, people: list[Person]) -> None:
    if not people:
        return
    fields = {name: Field(name, "attribute") for name in NAMES}
    script = Script(Content("text", text="t", title="u"), {"text": one, "title": two}, fields, CONDITIONS)
    frame = frame_of(people)
    first, group = grouping.groups(script, frame)
    said = [(person.text(one), person.text(two)) for person in people]
    assert len(first) == len(set(said))
    assert group.size == len(people)
    for at, of in enumerate(group.tolist()):
        assert said[at] == said[first[of]]
        fill = fill_of(frame.take(np.array([first[of]])))
        made = script.one(filled(script, fill, dict(frame.links)))
        assert (made.text, made.title) == said[at]
