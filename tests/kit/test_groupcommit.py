"""Group commit: answered after the write, many at once, errors reach everybody, nothing is left waiting."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from tagcast.kit.errors import Unavailable
from tagcast.kit.groupcommit import BATCH, GroupCommit


class Store:
    """What a writer writes to: batches in order; `gate` holds the first one back."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[int]]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def write(self, workspace: int, items: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.gate.wait(10)
        if 13 in items:
            raise ValueError("13")
        self.batches.append((workspace, list(items)))
        return [item * 2 for item in items]


async def gathered(
    writer: GroupCommit[int, int], store: Store, first: int, rest: list[tuple[int, int]]
) -> list[int | BaseException]:
    """Submit one item, and while it is being written all the others."""
    head = asyncio.create_task(writer.submit(1, first))
    assert await asyncio.to_thread(store.entered.wait, 10)
    tail = [asyncio.create_task(writer.submit(workspace, item)) for workspace, item in rest]
    await asyncio.sleep(0)
    assert not head.done()
    store.gate.set()
    return await asyncio.gather(head, *tail, return_exceptions=True)


def test_what_comes_during_a_write_is_one_commit_a_workspace() -> None:
    store = Store()
    writer = GroupCommit("test", store.write)
    writer.start()
    answers = asyncio.run(gathered(writer, store, 1, [(1, 2), (2, 3), (1, 4), (2, 5)]))
    writer.close()
    assert answers == [2, 4, 6, 8, 10]
    assert store.batches == [(1, [1]), (1, [2, 4]), (2, [3, 5])]


def test_a_batch_has_a_largest_size() -> None:
    store = Store()
    writer = GroupCommit("test", store.write)
    writer.start()
    numbers = list(range(20, 20 + 2 * BATCH + 1))
    answers = asyncio.run(gathered(writer, store, 1, [(1, number) for number in numbers]))
    writer.close()
    assert answers == [2, *(number * 2 for number in numbers)]
    assert [len(items) for _, items in store.batches] == [1, BATCH, BATCH, 1]


def test_a_failed_write_reaches_every_waiter_of_its_workspace_and_the_writer_goes_on() -> None:
    store = Store()
    writer = GroupCommit("test", store.write)
    writer.start()
    answers = asyncio.run(gathered(writer, store, 1, [(1, 13), (2, 3), (1, 4)]))
    assert [answers[0], answers[2]] == [2, 6]
    for failed in (answers[1], answers[3]):
        assert isinstance(failed, Unavailable)
        assert (failed.code, failed.params) == ("kit.not_stored", {"writer": "test"})
    assert asyncio.run(writer.submit(1, 7)) == 14
    writer.close()


def test_beyond_what_may_wait_the_caller_is_told_at_once() -> None:
    store = Store()
    writer = GroupCommit("test", store.write, waiting=2)
    writer.start()
    answers = asyncio.run(gathered(writer, store, 1, [(1, 2), (1, 3), (1, 4)]))
    writer.close()
    assert answers[:3] == [2, 4, 6]
    assert isinstance(answers[3], Unavailable)
    assert answers[3].code == "kit.writer_busy"


def test_close_writes_what_waits_and_takes_no_more() -> None:
    store = Store()
    writer = GroupCommit("test", store.write)
    writer.start()

    async def story() -> list[int]:
        waiting = [asyncio.create_task(writer.submit(1, number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(writer.close))
        store.gate.set()
        await closing
        return await asyncio.gather(*waiting)

    assert asyncio.run(story()) == [2, 4, 6]
    with pytest.raises(Unavailable) as refused:
        asyncio.run(writer.submit(1, 4))
    assert refused.value.code == "kit.writer_busy"
    writer.close()


def test_a_caller_that_went_away_hinders_nobody() -> None:
    store = Store()
    writer = GroupCommit("test", store.write)
    writer.start()

    async def story() -> int:
        gone = asyncio.create_task(writer.submit(1, 1))
        stays = asyncio.create_task(writer.submit(1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        store.gate.set()
        return await stays

    assert asyncio.run(story()) == 4
    writer.close()
