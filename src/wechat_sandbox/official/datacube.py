"""Statistics (数据统计) of 公众号 and 服务号, counted from what happened in this sandbox, for finished days only.

The newer series (getarticleread, getarticleshare, getbizsummary, getarticletotaldetail) have fields of our own: no
page that was seen describes theirs.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from typing import Any

from wechat_sandbox.call import Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.limits import day_of
from wechat_sandbox.official import interact
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

Rows = list[dict[str, Any]]
_EPOCH = date(1970, 1, 1)
_TOTAL = 99_999_999
_PEOPLE = "COUNT(DISTINCT CASE WHEN person='' THEN seq ELSE person END)"
_NAMES = {"read": "int_page_read", "original": "ori_page_read", "share": "share", "favour": "add_to_fav"}
_TYPES = {"text": 1, "image": 2, "voice": 3, "video": 4, "location": 5, "link": 6}
_INTERVALS = ((1, 5, 1), (6, 10, 2), (11, 10**9, 3))
_FROM = {0: "session", 1: "friends", 2: "feed", 4: "hist_msg"}


def iso(day: int) -> str:
    """The date of a day number."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def _day(value: Any) -> int:
    try:
        return (date.fromisoformat(value) - _EPOCH).days
    except (TypeError, ValueError):
        raise ApiError(61500) from None


def _span(world: World, call: Call, most: int) -> range:
    """The days asked for: at most `most`, up to yesterday; 61500, 61501."""
    first, last = _day(call.body.get("begin_date")), _day(call.body.get("end_date"))
    if last < first or last - first + 1 > most or last >= day_of(world.now()):
        raise ApiError(61501)
    return range(first, last + 1)


def _happened(world: World, account: int, days: range, kinds: Iterable[str], group: str) -> dict[Any, dict[str, int]]:
    """People and times per kind, by the columns of `group`: {(columns…): {"read_user", "read_count", …}}."""
    marks = ",".join(f"'{kind}'" for kind in kinds)
    sql = (
        f"SELECT kind, {_PEOPLE}, COUNT(*), {group} FROM happening"  # noqa: S608 - our own column names
        f" WHERE account=? AND day BETWEEN ? AND ? AND kind IN ({marks}) GROUP BY kind, {group} ORDER BY {group}"
    )
    found: dict[Any, dict[str, int]] = {}
    for kind, people, times, *key in world.state.query(sql, (account, days[0], days[-1])):
        row = found.setdefault(tuple(key), {})
        row[f"{kind}_user"], row[f"{kind}_count"] = people, times
    return found


def _reading(row: dict[str, int]) -> dict[str, int]:
    return {f"{name}_{end}": row.get(f"{kind}_{end}", 0) for kind, name in _NAMES.items() for end in ("user", "count")}


def user_summary(world: World, account: Document, days: range) -> Rows:
    """Followers won by source, and lost."""
    found = _happened(world, account["id"], days, ("follow", "unfollow"), "day, scene")
    rows = []
    for day in days:
        sources = sorted({scene for at, scene in found if at == day} | {0})
        for source in sources:
            row = found.get((day, source), {})
            rows.append(
                {
                    "ref_date": iso(day),
                    "user_source": source,
                    "new_user": row.get("follow_count", 0),
                    "cancel_user": row.get("unfollow_count", 0),
                }
            )
    return rows


def user_cumulate(world: World, account: Document, days: range) -> Rows:
    """Followers at the end of each day: today's, less what came since."""
    today = day_of(world.now())
    found = _happened(world, account["id"], range(days[0], today + 1), ("follow", "unfollow"), "day")
    gained = {day: row.get("follow_count", 0) - row.get("unfollow_count", 0) for (day,), row in found.items()}
    total = world.reach_of(account).follows.count(1)
    return [
        {
            "ref_date": iso(day),
            "user_source": 0,
            "cumulate_user": total - sum(change for later, change in gained.items() if later > day),
        }
        for day in days
    ]


def _title(world: World, subject: str) -> str:
    number, _, place = subject.partition("_")
    entry = world.state.get("article", number)
    return str(entry["texts"][int(place) - 1]["title"]) if entry else ""


def article_summary(world: World, account: Document, days: range) -> Rows:
    """What happened on the day with each article, whenever it was sent."""
    found = _happened(world, account["id"], days, _NAMES, "day, subject")
    return [
        {"ref_date": iso(day), "msgid": subject, "title": _title(world, subject), **_reading(row)}
        for (day, subject), row in found.items()
    ]


