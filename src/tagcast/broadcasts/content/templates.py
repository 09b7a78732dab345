r"""Texts with placeholders: `{{name|default}}`, `{{link "https://…"}}` and `{{#if segment}}…{{else}}…{{/if}}`.

There is no code, no attribute of a value and no loop: a name is looked up in a list of fields, and a value is put in
as it is. A text is cut into its parts once, in one pass. `\{{` stands for two literal braces, `\\{{` for a backslash
before a placeholder; everything else (`%s`, `${}`, single braces) is literal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

_NAME = re.compile(r"[^\W\d]\w*(?: \w+)*")
_IF = re.compile(r"#if\s+(?:(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|“[^”]*”)|([^\"'“].*))", re.DOTALL)
_LINK = re.compile(r"link\s+[\"“]([^\"”]+)[\"”]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SHOWN = 40
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Slot:
    """A value goes here. `default` None: everybody has to have one."""

    name: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A tracked address goes here."""

    url: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Whom a block is for: a segment by its name, or an expression of the segment language."""

    text: str
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One of two texts."""

    condition: Condition
    then: "Parts"
    other: "Parts" = ()


Part = str | Slot | Link | Block
Parts = tuple[Part, ...]


@dataclass(slots=True)
class _Open:
    """A block that is being read."""

    condition: Condition
    at: int
    then: list[Part] = field(default_factory=list)
    other: list[Part] | None = None

    @property
    def into(self) -> list[Part]:
        return self.then if self.other is None else self.other


@cache
def limits() -> dict[str, Any]:
    """The figures beside this module."""
    return read_toml("broadcasts", "content", "limits.toml")


@lru_cache(maxsize=1024)
def parse(text: str) -> Parts:
    """The parts of a text; a text without placeholders is one part, an empty one none.

    Raises Invalid, naming the place, for what looks like a placeholder and is none, and for too many of them; its
    `field` is left to the caller.
    """
    most = limits()["template"]
    if len(text) > most["chars"]:
        raise Invalid("broadcasts.template_long", field="", size=len(text), limit=most["chars"])
    top: list[Part] = []
    stack: list[_Open] = []
    counts = {"placeholders": 0, "links": 0, "conditions": 0}
    for at, literal, inside in _pieces(text):
        into = stack[-1].into if stack else top
        if literal:
            into.append(literal)
        if inside is None:
            continue
        word = inside.strip()
        if word.startswith("#"):
            stack.append(_Open(_condition(text, at, word), at))
            _count(counts, "conditions")
            if len(stack) > most["depth"]:
                raise Invalid("broadcasts.template_much", field="", what="depth", limit=most["depth"])
        elif word == "else":
            if not stack or stack[-1].other is not None:
                raise _bad(text, at)
            stack[-1].other = []
        elif word == "/if":
            if not stack:
                raise _bad(text, at)
            done = stack.pop()
            block = Block(done.condition, tuple(done.then), tuple(done.other or ()))
            (stack[-1].into if stack else top).append(block)
        else:
            part = _placeholder(text, at, inside)
            _count(counts, "links" if isinstance(part, Link) else "placeholders")
            into.append(part)
    if stack:
        raise Invalid("broadcasts.block_open", field="", at=stack[0].at + 1, found=_excerpt(text, stack[0].at))
    return tuple(top)


def _pieces(text: str) -> Iterator[tuple[int, str, str | None]]:
    """(place, literal text before it, what stands between the braces), at last with None."""
    literal: list[str] = []
    start = 0
    while (at := text.find("{{", start)) >= 0:
        slashes = at - len(text[start:at].rstrip("\\")) - start
        literal.append(text[start : at - slashes] + "\\" * (slashes // 2))
        if slashes % 2:
            literal.append("{{")
            start = at + 2
            continue
        end = text.find("}}", at + 2)
        inside = text[at + 2 : end]
        if end < 0 or "{" in inside or "\n" in inside:
            raise _bad(text, at)
        yield at, "".join(literal), inside
        literal.clear()
        start = end + 2
    literal.append(text[start:])
    yield len(text), "".join(literal), None


def _condition(text: str, at: int, word: str) -> Condition:
    found = _IF.fullmatch(word)
    if found is None:
        raise _bad(text, at)
    if found[1] is None:
        return Condition(found[2].strip())
    inner = found[1][1:-1]
    return Condition(inner if found[1][0] == "“" else _ESCAPED.sub(r"\1", inner), inline=True)


def _placeholder(text: str, at: int, inside: str) -> Slot | Link:
    link = _LINK.fullmatch(inside.strip())
    if link is not None:
        return Link(link[1].strip())
    name, bar, default = inside.partition("|")
    name = name.strip()
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise _bad(text, at)
    return Slot(name, default.strip() if bar else None)


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] += 1
    limit = limits()["template"][what]
    if counts[what] > limit:
        raise Invalid("broadcasts.template_much", field="", what=what, limit=limit)


def _bad(text: str, at: int) -> Invalid:
    return Invalid("broadcasts.bad_placeholder", field="", at=at + 1, found=_excerpt(text, at))


def _excerpt(text: str, at: int) -> str:
    end = text.find("}}", at, at + _SHOWN)
    return text[at : end + 2] if end > 0 else text[at : at + _SHOWN]


def walk(parts: Parts) -> Iterator[Slot | Link | Block]:
    """Every placeholder and block, those inside of blocks too, in the order of the text."""
    for part in parts:
        if isinstance(part, str):
            continue
        yield part
        if isinstance(part, Block):
            yield from walk(part.then)
            yield from walk(part.other)


def is_plain(parts: Parts) -> bool:
    """Whether the text is the same for everybody, links included."""
    return not any(isinstance(part, Slot | Block) for part in parts)
