"""Planned evaluation against plain sets: every density, runs, chunk borders, changes, with and without within."""

import threading
import zlib
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, clear, reading, writing

from tagcast.bitmaps import Bitmaps, View, algebra, blocks
from tagcast.bitmaps.algebra import AllOf, AnyOf, AtLeast, Evaluation, Except, Key, Node
from tagcast.bitmaps.blocks import Join, Meet
from tagcast.bitmaps.codec import pack
from tagcast.bitmaps.memory import Memory
from tagcast.bitmaps.past import Past
from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.scattered import Scattered

CHUNK = 65536
KINDS = {
    "empty": np.zeros(0, dtype=np.int64),
    "full": np.arange(CHUNK),
    "run": np.arange(100, 30_000),
    "borders": np.array([0, 63, 64, CHUNK - 1]),
    "few": np.arange(5, CHUNK, 977),
    "array": np.arange(1, CHUNK, 17),
    "half": np.flatnonzero(np.random.default_rng(1).random(CHUNK) < 0.5),
    "dense": np.flatnonzero(np.random.default_rng(2).random(CHUNK) < 0.95),
    "all but one": np.delete(np.arange(CHUNK), 777),
}
# One block of a plane is sixteen chunks: the seventeenth begins the next.
PLACES = (0, 1, 15, 16, 33)
shapes = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(sorted(KINDS)), max_size=4)
BYTES = {"bytes_a_member": 2.2, "bytes_scattered": 3.0}
GREEDY = Memory(sets=1 << 40, results=1 << 30, spread_most=1 << 40, span_least=1, **BYTES)
NONE = Memory(sets=0, results=0, spread_most=1, span_least=1, **BYTES)
TIGHT = Memory(sets=700_000, results=300_000, spread_most=1 << 40, span_least=1, **BYTES)
SCATTERED = Memory(sets=0, results=1 << 30, spread_most=1 << 40, span_least=1, bytes_a_member=0, bytes_scattered=0)
MEMORIES = [GREEDY, TIGHT, SCATTERED, NONE]
EVERYONE = BitMap(range(3, 35 * CHUNK, 3)) | BitMap(range(CHUNK - 50, CHUNK + 50))
LEAVES = [Key(name) for name in "abcde"]
nodes: st.SearchStrategy[Node] = st.recursive(
    st.sampled_from([*LEAVES, Key("unknown"), algebra.EVERYONE, algebra.NOBODY]),
    lambda below: (
        st.lists(below, max_size=4).map(lambda parts: AllOf(tuple(parts)))
        | st.lists(below, max_size=4).map(lambda parts: AnyOf(tuple(parts)))
        | below.map(Except)
        | st.tuples(st.integers(1, 3), st.lists(below, max_size=4)).map(lambda two: AtLeast(two[0], tuple(two[1])))
    ),
    max_leaves=10,
)


def made(shape: dict[int, str]) -> BitMap:
    return BitMap.union(BitMap(), *[part(place, kind) for place, kind in shape.items()])


@cache
def part(place: int, kind: str) -> BitMap:
    return pack(KINDS[kind] + place * CHUNK)


def naive(node: Node, sets: dict[str, BitMap], everyone: BitMap) -> BitMap:
    match node:
        case Key(name):
            return sets.get(name, BitMap()) & everyone
        case AllOf(parts):
            return BitMap.intersection(everyone, *[naive(part, sets, everyone) for part in parts])
        case AnyOf(parts):
            return BitMap.union(BitMap(), *[naive(part, sets, everyone) for part in parts])
        case Except(part):
            return everyone - naive(part, sets, everyone)
        case AtLeast(times, parts):
            found = [naive(part, sets, everyone) for part in parts]
            return BitMap.union(BitMap(), *[BitMap.intersection(*some) for some in combinations(found, times)])
    raise AssertionError(node)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, other=shapes, few=st.frozensets(st.integers(0, 40 * CHUNK), max_size=8))
