"""Use cases of rules: write, edit, activate, stop, take back, delete."""

from collections.abc import Sequence
from dataclasses import replace

from pyroaring import BitMap

from tagcast import tags
from tagcast.audiences import Expression, live
from tagcast.kit.errors import Conflict, NotFound, Refused, TagcastError
from tagcast.kit.uow import Work
from tagcast.tag_rules import keeping, rules, store
from tagcast.tag_rules.rules import Definition, Line, Mode, Rule


def create(
    work: Work, tag_id: int, expression: Expression, *, mode: Mode = "mirror", until_days: int = 0, owner: str = ""
) -> Rule:
    """A new rule for a tag, as a draft that does nothing yet; the owner is who makes it unless another is named.

    Raises Conflict if the tag has a rule or the rule would stand on itself; Invalid for an expression that cannot be
    worked out; NotFound for the tag; Refused when there are too many rules.
    """
    tag = tags.usable(work, tag_id)
    rules.check(mode, until_days, owner)
    lock(work, tag_id)
    if (found := store.of_tag(work, tag_id)) is not None:
        raise Conflict("tag_rules.has_rule", path=tag.path, rule=found.id)
    if store.count(work) >= rules.limits()["rules"]:
        raise Refused("tag_rules.too_many", most=rules.limits()["rules"])
    refs = tuple(live.prove(work, expression))
    _check_ring(work, tag_id, expression)
    definition = Definition(expression, refs, mode, until_days, owner.strip() or work.actor[:100])
    return _noted(work, store.insert(work, tag_id, definition), "created")


def edit(
    work: Work,
    rule_id: int,
    *,
    expression: Expression | None = None,
    mode: Mode | None = None,
    until_days: int | None = None,
    owner: str | None = None,
    version: int | None = None,
) -> Rule:
    """Another definition of a rule as a new version, if it still is `version`; one that runs follows it at once.

    Raises as `create`, and Conflict for another version.
    """
    before = _locked(work, rule_id)
    if version is not None and version != before.version:
        raise Conflict("tag_rules.moved", rule=rule_id, found=before.version, expected=version)
    was = before.definition
    wanted = Definition(
        was.expression if expression is None else expression,
        was.tags if expression is None else tuple(live.prove(work, expression)),
        was.mode if mode is None else mode,
        was.until_days if until_days is None else until_days,
        was.owner if owner is None else owner.strip(),
    )
    return _redefined(work, before, wanted, "edited")


def restore(work: Work, rule_id: int, version: int) -> Rule:
    """Make an earlier version the rule's newest. Raises NotFound for it, else as `edit`."""
    before = _locked(work, rule_id)
    found = next((line for line in store.lines(work, rule_id) if line.version == version), None)
    if found is None:
        raise NotFound("tag_rules.no_version", rule=rule_id, version=version)
    expression = live.today(work, found.definition.expression, found.definition.tags)
    wanted = replace(found.definition, expression=expression, tags=tuple(live.prove(work, expression)))
    return _redefined(work, before, wanted, "restored")


def activate(work: Work, rule_id: int) -> Rule:
    """Let a draft or a stopped rule run: from now on it alone gives and takes its tag, first to everybody concerned.

    Raises Conflict if it stands on itself, or the tag is archived; Invalid if it cannot be worked out any more.
    """
    rule = _locked(work, rule_id)
    if rule.state == "active":
        return rule
    expression = live.today(work, rule.definition.expression, rule.definition.tags)
    live.prove(work, expression)
    _check_ring(work, rule.tag, expression)
    tags.keep(work, rule.tag, rule.keeper)
    live.drop(work, [tags.key(rule.tag)])
    store.put_state(work, rule_id, "active")
    return _noted(work, rule_id, "activated")


def stop(work: Work, rule_id: int) -> Rule:
    """Let it rest: who holds the tag keeps it, and it can be given and taken by hand. Raises NotFound."""
    rule = _locked(work, rule_id)
    if rule.state != "active":
        return rule
    _let_go(work, rule)
    store.put_state(work, rule_id, "stopped")
    return _noted(work, rule_id, "stopped")


