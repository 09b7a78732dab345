"""What can be combined, and how: the nodes of set algebra. `algebra` evaluates them.

A node names the sets of a workspace by their keys; nothing is read before an evaluation is asked.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap

from tagcast.bitmaps.sliced import Comparison

Ask = Callable[[BitMap | None], BitMap]
Due = Callable[[int, int], BitMap]


class Key(NamedTuple):
    """The members of a key."""

    name: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The members whose number under `key` (see `sliced`) stands in the relation `op` to `value`."""

    key: str
    op: Comparison
    value: int


@dataclass(frozen=True, slots=True)
class Known:
    """The members who have a number under `key` (see `sliced`)."""

    key: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A set that something else computes when it is needed: `ask(within)` gives all members, or those of `within`.

    Equal tokens stand for equal sets. `feeds` are the keys whose change can change the answer; an empty tuple says that
    only time can. `whole`: a change of one member can change the answer for any other, as among the highest tenth.
    `due(since_ms, until_ms)`, where time alone can change an answer within one day: those for whom it may have changed
    from one moment to another (epoch milliseconds). The token must then not hold the moment of asking.
    """

    token: Hashable
    ask: Ask = field(compare=False)
    feeds: tuple[str, ...] = ()
    whole: bool = False
    due: Due | None = field(default=None, compare=False)


class Group:
    """What is made of other nodes: equal by what it says, though its parts be shared ever so often.

    Its hash is taken once, when it is first wanted, and two are compared by walking each pair of parts once; both
    without recursion.
    """

    __slots__ = ("_hash", "parts")
    __match_args__ = ("parts",)

    def __init__(self, parts: tuple["Node", ...]) -> None:
        self.parts = parts
        self._hash = 0

    def __hash__(self) -> int:
        return self._hash or self._take_hash()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Group) and hash(self) == hash(other) and _same(self, other))

    def _take_hash(self) -> int:
        waiting: list[Group] = [self]
        while waiting:
            one = waiting[-1]
            if missing := [part for part in one.parts if isinstance(part, Group) and not part._hash]:
                waiting += missing
            else:
                waiting.pop()
                one._hash = hash(one._said()) or 1
        return self._hash

    def _said(self) -> Hashable:
        return type(self), self.parts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.parts)} parts)"


class AtLeast(Group):
    """The members of at least `times` of the parts; `times` is 1 or more."""

    __slots__ = ("times",)
    __match_args__ = ("times", "parts")

    def __init__(self, times: int, parts: tuple["Node", ...]) -> None:
        super().__init__(parts)
        self.times = times

    def _said(self) -> Hashable:
        return AtLeast, self.times, self.parts


class AllOf(Group):
    """The members of every part; without parts everyone."""

    __slots__ = ()


class AnyOf(Group):
    """The members of any part; without parts nobody."""

    __slots__ = ()


class Except(Group):
    """Everyone but the members of `part`."""

    __slots__ = ("part",)
    __match_args__ = ("part",)

    def __init__(self, part: "Node") -> None:
        super().__init__((part,))
        self.part = part


Leaf = Key | Compared | Known | Asked
Node = Leaf | AtLeast | AllOf | AnyOf | Except

EVERYONE = AllOf(())
NOBODY = AnyOf(())


def _same(one: Group, other: Group) -> bool:
    waiting: list[tuple[Node | Group, Node | Group]] = [(one, other)]
    met: set[tuple[int, int]] = set()
    while waiting:
        mine, theirs = waiting.pop()
        if mine is theirs or (at := (id(mine), id(theirs))) in met:
            continue
        if isinstance(mine, Group) and isinstance(theirs, Group):
            met.add(at)
            if mine._hash != theirs._hash or type(mine) is not type(theirs) or len(mine.parts) != len(theirs.parts):
                return False
            if isinstance(mine, AtLeast) and isinstance(theirs, AtLeast) and mine.times != theirs.times:
                return False
            waiting.extend(zip(mine.parts, theirs.parts, strict=True))
        elif mine != theirs:
            return False
    return True


def walk(node: Node) -> Iterator[Node]:
    """The node and every node below it, what is shared once."""
    waiting, met = [node], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in met:
            met.add(id(one))
            yield one
            if isinstance(one, Group):
                waiting.extend(one.parts)
