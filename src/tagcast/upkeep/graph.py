"""Where a tag is used: by what names it, by what names a tag above it, and by what stands on those."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tagcast import audiences, broadcasts, groups, tag_rules, tags
from tagcast.kit.uow import Work
from tagcast.tags import Use

LOADED = (audiences, broadcasts, groups, tag_rules)
"""What uses tags registers with `tags` when it is loaded."""

How = Literal["itself", "above", "through"]


@dataclass(frozen=True, slots=True)
class Used:
    """One use: by its own name, by a tag above (whose use takes in those below), or through a segment; and who stands
    on it in turn. What was shown elsewhere in the tree already is not opened again (`more`)."""

    use: Use
    how: How
    below: tuple["Used", ...] = ()
    more: bool = False


class Graph:
    """All uses of a workspace, asked once."""

    def __init__(self, work: Work) -> None:
        self._tags = tags.every(work)
        self.uses = tags.uses(work)
        self._over: dict[str, list[Use]] = {}
        for use in self.uses:
            for name in use.over:
                self._over.setdefault(name, []).append(use)
        self._named: dict[int, list[Use]] = {}
        for use in self.uses:
            for number in {*use.branches, *use.exactly}:
                self._named.setdefault(number, []).append(use)

    def of(self, tag_id: int) -> list[Used]:
        """The tree of a tag's uses, live ones first."""
        opened: set[tuple[str, int]] = set()
        found = [self._used(use, "itself", opened) for use in self._sorted(self._named.get(tag_id, []))]
        named = {(one.use.kind, one.use.id) for one in found}
        for above in self._above(tag_id):
            for use in self._sorted(self._named.get(above, [])):
                if above in use.branches and (use.kind, use.id) not in named:
                    named.add((use.kind, use.id))
                    found.append(self._used(use, "above", opened))
        return found

    def live(self, tag_id: int) -> list[Use]:
        """Whatever will use the tag again, each once, directly or through something."""
        found: dict[tuple[str, int, str], Use] = {}
        for one in walk(self.of(tag_id)):
            if one.use.live:
                found.setdefault((one.use.kind, one.use.id, one.use.name), one.use)
        return list(found.values())

    def naming(self, tag_id: int) -> list[Use]:
        """Whatever live names the tag itself: it would break without it."""
        return [use for use in self._named.get(tag_id, []) if use.live]

    def _above(self, tag_id: int) -> Iterator[int]:
        parent = self._tags[tag_id].parent if tag_id in self._tags else None
        while parent is not None:
            yield parent
            parent = self._tags[parent].parent

    def _used(self, use: Use, how: How, opened: set[tuple[str, int]]) -> Used:
        if use.kind != "segment" or use.name not in self._over:
            return Used(use, how)
        if (use.kind, use.id) in opened:
            return Used(use, how, more=True)
        opened.add((use.kind, use.id))
        over = self._sorted(self._over[use.name])
        return Used(use, how, tuple(self._used(one, "through", opened) for one in over))

    @staticmethod
    def _sorted(uses: Sequence[Use]) -> list[Use]:
        return sorted(uses, key=lambda use: (not use.live, use.kind, use.name, use.id))


def walk(found: Sequence[Used]) -> Iterator[Used]:
    """Every use of a tree."""
    for one in found:
        yield one
        yield from walk(one.below)


def lines(found: Sequence[Used], words: Mapping[str, str], depth: int = 0) -> Iterator[str]:
    """The tree for people, a use a line."""
    for one in found:
        past = "" if one.use.live else f" ({words['past']})"
        more = " …" if one.more else ""
        how = f" ({words[one.how]})" if one.how == "above" else ""
        yield f"{'  ' * depth}{words.get(one.use.kind, one.use.kind)} {one.use.name} [{one.use.id}]{how}{past}{more}"
        yield from lines(one.below, words, depth + 1)
