"""Rendering for many at a time: parts are walked once, what differs comes from columns.

A frame holds the columns of some contacts. Everything here is in step with it: a text, a size or a truth a contact.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import numpy.typing as npt

from tagcast.broadcasts.content.fields import Column
from tagcast.broadcasts.content.templates import Block, Condition, Link, Parts, Slot

Mask = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]
Measure = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Frame:
    """What is put into texts for `size` contacts: a column a placeholder, whom a block is for, addresses of links.

    `links`: address led to → tracked addresses, one for all or one a contact. A link that is missing stands as it is.
    """

    size: int
    columns: Mapping[str, Column] = field(default_factory=dict)
    masks: Mapping[Condition, Mask] = field(default_factory=dict)
    links: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def take(self, indices: Indices) -> "Frame":
        """The frame of some of the contacts."""
        links = {
            url: made if isinstance(made, str) else [made[index] for index in indices.tolist()]
            for url, made in self.links.items()
        }
        return Frame(
            len(indices),
            {name: column.take(indices) for name, column in self.columns.items()},
            {condition: mask[indices] for condition, mask in self.masks.items()},
            links,
        )


def texts(parts: Parts, frame: Frame) -> list[str]:
    """The text of each contact; a value that is missing and has no default is left out."""
    if not parts:
        return [""] * frame.size
    columns = [_strings(part, frame) for part in parts]
    if len(columns) == 1:
        return list(columns[0]) if not isinstance(parts[0], str) else [parts[0]] * frame.size
    return ["".join(words) for words in zip(*columns, strict=True)] if frame.size else []


def _strings(part: str | Slot | Link | Block, frame: Frame) -> Iterable[str]:
    match part:
        case str():
            return repeat(part, frame.size)
        case Slot(name, default):
            column = frame.columns[name]
            words = (*column.words, default or "")  # -1 is the last
            return [words[code] for code in column.codes.tolist()]
        case Link(url):
            made = frame.links.get(url, url)
            return repeat(made, frame.size) if isinstance(made, str) else made
        case Block(condition, then, other):
            pairs = zip(frame.masks[condition].tolist(), texts(then, frame), texts(other, frame), strict=True)
            return [yes if chosen else no for chosen, yes, no in pairs]


def sizes(parts: Parts, frame: Frame, measure: Measure) -> Sizes:
    """The measure of each contact's text, for a measure by which a text is as much as its parts together."""
    total = np.zeros(frame.size, dtype=np.int64)
    for part in parts:
        match part:
            case str():
                total += measure(part)
            case Slot(name, default):
                column = frame.columns[name]
                each = np.fromiter(map(measure, (*column.words, default or "")), dtype=np.int64)
                total += each[column.codes]
            case Link(url):
                made = frame.links.get(url, url)
                total += measure(made if isinstance(made, str) else made[0] if made else "")
            case Block(condition, then, other):
                total += np.where(frame.masks[condition], sizes(then, frame, measure), sizes(other, frame, measure))
    return total


def lacking(parts: Parts, frame: Frame) -> dict[str, Mask]:
    """Placeholder → whose text needs a value that they do not have, and there is no default."""
    found: dict[str, Mask] = {}
    _lack(parts, frame, np.ones(frame.size, dtype=bool), found)
    return {name: mask for name, mask in found.items() if mask.any()}


def _lack(parts: Parts, frame: Frame, reached: Mask, found: dict[str, Mask]) -> None:
    for part in parts:
        match part:
            case Slot(name, None):
                missing = reached & (frame.columns[name].codes < 0)
                found[name] = found[name] | missing if name in found else missing
            case Block(condition, then, other):
                _lack(then, frame, reached & frame.masks[condition], found)
                _lack(other, frame, reached & ~frame.masks[condition], found)


def kinds(frame: Frame) -> tuple[Indices, Indices]:
    """(one contact of each combination of values and conditions, the combination of each contact)."""
    key = np.zeros(frame.size, dtype=np.int64)
    cards = [(column.codes.astype(np.int64) + 1, len(column.words) + 1) for column in frame.columns.values()]
    cards += [(mask.astype(np.int64), 2) for mask in frame.masks.values()]
    span = 1
    for codes, card in cards:
        if span * card >= 1 << 62:
            _, key = np.unique(key, return_inverse=True)
            span = int(key.max(initial=0)) + 1
        key = key * card + codes
        span *= card
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)
