"""Statistics of 公众号 and 服务号: spans and days are checked before the call, rows have their shapes."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from tests.channels.boxed import PNG, Sandbox
from tests.channels.canned import Canned

from tagcast.channels import Accepted, Article, ChannelError, OfficialClient, Reaction, stable_token
from tagcast.channels.official.statistics import ZONE, Statistics, longest
from tagcast.kit import clock
from tagcast.kit.http import AiohttpTransport

Ask = Callable[[OfficialClient], Callable[[date, date], Awaitable[tuple[Any, ...]]]]

# method, path, longest span in days, one row of the platform
REPORTS: list[tuple[Ask, str, int, dict[str, Any]]] = [
    (lambda c: c.statistics.followers_change, "getusersummary", 7, {"user_source": 0, "new_user": 3, "cancel_user": 1}),
    (lambda c: c.statistics.followers_total, "getusercumulate", 7, {"cumulate_user": 1217056}),
    (
        lambda c: c.statistics.articles,
        "getarticlesummary",
        1,
        {"msgid": "10000050_1", "title": "x", "int_page_read_user": 23676},
    ),
    (
        lambda c: c.statistics.article_totals,
        "getarticletotal",
        1,
        {"msgid": "1_1", "title": "x", "details": [{"stat_date": "2014-12-14"}]},
    ),
    (lambda c: c.statistics.reading, "getuserread", 3, {"user_source": 99999999, "int_page_read_user": 45524}),
    (lambda c: c.statistics.reading_by_hour, "getuserreadhour", 1, {"ref_hour": 2300, "user_source": 0}),
    (lambda c: c.statistics.shares, "getusershare", 7, {"share_scene": 1, "share_count": 207, "share_user": 9}),
    (
        lambda c: c.statistics.shares_by_hour,
        "getusersharehour",
        1,
        {"ref_hour": 700, "share_scene": 1, "share_count": 2, "share_user": 1},
    ),
    (lambda c: c.statistics.upstream, "getupstreammsg", 7, {"msg_type": 1, "msg_user": 282, "msg_count": 817}),
    (
        lambda c: c.statistics.upstream_by_hour,
        "getupstreammsghour",
        1,
        {"ref_hour": 0, "msg_type": 1, "msg_user": 9, "msg_count": 10},
    ),
    (
        lambda c: c.statistics.upstream_by_week,
        "getupstreammsgweek",
        30,
        {"msg_type": 1, "msg_user": 16, "msg_count": 27},
    ),
    (
        lambda c: c.statistics.upstream_by_month,
        "getupstreammsgmonth",
        30,
        {"msg_type": 1, "msg_user": 7989, "msg_count": 42206},
    ),
    (lambda c: c.statistics.upstream_spread, "getupstreammsgdist", 15, {"count_interval": 1, "msg_user": 246}),
    (
        lambda c: c.statistics.upstream_spread_by_week,
        "getupstreammsgdistweek",
        30,
        {"count_interval": 1, "msg_user": 16},
    ),
    (
        lambda c: c.statistics.upstream_spread_by_month,
        "getupstreammsgdistmonth",
        30,
        {"count_interval": 2, "msg_user": 7989},
    ),
    (
        lambda c: c.statistics.interface,
        "getinterfacesummary",
        30,
        {"callback_count": 36974, "fail_count": 67, "total_time_cost": 14994291, "max_time_cost": 5044},
    ),
    (
        lambda c: c.statistics.interface_by_hour,
        "getinterfacesummaryhour",
        1,
        {"ref_hour": 0, "callback_count": 331, "fail_count": 18, "total_time_cost": 167870, "max_time_cost": 5042},
    ),
]
NEW: list[tuple[Ask, str]] = [
    (lambda c: c.statistics.article_read, "getarticleread"),
    (lambda c: c.statistics.article_share, "getarticleshare"),
    (lambda c: c.statistics.account_summary, "getbizsummary"),
    (lambda c: c.statistics.article_total_detail, "getarticletotaldetail"),
]
LAST = date(2026, 10, 7)


IDS = [path for _, path, *_ in REPORTS]


def ask(report: Ask, first: date, last: date) -> Callable[[OfficialClient], Awaitable[tuple[Any, ...]]]:
    return lambda client: report(client)(first, last)


def test_every_report_is_tried_here() -> None:
    methods = [name for name in vars(Statistics) if not name.startswith("_")]
    assert len(methods) == len(REPORTS) + len(NEW) == len({path for _, path, *_ in [*REPORTS, *NEW]})


@pytest.mark.parametrize(("report", "path", "days", "row"), REPORTS, ids=IDS)
def test_a_report_is_asked_for_its_longest_span_and_no_longer(
    report: Ask, path: str, days: int, row: dict[str, Any]
) -> None:
    canned = Canned()
    first = LAST - timedelta(days=days - 1)
    rows = canned.official(ask(report, first, LAST), {"list": [{"ref_date": "2026-10-07", **row, "new_field": 1}]})
    assert canned.seen[0].path == f"/datacube/{path}"
    assert canned.seen[0].json() == {"begin_date": first.isoformat(), "end_date": "2026-10-07"}
    assert longest(f"/datacube/{path}") == days
    (found,) = rows
    assert found.ref_date == LAST
    plain = {key: value for key, value in row.items() if key != "details"}
    assert {key: getattr(found, key) for key in plain} == plain
    for wrong in (first - timedelta(days=1), LAST + timedelta(days=1)):
        with pytest.raises(ValueError, match=f"takes 1 to {days} days"):
            Canned().official(ask(report, wrong, LAST), {"list": []})


@pytest.mark.parametrize(("report", "path"), NEW, ids=[path for _, path in NEW])
def test_rows_of_the_new_series_are_given_as_they_came(report: Ask, path: str) -> None:
    canned = Canned()
    rows = [{"ref_date": "2026-10-07", "anything": {"deep": [1]}}]
    assert canned.official(ask(report, LAST, LAST), {"list": rows, "is_delay": False}) == tuple(rows)
    assert canned.seen[0].path == f"/datacube/{path}"


@pytest.mark.parametrize("report", [report for report, *_ in [*REPORTS, *NEW]])
def test_a_day_that_is_not_over_is_not_asked_for(report: Ask) -> None:
    canned = Canned()
    today = clock.local_day(clock.now(), ZONE)
    with pytest.raises(ValueError, match="days that are over"):
        canned.official(ask(report, today, today), {"list": []})
    yesterday = today - timedelta(days=1)
    assert canned.official(ask(report, yesterday, yesterday), {"list": []}) == ()
    assert len(canned.seen) == 1


def test_article_totals_have_their_days() -> None:
    detail = {
        "stat_date": "2026-10-08",
        "target_user": 261917,
        "int_page_read_user": 23676,
        "feed_share_from_feed_cnt": 2,
    }
    row = {"ref_date": "2026-10-07", "msgid": "1_1", "title": "x", "details": [detail]}
    (found,) = Canned().official(ask(lambda c: c.statistics.article_totals, LAST, LAST), {"list": [row]})
    assert [(one.stat_date, one.target_user, one.feed_share_from_feed_cnt) for one in found.details] == [
        (date(2026, 10, 8), 261917, 2)
    ]


@pytest.mark.parametrize("answer", [{}, {"list": {}}, {"list": [{"ref_date": "yesterday"}]}, {"list": [{}]}])
def test_an_answer_of_another_shape_is_a_broken_one(answer: dict[str, Any]) -> None:
    with pytest.raises(ChannelError) as broken:
        Canned().official(ask(lambda c: c.statistics.followers_total, LAST, LAST), answer)
    assert (broken.value.reaction, broken.value.reason) == (Reaction.RETRY, "answer_lost")


def test_dates_that_the_platform_refuses_are_explained() -> None:
    with pytest.raises(ChannelError) as refused:
        Canned().official(
            ask(lambda c: c.statistics.followers_total, LAST, LAST), {"errcode": 61501, "errmsg": "date range error"}
        )
    assert (refused.value.reaction, refused.value.reason) == (Reaction.PERMANENT, "bad_dates")


def test_what_happened_in_the_sandbox_is_counted_when_the_day_is_over(sandbox: Sandbox) -> None:
    account = sandbox.accounts["service"]
    came, gone, *readers = sandbox.ids("service")
    stranger = sandbox.ids("service", follows=False)[0]
    day = clock.local_day(clock.from_ms(sandbox.control("clock")["now"]), ZONE)

    async def send(client: OfficialClient) -> Accepted:
        cover = await client.media.store("image", "a.png", PNG)
        draft = await client.drafts.add([Article("统计", body="<p>正文</p>", cover_media_id=cover.media_id)])
        return await client.mass.send_to_people(Article("统计", media_id=draft), readers[:50], client_id="stat-1")

    sent = sandbox.official("service", send)
    sandbox.facts("service", wanted=1, of="mass_finished")
    for person, follows in ((stranger, True), (gone, False)):
        sandbox.control("people/change", {"account": account["id"], "people": [person], "follows": follows})
    for text in ("一", "二"):
        sandbox.control("people/say", {"account": account["id"], "person": came, "text": text})
    sandbox.facts("service", wanted=2, of="message_received")
    sandbox.control("clock", {"advance_seconds": 86_400})

    async def use(transport: AiohttpTransport) -> None:
        async def token() -> str:
            return (await stable_token(transport, sandbox.url, account["appid"], account["secret"])).value

        ahead = OfficialClient(
            transport, sandbox.url, token, now=lambda: clock.from_ms(sandbox.control("clock")["now"])
        ).statistics
        change = await ahead.followers_change(day, day)
        assert (sum(row.new_user for row in change), sum(row.cancel_user for row in change)) == (1, 1)
        (total,) = await ahead.followers_total(day, day)
        assert total.cumulate_user > len(readers)
        (said,) = await ahead.upstream(day, day)
        assert (said.ref_date, said.msg_type, said.msg_user, said.msg_count) == (day, 1, 1, 2)
        assert sum(row.msg_count for row in await ahead.upstream_by_hour(day, day)) == 2
        assert [(row.count_interval, row.msg_user) for row in await ahead.upstream_spread(day, day)] == [(1, 1)]
        for report in (ahead.upstream_by_week, ahead.upstream_by_month):
            assert sum(row.msg_count for row in await report(day, day)) == 2
        for spread in (ahead.upstream_spread_by_week, ahead.upstream_spread_by_month):
            assert sum(row.msg_user for row in await spread(day, day)) == 1
        (articles,) = await ahead.article_totals(day, day)
        assert (articles.msgid, articles.title) == (f"{sent.msg_data_id}_1", "统计")
        assert [one.target_user for one in articles.details] == [50]
        (interface,) = await ahead.interface(day, day)
        assert interface.callback_count >= 5
        hourly = await ahead.interface_by_hour(day, day)
        assert sum(row.callback_count for row in hourly) == interface.callback_count
        for empty in (ahead.reading, ahead.reading_by_hour, ahead.shares, ahead.shares_by_hour, ahead.articles):
            assert isinstance(await empty(day, day), tuple)
        for new in (ahead.article_read, ahead.article_share, ahead.account_summary, ahead.article_total_detail):
            assert isinstance(await new(day, day), tuple)

    sandbox.run(use)
    with pytest.raises(ValueError, match="days that are over"):
        sandbox.official("service", lambda client: client.statistics.upstream(day, day))
