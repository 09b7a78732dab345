"""What the names of an expression stand for: tags, attributes, features, other segments; near ones for a wrong name."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from tagcast import behaviour, contacts, features, outcomes, tags
from tagcast.audiences import rules, store
from tagcast.audiences.rules import Expression, Leaf, Named, SegmentLeaf, SendLeaf, TagLeaf
from tagcast.audiences.store import Segment
from tagcast.contacts import Attribute
from tagcast.kit import clock
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work
from tagcast.outcomes import Sending

Place = tuple[int | None, str]
_TREES_MOST = 8
_PLACES_MOST = 20_000


@dataclass(slots=True)
class Names:
    """Every name of an expression and of the segments it stands on. A tag is its id, followed by those below it."""

    tags: dict[TagLeaf, list[int]] = field(default_factory=dict)
    fields: dict[str, Literal["attribute", "feature"]] = field(default_factory=dict)
    described: dict[str, Attribute] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    sendings: dict[SendLeaf, list[Sending]] = field(default_factory=dict)


def resolve(work: Work, expression: Expression) -> Names:
    """Find every name. Raises Invalid for an unknown one, naming near ones; Refused for too many layers of segments."""
    names, layer = Names(), [expression]
    attributes: dict[str, Attribute] = {}
    computed: dict[str, Attribute] = {}
    for _ in range(rules.limits().segment_depth + 1):
        nodes = {node for one in layer for node, _ in rules.walk(one)}
        leaves = {node for node in nodes if isinstance(node, TagLeaf)}
        names.tags.update(_tags(work, leaves - names.tags.keys()))
        named = {node.name for node in nodes if isinstance(node, Named)}
        if named and not computed:
            attributes, computed = contacts.attributes(work), features.names(work)
        for name in named:
            names.described[name] = _described(name, attributes, computed)
            names.fields[name] = "attribute" if name in attributes else "feature"
        _check_events(work, nodes)
        for leaf in nodes:
            if isinstance(leaf, SendLeaf):
                names.sendings[leaf] = _sendings(work, leaf)
        wanted = {name for one in layer for name in used_by(one)} - names.segments.keys()
        if not wanted:
            return names
        found = load(work, wanted)
        if missing := wanted - found.keys():
            name = min(missing)
            raise Invalid("audiences.unknown_segment", name=name, near=near(name, store.names(work)))
        names.segments.update(found)
        layer = [segment.expression for segment in found.values()]
    raise rules.over("segment_depth")


def used_by(expression: Expression) -> set[str]:
    """The segments that an expression names itself."""
    return {node.name for node, _ in rules.walk(expression) if isinstance(node, SegmentLeaf)}


def field_users(work: Work, wanted: Collection[str]) -> list[str]:
    """The segments that name any of these attributes or features themselves, sorted."""
    return [
        segment.name
        for segment in store.every(work)
        if any(isinstance(node, Named) and node.name in wanted for node, _ in rules.walk(segment.expression))
    ]


features.asked_before_deleting(field_users)


def load(work: Work, wanted: Iterable[str]) -> dict[str, Segment]:
    """Segments by name, their tags under the paths that they have today."""
    return {segment.name: segment for segment in current(work, store.by_names(work, wanted).values())}


def current(work: Work, segments: Iterable[Segment]) -> list[Segment]:
    """Segments with their tags under the paths that they have today: renaming or moving a tag breaks no segment."""
    listed = list(segments)
    if not any(segment.tags for segment in listed):
        return listed
    paths = {number: tag.path for number, tag in tags.every(work).items()}
    return [_repathed(segment, paths) for segment in listed]


def check_standing(work: Work, name: str, expression: Expression) -> None:
    """Raise Conflict, naming the way, if the segment would stand on itself; Refused if any would stand too high."""
    uses = {segment.name: used_by(segment.expression) for segment in store.every(work)}
    uses[name] = used_by(expression)
    if ring := rules.ring(uses, name):
        raise Conflict("audiences.ring", path=" → ".join(ring))
    if rules.height(uses) > rules.limits().segment_depth:
        raise rules.over("segment_depth")


def tag_refs(expression: Expression, names: Names) -> list[store.TagRef]:
    """The tags that an expression itself names, to be stored with it."""
    leaves = {node for node, _ in rules.walk(expression) if isinstance(node, TagLeaf)}
    found: set[store.TagRef] = {(leaf.account, leaf.path, names.tags[leaf][0]) for leaf in leaves}
    return sorted(found, key=lambda ref: (ref[2], ref[1]))


class _Trees:
    """What was found in the trees of tags used last, each under its stamp: whoever changes a tree gives it another."""

    def __init__(self) -> None:
        self._trees: OrderedDict[tuple[int, int], dict[Place, list[int]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, work: Work, wanted: set[Place]) -> dict[Place, list[int]]:
        """As `tags.find_many`; lists are shared. What is not found is asked each time, for its error."""
        if not wanted or (stamp := tags.stamp(work)) is None:
            return tags.find_many(work, wanted)
        known = self._tree((work.workspace, stamp))
        found = {place: known[place] for place in wanted if place in known}
        if len(found) < len(wanted):
            more = tags.find_many(work, wanted - found.keys())
            found |= more
            if len(known) + len(more) <= _PLACES_MOST:
                known.update(more)
        return found

    def _tree(self, of: tuple[int, int]) -> dict[Place, list[int]]:
        with self._lock:
            known = self._trees.setdefault(of, {})
            self._trees.move_to_end(of)
            if len(self._trees) > _TREES_MOST:
                self._trees.popitem(last=False)
        return known


_trees = _Trees()


def _tags(work: Work, leaves: set[TagLeaf]) -> dict[TagLeaf, list[int]]:
    try:
        found = _trees.find(work, {(leaf.account, leaf.path) for leaf in leaves})
    except NotFound as error:
        if error.code == "accounts.no_account":
            raise Invalid("audiences.unknown_account", account=error.params["account"]) from None
        if error.code == "tags.archived":
            raise Invalid("audiences.archived_tag", path=error.params["path"]) from None
        raise Invalid("audiences.unknown_tag", path=error.params["path"], near=error.params["near"]) from None
    return {leaf: found[leaf.account, leaf.path] for leaf in leaves}


def _described(name: str, attributes: Mapping[str, Attribute], computed: Mapping[str, Attribute]) -> Attribute:
    found = attributes.get(name) or computed.get(name)
    if found is None:
        raise Invalid("audiences.unknown_field", name=name, near=near(name, [*attributes, *computed]))
    if found.type == "text":
        raise Invalid("audiences.private_text", name=name)
    return found


def _check_events(work: Work, nodes: Iterable[Expression]) -> None:
    """Raise Invalid for an unknown type of event or property, naming near ones."""
    asked = [question for node in nodes for question in rules.questions_of(node)]
    types = behaviour.event_types(work) if asked else {}
    for question in asked:
        if question.event not in types:
            raise Invalid("audiences.unknown_event", name=question.event, near=near(question.event, types))
        properties = {*types[question.event].properties, "amount", "quantity"}
        for where in question.where:
            if where.name not in properties:
                raise Invalid(
                    "audiences.unknown_property",
                    event=question.event,
                    name=where.name,
                    near=near(where.name, sorted(properties)),
                )


def _sendings(work: Work, leaf: SendLeaf) -> list[Sending]:
    """What was sent under a name or number, or all of it, by an account and in days of the workspace's zone."""
    refs = [f"broadcast:{leaf.sending}"] if isinstance(leaf.sending, int) else None
    found = outcomes.sendings(work, refs=refs, names=[leaf.sending] if isinstance(leaf.sending, str) else None)
    if leaf.sending is not None and not found:
        close = near(leaf.sending, outcomes.names(work)) if isinstance(leaf.sending, str) else "–"
        raise Invalid("audiences.unknown_sending", sending=leaf.sending, near=close)
    first, last = leaf.during.days(work.today)

    def chosen(sending: Sending) -> bool:
        day = clock.local_day(clock.from_ms(sending.at_ms), work.zone)
        early, late = first is not None and day < first, last is not None and day > last
        return leaf.account in (None, sending.account) and not early and not late

    return [sending for sending in found if chosen(sending)]


def near(name: str, known: Iterable[str]) -> str:
    """The known names that a wrong one looks like, else some of them, for its error."""
    folded = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), folded, n=3, cutoff=0.5) or sorted(folded)[:5]
    return "、".join(folded[one] for one in close) or "–"


def _repathed(segment: Segment, paths: dict[int, str]) -> Segment:
    meant = {(account, path): paths.get(tag, path) for account, path, tag in segment.tags}

    def change(leaf: Leaf) -> Leaf:
        if isinstance(leaf, TagLeaf):
            return replace(leaf, path=meant.get((leaf.account, leaf.path), leaf.path))
        return leaf

    refs = tuple((account, meant[account, path], tag) for account, path, tag in segment.tags)
    return replace(segment, expression=rules.substitute(segment.expression, change), tags=refs)
