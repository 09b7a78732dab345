"""A plan changes nothing, says what moved, and dies with a change of its draft; drafts are changed and taken back."""

import csv
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import access, accounts, audiences, broadcasts, compliance, contacts, tags
from tagcast.bitmaps.tables import metadata as bitmap_tables
from tagcast.broadcasts import store
from tagcast.kit import db
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work
from tagcast.server import create_app
from tests.broadcasts.planned import TEXT, account, draft, opened, people, schedule
from tests.cli.conftest import Shell
from tests.tags.served import Served
from tests.tracking.serving import serving

# What a plan may write: itself, and the sets of its steps.
OWN = {"broadcast_plan"}


def digests(runtime: Runtime, broadcast: int) -> dict[str, str]:
    """Table → digest of its rows, but for the plan's own."""
    found = {}
    with runtime.engine.connect() as connection:
        for table in (*db.metadata.sorted_tables, *bitmap_tables.sorted_tables):
            if table.name in OWN:
                continue
            query = sa.select(table)
            if table.name == "bitmap_change":
                query = query.where(sa.not_(table.c.key.startswith(f"broadcast:{broadcast}:plan:")))
            rows = sorted(repr(tuple(row)) for row in connection.execute(query))
            found[table.name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def test_a_plan_changes_nothing(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        who = people(work, at, 200)
        compliance.suppress(work, BitMap(who[:5]), "asked")
        compliance.record_sent(work, at, "b", BitMap(who[5:50]), work.now)
        segment = 'tag("金卡")'
        tags.assign(work, tags.ensure(work, "金卡").id, BitMap(who), why="test")
        broadcast = draft(work, at, audience=segment, holdout_percent=10, settings={"quiet": "expire"})
    before = digests(runtime, broadcast)
    assert len(before) > 60
    with runtime.work(1, "test") as work:
        first = broadcasts.plan(work, broadcast)
    with runtime.work(1, "test") as work:
        assert broadcasts.plan(work, broadcast).hash == first.hash
    assert digests(runtime, broadcast) == before
    with runtime.work(1, "test") as work:
        compliance.suppress(work, BitMap(who[5:6]), "asked")
    assert digests(runtime, broadcast) != before


def test_the_steps_come_in_their_order_and_sum_to_the_addressed(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        who = people(work, at, 100)
        broadcast = draft(work, at, holdout_percent=10)
        plan = broadcasts.plan(work, broadcast)
        names = [step.name for step in plan.steps]
        # Who refuses to be chosen is asked for only where an audience chooses.
        assert names == [
            "addressed", "no_identity", "not_following", "no_consent", "suppressed", "over_ceiling", "over_cap",
            "holdout", "assigned",
        ]  # fmt: skip
        found = opened(work, broadcast)
        assert sum(map(len, found.values())) == 2 * len(who)
        assert set.union(*(found[name] for name in names[1:])) == found["addressed"]


def test_what_moved_is_told_by_step_with_examples(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        who = people(work, at, 60)
        broadcast = draft(work, at)
        plan = broadcasts.plan(work, broadcast)
        compliance.record(work, "marketing", BitMap(), BitMap(who[:25]), source="test")
        compliance.suppress(work, BitMap(who[30:33]), "asked")
        (new,) = contacts.ensure(work, [contacts.PersonIn({contacts.Identity("openid", at): "new"})])
    with runtime.read(1, "test") as work:
        before, found = broadcasts.moved(work, broadcast)
    assert before.hash == plan.hash
    assert [(move.before, move.after, move.count, move.examples) for move in found] == [
        ("assigned", "no_consent", 25, who[:20]),
        ("assigned", "suppressed", 3, who[30:33]),
        ("not_addressed", "not_following", 1, [new]),
    ]
    with pytest.raises(Conflict) as moved, runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    params = moved.value.params
    assert params["changes"] == (
        "addressed 60 → 61; not_following 0 → 1; no_consent 0 → 25; suppressed 0 → 3; assigned 60 → 32"
    )
    assert f"将发送 → 没有该用途的同意: 25 ({', '.join(map(str, who[:20]))}…)" in moved.value.text("zh")
    assert f"Sent to → Suppressed: 3 ({', '.join(map(str, who[30:33]))})" in moved.value.text("en")
    with runtime.read(1, "test") as work:
        assert broadcasts.get(work, broadcast).state == "draft"
        assert work.bitmaps.keys("sent:") == []


def test_a_fact_that_moved_is_named(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        people(work, at, 10)
        plan = broadcasts.plan(work, draft(work, at))
        accounts.set_profile(work, at, "article")
    with pytest.raises(Refused) as refused, runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    assert refused.value.code == "broadcasts.kind_not_allowed"
    with runtime.work(1, "test") as work:
        accounts.add_profile(work, "own", "platform", {})
        accounts.set_profile(work, at, "own")
    with pytest.raises(Conflict) as moved, runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    assert moved.value.params["changes"] == "other profile"


def test_a_plan_of_a_changed_draft_is_dead(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        people(work, at, 10)
        broadcast = draft(work, at)
        plan = broadcasts.plan(work, broadcast)
        same = broadcasts.edit(work, broadcast, {"name": "一次", "content": TEXT})
        assert store.plan_of(work, same.id) is not None
        broadcasts.edit(work, broadcast, {"holdout_percent": 20})
        assert opened(work, broadcast) == {}
        with pytest.raises(NotFound):
            broadcasts.send(work, plan.hash)
        # Taken back, it needs a plan of its own; nothing but the plan moved, so the hash is the old one.
        broadcasts.undo(work, broadcast)
        assert broadcasts.plan(work, broadcast).hash == plan.hash


def test_each_change_of_a_draft_is_taken_back(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        people(work, at, 10)
        number = draft(work, at)
        states = [broadcasts.get(work, number)]
        changes: list[dict[str, Any]] = [
            {"name": "二次"},
            {"content": {"kind": "text", "text": "别的"}, "purpose": "service"},
            {"settings": {"priority": {"level": 90}}},
            {"audience": "not all"},
        ]
        states += [broadcasts.edit(work, number, change) for change in changes]
        assert len({repr(state) for state in states}) == 5
        broadcasts.delete(work, number)
        with pytest.raises(NotFound):
            broadcasts.get(work, number)
        assert broadcasts.all_(work) == []
        for state in reversed(states):
            assert broadcasts.undo(work, number) == state
        with pytest.raises(Conflict) as nothing:
            broadcasts.undo(work, number)
        assert nothing.value.code == "broadcasts.nothing_to_undo"


def test_a_copy_is_a_draft_of_its_own(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        people(work, at, 10)
        first = broadcasts.get(work, draft(work, at, holdout_percent=10, settings={"quiet": "expire"}))
        broadcasts.send(work, broadcasts.plan(work, first.id).hash)
        second, third = broadcasts.copy(work, first.id), broadcasts.copy(work, first.id)
        assert [one.name for one in (second, third)] == ["一次 2", "一次 3"]
        assert (second.state, second.plan_hash, second.started_at) == ("draft", None, None)
        for same in ("content", "audience", "holdout_percent", "settings", "account", "route"):
            assert getattr(second, same) == getattr(first, same)
        for refused in (
            lambda: broadcasts.edit(work, first.id, {"name": "x"}),
            lambda: broadcasts.delete(work, first.id),
        ):
            with pytest.raises(Conflict):
                refused()
        with pytest.raises(Invalid):
            broadcasts.edit(work, second.id, {"state": "finished"})


def test_a_long_and_dear_broadcast_says_so(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "custom", profile="article")
        said = {"source": "test", "date": "2026-11-24"}
        slow = {
            "batch": {"value": 2, **said},
            "rate_per_minute": {"value": 1, **said},
            "per_day": {"value": 90, **said},
        }
        accounts.add_profile(work, "slow", "article", {"custom": {"send": slow}})
        accounts.set_profile(work, at, "slow")
        numbers = contacts.ensure(
            work, [contacts.PersonIn({contacts.Identity("member_id", at): f"m{n}"}) for n in range(200)]
        )
        work.bitmaps.add(f"following:{at}", BitMap(numbers), why="test")
        compliance.record(work, "marketing", BitMap(numbers), BitMap(), source="test")
        broadcasts.set_cost(work, "custom.text", 0.045, "CNY", "contract of the year")
        plan = broadcasts.plan(work, draft(work, at))
    assert plan.notes["duration"] == {"calls": 100, "per_minute": 1, "seconds": 6000.0, "days": 3}
    assert (plan.notes["cost"]["total"], plan.notes["cost"]["currency"]) == (9.0, "CNY")
    assert plan.warnings == ["no_holdout", "long", "several_days", "costs"]
    with runtime.work(1, "test") as work, pytest.raises(Invalid):
        broadcasts.set_cost(work, "pigeon.text", 1, "CNY", "a guess")


def test_approval_is_asked_of_another_and_dies_with_the_plan(runtime: Runtime) -> None:
    def refused(plan: str) -> str:
        with pytest.raises(Refused) as found, runtime.work(1, "author") as work:
            broadcasts.send(work, plan)
        return found.value.code

    with runtime.work(1, "author") as work:
        at = account(work)
        people(work, at, 30)
        number = draft(work, at)
        plan = broadcasts.plan(work, number).hash
        broadcasts.set_approval(work, {"above": 29})
        with pytest.raises(Refused) as own:
            broadcasts.decide(work, plan, approved=True)
        assert own.value.code == "broadcasts.own_approval"
    assert refused(plan) == "broadcasts.not_approved"
    with runtime.work(1, "second") as work:
        said = broadcasts.decide(work, plan, approved=False, note="错字")
        assert (said.who, said.note, said.approved) == ("second", "错字", False)
    assert refused(plan) == "broadcasts.rejected"
    with runtime.work(1, "second") as work:
        broadcasts.decide(work, plan, approved=True)
        broadcasts.edit(work, number, {"content": {"kind": "text", "text": "改字"}})
        changed = broadcasts.plan(work, number).hash
        assert changed != plan
        # Who changed it is an author of it by now.
        with pytest.raises(Refused):
            broadcasts.decide(work, changed, approved=True)
    assert refused(changed) == "broadcasts.not_approved"
    with runtime.work(1, "third") as work:
        broadcasts.decide(work, changed, approved=True, note="可以")
    with runtime.work(1, "author") as work:
        assert broadcasts.send(work, changed).state == "sending"
        assert [said.who for said in broadcasts.approvals_of(work, number)] == ["third", "second", "second"]


def test_sensitive_tags_and_purposes_need_a_second_person(runtime: Runtime) -> None:
    with runtime.work(1, "author") as work:
        at = account(work)
        people(work, at, 3)
        for path in ("健康/慢病", "爱好"):
            tags.ensure(work, path)
        broadcasts.set_approval(work, {"tags": ["健康"], "purposes": ["service"]})

        def why(**more: Any) -> list[str]:
            return broadcasts.approval_reasons(work, broadcasts.get(work, draft(work, at, **more)), 3)

        assert why() == []
        assert why(audience='tag("爱好")') == []
        assert why(audience='tag("健康")') == ["tags"]
        assert why(audience='all and not tag("健康/慢病")', purpose="service") == ["purpose", "tags"]
        audiences.create(work, "慢病", audiences.parse('tag("健康/慢病")'))
        assert why(audience='segment("慢病")') == ["tags"]
        with pytest.raises(NotFound):
            broadcasts.set_approval(work, {"tags": ["没有"]})
        assert broadcasts.set_approval(work, {"tags": []}).purposes == ["service"]


def test_plans_over_http(runtime_sqlite: Runtime) -> None:
    runtime = runtime_sqlite
    with runtime.work(1, "test") as work:
        keys = [access.issue_key(work, name) for name in ("one", "two")]
        at = account(work)
        who = people(work, at, 150)
        compliance.suppress(work, BitMap(who[:120]), "asked")
    with serving(create_app(runtime), lifespan="on") as port:
        one, two = (Served(port, key) for key in keys)
        body = {"name": "会员日", "account": at, "audience": "all", "content": TEXT}
        number = one("POST", "/broadcasts", body)[1]["id"]
        status, plan = one("POST", f"/broadcasts/{number}/plan")
        assert (status, plan["duration"]["calls"], plan["cost"], plan["approval"]) == (
            200, 1, None, {"needed": [], "said": None},
        )  # fmt: skip
        assert (plan["quota"]["left"], plan["quota"]["uses"][2]["limit"]) == ([0, 0, 0, 30], 4)
        assert one("GET", f"/broadcasts/{number}/plan")[1] == plan
        assert one("PUT", "/broadcasts/approval", {"above": 10})[1] == {"above": 10, "purposes": [], "tags": []}
        assert one("GET", f"/broadcasts/{number}/plan")[1]["approval"]["needed"] == ["above"]
        edited = one("PATCH", f"/broadcasts/{number}", {"holdout_percent": 20})
        assert (edited[0], edited[1]["holdout_percent"], edited[1]["name"]) == (200, 20, "会员日")
        assert one("POST", f"/broadcasts/plans/{plan['hash']}/send")[0] == 404
        assert one("GET", f"/broadcasts/{number}/plan")[0] == 404
        plan = one("POST", f"/broadcasts/{number}/plan")[1]
        assert one("POST", f"/broadcasts/plans/{plan['hash']}/approve", {})[1]["code"] == "broadcasts.own_approval"
        assert two("POST", f"/broadcasts/plans/{plan['hash']}/reject", {"note": "再看"})[1]["approved"] is False
        assert one("POST", f"/broadcasts/plans/{plan['hash']}/send")[1]["code"] == "broadcasts.rejected"
        assert two("POST", f"/broadcasts/plans/{plan['hash']}/approve", {})[1]["approved"] is True
        with runtime.work(1, "test") as work:
            compliance.suppress(work, BitMap(who[148:]), "asked")
        moved = one("POST", f"/broadcasts/plans/{plan['hash']}/send")
        assert (moved[0], moved[1]["code"]) == (409, "broadcasts.plan_moved")
        assert sum(move["count"] for move in moved[1]["params"]["moves"] if move["after"] == "suppressed") == 2
        assert one("GET", f"/broadcasts/{number}/moved")[1]["moves"] == moved[1]["params"]["moves"]
        page = one("GET", f"/broadcasts/{number}/sets/suppressed?limit=100")[1]
        assert (page["total"], page["contacts"], page["next"]) == (120, who[:100], who[99])
        assert one("POST", f"/broadcasts/{number}/copy", {"name": "另一个"})[0] == 201
        assert one("DELETE", f"/broadcasts/{number}")[1] == {"id": number, "deleted": True}
        assert one("GET", f"/broadcasts/{number}")[0] == 404
        assert one("POST", f"/broadcasts/{number}/undo")[1]["holdout_percent"] == 20
        assert (
            one("PUT", "/broadcasts/costs/custom.text", {"value": 0.05, "source": "合同"})[1]["costs"]["custom.text"][
                "value"
            ]
            == 0.05
        )
        assert one("GET", "/broadcasts/calendar")[1] == {"items": []}
        assert one("GET", "/broadcasts/forecast?days=900")[0] == 422
        quota = one("GET", f"/broadcasts/quota/{at}")[1]
        assert (quota["people"], quota["left"], [use["period"] for use in quota["uses"]]) == (
            150, [0, 0, 0, 150], ["day", "week", "month"],
        )  # fmt: skip


def test_plans_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    access.initialise(Settings(home=home))
    runtime = access.open_home(Settings(home=home))
    with runtime.work(1, "test") as work:
        at = account(work)
        who = people(work, at, 120)
        compliance.suppress(work, BitMap(who[:110]), "asked")
        number = draft(work, at)
    runtime.close()
    tagcast = Shell(home, capsys)
    hash_ = tagcast.json("broadcast", "plan", number)["hash"]
    assert tagcast("broadcast", "moved", number, "--lang", "zh").stderr == "计划之后没有人变动。\n"
    listed = tagcast("broadcast", "list", number, "suppressed", "--lang", "zh")
    assert listed.stdout.count("在禁发名单中") == 100
    assert "另有 10 人" in listed.stderr
    file = tmp_path / "suppressed.csv"
    assert tagcast.json("broadcast", "list", number, "suppressed", "--csv", file)["lines"] == 110
    lines = file.read_text("utf-8").splitlines()
    assert (lines[0], lines[1], len(lines)) == (
        "contact,step,zh,en",
        f"{who[0]},suppressed,在禁发名单中,Suppressed",
        111,
    )
    assert tagcast.json("broadcast", "approval", "--above", "5")["above"] == 5
    assert "需要另一位操作员批准" in tagcast("broadcast", "plan", number, "--lang", "zh").stderr
    refused = tagcast("broadcast", "send", hash_, "--yes", code=2)
    assert "approve" in refused.stderr
    assert tagcast.json("broadcast", "approve", hash_, "--note", "好")["approved"] is True
    change = tmp_path / "change.json"
    change.write_text('{"name": "改名"}', "utf-8")
    assert tagcast.json("broadcast", "edit", number, change)["name"] == "改名"
    assert tagcast.json("broadcast", "undo", number)["name"] == "一次"
    tagcast("broadcast", "delete", number)
    assert tagcast.json("broadcast", "undo", number)["state"] == "draft"
    assert '"name": "一次"' in tagcast("broadcast", "show", number).stdout
    assert tagcast.json("broadcast", "copy", number)["name"] == "一次 2"
    assert "没有已排期的群发" in tagcast("broadcast", "calendar", "--lang", "zh").stderr
    assert "3+" in tagcast("broadcast", "quota", at).stdout
    assert "CNY" in tagcast("broadcast", "costs", "custom.text", "--value", "0.05", "--source", "合同").stdout


def test_rows_of_csv_are_cut_where_they_should_be(work: Work) -> None:
    """A name with commas and quotes stays one cell."""
    at = account(work)
    people(work, at, 5)
    low, high = draft(work, at), draft(work, at, name='会员,"日"', settings={"priority": {"level": 90}})
    compliance.set_cap(work, f"account:{at}", "month", 1)
    schedule(work, high, work.now + timedelta(seconds=60))
    broadcasts.plan(work, low)
    rows = list(csv.reader(broadcasts.members_csv(work, low, "yields")))
    assert len(rows) == 6
    assert all(row[2] == f'让给优先级更高的群发：会员,"日" ({high})' for row in rows[1:])


def test_a_deleted_draft_follows_its_tags_and_what_cannot_be_is_not_taken_back(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work)
        people(work, at, 3)
        gone, other = tags.ensure(work, "甲"), tags.ensure(work, "乙")
        deleted, edited = draft(work, at, audience='tag("甲")'), draft(work, at, audience='tag("乙")')
        broadcasts.delete(work, deleted)
        broadcasts.edit(work, edited, {"audience": "all"})
        tags.rename(work, gone.id, "丙")
        tags.rename(work, other.id, "丁")
        back = broadcasts.undo(work, deleted)
        assert audiences.to_text(audiences.from_json(back.audience)) == 'tag("丙")'
        with pytest.raises(Invalid):
            broadcasts.undo(work, edited)
        assert audiences.to_text(audiences.from_json(broadcasts.get(work, edited).audience)) == "all"
