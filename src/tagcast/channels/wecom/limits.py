"""What one call takes, checked before it is made: a caller that puts in more has an error of its own, so ValueError."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from tagcast.channels.messages import Message, problems
from tagcast.kit.shipped import read_toml


def within(name: str, value: int | str | bytes | Sequence[object]) -> None:
    """Raises ValueError when a number, or the size of a text, a file or a list, is outside the limit called `name`."""
    limit = table()["calls"][name]
    size = value if isinstance(value, int) else _size(value, limit["unit"])
    if size > limit.get("max", size):
        raise ValueError(f"{name}: {size} {limit['unit']}, at most {limit['max']}")
    if size < limit.get("min", 0):
        raise ValueError(f"{name}: {size} {limit['unit']}, at least {limit.get('min', 0)}")


def fits(content: Sequence[Message]) -> None:
    """Raises ValueError when the platform would refuse this content as a mass message or a welcome."""
    found = problems(content, "wecom")
    if found:
        first = found[0]
        raise ValueError(f"{first.field}: {first.size} {first.unit}, the limit is {first.limit}")


def fields_fit(place: str, message: Any) -> None:
    """Raises ValueError when a message of a kind cannot stand in `place` (`member`, `moment`) or a field is no size."""
    kinds = table()[place]
    if message.kind not in kinds:
        raise ValueError(f"{message.kind} cannot be used here; known are {', '.join(kinds)}")
    for name, limit in kinds[message.kind].items():
        value: str = getattr(message, name)
        for each in (limit, limit.get("also", limit)):
            size = _size(value, each["unit"])
            if size > each["max"]:
                raise ValueError(f"{message.kind}.{name}: {size} {each['unit']}, at most {each['max']}")
        if limit.get("required", False) and not value.strip():
            raise ValueError(f"{message.kind}.{name} is empty")


@cache
def table() -> dict[str, Any]:
    """The data file."""
    return read_toml("channels", "wecom", "limits.toml")


def _size(value: str | bytes | Sequence[object], unit: str) -> int:
    return len(value.encode()) if isinstance(value, str) and unit == "bytes" else len(value)