def test_a_plane_is_its_set(shape: dict[int, str], other: dict[int, str], few: frozenset[int]) -> None:
    first, second, some = made(shape), made(other), BitMap(few)
    plane = Plane.union([first, second])
    whole = first | second
    for same in (plane, Scattered.of(plane), Scattered.of(whole)):
        assert same.bitmap() == whole
        assert same.count() == len(whole)
        assert same.present(some) == some & whole
        assert same.present(some | first) == (some | first) & whole
        assert same.changed(some - whole, some & whole).bitmap() == whole ^ some
        assert Plane(same.words).bitmap() == whole
    for mixed in (Meet((plane, Scattered.of(first))), Meet((plane,), (Scattered.of(second),))):
        wanted = first if len(mixed.inside) > 1 else first - second
        assert blocks.solid(mixed).bitmap() == wanted
        assert blocks.count(Join((mixed, Scattered.of(second)))) == len(wanted | second)
        assert blocks.present(mixed, some | second) == wanted & (some | second)


def filled(log: Log, sets: dict[str, BitMap]) -> None:
    clear(log.engine)
    with writing(Bitmaps(log.engine), log) as view:
        for name, members in {"all": EVERYONE, **sets}.items():
            view.add(name, members, why="")


def check(view: View, node: Node, sets: dict[str, BitMap], within: BitMap | None = None) -> None:
    everyone = EVERYONE if within is None else EVERYONE & within
    wanted = naive(node, sets, everyone)
    for remember in (False, True, True):
        evaluation = Evaluation(view, "all", within=within, remember=remember)
        assert evaluation.count(node) == len(wanted)
        assert evaluation.members(node) == wanted
        for member in (0, 5, CHUNK, 16 * CHUNK + 2):
            assert evaluation.holds(node, member) == (member in wanted)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("memory", MEMORIES, ids=["planes", "some", "scattered", "none"])
def test_any_expression_is_what_the_sets_say(sqlite_log_once: Log, memory: Memory, data: st.DataObject) -> None:
    sets = {key.name: made(data.draw(shapes)) for key in LEAVES}
    filled(sqlite_log_once, sets)
    bitmaps = Bitmaps(sqlite_log_once.engine, memory=memory)
    node = data.draw(nodes)
    with reading(bitmaps, sqlite_log_once) as view:
        check(view, node, sets)
        check(view, node, sets, BitMap(data.draw(st.frozensets(st.integers(0, 20 * CHUNK), max_size=5))))
        check(view, node, sets, BitMap(range(0, 17 * CHUNK, 5)))
    with sqlite_log_once.engine.connect() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        view.add("a", change := made(data.draw(shapes)), why="")
        later = {**sets, "a": sets["a"] | change}
        check(view, node, later)
        with connection.begin_nested() as savepoint:
            view.remove("b", made(data.draw(shapes)), why="")
            check(view, node, {**later, "b": view.read("b")})
            savepoint.rollback()
        check(view, node, later)
    with reading(bitmaps, sqlite_log_once) as view:
        check(view, node, sets)
    with writing(bitmaps, sqlite_log_once, at_ms=2000) as view:
        view.remove("a", change, why="")
    with reading(bitmaps, sqlite_log_once) as view:
        check(view, node, {**sets, "a": sets["a"] - change})
        check(Past(view, 1500), node, sets)


def test_many_parts_shared_again_and_again_are_worked_out_once(sqlite_log: Log) -> None:
    sets = {"a": made({0: "half", 16: "half"}), "b": made({0: "dense"}), "c": made({1: "array"})}
    filled(sqlite_log, sets)
    node: Node = Key("a")
    for _ in range(7):
        node = AnyOf((AllOf((node, Except(Key("b")))), AllOf((node, Key("c"))), AllOf((node, Key("a")))))
    with reading(Bitmaps(sqlite_log.engine, memory=GREEDY), sqlite_log) as view:
        assert Evaluation(view, "all").members(node) == sets["a"] & EVERYONE


