"""Expressions that somebody keeps beside the segments: proved before they are written, read as they are today."""

from collections.abc import Iterable

from pyroaring import BitMap

from tagcast import tags
from tagcast.audiences import catalogue, compiler, rewriting, rules
from tagcast.audiences.rules import Expression
from tagcast.audiences.store import TagRef
from tagcast.kit.uow import Work


def prove(work: Work, expression: Expression) -> list[TagRef]:
    """The tags that an expression names, to be kept with it. Raises as a segment that cannot be counted does."""
    rules.check(expression)
    evaluation = compiler.evaluation(work, expression, within=BitMap())
    evaluation.members(expression)
    return catalogue.tag_refs(expression, evaluation.names)


def today(work: Work, expression: Expression, refs: Iterable[TagRef]) -> Expression:
    """An expression kept earlier, its tags under the paths that they have today: renaming breaks nothing."""
    listed = list(refs)
    if not listed:
        return expression
    return rewriting.repathed(expression, listed, {number: tag.path for number, tag in tags.every(work).items()})
