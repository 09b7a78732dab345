"""The values that placeholders stand for: attributes, features and the sending employee, as columns of words.

A value is shown as people write it and is made harmless: it stays on its line, and becomes neither markup nor an
address nor another placeholder.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tagcast import bitmaps, contacts, features
from tagcast.contacts import Attribute
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.uint32]
Source = Literal["attribute", "feature", "employee"]

EMPLOYEE = ("employee", "员工")
_JOINER = "\u200d"  # holds emoji together
_ADDRESS = re.compile(r"(?<=[A-Za-z0-9-])\.(?=[A-Za-z]{2,}(?![A-Za-z]))")
_WIDE = str.maketrans({"<": "＜", ">": "＞", "{": "｛", "}": "｝"})
_ODD = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Field:
    """What a placeholder's name stands for."""

    name: str
    source: Source
    attribute: Attribute | None = None

    @property
    def private(self) -> bool:
        """Whether its values are kept sealed, so that they may stand on no page and in no log."""
        return self.attribute is not None and self.attribute.type == "text"


@dataclass(frozen=True, slots=True)
class Column:
    """One word a contact: `words[codes[i]]`, or none where the code is -1."""

    codes: Codes
    words: tuple[str, ...]

    def take(self, indices: npt.NDArray[np.intp]) -> "Column":
        """The column of some of the contacts."""
        return Column(self.codes[indices], self.words)


def resolve(work: Work, names: Iterable[str]) -> dict[str, Field]:
    """Placeholder → field, by the field's name or, where only one has it, its label. Raises Invalid."""
    wanted = set(names)
    if not wanted:
        return {}
    known = {name: Field(name, "feature", one) for name, one in features.names(work).items()}
    known |= {name: Field(name, "attribute", one) for name, one in contacts.attributes(work).items()}
    found = {name: Field("employee", "employee") for name in wanted & set(EMPLOYEE)}
    for name in wanted - found.keys():
        if name in known:
            found[name] = known[name]
            continue
        labelled = [one for one in known.values() if one.attribute and name in _labels(one.attribute)]
        if len(labelled) > 1:
            raise Invalid("broadcasts.two_fields", name=name, fields=", ".join(one.name for one in labelled))
        if not labelled:
            raise Invalid("broadcasts.unknown_placeholder", name=name, known=", ".join(sorted(known)[:40]) or "-")
        found[name] = labelled[0]
    return found


def _labels(attribute: Attribute) -> tuple[str, str]:
    return attribute.label_zh, attribute.label_en


def column(work: Work, field: Field, numbers: Numbers, sender: str = "") -> Column:
    """The field's words for contacts, in their order. `sender`: the name of the employee who sends, "" for none."""
    if field.attribute is None:
        word = harmless(sender)
        return Column(np.full(numbers.size, 0 if word else -1, dtype=np.int32), (word,) if word else ())
    attribute, asked = field.attribute, bitmaps.pack(numbers)
    if attribute.type in ("choice", "flag"):
        sets = [
            (value, work.bitmaps.read(f"{attribute.key}={value}")) for value in contacts.values_in_use(work, attribute)
        ]
        who = [bitmaps.unpack(members & asked) for _, members in sets]
        codes = [np.full(part.size, at, dtype=np.int32) for at, part in enumerate(who)]
        words = [contacts.shown(attribute, value) for value, _ in sets]
        return _column(numbers, _joined(who, np.uint32), _joined(codes, np.int32), words)
    if attribute.type == "text":
        texts = contacts.values_of_field(work, attribute, numbers.tolist())
        distinct = {text: at for at, text in enumerate(dict.fromkeys(texts.values()))}
        there = np.fromiter(texts, dtype=np.uint32, count=len(texts))
        coded = np.fromiter((distinct[text] for text in texts.values()), dtype=np.int32, count=len(texts))
        return _column(numbers, there, coded, list(distinct))
    if field.source == "feature":
        there, values = features.numbers(work, field.name, asked)
    else:
        values, known = bitmaps.sliced.values(work.bitmaps, attribute.key, numbers)
        there, values = numbers[known], values[known]
    kept, inverse = np.unique(values, return_inverse=True)
    return _column(numbers, there, inverse, [contacts.shown(attribute, value) for value in kept.tolist()])


def _joined(parts: list[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def _column(numbers: Numbers, there: npt.NDArray[Any], coded: npt.NDArray[Any], values: Iterable[object]) -> Column:
    """The column of `numbers`, of whom those `there` have a value; one of which nothing is left to show is none."""
    words: list[str] = []
    places: dict[str, int] = {}
    new: list[int] = []
    for value in values:
        word = shown(value)
        if word and word not in places:
            places[word] = len(words)
            words.append(word)
        new.append(places[word] if word else -1)
    codes = np.full(numbers.size, -1, dtype=np.int32)
    if there.size:
        order = np.argsort(numbers, kind="stable")
        at = order[np.searchsorted(numbers[order], there)]
        codes[at] = np.array(new, dtype=np.int32)[coded]
    return Column(codes, tuple(words))


def shown(value: object) -> str:
    """A value as people write it: 是, 2026年3月5日, 12.50, or the text made harmless."""
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, date):
        return f"{value.year}年{value.month}月{value.day}日"
    return harmless(value) if isinstance(value, str) else str(value)


def harmless(text: str) -> str:
    """A value that stays on its line and is no markup, no address and no placeholder, whatever its owner wrote."""
    if not text.isprintable():
        text = "".join(" " if _is_odd(letter) else letter for letter in text)
    text = " ".join(text.split()).translate(_WIDE)
    if "." in text:
        text = _ADDRESS.sub("．", text)
    return text.replace("://", "：//")


def _is_odd(letter: str) -> bool:
    return letter != _JOINER and unicodedata.category(letter) in _ODD
