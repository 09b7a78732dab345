"""The three-way merge: what both had when they last agreed, ours now, theirs now → steps. Pure; see decision 12."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast.bitmaps import counting
from tagcast.tags.rules import SEPARATOR, normal
from tagcast.tags.sync.rules import (
    Direction,
    Named,
    Place,
    Settings,
    Shape,
    arriving,
    flatten,
    marked,
    own_name,
)
from tagcast.tags.sync.steps import Clash, Kind, Plan, Refusal, Sets, Step


@dataclass(frozen=True, slots=True)
class Ours:
    """One of our tags. `heading`: nobody holds it itself and tags stand below it. `tree`: its account, 0 for none."""

    id: int
    tree: int
    path: str
    archived: bool
    direction: Direction
    members: BitMap
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Theirs:
    """One of the platform's tags. `members` None: not read, because nothing seems to have changed."""

    id: str
    place: Place
    group_id: str = ""
    members: BitMap | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """Our tag and the platform's, and what both had at the last sync: `here` is what we would have called it there.

    `met`: the two sets have been merged once, so that the base says something.
    """

    tag: int
    there: str
    group_id: str
    here: Place
    place: Place
    met: bool
    base: BitMap


@dataclass(frozen=True, slots=True)
class Sides:
    """All that a merge looks at. `reach`: contacts whom the platform knows under this account now.

    `taken`: normalised paths of the account's own tree, archived ones too. `most_name`: characters of a name here.
    """

    account: int
    ours: Mapping[int, Ours]
    theirs: Mapping[str, Theirs]
    links: Sequence[Link]
    reach: BitMap
    arrive: Direction
    most_name: int | None = None


def merge(sides: Sides, settings: Settings, shape: Shape) -> Plan:
    """The plan that brings both sides together."""
    return _Merge(sides, settings, shape).plan()


def merge_sets(base: BitMap, ours: BitMap, theirs: BitMap, direction: Direction) -> Sets:
    """Who changed on which side since the base, as far as the direction lets it through."""
    sets = Sets(base_add=(ours & theirs) - base, base_drop=base - ours - theirs)
    if direction in ("both", "to"):
        sets.add_there, sets.drop_there = ours - base - theirs, (base & theirs) - ours
    if direction in ("both", "from"):
        sets.add_here, sets.drop_here = theirs - base - ours, (base & ours) - theirs
    return sets