def _sent(world: World, account: Document, days: range) -> list[Document]:
    jobs = world.state.documents["mass"].values()
    return [
        job
        for job in jobs
        if job["account"] == account["id"]
        and job["articles"]
        and job["status"] != "SEND_FAIL"
        and day_of(job["at"]) in days
    ]


def article_total(world: World, account: Document, days: range) -> Rows:
    """Articles sent on the day, and per following day (at most seven) all that happened to them so far."""
    rows = []
    for job in _sent(world, account, days):
        start = day_of(job["at"])
        target = len(world.ledger.asked_for(str(job["msg_id"])))
        for place in range(1, job["articles"] + 1):
            subject = f"{job['data_id']}_{place}"
            until = range(start, min(start + 7, day_of(world.now())))
            details = [_detail(world, account, subject, range(start, day + 1), target) for day in until]
            row = {"ref_date": iso(start), "msgid": subject, "title": _title(world, subject), "details": details}
            rows.append(row)
    return rows


def _detail(world: World, account: Document, subject: str, days: range, target: int) -> dict[str, Any]:
    whole = _happened(world, account["id"], days, _NAMES, "subject").get((subject,), {})
    by_scene = _happened(world, account["id"], days, ("read", "share"), "subject, scene")
    row: dict[str, Any] = {"stat_date": iso(days[-1]), "target_user": target, **_reading(whole)}
    for name in (*_FROM.values(), "other"):
        row[f"int_page_from_{name}_read_user"] = row[f"int_page_from_{name}_read_count"] = 0
    for (which, scene), found in by_scene.items():
        if which == subject and "read_count" in found:
            name = _FROM.get(scene, "other")
            row[f"int_page_from_{name}_read_user"] += found["read_user"]
            row[f"int_page_from_{name}_read_count"] += found["read_count"]
    shared = by_scene.get((subject, 2), {})
    others = [found for (which, scene), found in by_scene.items() if which == subject and scene != 2]
    row.update(feed_share_from_session_user=shared.get("share_user", 0))
    row.update(feed_share_from_session_cnt=shared.get("share_count", 0))
    row.update(feed_share_from_feed_user=0, feed_share_from_feed_cnt=0)
    row["feed_share_from_other_user"] = sum(found.get("share_user", 0) for found in others)
    row["feed_share_from_other_cnt"] = sum(found.get("share_count", 0) for found in others)
    return row


def _by_time(world: World, account: Document, days: range, kinds: Iterable[str], *, hour: bool, extra: str) -> Any:
    """Rows of `_happened` by day (and hour) and one more column, as ((ref fields), that column, figures)."""
    time = "day, hour" if hour else "day"
    for key, row in _happened(world, account["id"], days, kinds, f"{time}, {extra}").items():
        place = {"ref_date": iso(key[0]), **({"ref_hour": key[1] * 100} if hour else {})}
        yield place, key[-1], row


def user_read(world: World, account: Document, days: range, *, hour: bool = False) -> Rows:
    """Reads of all articles by where they were opened, and (99999999) in all."""
    rows = [
        {**place, "user_source": scene, **_reading(row)}
        for place, scene, row in _by_time(world, account, days, _NAMES, hour=hour, extra="scene")
    ]
    whole = [
        {**place, "user_source": _TOTAL, **_reading(row)}
        for place, _, row in _by_time(world, account, days, _NAMES, hour=hour, extra="account")
    ]
    return rows + whole


def user_share(world: World, account: Document, days: range, *, hour: bool = False) -> Rows:
    """Shares of all articles by where to."""
    return [
        {**place, "share_scene": scene, "share_count": row["share_count"], "share_user": row["share_user"]}
        for place, scene, row in _by_time(world, account, days, ("share",), hour=hour, extra="scene")
    ]


def upstream(world: World, account: Document, days: range, *, hour: bool = False) -> Rows:
    """Messages that people wrote, by type."""
    return [
        {**place, "msg_type": _TYPES.get(kind, 6), "msg_user": row["say_user"], "msg_count": row["say_count"]}
        for place, kind, row in _by_time(world, account, days, ("say",), hour=hour, extra="subject")
    ]


def _period(day: int, month: bool) -> int:
    """The first day of the week (Monday) or month of a day."""
    when = _EPOCH + timedelta(days=day)
    return day - (when.day - 1 if month else when.weekday())


