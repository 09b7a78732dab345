"""What goes wrong on purpose: on calls, on callbacks, of one account or of all, at once or by the clock.

A fault is kept in the state file and survives a kill, its count included. Ready-made sets are in `faults.toml`.
"""

import tomllib
from dataclasses import asdict, dataclass
from importlib.resources import files
from random import Random
from typing import Any

from wechat_sandbox.errors import ControlError
from wechat_sandbox.state import State

CALLS = ("busy", "quota", "error", "timeout_before", "timeout_after", "slow", "cut", "cut_before", "gateway")
EVENTS = ("duplicate", "late", "lost", "disordered")
PRESETS: dict[str, Any] = tomllib.loads(files("wechat_sandbox").joinpath("faults.toml").read_text("utf-8"))
_FIELDS = (
    *("path", "event", "kind", "times", "probability", "seconds", "code", "message", "account"),
    *("from", "until", "from_seconds", "until_seconds"),
)


@dataclass
class Fault:
    """Something that goes wrong: the next `times` calls or callbacks, or each with `probability`.

    `path` (of a call) and `event` (of a callback) may end in `*`. `begin` and `end` are moments of the sandbox's clock.
    """

    id: int
    kind: str
    path: str
    event: str
    times: int | None
    probability: float | None
    seconds: float
    code: int
    message: str
    account: int | None
    begin: int | None
    end: int | None
    hit: int = 0

    def applies(self, name: str, account: int | None, now: int, chance: Random) -> bool:
        """Whether it strikes this time; counts when it does."""
        wanted = self.path or self.event
        if name != wanted and not (wanted.endswith("*") and name.startswith(wanted[:-1])):
            return False
        if self.account is not None and self.account != account:
            return False
        if (self.begin is not None and now < self.begin) or (self.end is not None and now >= self.end):
            return False
        if self.times is not None and self.hit >= self.times:
            return False
        if self.probability is not None and chance.random() >= self.probability:
            return False
        self.hit += 1
        return True

    def shown(self) -> dict[str, Any]:
        """As the control API tells it."""
        shown = asdict(self)
        shown["from"], shown["until"] = shown.pop("begin"), shown.pop("end")
        return shown


class Faults:
    """All faults in force, in the order in which they were added; the first that fits strikes."""

    def __init__(self, state: State, chance: Random) -> None:
        self._state, self._chance = state, chance
        self._all = {int(ident): Fault(**body) for ident, body in state.documents["fault"].items()}
        self._sort()

    def _sort(self) -> None:
        self._calls = [fault for fault in self._all.values() if fault.path]
        self._events = [fault for fault in self._all.values() if fault.event]
        self.by_account = any(fault.account is not None for fault in self._calls)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def of_call(self, path: str, account: int | None, now: int) -> Fault | None:
        """The fault that strikes a call, if one does."""
        return self._strike(self._calls, path, account, now)

    def of_event(self, event: str, account: int, now: int) -> list[Fault]:
        """The faults that strike a callback: of each kind the first."""
        struck: dict[str, Fault] = {}
        for fault in self._events:
            if fault.kind not in struck and self._strike([fault], event, account, now):
                struck[fault.kind] = fault
        return list(struck.values())

    def _strike(self, among: list[Fault], name: str, account: int | None, now: int) -> Fault | None:
        for fault in among:
            if fault.applies(name, account, now, self._chance):
                self._state.put("fault", str(fault.id), asdict(fault))
                return fault
        return None

    def shown(self) -> list[dict[str, Any]]:
        """All, as the control API tells them."""
        return [fault.shown() for fault in self._all.values()]

    def add(self, asked: dict[str, Any], now: int) -> None:
        """One from the control API's fields, or a preset; ControlError 400 when a field does not fit."""
        if "preset" in asked:
            preset = PRESETS.get(str(asked["preset"]))
            if preset is None:
                raise ControlError(400, f"preset must be one of {', '.join(PRESETS)}")
            shared = {name: value for name, value in asked.items() if name != "preset"}
            made = [_checked({**entry, **shared}, now) for entry in preset["faults"]]
        else:
            made = [_checked(asked, now)]
        for fields in made:
            fault = Fault(self._state.next_number("fault"), **fields)
            self._all[fault.id] = fault
            self._state.put("fault", str(fault.id), asdict(fault))
        self._sort()

    def remove(self, ident: int | None = None) -> None:
        """One, or all; ControlError 404 for an unknown one."""
        if ident is not None and ident not in self._all:
            raise ControlError(404, f"no fault {ident}")
        for number in list(self._all) if ident is None else [ident]:
            del self._all[number]
            self._state.remove("fault", str(number))
        self._sort()


def _checked(asked: dict[str, Any], now: int) -> dict[str, Any]:
    unknown = set(asked) - set(_FIELDS)
    if unknown:
        raise ControlError(400, f"unknown field: {', '.join(sorted(unknown))}")
    kind, path, event = asked.get("kind"), asked.get("path", ""), asked.get("event", "")
    if kind not in CALLS + EVENTS or not isinstance(path, str) or not isinstance(event, str):
        raise ControlError(400, f"kind must be one of {', '.join(CALLS + EVENTS)}; path and event are texts")
    if (kind in CALLS and (not path or event)) or (kind in EVENTS and path):
        raise ControlError(400, f"{kind} needs {'a path' if kind in CALLS else 'an event (default *)'}, nothing else")
    times, probability = asked.get("times"), asked.get("probability")
    if times is None and probability is None:
        times = 1
    if probability is not None and not 0 <= float(probability) <= 1:
        raise ControlError(400, "probability must be between 0 and 1")
    begin, end = asked.get("from"), asked.get("until")
    if "from_seconds" in asked:
        begin = now + int(float(asked["from_seconds"]) * 1000)
    if "until_seconds" in asked:
        end = now + int(float(asked["until_seconds"]) * 1000)
    return {
        "kind": kind,
        "path": path,
        "event": event or ("*" if kind in EVENTS else ""),
        "times": None if times is None else int(times),
        "probability": None if probability is None else float(probability),
        "seconds": float(asked.get("seconds", 30)),
        "code": int(asked.get("code", 502 if kind == "gateway" else -1)),
        "message": str(asked.get("message", "")),
        "account": None if asked.get("account") is None else int(asked["account"]),
        "begin": None if begin is None else int(begin),
        "end": None if end is None else int(end),
    }
