"""The dry run of a rule: who would get the tag and who would lose it now, a few of them with why."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import audiences, tags
from tagcast.audiences import Expression
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work
from tagcast.tag_rules import rules
from tagcast.tag_rules.rules import Mode


@dataclass(frozen=True, slots=True)
class Shown:
    """One contact of a sample, and why the expression holds for it or does not."""

    number: int
    why: audiences.Explained


@dataclass(frozen=True, slots=True)
class Side:
    """How many, and some of them at random."""

    count: int
    sample: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rule would do now. `problem`: the limit that would stop it, nothing being changed."""

    holders: int
    members: int
    added: Side
    removed: Side
    problem: TagcastError | None


def dry_run(
    work: Work, tag_id: int, expression: Expression, mode: Mode, *, sample: int | None = None, seed: int | None = None
) -> Trial:
    """What the rule would do if it were activated now. Raises NotFound for the tag, Invalid for the expression."""
    tag = tags.usable(work, tag_id)
    rules.check(mode, 0, "")
    size = rules.limits()["sample"] if sample is None else min(sample, rules.limits()["sample"])
    want = audiences.members(work, expression)
    have = tags.holders(work, tag.id, below=False)
    added, removed = want - have, BitMap() if mode == "grow" else have - want
    problem = None
    try:
        tags.check_fits(work, tag.id, added, len(removed))
    except TagcastError as error:
        problem = error

    def side(members: BitMap) -> Side:
        chosen = audiences.draw(members, size, seed=seed)
        shown = (Shown(number, audiences.explain(work, expression, number)) for number in chosen)
        return Side(len(members), tuple(shown))

    return Trial(len(have), len(want), side(added), side(removed), problem)
