"""Deliveries to a company's own system: who refuses whom, what a lost answer and a changed mind bring."""

from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts, reports
from tagcast.broadcasts import Route
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid
from tests.broadcasts.conftest import ARTICLE, TEXT, Make, send
from tests.broadcasts.test_delivery import CLEAN, fault, hits, total, verdict
from tests.flows.harness import World, until

PATH = "/webhook/in"


def reason(world: World, broadcast: int) -> tuple[str | None, str, str]:
    with world.runtime.read(1, "test") as work:
        now = broadcasts.progress(work, broadcast)
    return now.reason, now.reason_zh, now.reason_en


def refusals(world: World, broadcast: int) -> dict[str, tuple[int, str, str]]:
    with world.runtime.read(1, "test") as work:
        found = broadcasts.failures(work, broadcast)
    return {one.reason: (one.count, one.sentence_zh, one.sentence_en) for one in found}


def part(world: World, members: BitMap, **relation: bool) -> None:
    """Some members leave, or come back, where the receiver is."""
    ids = list(world.ids("custom", members).values())
    account = world.remote["custom"]["id"]
    world.sandbox.post("/sandbox/people/change", account=account, people=ids, **relation)


def test_the_route_and_its_chunks(make: Make) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    assigned = len(world.assigned(broadcast))
    world.work_until(broadcast)
    assert world.get(broadcast).route is Route.WEBHOOK
    assert assigned > 120
    assert world.sandbox.calls(PATH) == -(-assigned // 60)
    assert verdict(world, "webhook", broadcast) == CLEAN
    lines = world.sandbox.lines(f"/sandbox/ledger?account={world.remote['custom']['id']}&outcome=arrived")
    links = {line["link"] for line in lines}
    assert {line["via"] for line in lines} == {"webhook"}
    assert len(links) == len(lines), "everybody has an address of his own"


def test_who_left_is_failed_with_the_reason_and_no_member_any_more(make: Make) -> None:
    world = make("webhook")
    account = world.accounts["custom"]
    broadcast = send(world, "webhook")
    assigned = world.assigned(broadcast)
    gone = BitMap(list(assigned)[:7])
    part(world, gone, follows=False)
    with world.runtime.work(1, "test") as work:
        (stranger,) = contacts.ensure(work, [PersonIn({Identity("member_id", account): "nobody-here"})])
        compliance.record(work, "marketing", BitMap([stranger]), BitMap(), source="test")
    second = send(world, "webhook")
    world.work_until(broadcast)
    total(world, broadcast, accepted=len(assigned) - 7, failed=7)
    assert refusals(world, broadcast) == {
        "refused:left": (7, "接收方表示该会员已离开", "The receiver says that this member has left")
    }
    assert not gone & world.set(f"following:{account}")
    assert gone < world.set(f"identity:{account}")
    world.work_until(second)
    assert world.statuses(second, [stranger, *gone])[stranger] == "failed"
    assert "refused:unknown" in refusals(world, second)
    assert stranger not in world.set(f"following:{account}")


def test_a_member_who_is_imported_again_is_one_again(make: Make, tmp_path: Any) -> None:
    world = make("webhook")
    account = world.accounts["custom"]
    back = BitMap(list(world.set(f"following:{account}"))[:2])
    with world.runtime.work(1, "test") as work:
        contacts.no_members(work, account, back)
    file = tmp_path / "members.csv"
    file.write_text("会员号\n" + "\n".join(world.ids("custom", back).values()), "utf-8")
    result = contacts.import_contacts(world.runtime, 1, file, {"会员号": f"identity:member_id:{account}"})
    assert (result.made, result.matched) == (0, 2)
    assert back < world.set(f"following:{account}")


def test_an_identity_of_another_kind_is_refused(make: Make, tmp_path: Any) -> None:
    world = make("webhook", size=100)
    file = tmp_path / "members.csv"
    file.write_text("会员号\nx\n", "utf-8")
    with pytest.raises(Invalid) as refused:
        contacts.import_contacts(world.runtime, 1, file, {"会员号": f"identity:openid:{world.accounts['custom']}"})
    assert refused.value.code == "contacts.other_kind"
    assert "member_id" in refused.value.remedy("zh")


def test_who_withdraws_after_a_lost_answer_is_in_doubt_and_not_told_again(make: Make) -> None:
    world = make("webhook")
    fault(world, PATH, "cut", times=1)
    broadcast = send(world, "webhook")
    assigned = world.assigned(broadcast)
    with world.working(send_concurrency=1):
        until(lambda: hits(world) == 1)
    first = BitMap(list(assigned)[:60])
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "marketing", BitMap(), BitMap(list(first)[:3]), source="test")
    before = world.states(broadcast)
    world.work_until(broadcast)
    states = world.states(broadcast)
    assert verdict(world, "webhook", broadcast)["duplicated"] == 0
    assert before["in_doubt"] == 0
    assert states["in_doubt"] + states["held"] == 3
    assert states["accepted"] == len(assigned) - 3


