"""A report against a broadcast whose every number is known."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from tagcast import access, reports, statistics
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Runtime
from tagcast.reports import BroadcastReport, Verdict
from tagcast.server import create_app
from tests.reports.stories import START, put
from tests.tracking.serving import call, serving


def report(runtime: Runtime, **options: Any) -> BroadcastReport:
    reports.catch_up(runtime, 1, "test")
    with runtime.read(1, "test", now=START + timedelta(days=30)) as work:
        return reports.broadcast_report(work, 1, **options)


def test_every_number_is_right(runtime: Runtime) -> None:
    put(runtime)
    made = report(runtime)
    assert (made.assigned, made.holdout) == (80, 10)
    assert sum(made.states.values()) == made.assigned
    assert {one.name: (one.numerator, one.denominator) for one in made.figures} == {
        "reached": (70, 80),
        "delivered": (60, 80),
        "failed": (8, 80),
        "in_doubt": (2, 80),
        # 70 accepted and not failed since, and contact 79, who was in doubt and opened it.
        "opened": (21, 71),
        "clicked": (5, 71),
    }
    assert {one.name: one.value for one in made.visits} == {
        "visits_opened": 23,
        "visits_clicked": 5,
        "machines_opened": 2,
        "machines_clicked": 1,
    }
    assert [(line.name, line.count) for line in made.failures] == [("receipt:user_block", 5), ("not_a_friend", 3)]
    assert [(line.name, line.count) for line in made.waterfall] == [
        ("addressed", 100),
        ("no_consent", 10),
        ("holdout", 10),
        ("assigned", 80),
    ]
    effect = made.effect
    assert (effect.sent.numerator, effect.sent.denominator) == (12, 80)
    assert (effect.holdout.numerator, effect.holdout.denominator) == (1, 10)
    assert effect.difference == statistics.newcombe_difference(12, 80, 1, 10, 0.95)
    assert effect.lift is not None
    assert effect.lift.estimate == pytest.approx(0.5)
    assert effect.split_p == pytest.approx(1.0)
    assert effect.verdict is Verdict.NOT_ENOUGH
    assert not made.window_open


def test_a_longer_window_takes_in_more(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite)
    assert report(runtime_sqlite, window_days=7).effect.sent.numerator == 12
    assert report(runtime_sqlite, window_days=8).effect.sent.numerator == 13
    assert report(runtime_sqlite, window_days=1).effect.sent.numerator == 0


def test_what_cannot_be_reported_is_refused(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite, started=None)
    with pytest.raises(Conflict) as conflict:
        report(runtime_sqlite)
    assert conflict.value.code == "reports.not_started"
    for days in (0, 91):
        with pytest.raises(Invalid) as invalid:
            report(runtime_sqlite, window_days=days)
        assert invalid.value.code == "reports.bad_window"
    with runtime_sqlite.read(1, "test") as work, pytest.raises(NotFound):
        reports.broadcast_report(work, 2)


def test_events_that_nobody_records_are_no_zero(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite)
    made = report(runtime_sqlite, event="subscription")
    assert (made.effect.verdict, made.effect.difference) == (Verdict.NO_EVENT, None)
    assert "subscription" in reports.render_html([made], "en")


class Page(HTMLParser):
    """What a page would fetch or run, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [value or "" for name, value in attrs if name in {"src", "srcset", "data", "action"}]
        self.outside += [value or "" for name, value in attrs if name == "href" and not (value or "").startswith("#")]
        self.outside += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_escapes(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite)
    made = report(runtime_sqlite)
    for lang, verdict in (("zh", "样本不足"), ("en", "Not enough")):
        text = reports.render_html([made, made], lang)  # type: ignore[arg-type]  # a literal of the loop
        page = Page()
        page.feed(text)
        assert page.outside == []
        assert not {"script", "link", "img", "iframe", "b", "form"} & set(page.tags)
        assert "url(" not in text
        assert "@import" not in text
        assert page.tags.count("svg") == 2 * 5
        shown = " ".join(page.words)
        assert verdict in shown
        assert "=双11 <b>预热</b>" in shown
        assert "12 / 80" in shown


def test_the_table_is_plain_and_safe(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite)
    made = report(runtime_sqlite)
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(reports.render_csv([made], "zh")))}
    assert list(rows) == [
        "assigned", "holdout", "reached", "delivered", "failed", "in_doubt", "opened", "clicked", "converted_sent",
        "converted_holdout", "difference", "lift", "split", "visits_opened", "visits_clicked", "machines_opened",
        "machines_clicked",
    ]  # fmt: skip
    assert (rows["delivered"]["numerator"], rows["delivered"]["denominator"]) == ("60", "80")
    assert rows["delivered"]["value"] == "0.75"
    assert rows["delivered"]["label"] == "送达率"
    assert {row["name"] for row in rows.values()} == {"'=双11 <b>预热</b>"}
    assert made.effect.difference is not None
    assert float(rows["difference"]["low"]) == made.effect.difference.low


@pytest.fixture
def port(runtime: Runtime) -> Iterator[int]:
    put(runtime)
    with serving(create_app(runtime), lifespan="on") as port:
        yield port


def test_the_route_gives_three_shapes(runtime: Runtime, port: int) -> None:
    with runtime.work(1, "test") as work:
        key = f"Bearer {access.issue_key(work, 'test')}"
    path = "/api/v1/reports/broadcasts/1"
    status, headers, body = call(port, path, Authorization=key)
    shown = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (shown["assigned"], shown["effect"]["verdict"]) == (80, "not_enough")
    assert shown["effect"]["sentence"].startswith("样本不足：+5.00 个百分点 [")
    assert {one["name"]: one["numerator"] for one in shown["figures"]}["opened"] == 21
    status, headers, body = call(port, f"{path}?format=html&lang=en", Authorization=key)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "style-src 'unsafe-inline'" in headers["content-security-policy"]
    assert "Not enough" in body.decode()
    status, headers, body = call(port, f"{path}?format=csv", Authorization=key)
    assert headers["content-disposition"] == 'attachment; filename="broadcast-1.csv"'
    assert body.decode("utf-8-sig").startswith("broadcast,name,figure,")
    assert call(port, path)[0] == 401
    assert call(port, "/api/v1/reports/broadcasts/2", Authorization=key)[0] == 404
    assert call(port, f"{path}?format=xml", Authorization=key)[0] == 422


def test_another_workspace_sees_nothing(runtime_sqlite: Runtime) -> None:
    put(runtime_sqlite)
    with runtime_sqlite.system() as connection:
        other = access.create_workspace(connection, runtime_sqlite.master_key, "other")
    with runtime_sqlite.read(other, "test") as work, pytest.raises(NotFound):
        reports.broadcast_report(work, 1)
    assert re.fullmatch(r"[2-9]", str(other))
