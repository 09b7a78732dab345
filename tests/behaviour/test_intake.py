"""Requests of events: what is refused, what counts once, who waits with whom, and what a killed server leaves."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.behaviour.test_questions import crowded, sets, shown
from tests.behaviour.told import Event, day_sets, kept

from tagcast import access, behaviour
from tagcast.behaviour import levels
from tagcast.behaviour.intake import Intake, Outcome, Request, Sent, take
from tagcast.kit import clock
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.uow import Runtime, Work, open_runtime

__all__ = ["crowded"]

ZONE = "Asia/Shanghai"
AT = "2026-03-26T10:00:00"
AT_MS = clock.to_ms(datetime(2026, 3, 26, 2, tzinfo=UTC))


def sent(number: int | None = 1, **more: Any) -> Sent:
    return Sent(**({"type": "purchase", "at": AT, "number": number} | more))


def one(work: Work, *events: Sent, key: str = "", partial: bool = False) -> Outcome:
    (outcome,) = take(work, [Request(events, key, partial)], zone=ZONE)
    return outcome


def times(work: Work) -> dict[int, int]:
    found = behaviour.aggregates(work, "purchase", fields=("count",))
    return dict(zip(found.contact.tolist(), found.count.tolist(), strict=True))


def test_one_bad_event_keeps_all_out_unless_the_rest_is_asked_for(crowded: Runtime) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    bad: list[tuple[Sent, str]] = [
        (sent(99), "behaviour.nobody"),
        (sent(None, identity=("customer_id", "nobody", 0)), "behaviour.nobody"),
        (sent(None), "behaviour.nobody"),
        (sent(None, identity=("name", "x", 0)), "contacts.unknown_identity"),
        (sent(type="puchase"), "behaviour.no_event_type"),
        (sent(at="soon"), "behaviour.bad_time"),
        (sent(at=ahead), "behaviour.in_future"),
        (sent(amount="1.234"), "behaviour.bad_amount"),
        (sent(quantity=-1), "behaviour.bad_quantity"),
        (sent(properties={"colour": "x"}), "behaviour.no_property"),
        (sent(properties={"price": "1"}), "behaviour.bad_value"),
        (sent(properties={"price": True}), "behaviour.bad_value"),
        (sent(properties={"price": float("nan")}), "behaviour.bad_value"),
        (sent(properties={"gift": 1}), "behaviour.bad_value"),
        (sent(properties={"category": ""}), "behaviour.bad_value"),
        (sent(properties={"category": "x" * 501}), "behaviour.bad_value"),
        (sent(id="x" * 101), "behaviour.long_key"),
    ]
    good = [sent(None, identity=("customer_id", "P2", 0)), sent(3, properties={"gift": True, "price": 2})]
    events = [*(event for event, _ in bad), *good]
    with crowded.work(1, "t") as work:
        outcome = one(work, *events, key="k")
        assert (outcome.recorded, len(outcome.refused), times(work)) == (0, len(bad), {})
        told = [(refusal.row, refusal.error.code) for refusal in outcome.refused]
        assert [row for row, _ in told] == list(range(len(bad)))
        assert [code for _, code in told if code.startswith("behaviour.")] == [
            code for _, code in bad if code.startswith("behaviour.")
        ]
        # Nothing was recorded, so the key is still free.
        outcome = one(work, *events, key="k", partial=True)
        assert (outcome.recorded, len(outcome.refused), times(work)) == (2, len(bad), {2: 1, 3: 1})
        assert one(work, *events, key="k", partial=True) == Outcome(already=True)
        for language in ("zh", "en"):
            for refusal in outcome.refused:
                assert refusal.error.text(language)


def test_an_event_with_an_id_counts_once_for_good(crowded: Runtime) -> None:
    with crowded.work(1, "t") as work:
        outcome = one(work, sent(1, id="A"), sent(1, id="A"), sent(1), sent(1), sent(2, id="B"), key="k")
        assert (outcome.recorded, outcome.known, times(work)) == (4, 1, {1: 3, 2: 1})
    with crowded.work(1, "t") as work:
        outcome = one(work, sent(1, id="A"), sent(2, id="C"), sent(1, type="view", id="A"))
        assert (outcome.recorded, outcome.known, times(work)) == (2, 1, {1: 3, 2: 2})
        assert behaviour.record(work, [behaviour.EventIn("purchase", 1, AT_MS, id="C")], batch_key="x", zone=ZONE) == 0
        columns = behaviour.events([1, 1, 1], AT_MS)
        ids = ["D", "D", "A"]
        assert behaviour.record_packed(work, "purchase", columns, batch_key="y", zone=ZONE, ids=ids) == 1
        assert times(work) == {1: 4, 2: 2}


def test_requests_together_are_as_one_after_the_other(crowded: Runtime) -> None:
    requests = [
        Request([sent(1, id="A"), sent(2)], "k1"),
        Request([sent(1, id="A"), sent(3)], "k2"),
        Request([sent(4)], "k1"),
        Request([sent(4), sent(99)], "k3"),
        Request([sent(5, type="view")], ""),
    ]
    with crowded.work(1, "t") as work:
        outcomes = take(work, requests, zone=ZONE)
        assert [(one.recorded, one.known, one.already, len(one.refused)) for one in outcomes] == [
            (2, 0, False, 0),
            (1, 1, False, 0),
            (0, 0, True, 0),
            (0, 0, False, 1),
            (1, 0, False, 0),
        ]
        assert times(work) == {1: 1, 2: 1, 3: 1}
        # One row of the log a type, however many asked.
        assert [one.type for one in behaviour.recorded_since(work, 0)] == ["purchase", "view"]


def test_one_request_that_breaks_does_not_fail_the_others(crowded: Runtime) -> None:
    async def many(intake: Intake) -> list[Outcome | BaseException]:
        # A lone surrogate cannot be stored anywhere; no check of ours looks for it.
        broken = Request([sent(1)], "\ud800")
        asked = [broken if number == 5 else Request([sent(2)], f"k{number}") for number in range(20)]
        return await asyncio.gather(*(intake.submit(1, request) for request in asked), return_exceptions=True)

    intake = Intake(crowded)
    intake.start()
    outcomes = asyncio.run(many(intake))
    intake.close()
    assert isinstance(outcomes.pop(5), TagcastError)
    assert outcomes == [Outcome(1)] * 19
    with crowded.read(1, "t") as work:
        assert times(work) == {2: 19}
    with pytest.raises(Unavailable):
        asyncio.run(intake.submit(1, Request([sent(1)])))


SERVER = """
import sys
from pathlib import Path
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
from tagcast.server.run import run