def _said(world: World, account: Document, days: range) -> list[tuple[int, str, str, int]]:
    rows = world.state.query(
        "SELECT day, person, subject, COUNT(*) FROM happening WHERE account=? AND kind='say'"
        " AND day BETWEEN ? AND ? GROUP BY day, person, subject ORDER BY day, subject",
        (account["id"], days[0], days[-1]),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def upstream_period(world: World, account: Document, days: range, *, month: bool = False) -> Rows:
    """Messages by type per week or month; `ref_date` is its first day."""
    found: dict[tuple[int, int], tuple[set[str], list[int]]] = {}
    for day, person, kind, times in _said(world, account, days):
        people, counts = found.setdefault((_period(day, month), _TYPES.get(kind, 6)), (set(), []))
        people.add(person)
        counts.append(times)
    return [
        {"ref_date": iso(day), "msg_type": kind, "msg_user": len(people), "msg_count": sum(counts)}
        for (day, kind), (people, counts) in sorted(found.items())
    ]


def upstream_dist(world: World, account: Document, days: range, *, of: str = "day") -> Rows:
    """How many people wrote 1 to 5, 6 to 10, or more messages per day, week or month."""
    totals: dict[tuple[int, str], int] = {}
    for day, person, _, times in _said(world, account, days):
        key = (day if of == "day" else _period(day, of == "month"), person)
        totals[key] = totals.get(key, 0) + times
    counts: dict[tuple[int, int], int] = {}
    for (day, _), times in totals.items():
        interval = next(number for low, high, number in _INTERVALS if low <= times <= high)
        counts[day, interval] = counts.get((day, interval), 0) + 1
    return [
        {"ref_date": iso(day), "count_interval": interval, "msg_user": people}
        for (day, interval), people in sorted(counts.items())
    ]


def count_callback(world: World, account: Document, answered: bool, cost_ms: int) -> None:
    """One delivery of a callback: for getinterfacesummary."""
    now = world.now()
    key, hour = f"{account['id']}:{day_of(now)}", str(interact.hour_of(now))
    entry = world.state.get("interface", key) or {}
    count, failed, total, most = entry.get(hour, (0, 0, 0, 0))
    entry[hour] = [count + 1, failed + (not answered), total + cost_ms, max(most, cost_ms)]
    world.state.put("interface", key, entry)


def interface(world: World, account: Document, days: range, *, hour: bool = False) -> Rows:
    """Callbacks: how many, how many failed, how long they took (milliseconds)."""
    names, rows = ("callback_count", "fail_count", "total_time_cost", "max_time_cost"), []
    for day in days:
        entry = world.state.get("interface", f"{account['id']}:{day}") or {}
        if hour:
            for number in sorted(entry, key=int):
                place = {"ref_date": iso(day), "ref_hour": int(number) * 100}
                rows.append({**place, **dict(zip(names, entry[number], strict=True))})
        elif entry:
            columns = list(zip(*entry.values(), strict=True))
            values = [sum(columns[0]), sum(columns[1]), sum(columns[2]), max(columns[3])]
            rows.append({"ref_date": iso(day), **dict(zip(names, values, strict=True))})
    return rows


def biz_summary(world: World, account: Document, days: range) -> Rows:
    """All articles of the account per day (fields are ours)."""
    rows = [row for row in user_read(world, account, days) if row["user_source"] == _TOTAL]
    return [{name: value for name, value in row.items() if name != "user_source"} for row in rows]


def _route(name: str, most: int, make: Callable[..., Rows], **options: Any) -> Route:
    def handler(world: World, call: Call) -> dict[str, Any]:
        return {"list": make(world, call.account, _span(world, call, most), **options)}

    return Route("POST", f"/datacube/{name}", handler)


def resume(world: World) -> None:
    """From now on the deliveries of callbacks are counted."""
    world.callbacks.observe = partial(count_callback, world)


ROUTES = [
    _route("getusersummary", 7, user_summary),
    _route("getusercumulate", 7, user_cumulate),
    _route("getarticlesummary", 1, article_summary),
    _route("getarticletotal", 1, article_total),
    _route("getuserread", 3, user_read),
    _route("getuserreadhour", 1, user_read, hour=True),
    _route("getusershare", 7, user_share),
    _route("getusersharehour", 1, user_share, hour=True),
    _route("getupstreammsg", 7, upstream),
    _route("getupstreammsghour", 1, upstream, hour=True),
    _route("getupstreammsgweek", 30, upstream_period),
    _route("getupstreammsgmonth", 30, upstream_period, month=True),
    _route("getupstreammsgdist", 15, upstream_dist),
    _route("getupstreammsgdistweek", 30, upstream_dist, of="week"),
    _route("getupstreammsgdistmonth", 30, upstream_dist, of="month"),
    _route("getinterfacesummary", 30, interface),
    _route("getinterfacesummaryhour", 1, interface, hour=True),
    _route("getarticleread", 1, article_summary),
    _route("getarticleshare", 7, user_share),
    _route("getbizsummary", 7, biz_summary),
    _route("getarticletotaldetail", 1, article_total),
]
