"""What a process keeps of sets beyond the sets themselves: which are planes, and results of parts of expressions."""

import threading
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pyroaring import BitMap

from tagcast.bitmaps.entries import Entry
from tagcast.bitmaps.planes import BLOCK, Plane
from tagcast.bitmaps.scattered import Scattered

Name = tuple[int, str]
_ESTIMATED_AGAIN_AFTER = 256
_PLANES_MOST_SPAN = 1 << 28
_SEEN_MOST = 4096


@dataclass(frozen=True, slots=True)
class Memory:
    """The figures of memory.toml."""

    sets: int
    results: int
    spread_most: int
    span_least: int
    bytes_a_member: float
    bytes_scattered: float


@cache
def default() -> Memory:
    """What holds where nothing else is said."""
    text = resources.files("tagcast.bitmaps").joinpath("memory.toml").read_text("utf-8")
    return Memory(**tomllib.loads(text))


class Planes:
    """Decides in which form entries keep their members. Safe to share between threads.

    All sets stay in memory, each in one form. Dense ones are planes while `memory.sets` bytes are not exceeded, else
    scattered; those so dense that all denser ones fit too come first, among the others the ones used last. `counts()`
    says the sizes of all sets.
    """

    def __init__(self, memory: Memory, counts: Callable[[], list[int]]) -> None:
        self._memory = memory
        self._counts = counts
        self._held: OrderedDict[Name, tuple[Entry, int]] = OrderedDict()
        self._spent = 0
        self._spare = 0
        self._floor = 0
        self._until = 0
        self._bytes = memory.bytes_scattered  # a member takes, of what is no plane
        self._lock = threading.Lock()

    def use(self, name: Name, entry: Entry) -> BitMap | Plane:
        """The entry's members, in the form in which it keeps them from now on."""
        whole = entry.whole()
        if isinstance(whole, Scattered):
            return self._scattered(name, entry, whole)
        if isinstance(whole, Plane):
            held = self._held.get(name)
            if held is not None and held[0] is entry:
                return whole
            # A change made a new entry, which shares or replaces the plane of the older one.
            with self._lock:
                self._hold(name, entry, self._extra(whole.nbytes, entry.count))
            return whole
        if not self._dense(whole):
            entry.settled = whole
            return whole
        with self._lock:
            if self._admits(entry.count, whole.max() // 8):
                plane = Plane.union([whole])
                self._hold(name, entry, self._extra(plane.nbytes, entry.count))
            elif self._scatters():
                plane = Scattered.of(whole)
            else:
                return whole
            entry.keep(plane)
        return plane

    def _scattered(self, name: Name, entry: Entry, whole: Scattered) -> BitMap | Plane:
        """What was scattered stays so, unless there is a place for its plane, or none for any."""
        with self._lock:
            if not self._admits(entry.count, whole.size * BLOCK * 8):
                if not self._scatters():
                    entry.keep(whole.bitmap())
                return entry.whole()
            plane = Plane(whole.words)
            entry.keep(plane)
            self._hold(name, entry, self._extra(plane.nbytes, entry.count))
        return plane

    def _dense(self, whole: BitMap) -> bool:
        span = whole.max() + 1 if whole else 0
        if not self._memory.span_least <= span <= min(_PLANES_MOST_SPAN, len(whole) * self._memory.spread_most):
            return False
        return taken(whole) * 8 * 16 > span

    def _extra(self, nbytes: int, count: int) -> int:
        return max(0, nbytes - int(count * self._bytes))

    def _scatters(self) -> bool:
        """Whether there is memory for all sets that are no planes as the bytes of one."""
        return self._bytes == self._memory.bytes_scattered

    def _admits(self, count: int, nbytes: int) -> bool:
        self._until -= 1
        if self._until < 0:
            self._estimate(nbytes)
        extra = self._extra(nbytes, count)
        if not extra:
            return True
        while self._spent + extra > self._spare and count >= self._floor:
            lesser = next((name for name, (one, some) in self._held.items() if some and one.count < self._floor), None)
            if lesser is None:
                break
            self._let_go(lesser)
        return self._spent + extra <= self._spare

    def _estimate(self, nbytes: int) -> None:
        """How much is spare, and how dense a set must be for it and all denser ones to fit."""
        self._until = _ESTIMATED_AGAIN_AFTER
        counts = sorted(self._counts(), reverse=True)
        self._bytes = self._memory.bytes_scattered
        if (spare := self._left(counts, nbytes)) < 0:
            self._bytes = self._memory.bytes_a_member
            spare = self._left(counts, nbytes)
        self._held = OrderedDict(
            (name, (entry, self._extra(nbytes, entry.count))) for name, (entry, _) in self._held.items()
        )
        self._spent = sum(extra for _, extra in self._held.values())
        self._spare, self._floor, used = max(0, spare), 0, 0
        for count in counts:
            used += self._extra(nbytes, count)
            if used > self._spare:
                self._floor = count + 1
                break

    def _left(self, counts: list[int], nbytes: int) -> int:
        """The bytes that are left for planes when nothing is one."""
        return self._memory.sets - int(sum(min(count * self._bytes, nbytes) for count in counts))

    def _hold(self, name: Name, entry: Entry, extra: int) -> None:
        before = self._held.pop(name, None)
        self._spent += extra - (before[1] if before else 0)
        self._held[name] = entry, extra

    def _let_go(self, name: Name) -> None:
        entry, extra = self._held.pop(name)
        self._spent -= extra
        entry.keep(Scattered.of(entry.whole()) if self._scatters() else entry.bitmap())


class Results:
    """Results by what they stand on; those used last, as many as fit. Safe to share between threads.

    A result is first remembered when it is wanted for the second time: what is asked once costs nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[BitMap | Plane | int, int]] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._taken = 0
        self._lock = threading.Lock()

    def get(self, of: Hashable) -> BitMap | Plane | int | None:
        """The result, if it is remembered. Shared: never mutate it."""
        with self._lock:
            found = self._known.get(of)
            if found is None:
                return None
            self._known.move_to_end(of)
            return found[0]

    def wants(self, of: Hashable) -> bool:
        """Whether it was asked for before, and so should be put."""
        with self._lock:
            if of in self._seen:
                return True
            self._seen[of] = None
            if len(self._seen) > _SEEN_MOST:
                self._seen.popitem(last=False)
            return False

    def put(self, of: Hashable, result: BitMap | Plane | int) -> None:
        """Remember a result."""
        size = _size(result)
        if size * 4 > self._most:
            return
        with self._lock:
            before = self._known.pop(of, None)
            self._taken += size - (before[1] if before else 0)
            self._known[of] = result, size
            while self._taken > self._most:
                _, (_, gone) = self._known.popitem(last=False)
                self._taken -= gone


def _size(result: BitMap | Plane | int) -> int:
    if isinstance(result, int):
        return 512
    if isinstance(result, Plane):
        return result.nbytes + 512
    return taken(result) + 64 * int(result.get_statistics()["n_containers"]) + 512


def taken(members: BitMap) -> int:
    """The bytes of a Roaring set's containers."""
    facts = members.get_statistics()
    held = facts["n_bytes_array_containers"] + facts["n_bytes_bitset_containers"] + facts["n_bytes_run_containers"]
    return int(held)
