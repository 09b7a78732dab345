"""The contents of a broadcast with their placeholders looked up, and what is put into them for whom.

A broadcast that was sent keeps whom each of its conditions was for, so that what was planned is what is said; values
are read when they are needed. What a chunk's recipients are told together stands with the chunk as its `fill`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import audiences, compliance
from tagcast.accounts import Account
from tagcast.broadcasts.content import fields, rendering, templates
from tagcast.broadcasts.content.fields import Column, Field, Numbers
from tagcast.broadcasts.content.kinds import Content, parse, texts_of, with_texts
from tagcast.broadcasts.content.rendering import Frame, Mask
from tagcast.broadcasts.content.templates import Block, Condition, Parts, Slot
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

LONGEST = 40
NOT_SENT = (State.DRAFT, State.SCHEDULED)


@dataclass(frozen=True, slots=True)
class Script:
    """A content whose placeholders are known: `parts` of the texts that have any, by path."""

    content: Content
    parts: Mapping[str, Parts]
    fields: Mapping[str, Field]
    conditions: tuple[Condition, ...]

    @property
    def personal(self) -> bool:
        """Whether people may get different texts."""
        return bool(self.fields or self.conditions)

    @property
    def by_sender(self) -> bool:
        """Whether the text names the employee who sends it."""
        return any(field.source == "employee" for field in self.fields.values())

    def texts(self, frame: Frame) -> dict[str, list[str]]:
        """Path → the text of each contact of the frame, of those texts that have placeholders."""
        return {path: rendering.texts(parts, frame) for path, parts in self.parts.items()}

    def one(self, frame: Frame, index: int = 0) -> Content:
        """The content as one contact of the frame gets it."""
        alone = frame.take(np.array([index]))
        return with_texts(self.content, {path: said[0] for path, said in self.texts(alone).items()})


def contents_of(broadcast: Broadcast) -> dict[str, Content]:
    """The contents that a broadcast may say, by the name of their variant; "" without one."""
    others = broadcast.settings.get("variants", {}).get("items", [])
    return {"": parse(broadcast.content), **{one["name"]: parse(one["content"]) for one in others}}


def content_of(broadcast: Broadcast, said: Mapping[str, Any]) -> Content:
    """What a chunk that is told `said` is told, before anything is put in."""
    return contents_of(broadcast)[said.get("variant", "")]


def script(work: Work, content: Content) -> Script:
    """Raises Invalid for a placeholder or a condition that names nothing."""
    parts = {path: templates.parse(text) for path, text in texts_of(content).items() if "{{" in text}
    found = [part for one in parts.values() for part in templates.walk(one)]
    names = dict.fromkeys(part.name for part in found if isinstance(part, Slot))
    conditions = tuple(dict.fromkeys(part.condition for part in found if isinstance(part, Block)))
    return Script(content, parts, fields.resolve(work, names), conditions)


def expression(condition: Condition) -> audiences.Expression:
    """What a condition stands for. Raises Invalid for an expression that cannot be read."""
    return audiences.parse(condition.text) if condition.inline else audiences.SegmentLeaf(condition.text)


def chooses(work: Work, broadcast: Broadcast) -> bool:
    """Whether a text depends on tags or behaviour: who refused to be chosen by them is not written to by it."""
    return any(
        audiences.personalised(work, expression(part.condition))
        for content in contents_of(broadcast).values()
        for text in texts_of(content).values()
        if "{{" in text
        for part in templates.walk(templates.parse(text))
        if isinstance(part, Block)
    )


def condition_key(broadcast: Broadcast, condition: Condition) -> str:
    """The set of whom a condition was for when the broadcast was sent."""
    return f"{broadcast.key}:if:{digest(condition.text, str(condition.inline))[:16]}"


def freeze(work: Work, broadcast: Broadcast, assigned: BitMap) -> None:
    """Keep whom each condition is for, of those who are sent to; refusals of personalisation and minors are in none."""
    fit = assigned - compliance.impersonal(work, assigned)
    for content in contents_of(broadcast).values():
        for condition in script(work, content).conditions:
            chosen = audiences.members(work, expression(condition)) & fit
            work.bitmaps.replace(condition_key(broadcast, condition), chosen, why=broadcast.key)


def frame(
    work: Work,
    broadcast: Broadcast,
    one: Script,
    numbers: Numbers,
    *,
    sender: str = "",
    links: Mapping[str, str | Sequence[str]] | None = None,
    frozen: bool | None = None,
) -> Frame:
    """What is put in for contacts. `frozen`: conditions as they were kept; by default, once the broadcast is sent.

    `sender`: the employee's id on the platform.
    """
    kept = broadcast.state not in NOT_SENT if frozen is None else frozen
    asked = BitMap(numbers.tolist()) if one.conditions else BitMap()
    fit = asked if kept or not asked else asked - compliance.impersonal(work, asked)
    masks: dict[Condition, Mask] = {}
    for condition in one.conditions:
        if kept:
            chosen = work.bitmaps.read(condition_key(broadcast, condition))
        else:
            chosen = audiences.members(work, expression(condition))
        masks[condition] = np.isin(numbers, np.array((chosen & fit).to_array(), dtype=np.uint32))
    name = employees(broadcast).get(sender, "")
    columns = {slot: fields.column(work, field, numbers, name) for slot, field in one.fields.items()}
    return Frame(numbers.size, columns, masks, links or {})


def check_employees(_work: Work, _account: Account, value: Any) -> dict[str, str]:
    """The setting `employees`: employee's id → the name that customers know. Raises Invalid."""
    good = isinstance(value, dict) and all(
        isinstance(name, str) and 0 < len(name) <= LONGEST for name in value.values()
    )
    if not good:
        raise Invalid("broadcasts.bad_employees", limit=LONGEST)
    return {str(employee): name for employee, name in value.items()}


def employees(broadcast: Broadcast) -> Mapping[str, str]:
    """Employee's id → the name that customers know."""
    found: Mapping[str, str] = broadcast.settings.get("employees", {})
    return found


def fill_of(one: Frame) -> dict[str, Any]:
    """What is put in for the first contact of a frame, as JSON: from it `filled` makes the same texts."""
    values = {
        name: column.words[code] if (code := int(column.codes[0])) >= 0 else None
        for name, column in one.columns.items()
    }
    return {"values": values, "if": [bool(mask[0]) for mask in one.masks.values()]}


def filled(
    one: Script, fill: Mapping[str, Any], links: Mapping[str, str | Sequence[str]] | None = None
) -> Frame:  # fmt: skip
    """The frame of one contact that a fill was made of."""
    columns = {
        name: Column(np.array([-1 if word is None else 0], dtype=np.int32), () if word is None else (word,))
        for name, word in fill.get("values", {}).items()
    }
    masks = {
        condition: np.array([chosen]) for condition, chosen in zip(one.conditions, fill.get("if", []), strict=True)
    }
    return Frame(1, columns, masks, links or {})


def shown(one: Script, said: Mapping[str, Any]) -> Content:
    """The content as it stands on a page: as those who are told `said` get it, without private values. Where everybody
    gets his own, no value stands there, and of two texts the one for others.
    """
    if not one.parts:
        return one.content
    fill = said.get("fill", {})
    public = {name: None if field.private else fill.get("values", {}).get(name) for name, field in one.fields.items()}
    return one.one(filled(one, {"values": public, "if": fill.get("if", [False] * len(one.conditions))}))
