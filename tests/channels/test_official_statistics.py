"""Statistics of 公众号 and 服务号: spans and days are checked before the call, rows have their shapes."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from tests.channels.canned import Canned

from tagcast.channels import ChannelError, OfficialClient, Reaction
from tagcast.channels.official.statistics import ZONE, Statistics, longest
from tagcast.kit import clock

# name of the method, path, longest span in days, one row of the platform
REPORTS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("followers_change", "getusersummary", 7, {"user_source": 0, "new_user": 3, "cancel_user": 1}),
    ("followers_total", "getusercumulate", 7, {"cumulate_user": 1217056}),
    ("articles", "getarticlesummary", 1, {"msgid": "10000050_1", "title": "x", "int_page_read_user": 23676}),
    ("article_totals", "getarticletotal", 1, {"msgid": "1_1", "title": "x", "details": [{"stat_date": "2014-12-14"}]}),
    ("reading", "getuserread", 3, {"user_source": 99999999, "int_page_read_user": 45524}),
    ("reading_by_hour", "getuserreadhour", 1, {"ref_hour": 2300, "user_source": 0}),
    ("shares", "getusershare", 7, {"share_scene": 1, "share_count": 207, "share_user": 9}),
    ("shares_by_hour", "getusersharehour", 1, {"ref_hour": 700, "share_scene": 1, "share_count": 2, "share_user": 1}),
    ("upstream", "getupstreammsg", 7, {"msg_type": 1, "msg_user": 282, "msg_count": 817}),
    ("upstream_by_hour", "getupstreammsghour", 1, {"ref_hour": 0, "msg_type": 1, "msg_user": 9, "msg_count": 10}),
    ("upstream_by_week", "getupstreammsgweek", 30, {"msg_type": 1, "msg_user": 16, "msg_count": 27}),
    ("upstream_by_month", "getupstreammsgmonth", 30, {"msg_type": 1, "msg_user": 7989, "msg_count": 42206}),
    ("upstream_spread", "getupstreammsgdist", 15, {"count_interval": 1, "msg_user": 246}),
    ("upstream_spread_by_week", "getupstreammsgdistweek", 30, {"count_interval": 1, "msg_user": 16}),
    ("upstream_spread_by_month", "getupstreammsgdistmonth", 30, {"count_interval": 2, "msg_user": 7989}),
    (
        "interface",
        "getinterfacesummary",
        30,
        {"callback_count": 36974, "fail_count": 67, "total_time_cost": 14994291, "max_time_cost": 5044},
    ),
    (
        "interface_by_hour",
        "getinterfacesummaryhour",
        1,
        {"ref_hour": 0, "callback_count": 331, "fail_count": 18, "total_time_cost": 167870, "max_time_cost": 5042},
    ),
]
NEW = {
    "article_read": "getarticleread",
    "article_share": "getarticleshare",
    "account_summary": "getbizsummary",
    "article_total_detail": "getarticletotaldetail",
}
LAST = date(2026, 10, 7)


def ask(name: str, first: date, last: date) -> Callable[[OfficialClient], Awaitable[tuple[Any, ...]]]:
    return lambda client: getattr(client.statistics, name)(first, last)


def test_every_report_is_tried_here() -> None:
    methods = {name for name in vars(Statistics) if not name.startswith("_")}
    assert methods == {name for name, *_ in REPORTS} | set(NEW)


@pytest.mark.parametrize(("name", "path", "days", "row"), REPORTS)
def test_a_report_is_asked_for_its_longest_span_and_no_longer(
    name: str, path: str, days: int, row: dict[str, Any]
) -> None:
    canned = Canned()
    first = LAST - timedelta(days=days - 1)
    rows = canned.official(ask(name, first, LAST), {"list": [{"ref_date": "2026-10-07", **row, "new_field": 1}]})
    assert canned.seen[0].path == f"/datacube/{path}"
    assert canned.seen[0].json() == {"begin_date": first.isoformat(), "end_date": "2026-10-07"}
    assert longest(f"/datacube/{path}") == days
    (found,) = rows
    assert found.ref_date == LAST
    plain = {key: value for key, value in row.items() if key != "details"}
    assert {key: getattr(found, key) for key in plain} == plain
    for wrong in (first - timedelta(days=1), LAST + timedelta(days=1)):
        with pytest.raises(ValueError, match=f"takes 1 to {days} days"):
            Canned().official(ask(name, wrong, LAST), {"list": []})


@pytest.mark.parametrize("name", NEW)
def test_rows_of_the_new_series_are_given_as_they_came(name: str) -> None:
    canned = Canned()
    rows = [{"ref_date": "2026-10-07", "anything": {"deep": [1]}}]
    assert canned.official(ask(name, LAST, LAST), {"list": rows, "is_delay": False}) == tuple(rows)
    assert canned.seen[0].path == f"/datacube/{NEW[name]}"


@pytest.mark.parametrize("name", [name for name, *_ in REPORTS] + list(NEW))
def test_a_day_that_is_not_over_is_not_asked_for(name: str) -> None:
    canned = Canned()
    today = clock.local_day(clock.now(), ZONE)
    with pytest.raises(ValueError, match="days that are over"):
        canned.official(ask(name, today, today), {"list": []})
    yesterday = today - timedelta(days=1)
    assert canned.official(ask(name, yesterday, yesterday), {"list": []}) == ()
    assert len(canned.seen) == 1


def test_article_totals_have_their_days() -> None:
    detail = {
        "stat_date": "2026-10-08",
        "target_user": 261917,
        "int_page_read_user": 23676,
        "feed_share_from_feed_cnt": 2,
    }
    row = {"ref_date": "2026-10-07", "msgid": "1_1", "title": "x", "details": [detail]}
    (found,) = Canned().official(ask("article_totals", LAST, LAST), {"list": [row]})
    assert [(one.stat_date, one.target_user, one.feed_share_from_feed_cnt) for one in found.details] == [
        (date(2026, 10, 8), 261917, 2)
    ]


@pytest.mark.parametrize("answer", [{}, {"list": {}}, {"list": [{"ref_date": "yesterday"}]}, {"list": [{}]}])
def test_an_answer_of_another_shape_is_a_broken_one(answer: dict[str, Any]) -> None:
    with pytest.raises(ChannelError) as broken:
        Canned().official(ask("followers_total", LAST, LAST), answer)
    assert (broken.value.reaction, broken.value.reason) == (Reaction.RETRY, "answer_lost")


def test_dates_that_the_platform_refuses_are_explained() -> None:
    with pytest.raises(ChannelError) as refused:
        Canned().official(ask("followers_total", LAST, LAST), {"errcode": 61501, "errmsg": "date range error"})
    assert (refused.value.reaction, refused.value.reason) == (Reaction.PERMANENT, "bad_dates")
