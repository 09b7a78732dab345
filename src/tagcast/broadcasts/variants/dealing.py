"""Who gets which variant: worked out for a draft without changing anything, decided and written down when it is cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyroaring import BitMap

from tagcast import audiences, bitmaps, compliance
from tagcast.broadcasts.rules import Numbers, Piece
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.variants import learning, rules, section, store
from tagcast.broadcasts.variants.rules import BANDIT, SEGMENTS, Arm, Belief
from tagcast.broadcasts.variants.section import Section
from tagcast.kit.crypto import digest
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Deal:
    """One group of people and which variant each gets; the members of the arms together are the group."""

    label: str
    seed: int
    arms: Sequence[Arm]


def members_key(broadcast: Broadcast, variant: str) -> str:
    """The set of who got a variant."""
    return f"{broadcast.key}:variant:{variant}"


def deal(work: Work, broadcast: Broadcast, said: Section, numbers: Numbers, stage: int = 0) -> list[Deal]:
    """Give each of the numbers one variant: stable for a person, group by group. Nothing is changed."""
    secret = int.from_bytes(work.vault.sign("variants", str(broadcast.id).encode())[:8], "big")
    if said.choose == SEGMENTS:
        return [Deal("", 0, _by_segment(work, said, numbers))]
    found = []
    for label, part in groups(work, said.by, numbers):
        seed = rules.seed_of(secret, stage, label)
        if said.choose == BANDIT:
            beliefs = learning.beliefs(work, broadcast, said, label)
            found.append(Deal(label, seed, rules.bandit(part, beliefs, said.explore, seed)))
        else:
            weights = [said.weight, *(one.weight for one in said.items)]
            found.append(Deal(label, seed, rules.weighted(part, said.names, weights, seed)))
    return found


def groups(work: Work, by: str, numbers: Numbers) -> list[tuple[str, Numbers]]:
    """(label, who) by the categories of a dimension: who is in several is in the first of them.

    Who refused personalisation, and minors, are in no category.
    """
    if not by:
        return [("", numbers)]
    everybody, found = bitmaps.pack(numbers), []
    apart = compliance.impersonal(work, everybody)
    left = everybody - apart
    for category in audiences.dimension(work, by, left).categories:
        there = audiences.members(work, category.expression) & left
        if there:
            found.append((category.label[:200], bitmaps.unpack(there)))
            left = left - there
    rest = left | apart
    return [*found, ("", bitmaps.unpack(rest))] if rest else found


def _by_segment(work: Work, said: Section, numbers: Numbers) -> list[Arm]:
    """The first variant whose expression holds, in the order in which they are listed; else the base.

    The base is also for who refused personalisation, and for minors.
    """
    everybody, parts = bitmaps.pack(numbers), {}
    apart = compliance.impersonal(work, everybody)
    left = everybody - apart
    for one in said.items:
        assert one.when is not None, one.name
        parts[one.name] = audiences.members(work, audiences.from_json(one.when)) & left
        left = left - parts[one.name]
    parts[said.base] = left | apart
    none = np.empty(0, dtype=np.uint32)
    return [Arm(name, Belief(), 0.0, 1.0, bitmaps.unpack(parts[name]), none) for name in said.names]


def by_variant(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """A piece for each variant; who gets which, and why, is written down."""
    said = section.of(broadcast)
    if said is None or not piece.recipients.size:
        return [piece]
    deals = deal(work, broadcast, said, piece.recipients, piece.stage)
    keep(work, broadcast, deals, piece.stage)
    found = []
    for name in said.names:
        theirs = np.sort(np.concatenate([arm.members for one in deals for arm in one.arms if arm.name == name]))
        if theirs.size:
            told = piece.said if name == said.base else {**piece.said, "variant": name}
            found.append(replace(piece, recipients=theirs.astype(np.uint32), said=told))
    return found


def keep(work: Work, broadcast: Broadcast, deals: Sequence[Deal], stage: int) -> None:
    """Write the deals down: the log of choices, the sets of each variant, of each draw and of who was explored."""
    draw, why = store.next_draw(work, broadcast.id), f"variants {broadcast.key}"
    for at, one in enumerate(deals, draw):
        facts = {"stage": stage, "label": one.label, "seed": f"{one.seed:016x}"}
        store.insert(work, broadcast.id, at, facts, one.arms)
        everybody = BitMap()
        for arm in one.arms:
            everybody |= (theirs := bitmaps.pack(arm.members))
            work.bitmaps.add(members_key(broadcast, arm.name), theirs, why=why)
            if arm.explored.size:
                work.bitmaps.add(f"{broadcast.key}:explored", bitmaps.pack(arm.explored), why=why)
        work.bitmaps.add(learning.draw_key(broadcast.id, at), everybody, why=why)


def forget(work: Work, broadcast: Broadcast, stage: int, numbers: Numbers) -> None:
    """Take back what was drawn for the people of a stage, none of whom was called."""
    who, why = bitmaps.pack(numbers), f"variants {broadcast.key}"
    mine = [one for one in store.choices_of(work, broadcast.id) if one.stage == stage]
    for draw in {one.draw for one in mine}:
        work.bitmaps.replace(learning.draw_key(broadcast.id, draw), BitMap(), why=why)
    for key in (*(members_key(broadcast, name) for name in {one.variant for one in mine}), f"{broadcast.key}:explored"):
        work.bitmaps.remove(key, work.bitmaps.read(key) & who, why=why)
    store.delete(work, broadcast.id, sorted({one.draw for one in mine}))


def variant_of(work: Work, broadcast: Broadcast, contact: int) -> str:
    """The name of the variant that a contact got, or would get; "" of a broadcast without variants."""
    said = section.of(broadcast)
    if said is None:
        return ""
    for name in said.names:
        if contact in work.bitmaps.read(members_key(broadcast, name)):
            return name
    planned = bitmaps.unpack(work.bitmaps.read(f"{broadcast.key}:plan:assigned"))
    asked = planned if contact in planned else np.array([contact], dtype=np.uint32)
    for one in deal(work, broadcast, said, asked):
        for arm in one.arms:
            if contact in arm.members:
                return arm.name
    return said.base


def facts(work: Work, broadcast: Broadcast, assigned: BitMap) -> str:
    """A digest of who gets which variant for his segments, so that a plan is void when that has moved; else ""."""
    said = section.of(broadcast)
    if said is None or said.choose != SEGMENTS:
        return ""
    arms = _by_segment(work, said, bitmaps.unpack(assigned))
    return digest(*(part for arm in arms for part in (arm.name, arm.members.tobytes())))[:16]
