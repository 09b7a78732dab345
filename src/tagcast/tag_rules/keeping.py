"""Rules as owners of sets that are kept true: what a turn asks of them and does for them."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from tagcast import tags
from tagcast.audiences import Expression, live
from tagcast.audiences.live import Kept
from tagcast.kit import logs
from tagcast.kit.errors import Conflict, NotFound, TagcastError
from tagcast.kit.events import publish
from tagcast.kit.uow import Work
from tagcast.tag_rules import rules, store
from tagcast.tag_rules.events import RuleStopped
from tagcast.tag_rules.rules import Rule

log = logs.get("rules")

_TAG = "tag:"


def kept_as(rule_id: int, tag: int, version: int, mode: str) -> Kept:
    """A rule as something that is kept true."""
    return Kept(tags.key(tag), (rule_id, version), mode == "grow")


class Rules:
    """The active rules of a workspace; a definition is read once for each version."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Rule] = {}

    def kept(self, work: Work) -> Mapping[str, Kept]:
        """The rules that run."""
        found = (kept_as(*row) for row in store.active(work))
        return {one.target: one for one in found}

    def expression(self, work: Work, kept: Kept) -> Expression:
        """What the rule says, as it is to be read today. Raises TagcastError for it or its tag."""
        rule = self._of(work, kept)
        tags.usable(work, rule.tag)
        return live.today(work, rule.definition.expression, rule.definition.tags)

    def check(self, work: Work, stands_on: Mapping[str, frozenset[str]]) -> Mapping[str, TagcastError]:
        """Rules that stand on each other in a ring since a tag was moved or a segment changed."""
        uses = {tag_of(target): tags_in(keys) for target, keys in stands_on.items() if target.startswith(_TAG)}
        return {tags.key(tag): ring_error(work, way) for tag in uses if (way := rules.ring(uses, tag))}

    def apply(self, work: Work, kept: Kept, added: BitMap, removed: BitMap, *, first: bool) -> None:
        """Give and take the tag, as the rule. Raises TagcastError, having changed nothing that stays."""
        rule = self._of(work, kept)
        acting = replace(work, actor=rule.keeper, bitmaps=work.bitmaps.acting(rule.keeper))
        why = f"rule {rule.id}, version {rule.version}{': filled' if first else ''}"
        if removed:
            tags.remove(acting, rule.tag, removed, why=why)
        if added:
            until = _until(work, rule)
            # What mirrors is held as long as it is true, whatever lifetime the tag has by itself.
            tags.assign(acting, rule.tag, added, why=why, until=until, forever=rule.definition.mode == "mirror")

    def filled(self, work: Work, kept: Kept) -> None:
        """Nothing to note: that it stands somewhere says that it is filled."""

    def stop(self, work: Work, kept: Kept, problem: TagcastError) -> None:
        """The rule stops and says why; what it gave stays."""
        rule = self._of(work, kept)
        log.warning("rule stopped", rule=rule.id, code=problem.code)
        shown = rules.shown(problem)
        store.put_state(work, rule.id, "stopped", shown)
        tags.release(work, rule.tag)
        store.write_line(work, replace(rule, problem=shown), "stopped_itself")
        publish(work, RuleStopped(rule.id, rule.tag, problem.code))

    def _of(self, work: Work, kept: Kept) -> Rule:
        if kept.stamp not in self._known:
            found = store.of_tag(work, tag_of(kept.target))
            if found is None or (found.id, found.version) != kept.stamp:
                raise NotFound("tag_rules.no_rule", rule=kept.target)
            self._known[kept.stamp] = found
        return self._known[kept.stamp]


def tag_of(target: str) -> int:
    """The tag whose holders a target is."""
    return int(target.removeprefix(_TAG))


def tags_in(keys: Collection[str]) -> set[int]:
    """The tags among the keys that something depends on."""
    return {tag_of(key) for key in keys if key.startswith(_TAG)}


def ring_error(work: Work, way: list[int]) -> Conflict:
    """The refusal of rules that stand on each other."""
    return Conflict("tag_rules.ring", path=" → ".join(tags.get(work, tag).path for tag in way))


def _until(work: Work, rule: Rule) -> datetime | None:
    """The end of the last day on which the tag is held, so that all who got it on one day lose it together."""
    days = rule.definition.until_days
    if not days:
        return None
    return datetime.combine(work.today + timedelta(days=days + 1), time(), ZoneInfo(work.zone))
