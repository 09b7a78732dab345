"""Matching by columns does what matching row by row does."""

import random

import pytest

from tagcast import access
from tagcast.contacts import Identity, PersonIn, find_or_make
from tagcast.contacts.matching import match
from tagcast.kit.uow import Runtime

MEMBER, PHONE = Identity("customer_id"), Identity("phone")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("columns", [1, 2])
def test_columns_are_matched_as_rows_are(runtime: Runtime, seed: int, columns: int) -> None:
    dice = random.Random(seed)
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    for _ in range(3):
        members = [dice.choice(["", " ", "a", "b ", "c", "d", "x\u200b"]) for _ in range(14)]
        phones = [dice.choice(["", "", "13800000001", "138 0000 0002", "+8613800000003", "1.3E+10"]) for _ in range(14)]
        texts = [dice.choice([None, None, "李", "王"]) if columns == 2 else None for _ in range(14)]
        skip = {at for at in range(14) if dice.random() < 0.1}
        given = {MEMBER: members, PHONE: phones} if columns == 2 else {MEMBER: members}
        rows = [
            PersonIn(
                {identity: cells[at] for identity, cells in given.items() if cells[at].strip()},
                {} if texts[at] is None else {"name": str(texts[at])},
            )
            for at in range(14)
            if at not in skip
        ]
        with runtime.work(1, "t") as work:
            found = match(work, given, {"name": texts} if columns == 2 else {}, size=14, skip=skip)
        with runtime.work(other, "t") as work:
            expected = iter(find_or_make(work, rows))
        for at in range(14):
            if at in skip:
                assert found.numbers[at] == 0
                continue
            one = next(expected)
            problem = found.problems.get(at)
            assert (problem and problem.code, found.numbers[at]) == (one.problem and one.problem.code, one.number)
            assert not one.made or one.number in found.made
            assert not one.changed or one.number in found.changed or one.number in found.made