run(open_runtime(Settings(home=Path(sys.argv[1]), port=0, database_url=sys.argv[2])))
"""


class Sender(threading.Thread):
    """Sends batches one after the other until the server is gone; `answered` were told to be durable."""

    def __init__(self, port: int, key: str, batches: Sequence[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self.port, self.key, self.batches = port, key, batches
        self.answered: list[dict[str, Any]] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with closing(connection):
            for batch in self.batches:
                try:
                    connection.request("POST", "/api/v1/events", json.dumps(batch), headers)
                    answer = connection.getresponse()
                    told = json.loads(answer.read())
                except (OSError, http.client.HTTPException, ValueError):
                    return
                assert answer.status == 200, told
                self.answered.append(batch)


def batches_of(sender: int) -> list[dict[str, Any]]:
    """Batches with a key, and single events with an id; every contact comes often on a few days."""
    made: list[dict[str, Any]] = []
    for number in range(40):
        rows = [
            {"type": "purchase", "number": 1 + (number + row) % 6, "at": str(AT_MS + (number + row) % 3 * 86_400_000)}
            for row in range(1 + number % 4)
        ]
        if number % 2:
            made.append({"batch_key": f"{sender}-{number}", "events": rows})
        else:
            made.append({"events": [row | {"id": f"{sender}-{number}-{at}"} for at, row in enumerate(rows)]})
    return made


def served(runtime: Runtime, key: str, batches: list[list[dict[str, Any]]], *, kill_after: int) -> list[Sender]:
    """A server of its own process takes the batches; it is killed after so many answers (0: it takes them all)."""
    command = [sys.executable, "-c", SERVER, str(runtime.settings.home), runtime.settings.database_url]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    port = int(json.loads(server.stdout.readline())["url"].rpartition(":")[2])
    senders = [Sender(port, key, some) for some in batches]
    for sender in senders:
        sender.start()
    while kill_after and sum(len(sender.answered) for sender in senders) < kill_after:
        time.sleep(0.01)
    if not kill_after:
        for sender in senders:
            sender.join()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server.stdout.close()
    for sender in senders:
        sender.join()
    return senders


def test_nothing_answered_is_lost_and_nothing_sent_again_counts_twice(crowded: Runtime) -> None:
    with crowded.work(1, "t") as work:
        key = access.issue_key(work, "t")
    wanted = [batches_of(sender) for sender in range(4)]
    killed = served(crowded, key, wanted, kill_after=50)
    answered = [batch for sender in killed for batch in sender.answered]
    assert 50 <= len(answered) < 160
    check(crowded, [row for batch in answered for row in batch["events"]], at_most=4 * 4)
    # Whoever got no answer sends again; here everybody sends everything again.
    served(crowded, key, wanted, kill_after=0)
    check(crowded, [row for batches in wanted for batch in batches for row in batch["events"]], at_most=0)


def check(runtime: Runtime, rows: list[dict[str, Any]], *, at_most: int) -> None:
    """All rows are there, and at most so many more, of requests that were under way; what is derived fits."""
    reopened = open_runtime(runtime.settings)
    with reopened.read(1, "t") as work:
        found = behaviour.events_of(work, "purchase")
        told = [
            Event(who, "purchase", at) for who, at in zip(found.contact.tolist(), found.at_ms.tolist(), strict=True)
        ]
        left = [(event.contact, event.at_ms) for event in told]
        for row in rows:
            left.remove((row["number"], int(row["at"])))
        assert len(left) <= at_most
        assert sets(work, "purchase") == day_sets(told, "purchase", ZONE, levels.top())
        assert shown(behaviour.aggregates(work, "purchase")) == kept(told, "purchase", ZONE)
    reopened.close()