def test_threads_share_planes_and_results(sqlite_log: Log) -> None:
    sets = {name: made({0: "half", place: "dense"}) for name, place in zip("abcde", PLACES, strict=True)}
    filled(sqlite_log, sets)
    bitmaps = Bitmaps(sqlite_log.engine, memory=TIGHT)
    node = AllOf((AnyOf((Key("a"), Key("b"))), AnyOf((Key("c"), Key("d"))), Except(Key("e"))))
    wanted, found = len(naive(node, sets, EVERYONE)), list[int]()

    def ask() -> None:
        for turn in range(20):
            with reading(bitmaps, sqlite_log) as view:
                found.append(Evaluation(view, "all", remember=turn % 2 == 0).count(node))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 80


def test_a_flipped_bit_under_a_plane_is_rebuilt_from_the_log(sqlite_log: Log) -> None:
    sets = {"a": made({0: "half", 1: "half"}), "b": made({0: "dense"})}
    filled(sqlite_log, sets)
    with sqlite_log.engine.begin() as connection:
        assert Bitmaps(sqlite_log.engine, sqlite_log.folder).checkpoint(connection, 1)
    (path,) = sqlite_log.folder.glob("*.bitmaps")
    sound = path.read_bytes()
    at = sound.index(sets["a"].serialize()[24:4000])
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
    with reading(Bitmaps(sqlite_log.engine, sqlite_log.folder, memory=GREEDY), sqlite_log) as view:
        assert isinstance(view.whole("a"), Plane)
        check(view, AllOf((Key("a"), Except(Key("b")))), sets)


def shared(levels: int) -> Node:
    node: Node = AnyOf((Key("a"), Key("b")))
    for level in range(levels):
        node = AnyOf((AllOf((node, Key("c"), node)), Except(AtLeast(2, (node, node, node))) if level % 2 else node))
    return node


@pytest.mark.parametrize("memory", [GREEDY, NONE], ids=["planes", "no planes"])
def test_two_hundred_levels_of_shared_parts_are_met_once_each(sqlite_log: Log, memory: Memory) -> None:
    sets = {"a": made({0: "half", 16: "half"}), "b": made({0: "dense"}), "c": made({1: "array", 0: "few"})}
    filled(sqlite_log, sets)
    node, again = shared(100), shared(100)  # each of two
    assert node == again
    assert hash(node) == hash(again)
    assert node != AllOf((*shared(99).parts, Key("d")))  # type: ignore[union-attr]  # it is an AnyOf
    assert sum(1 for _ in algebra.walk(node)) < 1_000
    with reading(Bitmaps(sqlite_log.engine, memory=memory), sqlite_log) as view:
        assert algebra.feeds(view, node) == {"a", "b", "c"}
        wanted = sets["a"] | sets["b"]
        for level in range(100):
            both = wanted & sets["c"]
            wanted = both | (EVERYONE - wanted if level % 2 else wanted)
        for remember in (False, True, True):
            evaluation = Evaluation(view, "all", remember=remember)
            assert evaluation.count(node) == evaluation.count(again) == len(wanted & EVERYONE)
            assert evaluation.members(again) == wanted & EVERYONE


@pytest.mark.parametrize("memory", MEMORIES, ids=["planes", "some", "scattered", "none"])
def test_a_thousand_levels_need_no_deeper_stack(sqlite_log: Log, memory: Memory) -> None:
    sets = {"a": made({0: "half", 16: "half"}), "b": made({0: "dense"}), "c": made({1: "array", 0: "few"})}
    filled(sqlite_log, sets)
    node: Node = Key("a")
    wanted = sets["a"] & EVERYONE
    for level in range(1_000):
        if level % 2:
            node, wanted = Except(AnyOf((node, Key("b")))), EVERYONE - (wanted | sets["b"])
        else:
            node, wanted = AllOf((Except(node), Except(Key("c")))), EVERYONE - wanted - sets["c"]
    with reading(Bitmaps(sqlite_log.engine, memory=memory), sqlite_log) as view:
        for remember in (False, True, True):
            assert Evaluation(view, "all", remember=remember).members(node) == wanted
            assert Evaluation(view, "all", remember=remember).count(node) == len(wanted)
            assert Evaluation(view, "all", remember=remember).holds(node, 3) == (3 in wanted)
        few = BitMap(range(0, 300, 3))
        assert Evaluation(view, "all", within=few).members(node) == wanted & few


