"""Taggings of many callers at once: one commit, one answer each, as if they had come one after the other."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd, people, small_account
from tests.tags.served import Served
from tests.tracking.serving import serving

from tagcast import access, contacts, tags
from tagcast.bitmaps import Change
from tagcast.kit import clock
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Runtime, Work
from tagcast.server import create_app
from tagcast.tags.together import take

PEOPLE = 8
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def prepare(work: Work) -> list[int]:
    """A tag of every kind that asks for care, one that does not exist, and a plain one three times as likely."""
    crowd(work, PEOPLE)
    plain = tags.create(work, "plain").id
    full = tags.create(work, "full", account=small_account(work, members=3)).id
    ending = tags.declare(work, tags.create(work, "ending").id, lifetime_days=3).id
    tags.declare(work, tags.create(work, "level").id, exclusive="replace")
    levels = [tags.create(work, f"level/{name}").id for name in ("silver", "gold")]
    kept = tags.keep(work, tags.create(work, "kept").id, "rule:1").id
    archived = tags.archive(work, tags.create(work, "archived").id).id
    return [plain, plain, plain, full, ending, *levels, kept, archived, 999]


def wishes(dice: random.Random, ids: Sequence[int], size: int) -> list[tags.Asked]:
    return [
        tags.Asked(
            dice.choice(ids),
            dice.choice(["add", "add", "remove"]),
            BitMap(dice.sample(range(1, PEOPLE + 2), dice.choice([0, 1, 1, 1, 3]))),
            dice.choice(["bought", "bought", "bought", " "]),
            dice.choice(["key:a", "key:b", "rule:1"]),
            dice.choice([None, None, None, None, LATER]),
            dice.random() < 0.1,
        )
        for _ in range(size)
    ]


def one_by_one(work: Work, asked: Sequence[tags.Asked]) -> list[Change | TagcastError | None]:
    """What becomes of each by the use cases of one tagging."""
    found: list[Change | TagcastError | None] = []
    for one in asked:
        acting = replace(work, actor=one.actor, bitmaps=work.bitmaps.acting(one.actor))
        try:
            with work.connection.begin_nested():
                if one.op == "remove":
                    found.append(tags.remove(acting, one.tag, one.members, why=one.why))
                else:
                    found.append(
                        tags.assign(acting, one.tag, one.members, why=one.why, until=one.until, forever=one.forever)
                    )
        except TagcastError as error:
            found.append(error)
    return found


def told(found: Change | TagcastError | None) -> object:
    if isinstance(found, TagcastError):
        return found.code, found.params
    return found and (found.key, found.op, found.size, found.who, found.why, found.until_ms)


@pytest.mark.parametrize("seed", range(3))
def test_together_is_as_one_after_the_other(runtime: Runtime, seed: int) -> None:
    dice = random.Random(seed)
    with runtime.work(1, "test") as work:
        ids = prepare(work)
    with runtime.system() as connection:
        twin = access.create_workspace(connection, runtime.master_key, "twin")
    with runtime.work(twin, "test") as work:
        twins = prepare(work)
    same = dict(zip(twins, ids, strict=True))
    moment = clock.now()
    for _ in range(8):
        asked = wishes(dice, twins, 30)
        with runtime.work(twin, "api", now=moment) as work:
            singly = [told(found) for found in one_by_one(work, asked)]
            sets = {same[tag]: set(tags.holders(work, tag)) for tag in twins[:-1]}
        mine = [tags.Asked(same[one.tag], *(getattr(one, name) for name in one.__slots__[1:])) for one in asked]
        with runtime.work(1, "api", now=moment) as work:
            found = tags.change_many(work, mine)
            together = [told(one) for one in found]
            assert {tag: set(tags.holders(work, tag)) for tag in ids[:-1]} == sets
        names = {f"tag:{tag}": f"tag:{mine}" for tag, mine in same.items()}
        assert [_renamed(one, names, same) for one in singly] == together
        with runtime.read(1, "test") as work:
            assert {tag: set(tags.holders(work, tag)) for tag in ids[:-1]} == sets
            for one in found:
                if isinstance(one, Change):
                    assert work.bitmaps.change(one.seq) == one


def _renamed(found: object, names: dict[str, str], ids: dict[int, int]) -> object:
    """What was told of the twin, with our ids."""
    if not isinstance(found, tuple):
        return found
    if isinstance(found[1], dict):
        return found[0], {name: ids[value] if name == "tag" else value for name, value in found[1].items()}
    return names[found[0]], *found[1:]


def test_each_is_undone_by_itself(work: Work) -> None:
    tag = prepare(work)[0]
    made = tags.change_many(work, [tags.Asked(tag, "add", BitMap([n]), "t", f"key:{n}") for n in (1, 2, 3)])
    seqs = [one.seq for one in made if isinstance(one, Change)]
    assert seqs == sorted(seqs)
    tags.undo(work, seqs[1])
    assert set(tags.holders(work, tag)) == {1, 3}
    assert [one.who for one in tags.history(work, tag)] == ["test", "key:3", "key:2", "key:1"]


def test_one_key_twice_in_a_batch(work: Work) -> None:
    people(work, 3)
    tag = tags.create(work, "a").id

    def asked(key: str, digest: str, *numbers: int) -> tags.Request:
        once = tags.Once(key, digest, 200, lambda outcome: str(len(outcome.touched)))
        return tags.Request(tag, "add", "t", "key:a", numbers, once=once)

    first, again, other, bad = take(
        work,
        [asked("k", "x", 1, 2), asked("k", "x", 1, 2), asked("k", "y", 3), tags.Request(tag, "add", "", "a", (3,))],
    )
    assert isinstance(first, tags.Outcome)
    assert (set(first.touched), isinstance(again, access.Replayed) and again.body) == ({1, 2}, "2")
    assert [isinstance(one, TagcastError) and one.code for one in (other, bad)] == [
        "access.key_reused", "tags.why_missing",
    ]  # fmt: skip
    assert len(tags.history(work, tag)) == 1
    refused, then = take(
        work, [tags.Request(999, "add", "t", "a", (3,), once=asked("n", "x").once), asked("n", "x", 3)]
    )
    assert isinstance(refused, TagcastError)
    assert isinstance(then, tags.Outcome)


@pytest.fixture
def api(runtime: Runtime) -> Iterator[Served]:
    with runtime.work(1, "test") as work:
        people(work, 40)
        key = access.issue_key(work, "test")
    with serving(create_app(runtime), lifespan="on") as port:
        yield Served(port, key)


def test_callers_at_once_get_their_own_answers(api: Served, runtime: Runtime) -> None:
    tag = api("POST", "/tags", {"path": "a"})[1]["id"]
    good = [(tag, {"identities": [{"kind": "customer_id", "value": f"c{n}"}], "why": f"w{n}"}) for n in range(1, 41)]
    bad = [
        (999, {"numbers": [1], "why": "t"}),
        (tag, {"numbers": [1], "why": ""}),
        (tag, {"identities": [{"kind": "nonsense", "value": "x"}], "why": "t"}),
    ]
    calls = [(at, tag_id, body) for at, (tag_id, body) in enumerate([*good, *bad, *good])]

    def call(one: tuple[int, int, object]) -> tuple[int, int, dict[str, object]]:
        at, tag_id, body = one
        # The second half repeats the first under the same keys.
        key = f"k{at % 43}"
        return (at % 43, *api("POST", f"/tags/{tag_id}/assign", body, **{"Idempotency-Key": key}))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, calls))
    wanted = dict.fromkeys(range(40), 200) | {40: 404, 41: 422, 42: 422}
    for at, status, answer in answers:
        assert status == wanted[at], answer
        if status == 200:
            assert (answer["changed"], answer["rows"]) == (1, [{"row": 0, "number": at + 1, "status": "changed"}])
    with runtime.read(1, "test") as work:
        history = tags.history(work, tag, limit=1000)
        assert tags.holders(work, tag) == contacts.everyone(work)
        told_seqs = {answer["seq"] for _, status, answer in answers if status == 200}
        assert {change.seq for change in history} == told_seqs
        assert {(change.why, *work.bitmaps.members(change.seq)) for change in history} == {
            (f"w{n}", n) for n in range(1, 41)
        }
