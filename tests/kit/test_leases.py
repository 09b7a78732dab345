"""Leases on both databases: one holder at a time, a fence against those who were late, repeatable requests."""

import threading
import time
from datetime import timedelta

import pytest

from tagcast.kit import leases
from tagcast.kit.leases import Lost
from tagcast.kit.uow import Runtime

KIND = "test.work"


def ask(runtime: Runtime, key: str, due_in: float = 0.0, **payload: object) -> None:
    with runtime.work(1, "test") as work:
        leases.enqueue(work, KIND, key, dict(payload), due=work.now + timedelta(seconds=due_in))


def claim(runtime: Runtime, owner: str, seconds: float = 30.0) -> leases.Lease | None:
    with runtime.system() as connection:
        return leases.claim(connection, owner, [KIND], seconds)


def test_asked_twice_is_done_once_and_opens_anew_after_it_was_done(runtime: Runtime) -> None:
    ask(runtime, "a", n=1)
    ask(runtime, "a", n=2)
    held = claim(runtime, "one")
    assert held is not None
    assert (held.key, held.payload, held.epoch, held.attempt) == ("a", {"n": 1}, 1, 1)
    assert claim(runtime, "two") is None
    with runtime.system() as connection:
        leases.complete(connection, held)
    assert claim(runtime, "two") is None
    ask(runtime, "a", n=3)
    again = claim(runtime, "two")
    assert again is not None
    assert again.payload == {"n": 3}


def test_many_are_asked_for_as_one_by_one(runtime: Runtime) -> None:
    """Of 1,200: what waits keeps its payload, what is held is left alone, what was done opens anew."""
    ask(runtime, "waits", n=1)
    ask(runtime, "held", -1.0, n=1)
    held = claim(runtime, "one")
    ask(runtime, "done", -2.0, n=1)
    done = claim(runtime, "one")
    assert held is not None
    assert done is not None
    assert (held.key, done.key) == ("held", "done")
    with runtime.system() as connection:
        leases.complete(connection, done)
    names = ["waits", "held", "done", *map(str, range(1_197))]
    with runtime.work(1, "test") as work:
        leases.enqueue_all(work, KIND, {name: {"n": 2} for name in names})
        leases.enqueue_all(work, KIND, {})
    found = {}
    while (one := claim(runtime, "two")) is not None:
        found[one.key] = one.payload["n"]
    assert found == {name: 1 if name == "waits" else 2 for name in names if name != "held"}
    with runtime.system() as connection:
        leases.complete(connection, held)
    assert claim(runtime, "two") is None


def test_what_is_asked_for_again_while_it_is_held_is_done_once_more(runtime: Runtime) -> None:
    def again() -> None:
        with runtime.work(1, "test") as work:
            leases.enqueue(work, KIND, "a", {"n": 1}, again=True)

    again()
    again()
    for asked in (1, 2, 0):
        held = claim(runtime, "one")
        assert held is not None
        for _ in range(asked):
            again()
        with runtime.system() as connection:
            leases.renew(connection, held, 30)
            leases.complete(connection, held)
    assert claim(runtime, "one") is None


def test_work_is_claimed_when_it_is_due_the_oldest_first(runtime: Runtime) -> None:
    ask(runtime, "later", due_in=3600)
    ask(runtime, "second", due_in=-1)
    ask(runtime, "first", due_in=-2)
    found = [claim(runtime, "one") for _ in range(3)]
    assert [held.key if held else None for held in found] == ["first", "second", None]


def test_who_lost_the_lease_moves_nothing(runtime: Runtime) -> None:
    ask(runtime, "a")
    late = claim(runtime, "late", seconds=0.05)
    assert late is not None
    time.sleep(0.1)
    assert not late.live
    holder = claim(runtime, "holder")
    assert holder is not None
    assert holder.epoch == late.epoch + 1
    for move in (
        leases.complete,
        lambda c, lease: leases.defer(c, lease, 1),
        lambda c, lease: leases.renew(c, lease, 1),
    ):
        with pytest.raises(Lost), runtime.system() as connection:
            move(connection, late)
    with runtime.system() as connection:
        leases.complete(connection, holder)


def test_a_rolled_back_request_asks_for_nothing(runtime: Runtime) -> None:
    def fail() -> None:
        with runtime.work(1, "test") as work:
            leases.enqueue(work, KIND, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert claim(runtime, "one") is None


def test_many_claimants_never_hold_the_same_work(runtime: Runtime) -> None:
    for number in range(30):
        ask(runtime, f"w{number}")
    held: list[str] = []

    def work(owner: str) -> None:
        while (lease := claim(runtime, owner)) is not None:
            held.append(lease.key)

    threads = [threading.Thread(target=work, args=(f"o{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A claimant may find nothing while others hold the row it would take; nobody takes one that is held.
    assert len(held) == len(set(held))
    while (lease := claim(runtime, "last")) is not None:
        held.append(lease.key)
    assert sorted(held) == sorted(f"w{number}" for number in range(30))
