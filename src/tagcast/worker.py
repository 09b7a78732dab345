"""The worker: takes leases and runs what they name, and lets events be followed by what `reactions` lists.

Any number of workers may run; each piece of work is held by one. A worker that is told to stop ends the calls that it
began, records their outcome and gives the rest back.
"""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Awaitable, Callable, Collection

from tagcast import audiences, behaviour, broadcasts, chores, contacts, features, groups, reactions, tag_rules, tags
from tagcast.broadcasts.delivery import deliver, look_on, remind, settle
from tagcast.kit import holding, leases, logs, loop, schedules
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime

Handler = Callable[[Runtime, Lease], Awaitable[object]]

HANDLERS: dict[str, Handler] = {
    broadcasts.DELIVER: deliver,
    broadcasts.SETTLE: settle,
    broadcasts.REMIND: remind,
    broadcasts.postings.KIND: broadcasts.postings.work_off,
    broadcasts.STAGE: look_on,
    broadcasts.DUE: broadcasts.arrive,
    tags.EXPIRE: chores.expire_tags,
    tags.sync.KIND: tags.sync.work,
    contacts.SYNC: contacts.work_off,
    groups.REFRESH: groups.refresh,
    features.KIND: features.work_off,
    audiences.KIND: audiences.work_off,
    behaviour.moving.KIND: behaviour.moving.move,
}

# What falls due by a calendar.
SCHEDULES = {**broadcasts.SCHEDULES}

SLOTS = 4
IDLE_SECONDS = 0.2
AFTER_ERROR_SECONDS = 5.0

log = logs.get("worker")


def run(runtime: Runtime, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    loop.run(_run(runtime, stop))


async def _run(runtime: Runtime, stop: threading.Event) -> None:
    owner = holding.new_owner()
    held: dict[asyncio.Task[None], Lease] = {}
    # What was loaded until now stays: the collector, who stops everything meanwhile, need not go through it each time.
    gc.freeze()
    beside = [asyncio.create_task(_again_and_again(stop, work)) for work in _beside(runtime)]
    woken = asyncio.Event()
    clockwork = _clockwork(runtime, stop, woken)
    try:
        while not stop.is_set():
            lease = await _next(runtime, owner) if len(held) < SLOTS else None
            if lease is not None:
                task = asyncio.create_task(_hold(runtime, lease))
                held[task] = lease
                task.add_done_callback(held.pop)
                continue
            await _pause(held, woken, IDLE_SECONDS)
        for lease in held.values():
            lease.draining = True
        if held:
            await asyncio.gather(*held, return_exceptions=True)
    finally:
        stop.set()
        await asyncio.gather(*beside)
        await asyncio.to_thread(clockwork.join)


async def _next(runtime: Runtime, owner: str) -> Lease | None:
    """The next piece of work. A database that cannot be asked now is asked again later."""
    try:
        return await asyncio.to_thread(holding.claim, runtime, owner, list(HANDLERS))
    except Exception:
        log.exception("claim failed")
        await asyncio.sleep(AFTER_ERROR_SECONDS)
        return None


def _clockwork(runtime: Runtime, stop: threading.Event, woken: asyncio.Event) -> threading.Thread:
    """A thread that fires what is due by a calendar: it must not wait for a place among the others."""
    here = asyncio.get_running_loop()

    def fired(_fire: schedules.Fire) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            here.call_soon_threadsafe(woken.set)

    thread = threading.Thread(
        target=schedules.run, args=(runtime, SCHEDULES, stop), kwargs={"fired": fired}, name="schedules", daemon=True
    )
    thread.start()
    return thread


async def _pause(held: Collection[asyncio.Task[None]], woken: asyncio.Event, seconds: float) -> None:
    """Sleep, but wake when a piece of work ends, or something fell due that asks for work."""
    waking = asyncio.create_task(woken.wait())
    await asyncio.wait([*held, waking], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waking.cancel()
    woken.clear()


async def _hold(runtime: Runtime, lease: Lease) -> None:
    """Run one piece of work, renewing its lease meanwhile; an unexpected error gives it back for a while."""
    try:
        async with holding.held(runtime, lease):
            await HANDLERS[lease.kind](runtime, lease)
    except Lost:
        log.info("lease lost", kind=lease.kind, key=lease.key, epoch=lease.epoch)
    except Exception as error:
        log.exception("work failed", kind=lease.kind, key=lease.key, attempt=lease.attempt)
        await asyncio.to_thread(_give_back, runtime, lease, type(error).__name__)


def _give_back(runtime: Runtime, lease: Lease, problem: str) -> None:
    """The lease runs out by itself if the database does not take it back now."""
    try:
        with runtime.system() as connection:
            leases.defer(connection, lease, AFTER_ERROR_SECONDS, problem=problem)
    except Lost:
        pass
    except Exception:
        log.exception("lease not given back", kind=lease.kind, key=lease.key)


def _beside(runtime: Runtime) -> list[Callable[[], bool]]:
    """What runs all the time, each telling whether it found something to do."""
    clockwork = chores.Clockwork()

    def turn() -> bool:
        clockwork.turn(runtime)
        return False

    rules = tag_rules.Turning()
    return [lambda: bool(reactions.follow(runtime)), turn, lambda: rules.turn(runtime, chores.workspaces(runtime))]


async def _again_and_again(stop: threading.Event, work: Callable[[], bool]) -> None:
    while not stop.is_set():
        try:
            if not await asyncio.to_thread(work):
                await asyncio.sleep(IDLE_SECONDS / 2)
        except Exception:
            log.exception("work beside failed")
            await asyncio.sleep(AFTER_ERROR_SECONDS)
