"""Time: aware UTC datetimes in code, epoch milliseconds in the database."""

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


def now() -> datetime:
    """The present, aware, UTC, cut to milliseconds."""
    return from_ms(time.time_ns() // 1_000_000)


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone has no place on the time line")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(ms: int) -> datetime:
    """The aware UTC datetime of epoch milliseconds."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def told(moment: datetime) -> str:
    """A moment for people: as its zone has it, with the offset."""
    offset = moment.isoformat()[-6:]
    return f"{moment:%Y-%m-%d %H:%M:%S}{'Z' if offset == '+00:00' else offset}"


def local_day(moment: datetime, zone: str) -> date:
    """The calendar day of a moment in an IANA zone."""
    return moment.astimezone(ZoneInfo(zone)).date()