def test_a_lost_answer_with_refusals_is_asked_for_again_and_told(make: Make) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    gone = BitMap(list(world.assigned(broadcast))[:2])
    part(world, gone, follows=False)
    fault(world, PATH, "cut", times=5)
    world.work_until(broadcast)
    total(world, broadcast, accepted=len(world.assigned(broadcast)) - 2, failed=2)
    assert verdict(world, "webhook", broadcast)["duplicated"] == 0
    assert set(refusals(world, broadcast)) == {"refused:left"}


@pytest.mark.parametrize(
    ("code", "word"), [(401, "webhook_signature"), (404, "webhook_missing"), (410, "webhook_gone")]
)
def test_a_receiver_that_refuses_pauses_the_broadcast_with_the_reason(make: Make, code: int, word: str) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    fault(world, PATH, "error", code=code, times=1000)
    with world.working():
        world.wait(broadcast, "paused")
    found, zh, en = reason(world, broadcast)
    assert found == word
    assert str(code) in zh
    assert str(code) in en
    world.sandbox.call("DELETE", "/sandbox/faults")
    with world.runtime.work(1, "test") as work:
        broadcasts.resume(work, broadcast)
    world.work_until(broadcast)
    assert verdict(world, "webhook", broadcast) == CLEAN
    total(world, broadcast, accepted=len(world.assigned(broadcast)))


def test_another_secret_pauses_until_it_is_put_right(make: Make) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    with world.runtime.work(1, "test") as work:
        accounts.set_secret(work, world.accounts["custom"], accounts.new_webhook_secret())
    with world.working():
        world.wait(broadcast, "paused")
    assert reason(world, broadcast)[0] == "webhook_signature"
    with world.runtime.work(1, "test") as work:
        accounts.set_secret(work, world.accounts["custom"], world.remote["custom"]["secret"])
        broadcasts.resume(work, broadcast)
    world.work_until(broadcast)
    assert verdict(world, "webhook", broadcast) == CLEAN


@pytest.mark.parametrize("kind", ["quota", "busy"])
def test_a_receiver_that_is_busy_is_waited_for(make: Make, kind: str) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    fault(world, PATH, kind, times=2)
    world.work_until(broadcast)
    assert hits(world) == 2
    assert verdict(world, "webhook", broadcast) == CLEAN
    total(world, broadcast, accepted=len(world.assigned(broadcast)))


def test_more_than_one_message_or_too_long_a_one_is_refused(make: Make) -> None:
    world = make("webhook", size=100)
    card = {"kind": "mini_program", "title": "会员中心", "app_id": "wx0123456789abcdef", "page": "pages/index"}
    for said in (TEXT, ARTICLE, card, {"kind": "template", "template_id": "x", "data": {"thing1": "长" * 40}}):
        send_draft(world, said)
    for said, field in (
        ({**card, "text": "另外一条"}, "messages"),
        ({"kind": "text", "text": "字" * 3000}, "text.content"),
    ):
        with pytest.raises(Invalid) as refused:
            send_draft(world, said)
        assert (refused.value.code, refused.value.params["field"]) == ("broadcasts.too_long", field)


def send_draft(world: World, said: dict[str, Any]) -> None:
    with world.runtime.work(1, "test") as work:
        broadcasts.draft(work, name="x", account="custom", audience="all", content=said)


def test_the_report_counts_persons(make: Make) -> None:
    world = make("webhook")
    broadcast = send(world, "webhook")
    world.work_until(broadcast)
    with world.runtime.work(1, "test") as work:
        assigned = list(world.assigned(broadcast))
        work.bitmaps.add(f"broadcast:{broadcast}:opened", BitMap(assigned[:9]), why="test")
        work.bitmaps.add(f"broadcast:{broadcast}:clicked", BitMap(assigned[:4]), why="test")
    with world.runtime.read(1, "test") as work:
        figures = {one.name: one for one in reports.broadcast_report(work, broadcast).figures}
    assert (figures["opened"].numerator, figures["clicked"].numerator) == (9, 4)
    assert figures["opened"].denominator == len(assigned)
