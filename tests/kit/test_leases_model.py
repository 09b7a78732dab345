"""Leases on both databases against a plain model, under many threads, and where two of their moves meet."""

import random
import threading
import time
from collections import Counter

import pytest
import sqlalchemy as sa

from tagcast.kit import leases
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime

KIND = "test.work"


def ask(runtime: Runtime, *keys: str, kind: str = KIND) -> None:
    with runtime.work(1, "test") as work:
        for key in keys:
            leases.enqueue(work, kind, key, {"key": key})


def claim(runtime: Runtime, owner: str, seconds: float = 30.0, kind: str = KIND) -> Lease | None:
    with runtime.system() as connection:
        return leases.claim(connection, owner, [kind], seconds)


def sure(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def run_out(runtime: Runtime) -> None:
    """As if nobody had renewed: every lease is over."""
    with runtime.system() as connection:
        connection.execute(sa.update(leases.leases).values(until=1))


def test_asking_again_while_it_waits_changes_nothing(runtime: Runtime) -> None:
    ask(runtime, "a")
    ask(runtime, "a")
    held = sure(claim(runtime, "one"))
    ask(runtime, "a")
    assert (held.key, held.payload, held.epoch, held.attempt) == ("a", {"key": "a"}, 1, 1)
    assert claim(runtime, "two") is None


def test_what_is_done_opens_anew_and_fences_its_former_holder(runtime: Runtime) -> None:
    ask(runtime, "a")
    first = sure(claim(runtime, "one"))
    with runtime.system() as connection:
        leases.complete(connection, first)
    assert claim(runtime, "two") is None
    ask(runtime, "a")
    with pytest.raises(Lost), runtime.system() as connection:
        leases.renew(connection, first, 30.0)
    second = sure(claim(runtime, "two"))
    assert (second.epoch, second.attempt) == (2, 1)


@pytest.mark.parametrize("move", ["renew", "complete", "defer"])
def test_a_lease_that_ran_out_is_taken_and_its_holder_moves_nothing(move: str, runtime: Runtime) -> None:
    ask(runtime, "a")
    late = sure(claim(runtime, "late"))
    run_out(runtime)
    now = sure(claim(runtime, "now"))
    assert now.epoch == late.epoch + 1
    moves = {
        "renew": lambda connection: leases.renew(connection, late, 30.0),
        "complete": lambda connection: leases.complete(connection, late),
        "defer": lambda connection: leases.defer(connection, late, 0.0),
    }
    with pytest.raises(Lost), runtime.system() as connection:
        moves[move](connection)
    with runtime.system() as connection:
        leases.complete(connection, now)


def test_what_was_given_back_is_not_renewed_by_a_late_heartbeat(runtime: Runtime) -> None:
    ask(runtime, "a")
    held = sure(claim(runtime, "one"))
    with runtime.system() as connection:
        leases.defer(connection, held, 0.0)
    with pytest.raises(Lost), runtime.system() as connection:
        leases.renew(connection, held, 30.0)
    assert sure(claim(runtime, "two")).attempt == 2


def test_deferred_work_is_due_later(runtime: Runtime) -> None:
    ask(runtime, "a")
    with runtime.system() as connection:
        leases.defer(connection, sure(leases.claim(connection, "one", [KIND], 30.0)), 0.3, problem="busy")
        assert 200 < (leases.next_due_ms(connection, [KIND]) or 0) <= 300
    assert claim(runtime, "one") is None
    time.sleep(0.35)
    assert sure(claim(runtime, "one")).attempt == 2


def test_a_holder_stops_by_itself_before_the_lease_is_over(runtime: Runtime) -> None:
    ask(runtime, "a")
    held = sure(claim(runtime, "one", seconds=2.0))
    assert held.live
    time.sleep(1.6)
    assert not held.live
    assert claim(runtime, "two") is None
    with runtime.system() as connection:
        leases.renew(connection, held, 30.0)
    assert held.live


def test_no_request_falls_between_the_end_of_one_run_and_the_next(runtime: Runtime) -> None:
    """Whoever asks while the work is being completed gets another run of it."""
    ask(runtime, "a")
    for _ in range(30):
        held = sure(claim(runtime, "one"))
        asked = threading.Thread(target=ask, args=(runtime, "a"))
        with runtime.system() as connection:
            leases.complete(connection, held)
            asked.start()
            time.sleep(0.01)
        asked.join()
        assert claim(runtime, "probe") is not None
        run_out(runtime)


def test_many_workers_never_hold_one_lease_at_once(runtime: Runtime) -> None:
    """Threads claim, renew, defer and complete; what each believes to hold is checked against all others."""
    keys = [f"k{number}" for number in range(12)]
    ask(runtime, *keys)
    holders: dict[str, str] = {}
    done: Counter[str] = Counter()
    clashes: list[str] = []
    guard = threading.Lock()

    def work(seed: int) -> None:
        draw = random.Random(seed)
        owner = f"worker {seed}"
        misses = 0
        while misses < 40:
            held = claim(runtime, owner)
            if held is None:
                misses += 1
                time.sleep(0.002)
                continue
            misses = 0
            with guard:
                if held.key in holders:
                    clashes.append(held.key)
                holders[held.key] = owner
            with runtime.system() as connection:
                leases.renew(connection, held, 30.0)
            with guard:
                del holders[held.key]
                finished = draw.random() < 0.5
                done[held.key] += finished
            with runtime.system() as connection:
                if finished:
                    leases.complete(connection, held)
                else:
                    leases.defer(connection, held, 0.0)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert clashes == []
    assert done == Counter(keys)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_walk_agrees_with_a_plain_model(seed: int, runtime: Runtime) -> None:
    draw = random.Random(seed)
    epochs: dict[str, int] = {}
    current: dict[str, Lease] = {}
    waiting: set[str] = set()
    stale: list[Lease] = []
    for _ in range(120):
        action = draw.choice(["ask", "ask", "claim", "claim", "complete", "defer", "run out", "stale"])
        key = draw.choice("abc")
        if action == "ask":
            ask(runtime, key)
            if key not in current:
                waiting.add(key)
        elif action == "claim":
            lease = claim(runtime, f"owner {draw.random()}")
            assert (lease is None) == (not waiting)
            if lease is not None:
                assert lease.key in waiting
                assert lease.epoch == epochs.get(lease.key, 0) + 1
                epochs[lease.key] = lease.epoch
                waiting.remove(lease.key)
                current[lease.key] = lease
        elif action in ("complete", "defer") and key in current:
            lease = current.pop(key)
            stale.append(lease)
            with runtime.system() as connection:
                leases.complete(connection, lease) if action == "complete" else leases.defer(connection, lease, 0.0)
            if action == "defer":
                waiting.add(key)
        elif action == "run out":
            run_out(runtime)
            waiting |= set(current)
            stale += current.values()
            current.clear()
        elif action == "stale" and stale:
            former = draw.choice(stale)
            # One whose lease merely ran out, and that nobody has taken, may still renew it.
            untouched = former.epoch == epochs[former.key] and former.key in waiting
            if not untouched:
                with pytest.raises(Lost), runtime.system() as connection:
                    leases.complete(connection, former)
