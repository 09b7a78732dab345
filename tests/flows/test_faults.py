"""Each fault of the platform on each way of sending; the whole product runs with `python3 dev.py chaos`.

Chosen here: on the call that sends every break of the wire by two ways, every errcode by at least one; on each other
call some of all. What is asked of each stands in `arena`.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.conftest import make_runtime, wipe
from tests.flows.arena import Arena
from tests.flows.harness import World, callbacks, sandbox
from tests.flows.matrix import AFTER_LOST, COMMON, TIMES, WAYS, WIRE, Cell, cells

SHORT = {
    "lease_seconds": 2.0,
    "in_doubt_seconds": 1.0,
    "http_timeout_seconds": 0.8,
    "settle_seconds": 0.4,
    "confirm_hours": 1e-4,
}
EVENTS = ("duplicate", "late", "lost", "disordered")
# A single call strikes one time in five seldom enough to say nothing.
MANY = {("template", "send"), ("tag", "put_on"), ("list", "send"), ("tasks", "send"), ("webhook", "send")}


def chosen() -> Iterator[Cell]:
    """The cells of the suite: faults and numbers of times are dealt out in turn."""
    turn = itertools.count()

    def dealt(way: str, call: str, fault: str) -> Cell:
        often = TIMES if (way, call) in MANY else TIMES[:2]
        return Cell(way, call, fault, often[next(turn) % len(often)])

    official = itertools.cycle(("template", "list", "tag"))
    pairs = itertools.cycle([("template", "tasks"), ("list", "tag"), ("template", "tag"), ("list", "tasks")])
    for fault in WIRE:
        for way in next(pairs):
            yield dealt(way, "send", fault)
    for fault in COMMON["official"]:
        yield dealt(next(official), "send", fault)
    for fault in COMMON["wecom"]:
        yield dealt("tasks", "send", fault)
    for fault in (*WIRE, *COMMON["webhook"]):
        yield dealt("webhook", "send", fault)
    for name, way in WAYS.items():
        for call, codes in way.codes.items():
            for code in codes if name != "tag" or call != "send" else ():
                yield replace(dealt(name, call, str(code)), times="once")
    yield from (Cell("tag", "send", code, "once") for code in AFTER_LOST)
    common = itertools.cycle(("busy", "cut", "99999", "timeout_before", "gateway"))
    for name, way in WAYS.items():
        for call in list(way.calls)[1:]:
            yield replace(dealt(name, call, next(common)), times="20 %" if call == "put_on" else "once")


CHOSEN = list(dict.fromkeys(chosen()))
ON_POSTGRES = [
    Cell("template", "send", "busy", "several"),
    Cell("tasks", "send", "cut", "several"),
    Cell("webhook", "send", "cut", "several"),
]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Arena]]:
    """The world of a database, made when it is asked for."""
    made: dict[str, Arena] = {}
    with sandbox(tmp_path_factory.mktemp("box")) as box:

        def of(url: str) -> Arena:
            if url not in made:
                folder = tmp_path_factory.mktemp("world")
                made[url] = Arena(World(make_runtime(folder, url, **SHORT), box))
            return made[url]

        yield of
        for one in made.values():
            one.world.runtime.close()


def test_every_fault_and_every_call_occurs() -> None:
    whole = list(cells())
    assert {cell.fault for cell in CHOSEN} == {cell.fault for cell in whole}
    assert {(cell.way, cell.call) for cell in CHOSEN} == {(cell.way, cell.call) for cell in whole}
    assert {(cell.way, cell.times) for cell in CHOSEN} == set(itertools.product(WAYS, TIMES))


@pytest.mark.parametrize("cell", CHOSEN, ids=str)
def test_a_fault_ends_with_nobody_lost_or_doubled(cell: Cell, arena: Callable[[str], Arena]) -> None:
    told = arena("").run(cell)
    assert told.problems == [], told


@pytest.mark.parametrize("cell", ON_POSTGRES, ids=str)
def test_a_fault_ends_well_on_postgres(cell: Cell, arena: Callable[[str], Arena], postgres_url: str) -> None:
    if cell == ON_POSTGRES[0]:
        wipe(postgres_url)
    told = arena(postgres_url).run(cell)
    assert told.problems == [], told


def test_a_token_refused_however_often_it_is_renewed_pauses(arena: Callable[[str], Arena]) -> None:
    """Another system renews it too; no patience of ours ends that."""
    path = WAYS["list"].calls["send"]
    told = arena("").through("list", [{"path": path, "kind": "error", "code": 40001, "probability": 1.0}])
    assert told.problems == [], told
    assert "official:40001" in [reason for reason, _ in told.pauses]


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("way", ["template", "tag"])
def test_receipts_that_come_wrongly_change_no_count(way: str, kind: str, arena: Callable[[str], Arena]) -> None:
    one = arena("")
    with callbacks(one.world):
        told = one.through(way, [{"event": "*", "kind": kind, "times": 40, "seconds": 0.3}])
    assert told.problems == [], told
    assert told.hits_of["*"] > 0
    assert told.states["accepted"] + told.states["delivered"] + told.states["failed"] == sum(told.states.values())


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 0.1), (1.0, 3600.0)])
def test_employees_who_never_or_late_confirm_leave_their_customers_accepted(
    share: float, seconds: float, arena: Callable[[str], Arena]
) -> None:
    one = arena("")
    one.world.sandbox.post("/sandbox/settings", confirm_share=share, confirm_seconds=seconds)
    try:
        told = one.through("tasks", [])
    finally:
        one.world.sandbox.post("/sandbox/settings", confirm_share=1.0, confirm_seconds=0.1)
    assert told.problems == [], told
    assert told.states["accepted"] == sum(told.states.values()) > 0