def delete(work: Work, rule_id: int, *, take: bool = False) -> int:
    """Delete a rule; with `take` who has the tag from it loses it. Returns how many lost it. Raises NotFound."""
    rule = _locked(work, rule_id)
    gone = given(work, rule) if take else BitMap()
    if rule.state == "active":
        _let_go(work, rule)
    if gone:
        tags.remove(work, rule.tag, gone, why=f"rule {rule.id} deleted")
    store.write_line(work, rule, "deleted")
    store.delete(work, rule_id)
    return len(gone)


def get(work: Work, rule_id: int) -> Rule:
    """A rule by its number, its tags under the paths that they have today. Raises NotFound."""
    found = store.get(work, rule_id)
    if found is None:
        raise NotFound("tag_rules.no_rule", rule=rule_id)
    return _today(work, found)


def of_tag(work: Work, tag_id: int) -> Rule | None:
    """The rule of a tag, if it has one."""
    found = store.of_tag(work, tag_id)
    return None if found is None else _today(work, found)


def every(work: Work) -> list[Rule]:
    """All rules, as `get`."""
    return [_today(work, rule) for rule in store.every(work)]


def history(work: Work, rule_id: int) -> Sequence[Line]:
    """What was done to a rule, newest first, also to one that is deleted. Raises NotFound."""
    found = store.lines(work, rule_id)
    if not found:
        raise NotFound("tag_rules.no_rule", rule=rule_id)
    return found


def given(work: Work, rule: Rule) -> BitMap:
    """Who has the tag from the rule: it gave it last, and nothing took it since."""
    held, before = BitMap(), None
    pages = []
    while page := work.bitmaps.history(tags.key(rule.tag), limit=1000, before=before):
        pages += page
        before = page[-1].seq
    for change in reversed(pages):
        if change.who == rule.keeper and change.op == "add":
            held |= work.bitmaps.members(change.seq)
        elif held:
            held -= work.bitmaps.members(change.seq)
    return held & work.bitmaps.read(tags.key(rule.tag))


def lock(work: Work, tag_id: int) -> None:
    """Nobody changes sets meanwhile: a turn takes this right before anything else too."""
    work.bitmaps.add(tags.key(tag_id), BitMap(), why="")


def _locked(work: Work, rule_id: int) -> Rule:
    lock(work, get(work, rule_id).tag)
    return get(work, rule_id)


def _redefined(work: Work, before: Rule, wanted: Definition, what: rules.What) -> Rule:
    rules.check(wanted.mode, wanted.until_days, wanted.owner)
    if wanted == before.definition:
        return before
    _check_ring(work, before.tag, wanted.expression)
    if wanted.mode != before.definition.mode:
        # Who was once among its members stays or goes: everybody is looked at.
        live.drop(work, [tags.key(before.tag)])
    store.put_definition(work, before.id, wanted)
    return _noted(work, before.id, what)


def _let_go(work: Work, rule: Rule) -> None:
    tags.release(work, rule.tag)
    live.drop(work, [tags.key(rule.tag)])


def _noted(work: Work, rule_id: int, what: rules.What) -> Rule:
    rule = get(work, rule_id)
    store.write_line(work, rule, what)
    return rule


def _today(work: Work, rule: Rule) -> Rule:
    expression = live.today(work, rule.definition.expression, rule.definition.tags)
    return replace(rule, definition=replace(rule.definition, expression=expression))


def _check_ring(work: Work, tag_id: int, expression: Expression) -> None:
    """Raise Conflict, naming the way, if the tag's rule would stand on the tag over rules that run."""
    uses = {tag_id: keeping.tags_in(_stands_on(work, expression))}
    kept = {tag for _, tag, _, _ in store.active(work)} - {tag_id}
    # Only rules that can be on the way are lowered.
    while wanted := {used for below in uses.values() for used in below} & kept - uses.keys():
        for tag in wanted:
            uses[tag] = _uses_of(work, tag)
    if way := rules.ring(uses, tag_id):
        raise keeping.ring_error(work, way)


def _uses_of(work: Work, tag: int) -> set[int]:
    rule = store.of_tag(work, tag)
    assert rule is not None
    try:
        return keeping.tags_in(_stands_on(work, _today(work, rule).definition.expression))
    except TagcastError:
        return set()  # it will stop by itself, and say why


def _stands_on(work: Work, expression: Expression) -> frozenset[str]:
    return live.lower(work, live.Kept("", 0), expression).stands_on