@dataclass(slots=True)
class _Merge:
    sides: Sides
    settings: Settings
    shape: Shape
    steps: list[Step] = field(default_factory=list)
    last: list[Step] = field(default_factory=list)
    conflicts: list[Clash] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    sets: dict[tuple[int, str], Sets] = field(default_factory=dict)
    fresh: set[tuple[int, str]] = field(default_factory=set)
    paths: dict[tuple[int, str], str] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def plan(self) -> Plan:
        """All steps: tags there, tags here, members, and at the end what a moved tag leaves behind."""
        sides = self.sides
        self.taken = {normal(one.path) for one in sides.ours.values() if one.tree == sides.account}
        linked = {link.tag for link in sides.links}
        open_ = [one for one in sides.ours.values() if one.direction != "off" and not one.archived]
        wanted = [one for one in open_ if one.id in linked or not one.heading]
        self.places = flatten((Named(one.id, one.tree, one.path) for one in wanted), self.shape)
        renamed, anew = self._groups(), self._made_anew()
        for link in sides.links:
            if link.tag not in anew:
                self._linked(link, renamed)
        self._unlinked(linked - anew, {link.there for link in sides.links})
        left_out = self._per_person()
        self._count_there()
        members = [
            Step("members", tag, there, self.paths[tag, there], sets=sets)
            for (tag, there), sets in sorted(self.sets.items(), key=lambda one: one[0])
            if sets or (tag, there) in self.fresh
        ]
        return Plan([*self.steps, *members, *self.last], self.conflicts, self.refusals, left_out)

    def _made_anew(self) -> set[int]:
        """Our tags whose counterpart is gone and is to be made again, where another stands in its place already."""
        known = {link.there for link in self.sides.links}
        free = {_key(theirs.place) for theirs in self.sides.theirs.values() if theirs.id not in known}
        if self.settings.deletions not in ("ours", "keep"):
            return set()
        gone = {link.tag for link in self.sides.links if link.there not in self.sides.theirs} & self.places.keys()
        goes = {tag for tag in gone if self.sides.ours[tag].direction in ("both", "to")}
        return {tag for tag in goes if _key(self.places[tag]) in free}

    # tags that are joined

    def _linked(self, link: Link, renamed: Mapping[str, Place]) -> None:
        mine, theirs = self.sides.ours[link.tag], self.sides.theirs.get(link.there)
        if mine.direction == "off":
            return
        if mine.archived:
            self._deleted_here(link, mine, theirs)
        elif theirs is None:
            self._deleted_there(mine)
        else:
            self._named(link, mine, theirs, renamed)

    def _deleted_here(self, link: Link, mine: Ours, theirs: Theirs | None) -> None:
        if theirs is None:
            self.steps.append(Step("unlink", mine.id, link.there, mine.path))
            return
        rule, does = self.settings.deletions, ""
        if rule == "ours" and mine.direction in ("both", "to"):
            does = "delete_there"
            self.steps.append(Step("delete_there", mine.id, link.there, mine.path, theirs.place))
            if 0 < self.shape.delete_most < theirs.count:
                refused = Refusal(
                    "delete_most", "there", theirs.count, self.shape.delete_most, mine.path, self.shape.source
                )
                self.refusals.append(refused)
        elif rule in ("platform", "keep") and mine.direction in ("both", "from"):
            does = "restore_here"
            self.steps.append(Step("restore_here", mine.id, link.there, mine.path))
            self._members(mine, theirs, link)
        self._conflict("deleted_here", mine, "", _shown(theirs.place), rule=rule, does=does)

    def _deleted_there(self, mine: Ours) -> None:
        rule, does = self.settings.deletions, ""
        if rule in ("ours", "keep") and mine.direction in ("both", "to"):
            does = "create_there"
            self._create_there(mine, mine.members)
        elif rule == "platform" and mine.direction in ("both", "from"):
            does = "archive_here"
            self.steps.append(Step("archive_here", mine.id, path=mine.path))
        self._conflict("deleted_there", mine, mine.path, "", rule=rule, does=does)

    def _named(self, link: Link, mine: Ours, theirs: Theirs, renamed: Mapping[str, Place]) -> None:
        """Names of a tag that is on both sides; a group was judged before (`renamed`: group id → its name after)."""
        here, there = self.places[mine.id], theirs.place
        to, from_ = mine.direction in ("both", "to"), mine.direction in ("both", "from")
        after = renamed.get(link.group_id)
        if after is not None:
            here, there = Place(after.group, here.name), Place(after.group, there.name)
        elif here.group != link.here.group and to:
            self._move_there(link, mine, theirs)
            return
        ours_new, theirs_new = here.name != link.here.name, there.name != link.place.name
        if ours_new and theirs_new and here.name != there.name:
            rule = self.settings.names
            ours_new, theirs_new = rule == "ours" and to, rule == "platform" and from_
            does = "rename_there" if ours_new else "rename_here" if theirs_new else ""
            self._conflict("names", mine, _shown(here), _shown(there), rule=rule, does=does)
        if here.name == there.name:
            # A group that is renamed takes the names of its tags' groups with it.
            new = ours_new or theirs_new if after is not None else (here, there) != (link.here, link.place)
            if new:
                self.steps.append(Step("note", mine.id, link.there, mine.path, there, here, theirs.group_id))
        elif ours_new and to:
            place = Place(there.group, here.name)
            self.steps.append(Step("rename_there", mine.id, link.there, mine.path, place, place, theirs.group_id))
        elif theirs_new and from_:
            self._rename_here(mine, theirs, there)
        elif after is None and (here.group, there.group) != (link.here.group, link.place.group):
            place, ours = Place(there.group, link.place.name), Place(here.group, link.here.name)
            self.steps.append(Step("note", mine.id, link.there, mine.path, place, ours, theirs.group_id))
        self._members(mine, theirs, link)

    def _rename_here(self, mine: Ours, theirs: Theirs, there: Place) -> None:
        above = mine.path.rpartition(SEPARATOR)[0]
        prefix = above.partition(SEPARATOR)[2] if self.shape.levels == 2 else above
        name = self._free(above, arriving(own_name(there.name, prefix), self.sides.most_name), theirs.id)
        path = f"{above}{SEPARATOR}{name}" if above else name
        self.steps.append(Step("rename_here", mine.id, theirs.id, path, there, group_id=theirs.group_id))

    def _move_there(self, link: Link, mine: Ours, theirs: Theirs) -> None:
        """No tag can change its group there: a new one takes its place, and the old one goes at the end."""
        sets = self._merged(mine, theirs, link)
        if sets is None:
            return
        self._create_there(mine, (mine.members - sets.drop_here) | sets.add_here)
        fresh = self.sets[mine.id, ""]
        fresh.add_here, fresh.drop_here = sets.add_here, sets.drop_here
        self.last.append(Step("delete_there", 0, link.there, mine.path, theirs.place))

    def _groups(self) -> dict[str, Place]:
        """Groups that get another name on either side: group id → the name that both have after it."""
        by_group: dict[str, list[tuple[Link, Ours, Theirs]]] = {}
        for link in self.sides.links:
            mine, theirs = self.sides.ours[link.tag], self.sides.theirs.get(link.there)
            if link.group_id and theirs is not None and not mine.archived and mine.direction != "off":
                by_group.setdefault(link.group_id, []).append((link, mine, theirs))
        found = {}
        for group_id, joined in sorted(by_group.items()):
            if (place := self._group(group_id, joined)) is not None:
                found[group_id] = place
        return found

    def _group(self, group_id: str, joined: Sequence[tuple[Link, Ours, Theirs]]) -> Place | None:
        link, mine, theirs = joined[0]
        roots = {(one.tree, one.path.partition(SEPARATOR)[0]) for _, one, _ in joined}
        wanted = {self.places[one.id].group for _, one, _ in joined}
        to = all(one.direction in ("both", "to") for _, one, _ in joined)
        from_ = all(one.direction in ("both", "from") for _, one, _ in joined)
        ours_new = to and len(wanted) == 1 and wanted != {link.here.group}
        theirs_new = from_ and len(roots) == 1 and theirs.place.group != link.place.group
        if ours_new and theirs_new and wanted != {theirs.place.group}:
            rule = self.settings.names
            ours_new, theirs_new = rule == "ours", rule == "platform"
            does = "rename_group_there" if ours_new else "rename_here" if theirs_new else ""
            ours = min(wanted)
            self.conflicts.append(Clash("group", ours, ours, theirs.place.group, rule, does))
        if ours_new:
            place = Place(min(wanted), "")
            self.steps.append(Step("rename_group_there", mine.id, "", min(wanted), place, group_id=group_id))
            return place
        if theirs_new:
            tree, name = min(roots)
            root = next(
                one.id for one in self.sides.ours.values() if one.tree == tree and one.path == name and not one.archived
            )
            path = self._free("", arriving(theirs.place.group, self.sides.most_name), group_id)
            place = Place(theirs.place.group, "")
            self.steps.append(Step("rename_here", root, "", path, place, group_id=group_id))
            return place
        return None

    # tags that stand on one side only

    def _unlinked(self, linked: set[int], known: set[str]) -> None:
        free = {theirs.id: theirs for theirs in self.sides.theirs.values() if theirs.id not in known}
        by_place = {_key(theirs.place): theirs for theirs in reversed(free.values())}
        for tag_id, place in sorted(self.places.items()):
            if tag_id in linked:
                continue
            mine = self.sides.ours[tag_id]
            if (theirs := by_place.pop(_key(place), None)) is not None:
                del free[theirs.id]
                self.steps.append(Step("link", tag_id, theirs.id, mine.path, theirs.place, place, theirs.group_id))
                self._members(mine, theirs, None)
            elif mine.direction in ("both", "to"):
                self._create_there(mine, mine.members)
        if self.sides.arrive in ("both", "from"):
            for theirs in free.values():
                self._create_here(theirs)

    def _create_there(self, mine: Ours, members: BitMap) -> None:
        place = self.places[mine.id]
        group_id = next((one.group_id for one in self.sides.theirs.values() if one.place.group == place.group), "")
        self.steps.append(Step("create_there", mine.id, "", mine.path, place, place, group_id))
        self._keep(mine.id, "", mine.path, Sets(add_there=members & self.sides.reach), met=False)

    def _create_here(self, theirs: Theirs) -> None:
        most = self.sides.most_name
        above = arriving(theirs.place.group, most) if self.shape.levels == 2 else ""
        if root := self._root_of(theirs.group_id):
            above = root
        name = self._free(above, arriving(theirs.place.name, most), theirs.id)
        path = f"{above}{SEPARATOR}{name}" if above else name
        self.steps.append(Step("create_here", 0, theirs.id, path, theirs.place, group_id=theirs.group_id))
        members = theirs.members if theirs.members is not None else BitMap()
        self._keep(0, theirs.id, path, Sets(add_here=members & self.sides.reach), met=False)

    def _root_of(self, group_id: str) -> str:
        """The root of our account's tree whose tags stand in a group already, if there is one."""
        for link in self.sides.links:
            mine = self.sides.ours[link.tag]
            if group_id and link.group_id == group_id and mine.tree == self.sides.account and not mine.archived:
                return mine.path.partition(SEPARATOR)[0]
        return ""

    def _free(self, above: str, name: str, seed: str) -> str:
        """The name, or one with a mark when a sibling has it."""
        path = f"{above}{SEPARATOR}{name}" if above else name
        turn = 0
        while normal(path) in self.taken:
            name = marked(name, f"{seed}:{turn}", self.sides.most_name)
            path = f"{above}{SEPARATOR}{name}" if above else name
            turn += 1
        self.taken.add(normal(path))
        return name

    # members

    def _members(self, mine: Ours, theirs: Theirs, link: Link | None) -> None:
        if theirs.members is not None and (sets := self._merged(mine, theirs, link)) is not None:
            self._keep(mine.id, theirs.id, mine.path, sets, met=link is not None and link.met)

    def _merged(self, mine: Ours, theirs: Theirs, link: Link | None) -> Sets | None:
        """None: two sets that meet for the first time, and the rule is to ask."""
        reach = self.sides.reach
        kept = link.base if link is not None else BitMap()
        base, ours, bear = kept & reach, mine.members & reach, (theirs.members or BitMap()) & reach
        if (link is None or not link.met) and ours and bear and ours != bear:
            rule = self.settings.members
            base = {"ours": bear, "platform": ours}.get(rule, base)
            does = "" if rule == "ask" else "members"
            self._conflict(
                "members", mine, str(len(ours)), str(len(bear)), rule=rule, does=does, people=len(ours ^ bear)
            )
            if rule == "ask":
                return None
        sets = merge_sets(base, ours, bear, mine.direction)
        sets.base_add, sets.base_drop = (ours & bear) - kept, (kept - ours - bear) | (kept - reach)
        return sets

    def _keep(self, tag: int, there: str, path: str, sets: Sets, *, met: bool) -> None:
        """`met` False: the step is made even if nobody changes, because from then on the base says something."""
        self.sets[tag, there], self.paths[tag, there] = sets, path
        if not met:
            self.fresh.add((tag, there))

    def _conflict(
        self, kind: Kind, mine: Ours, ours: str, theirs: str, *, rule: str, does: str, people: int = 0
    ) -> None:
        self.conflicts.append(Clash(kind, mine.path, ours, theirs, rule, does, people))

    # limits of the platform

    def _count_there(self) -> None:
        made = sum(step.do == "create_there" for step in self.steps)
        count = len(self.sides.theirs) + made - sum(step.do == "delete_there" for step in self.steps)
        if made and count > self.shape.tags:
            self.refusals.append(Refusal("tags", "there", count, self.shape.tags, source=self.shape.source))

    def _per_person(self) -> dict[str, int]:
        """Leave out whom one more tag would be too many; the tags that come first are put on."""
        after = {theirs.id: theirs.members for theirs in self.sides.theirs.values() if theirs.members is not None}
        for (_, there), sets in self.sets.items():
            if there:
                after[there] = (after.get(there) or BitMap()) - sets.drop_there
        left_out: dict[str, int] = {}
        if len(after) + sum(not there for _, there in self.sets) <= self.shape.per_person:
            return left_out
        full = counting.at_least(list(after.values()), self.shape.per_person) if after else BitMap()
        for index, ((tag, there), sets) in enumerate(sorted(self.sets.items(), key=lambda one: one[0])):
            if beyond := sets.add_there & full:
                sets.add_there -= beyond
                left_out[self.paths[tag, there]] = len(beyond)
            after[there or f"new {index}"] = after.get(there, BitMap()) | sets.add_there
            if len(after) > self.shape.per_person and sets.add_there:
                full = counting.at_least(list(after.values()), self.shape.per_person)
        return left_out


def _key(place: Place) -> tuple[str, str]:
    return normal(place.group), normal(place.name)


def _shown(place: Place) -> str:
    return f"{place.group}{SEPARATOR}{place.name}" if place.group else place.name
