"""One key's set in memory: a large base that is not rewritten, and the small changes on top of it.

An entry never changes what it stands for; a change makes a new entry that shares the base. So a single change of a
set of ten million costs as much as of a set of ten, and whoever holds an older entry keeps seeing the older set. The
base is a Roaring bitmap, or a plane where that is faster.
"""

from collections.abc import Callable

from pyroaring import BitMap

from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.records import Op

_MERGE_ABOVE = 4096


class DamagedBlock(Exception):
    """The bytes from which a set should be loaded are not those that were written."""


class Entry:
    """A key's set at one version. `count` is known without loading the members."""

    __slots__ = ("_load", "_parts", "base_version", "count", "settled", "version")

    def __init__(
        self,
        version: int,
        count: int,
        parts: tuple[BitMap | Plane | None, BitMap, BitMap],
        load: Callable[[], BitMap] | None = None,
        base_version: int = 0,
    ) -> None:
        self.version = version
        self.count = count
        self.base_version = base_version
        self._parts = parts  # base (None = not loaded yet), plus (disjoint from base), minus (a part of base)
        self._load = load
        self.settled: BitMap | None = None  # the members, once it is decided that they stay as they are

    @classmethod
    def empty(cls) -> "Entry":
        """The set of a key that nobody has changed yet."""
        return cls(0, 0, (BitMap(), BitMap(), BitMap()))

    @classmethod
    def lazy(cls, version: int, count: int, load: Callable[[], BitMap]) -> "Entry":
        """A set whose members are loaded at their first use; `load` may raise DamagedBlock."""
        return cls(version, count, (None, BitMap(), BitMap()), load, version)

    @property
    def loaded(self) -> bool:
        """Whether the members are in memory."""
        return self._parts[0] is not None

    def bitmap(self) -> BitMap:
        """The members. Shared: not to be mutated. Raises DamagedBlock if they cannot be loaded."""
        whole = self.whole()
        return whole.bitmap() if isinstance(whole, Plane) else whole

    def whole(self) -> BitMap | Plane:
        """The members as they are kept. Shared: not to be mutated. Raises DamagedBlock."""
        base, plus, minus = self._loaded()
        if plus or minus:
            if isinstance(base, Plane):
                base = base.changed(plus, minus)
            else:
                if minus:
                    base = base - minus
                if plus:
                    base = base | plus
            self._parts = (base, BitMap(), BitMap())
        return base

    def keep(self, whole: BitMap | Plane) -> None:
        """Keep the members, which `whole` said, in this form."""
        self._parts = (whole, BitMap(), BitMap())

    def mend(self, base: BitMap) -> None:
        """Replace the base that could not be loaded; `base` is the set at `base_version`."""
        _, plus, minus = self._parts
        self._parts = (base, plus, minus)

    def missing(self, members: BitMap) -> BitMap:
        """Those of `members` that are not in the set, as a set of its own."""
        base, plus, minus = self._loaded()
        absent = members - _within(base, members)
        if plus:
            absent -= plus
        if minus:
            absent |= members & minus
        return absent

    def present(self, members: BitMap) -> BitMap:
        """Those of `members` that are in the set, as a set of its own."""
        base, plus, minus = self._loaded()
        found = _within(base, members)
        if minus:
            found -= minus
        if plus:
            found |= members & plus
        return found

    def changed(self, op: Op, delta: BitMap, version: int) -> "Entry":
        """The entry after an effective change: `delta` is disjoint from the set for add, a part of it for remove."""
        base, plus, minus = self._parts
        nothing = BitMap()
        # `x | nothing` is a copy, and several times faster than x.copy().
        parts = (base, plus | nothing, minus | nothing)
        entry = Entry(version, self.count, parts, self._load, self.base_version)
        entry.extend(op, delta, version)
        return entry

    def extend(self, op: Op, delta: BitMap, version: int) -> None:
        """As `changed`, in place: only for an entry made by `changed` that nobody else has seen yet."""
        base, plus, minus = self._parts
        gains, losses = (plus, minus) if op == "add" else (minus, plus)
        if losses:
            gains |= delta - losses
            losses -= delta
        else:
            gains |= delta
        self.settled = None
        self.count += len(delta) if op == "add" else -len(delta)
        self.version = version
        if base is not None and len(plus) + len(minus) > _MERGE_ABOVE:
            whole = base.changed(plus, minus) if isinstance(base, Plane) else (base - minus) | plus
            self._parts = (whole, BitMap(), BitMap())

    def load(self) -> None:
        """Have the members in memory. Raises DamagedBlock if they cannot be loaded."""
        self._loaded()

    def _loaded(self) -> tuple[BitMap | Plane, BitMap, BitMap]:
        base, plus, minus = self._parts
        if base is None:
            assert self._load is not None
            base = self._load()
            self._parts = (base, plus, minus)
        return base, plus, minus


def _within(base: BitMap | Plane, members: BitMap) -> BitMap:
    return base.present(members) if isinstance(base, Plane) else members & base
