"""Faults and kills at random: `python -m tests.flows.chaos --minutes 8 [--seed 7] [--only NUMBER] [--database URL]`.

Each round comes from (seed, number) alone: a broadcast by one way of sending, up to three faults on its calls, and
something that happens to the workers or to the platform meanwhile. The sandbox's ledger judges. `--matrix` goes through
every cell of the matrix instead. Rounds that broke a promise are written to a file, each with the command that repeats
it; the exit code is 1 then.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.broadcasts.test_zombie import put_to_sleep
from tests.conftest import make_runtime, wipe
from tests.flows.arena import Arena, Told, Workers
from tests.flows.harness import World, callbacks, sandbox
from tests.flows.matrix import WAYS, cells

SETTINGS = {
    "lease_seconds": 1.5,
    "in_doubt_seconds": 2.0,
    "http_timeout_seconds": 1.5,
    "settle_seconds": 0.5,
    "confirm_hours": 1e-4,
}
HAPPENINGS = ("nothing", "workers are killed", "workers sleep", "the platform is cut off")
EVENTS = ("duplicate", "late", "lost", "disordered")
# A sandbox keeps all it was told; a new one now and then keeps rounds short.
ROUNDS_A_WORLD = 40


@dataclass(frozen=True)
class Round:
    """What is tried."""

    number: int
    way: str
    faults: tuple[dict[str, Any], ...]
    happening: str
    words: str

    def __str__(self) -> str:
        return f"{self.number:4} {self.way}: {self.words}; {self.happening}"


def make_round(seed: int, number: int) -> Round:
    """The round of a seed."""
    chance = random.Random(f"{seed}:{number}")
    way = chance.choice(list(WAYS))
    possible = [cell for cell in cells() if cell.way == way]
    struck = chance.sample(possible, chance.randint(1, 3))
    faults = [fault for cell in struck for fault in cell.faults]
    chance.shuffle(faults)
    words = [f"{cell.call} {cell.fault} {cell.times}" for cell in struck]
    if chance.random() < 0.3:
        event = chance.choice(EVENTS)
        faults.append({"event": "*", "kind": event, "probability": 0.5, "seconds": 1.0})
        words.append(f"callbacks {event}")
    return Round(number, way, tuple(faults), chance.choice(HAPPENINGS), ", ".join(words))


def happen(world: World, what: str, chance: random.Random) -> Workers:
    """Two workers to whom, or to whose platform, something happens now and then, five times at most."""
    left = [5]

    def strike(workers: list[BaseProcess]) -> None:
        victim = chance.choice(workers)
        assert victim.pid is not None
        if what == "workers are killed":
            os.kill(victim.pid, signal.SIGKILL)
            victim.join(5)
        elif what == "workers sleep":
            put_to_sleep(world, victim.pid)
            time.sleep(SETTINGS["lease_seconds"] * chance.uniform(0.3, 1.5))
            os.kill(victim.pid, signal.SIGCONT)
        else:
            world.sandbox.kill()
            time.sleep(chance.uniform(0.1, 1.0))
            world.sandbox.start()

    @contextmanager
    def workers() -> Iterator[Callable[[], None]]:
        with ExitStack() as stack:
            rate = chance.choice((30.0, 200.0, 2000.0))

            def one() -> BaseProcess:
                return stack.enter_context(world.worker_process(rate_per_second=rate))

            running = [one(), one()]
            at = time.monotonic() + chance.uniform(0.2, 1.5)

            def turn() -> None:
                nonlocal at
                running[:] = [process if process.is_alive() else one() for process in running]
                if what != "nothing" and left[0] and time.monotonic() > at:
                    left[0] -= 1
                    strike(running)
                    at = time.monotonic() + chance.uniform(0.2, 1.5)

            yield turn

    return workers


class Place:
    """Worlds, one after another, each with its sandbox and its callback server."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._stack = ExitStack()
        self._count = 0

    def arena(self) -> Arena:
        """A world, the old one while it is not worn out."""
        if self._count % ROUNDS_A_WORLD == 0:
            self._stack.close()
            folder = self._folder / str(self._count)
            folder.mkdir()
            if self._url:
                wipe(self._url)
            box = self._stack.enter_context(sandbox(folder))
            world = World(make_runtime(folder, self._url, **SETTINGS), box)
            self._stack.callback(world.runtime.close)
            self._arena = Arena(world, people=6000, group=600)
            self._stack.enter_context(callbacks(world))
        self._count += 1
        return self._arena

    def renew(self) -> None:
        """The world may be in disorder: the next round gets another."""
        self._count += -self._count % ROUNDS_A_WORLD

    def close(self) -> None:
        self._stack.close()