def test_nodes_are_equal_by_what_they_say() -> None:
    parts = (Key("a"), Key("b"))
    assert AnyOf(parts) == AnyOf((Key("a"), Key("b")))
    assert len({AnyOf(parts), AllOf(parts), AtLeast(1, parts), AtLeast(2, parts), Except(AnyOf(parts))}) == 5
    assert AtLeast(2, parts) != AtLeast(3, parts)
    assert AnyOf((AnyOf(parts), Key("c"))) != AnyOf((AnyOf(parts), Key("d")))
    assert Except(AllOf(parts)) == Except(AllOf(parts))
    assert len({Key("a"), algebra.Known("a")}) == 2


@pytest.mark.parametrize("memory", [GREEDY, NONE], ids=["planes", "no planes"])
def test_a_window_that_moves_is_what_its_days_say(sqlite_log: Log, memory: Memory) -> None:
    days = {f"event:view:2026-{n:03}": pack(np.arange(n, 20 * CHUNK, 40 + n)) for n in range(60)}
    filled(sqlite_log, days)
    names, bitmaps = sorted(days), Bitmaps(sqlite_log.engine, memory=memory)
    with reading(bitmaps, sqlite_log) as view:
        for first in (0, 0, 1, 2, 3):
            window = [Key(name) for name in names[first : first + 50]]
            month = AnyOf(tuple(Key(name) for name in names[:9]))
            wanted = BitMap.union(*[days[key.name] for key in window]) & EVERYONE
            assert Evaluation(view, "all").members(AnyOf(tuple(window))) == wanted
            assert Evaluation(view, "all").members(AnyOf((month, *window))) == wanted | (
                BitMap.union(*[days[name] for name in names[:9]]) & EVERYONE
            )
            wanted = EVERYONE - wanted
            assert Evaluation(view, "all").count(Except(AnyOf(tuple(window)))) == len(wanted)
    with writing(bitmaps, sqlite_log) as view:
        view.remove(names[20], days[names[20]], why="")
    with reading(bitmaps, sqlite_log) as view:
        wanted = BitMap.union(*[days[name] for name in names[3:53] if name != names[20]]) & EVERYONE
        assert Evaluation(view, "all").members(AnyOf(tuple(Key(name) for name in names[3:53]))) == wanted


def test_a_row_with_one_cut_at_its_end_and_what_is_taken_instead_of_a_key(sqlite_log: Log) -> None:
    cuts = [f"k{n}" for n in range(600) if zlib.crc32(f"k{n}".encode()) % algebra._RUN == 0]
    others = [f"k{n}" for n in range(600) if f"k{n}" not in cuts]
    sets = {name: pack(np.array([place, 1000 + place])) for place, name in enumerate([*others[:29], cuts[0]])}
    filled(sqlite_log, sets)
    row = AnyOf(tuple(Key(name) for name in sets))
    with reading(Bitmaps(sqlite_log.engine), sqlite_log) as view:
        wanted = BitMap.union(*sets.values()) & EVERYONE
        assert Evaluation(view, "all").members(row) == wanted
        few = BitMap([7, 500])
        assert 500 not in wanted

        def instead(key: str, within: BitMap | None) -> BitMap | None:
            return (few if within is None else few & within) if key == cuts[0] else None

        left = BitMap.union(*[sets[name] for name in others[:29]])
        assert Evaluation(view, "all", instead=instead).members(row) == (left | few) & EVERYONE
        assert Evaluation(view, "all", instead=instead).members(Key(cuts[0])) == few & EVERYONE
        assert Evaluation(view, "all", within=few, instead=instead).members(row) == few & EVERYONE
