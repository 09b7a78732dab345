"""Limits from `limits.toml` and the call windows that enforce them (calendar of Asia/Shanghai)."""

import tomllib
from datetime import UTC, datetime, timedelta
from importlib.resources import files

from wechat_sandbox.state import State

_ZONE_MS = 8 * 3600 * 1000
_SECOND = 1000
_SPAN_MS = {"minute": 60 * _SECOND, "hour": 3600 * _SECOND, "day": 86400 * _SECOND}


def day_of(now_ms: int) -> int:
    """Number of the calendar day in Asia/Shanghai."""
    return (now_ms + _ZONE_MS) // _SPAN_MS["day"]


def month_start(now_ms: int) -> int:
    """First millisecond of the calendar month in Asia/Shanghai."""
    zone = timedelta(hours=8)
    local = datetime.fromtimestamp(now_ms / 1000, UTC) + zone
    return int((local.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - zone).timestamp() * 1000)


class Limits:
    """Named figures, overridable while running."""

    def __init__(self, state: State) -> None:
        table = tomllib.loads(files("wechat_sandbox").joinpath("limits.toml").read_text("utf-8"))
        self._state = state
        self.values: dict[str, int] = {name: int(entry["value"]) for name, entry in table.items()}
        self.values.update((state.get("config", "limits") or {}).items())

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    def override(self, values: dict[str, int]) -> None:
        unknown = set(values) - set(self.values)
        if unknown:
            raise KeyError(", ".join(sorted(unknown)))
        self.values.update({name: int(value) for name, value in values.items()})
        self._state.put("config", "limits", dict(self.values))


class Windows:
    """Counts of calls per (subject, window). Day windows are persistent, shorter ones are not."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._short: dict[str, list[int]] = {}
        self._blocked: dict[str, int] = {}

    def take(self, subject: str, span: str, maximum: int, now_ms: int) -> bool:
        """Count one call; False, and not counted, when the window is full."""
        window = (now_ms + _ZONE_MS) // _SPAN_MS[span]
        if span == "day":
            return self._take_day(subject, window, maximum)
        count = self._short.get(subject + span)
        if count is None or count[0] != window:
            count = self._short[subject + span] = [window, 0]
        if count[1] >= maximum:
            return False
        count[1] += 1
        return True

    def take_or_block(self, subject: str, span: str, maximum: int, now_ms: int) -> bool:
        """As `take`, but a hit blocks for the length of the window from that moment (WeCom)."""
        key = subject + span
        if self._blocked.get(key, 0) > now_ms:
            return False
        if self.take(subject, span, maximum, now_ms):
            return True
        self._blocked[key] = now_ms + _SPAN_MS[span]
        return False

    def blocked(self, subject: str, span: str, now_ms: int) -> bool:
        """Whether a hit of `take_or_block` still blocks."""
        return self._blocked.get(subject + span, 0) > now_ms

    def used_today(self, subject: str, now_ms: int) -> int:
        count = self._state.get("window", subject)
        return int(count["n"]) if count and count["day"] == day_of(now_ms) else 0

    def _take_day(self, subject: str, window: int, maximum: int) -> bool:
        count = self._state.get("window", subject)
        if count is None or count["day"] != window:
            count = {"day": window, "n": 0}
        if count["n"] >= maximum:
            return False
        count["n"] += 1
        self._state.put("window", subject, count)
        return True