def play(place: Place, what: Round, seed: int) -> Told:
    """One round, with its verdict."""
    arena = place.arena()
    chance = random.Random(f"{seed}:{what.number}:happenings")
    return arena.through(what.way, what.faults, workers=happen(arena.world, what.happening, chance))


def told_of(play_: Callable[[], Told]) -> Told:
    """What came of it; a crash of the round itself is a problem as well."""
    try:
        return play_()
    except Exception:  # noqa: BLE001 - whatever it was, the other rounds go on
        traceback.print_exc()
        return Told(problems=["the round did not end"])


def show(what: object, told: Told, seconds: float) -> None:
    """One line a round."""
    states = ", ".join(f"{name} {count}" for name, count in told.states.items() if count)
    met = f"{sum(told.hits_of.values())} struck, {len(told.pauses)} pauses, {len(told.waits)} waits"
    verdict = "BROKEN " + "; ".join(told.problems) if told.problems else "kept"
    print(f"{what} → {verdict} [{states}] ({met}, {seconds:.1f} s)", flush=True)


def run(options: argparse.Namespace) -> int:
    """Rounds until the time is over; how many promises were broken."""
    end, broken, done = time.monotonic() + options.minutes * 60, [], 0
    every = [cell for cell in cells() if not options.way or cell.way == options.way]
    random.Random(options.seed).shuffle(every)
    with tempfile.TemporaryDirectory(prefix="tagcast-chaos-") as folder:
        place = Place(Path(folder), options.database)
        number = options.only or 1
        while time.monotonic() < end and (not options.matrix or number <= len(every)):
            started = time.monotonic()
            if options.matrix:
                cell = every[number - 1]
                what, told = f"{number:4} {cell}", told_of(lambda cell=cell: place.arena().run(cell))
            else:
                made = make_round(options.seed, number)
                what, told = str(made), told_of(lambda made=made: play(place, made, options.seed))
            show(what, told, time.monotonic() - started)
            done += 1
            if told.problems:
                again = f"--seed {options.seed} --only {number}" + (" --matrix" if options.matrix else "")
                broken.append(f"python3 dev.py chaos {again}   # {what}: {'; '.join(told.problems)}")
                place.renew()
            number += 1
            if options.only:
                break
        place.close()
    if broken:
        options.file.parent.mkdir(parents=True, exist_ok=True)
        options.file.write_text("\n".join(broken) + "\n", "utf-8")
        print(f"{len(broken)} rounds broke a promise; see {options.file}")
    print(f"{done} rounds, {len(broken)} broken, seed {options.seed}")
    return 1 if broken else 0


def main() -> int:
    """Exit code of the command."""
    parser = argparse.ArgumentParser(prog="chaos", description="Faults and kills at random, judged by the sandbox.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    parser.add_argument("--only", type=int, default=0, metavar="NUMBER", help="one round of the seed")
    parser.add_argument("--matrix", action="store_true", help="every cell of the matrix, in an order by the seed")
    parser.add_argument("--way", choices=list(WAYS), default="", help="with --matrix: one way of sending")
    parser.add_argument("--database", default="", metavar="URL", help="a PostgreSQL database to use up; else SQLite")
    parser.add_argument(
        "--file", type=Path, default=Path(".dev/chaos-broken.txt"), help="where broken rounds are written"
    )
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
