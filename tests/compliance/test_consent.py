"""Consent and suppression: what is in force, and the proof of it."""

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import access, compliance
from tagcast.kit.errors import Invalid
from tagcast.kit.events import events
from tagcast.kit.uow import Runtime, Work

ALICE, BOB, CAROL = 1, 2, 3


def test_a_withdrawal_is_in_force_at_once_and_both_are_proven(work: Work) -> None:
    assert compliance.record(work, "marketing", BitMap([ALICE, BOB]), BitMap(), source="form", notice="v1") == (2, 0)
    assert compliance.record(work, "marketing", BitMap(), BitMap([BOB]), source="退订") == (0, 1)
    assert compliance.consented(work, "marketing") == BitMap([ALICE])
    standing = compliance.standing(work, BOB)
    assert (standing.consented, standing.suppressed) == ((), False)
    assert [(one.purpose, one.state, one.source, one.notice_version) for one in standing.records] == [
        ("marketing", "withdrawn", "退订", ""),
        ("marketing", "granted", "form", "v1"),
    ]
    assert standing.records[0].at == work.now_ms
    assert compliance.standing(work, CAROL).records == ()


def test_a_repeated_consent_is_proven_again_but_changes_nothing(work: Work) -> None:
    compliance.record(work, "marketing", BitMap([ALICE]), BitMap(), source="form", notice="v1")
    assert compliance.record(work, "marketing", BitMap([ALICE]), BitMap(), source="form", notice="v2") == (0, 0)
    assert [one.notice_version for one in compliance.standing(work, ALICE).records] == ["v2", "v1"]
    assert len(work.bitmaps.history("consent:marketing")) == 1


def test_what_changed_is_published_and_nothing_else(work: Work) -> None:
    compliance.record(work, "marketing", BitMap([ALICE, BOB]), BitMap(), source="form")
    compliance.record(work, "marketing", BitMap([ALICE, CAROL]), BitMap([BOB]), source="form")
    compliance.record(work, "marketing", BitMap([ALICE]), BitMap([BOB]), source="form")
    rows = work.connection.execute(sa.select(events.c.name, events.c.payload).order_by(events.c.seq)).all()
    assert {row.name for row in rows} == {"compliance.consent_changed"}
    payloads = [row.payload for row in rows]
    assert [(one["purpose"], one["granted"], one["withdrawn"]) for one in payloads] == [
        ("marketing", 2, 0), ("marketing", 1, 0), ("marketing", 0, 1),
    ]  # fmt: skip
    assert [work.bitmaps.members(one["seq"]) for one in payloads] == [
        BitMap([ALICE, BOB]), BitMap([CAROL]), BitMap([BOB]),
    ]  # fmt: skip


def test_purposes_are_apart(work: Work) -> None:
    compliance.record(work, "marketing", BitMap([ALICE, BOB]), BitMap(), source="form")
    compliance.record(work, "service", BitMap([ALICE]), BitMap(), source="form")
    compliance.record(work, "marketing", BitMap(), BitMap([ALICE]), source="form")
    assert compliance.consented(work, "service") == BitMap([ALICE])
    assert {one.name for one in compliance.purposes()} == {"marketing", "service"}
    assert all(one.zh and one.en for one in compliance.purposes())


@pytest.mark.parametrize(
    ("purpose", "granted", "withdrawn", "source", "code"),
    [
        ("profiling", [1], [], "form", "compliance.unknown_purpose"),
        ("marketing", [1], [], " ", "compliance.no_source"),
        ("marketing", [1, 2], [2], "form", "compliance.both"),
    ],
)
def test_what_cannot_be_right_changes_nothing(
    work: Work, purpose: str, granted: list[int], withdrawn: list[int], source: str, code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        compliance.record(work, purpose, BitMap(granted), BitMap(withdrawn), source=source)
    assert refused.value.code == code
    assert refused.value.text("zh")
    assert refused.value.remedy("en")
    assert work.bitmaps.keys("consent:") == []


def test_suppression_holds_until_lifted(work: Work) -> None:
    assert compliance.suppress(work, BitMap([ALICE, BOB]), "投诉") == 2
    assert compliance.suppress(work, BitMap([BOB]), "投诉") == 0
    assert compliance.unsuppress(work, BitMap([ALICE]), "asked for it") == 1
    assert compliance.suppressed(work) == BitMap([BOB])
    assert compliance.standing(work, BOB).suppressed


def test_another_workspace_knows_nothing_of_it(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        compliance.record(work, "marketing", BitMap([ALICE]), BitMap(), source="form")
        compliance.suppress(work, BitMap([ALICE]), "投诉")
    with runtime.read(other, "test") as work:
        assert compliance.standing(work, ALICE) == compliance.Standing((), False, True, False, ())
