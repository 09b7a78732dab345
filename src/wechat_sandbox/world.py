"""The running sandbox: clock, accounts, population, ledger, limits, faults and the jobs that finish later."""

import base64
import hashlib
import heapq
import itertools
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from wechat_sandbox.callbacks import Callbacks, loopback
from wechat_sandbox.clock import Clock
from wechat_sandbox.crypto import new_key
from wechat_sandbox.errors import ControlError
from wechat_sandbox.faults import Faults
from wechat_sandbox.ledger import Ledger, Message
from wechat_sandbox.limits import Limits, Windows
from wechat_sandbox.people.population import DATA, Population, Reach
from wechat_sandbox.state import Document, State

KINDS = ("wecom", "official", "service", "mini", "custom", "ads")
RECEPTIONS = ("month", "week", "day")
OPTIONS: dict[str, type] = {
    "permissions": list,
    "visible": list,
    "trusted_ips": list,
    "own_welcome": list,
    "unionid_bound": bool,
    "groups": int,
    "api_mass_protection": bool,
}
"""Settings that an account may have: absent means all permissions, all members visible, any address, no protection."""
SETTINGS: dict[str, float] = {
    "mass_finish_seconds": 0.5,
    "mass_pace": 0.1,
    "publish_finish_seconds": 0.5,
    "template_finish_seconds": 0.2,
    "confirm_seconds": 1.0,
    "confirm_share": 0.9,
    "list_delay_seconds": 0.3,
    "callback_timeout_seconds": 5.0,
    "callback_retry_seconds": 1.0,
    "callback_duplicate_share": 0.0,
    "callback_lost_share": 0.0,
    "callback_jitter_seconds": 0.0,
    "ads_file_seconds": 0.5,
    "system_failed_share": DATA["reach"]["system_failed"],
}
_MONTH_MS = 31 * 86400 * 1000
_TICK_TEMPLATES = 2000


@dataclass(order=True)
class _Job:
    due: int
    number: int
    run: Callable[[], object] = field(compare=False)
    name: str = field(default="", compare=False)


class World:
    """Everything the handlers share. `tick` must run every 10 to 20 ms."""

    def __init__(self, path: str, seed: int = 0) -> None:
        self.state = State(path)
        stored = self.state.get("config", "seed") or self.state.put("config", "seed", {"value": seed})
        self.seed = int(stored["value"])
        start = self.state.next_number("start")
        self.random = Random(f"{self.seed}:{start}")  # noqa: S311 - a simulation
        self.clock = Clock(self.state)
        self.settings = {**SETTINGS, **(self.state.get("config", "settings") or {})}
        self.limits = Limits(self.state)
        self.windows = Windows(self.state)
        self.ledger = Ledger(self.state)
        self.ledger.load_received(self.now() - _MONTH_MS)
        self.population = Population(self.state)
        self.faults = Faults(self.state, self.random)
        self.callbacks = Callbacks(self.state, self.settings, self.random, faults=self.faults, clock=self.clock)
        self.official_paths: dict[str, tuple[str, ...]] = {}
        self.address = ""
        self.requests = 0
        self.calls: dict[str, int] = {}
        self.busy_reads = 0
        self.ads_nonces: set[str] = set()
        self.templates_due: deque[tuple[int, Document, str, Message]] = deque()
        self.settle_template: Callable[[Document, str, Message], None] | None = None
        self.sent_clients: dict[tuple[int, str, str], tuple[int, int]] = {}
        self._jobs: list[_Job] = []
        self._numbers = itertools.count()

    def now(self) -> int:
        """Milliseconds of the sandbox's clock."""
        return self.clock.now()

    def later(self, seconds: float, run: Callable[[], object], name: str = "") -> None:
        """Run something when the sandbox's clock has gone on by `seconds`; by its name it can be cancelled."""
        heapq.heappush(self._jobs, _Job(self.now() + int(seconds * 1000), next(self._numbers), run, name))

    def cancel(self, name: str) -> None:
        """Forget the jobs of a name."""
        self._jobs = [job for job in self._jobs if job.name != name]
        heapq.heapify(self._jobs)

    def reach_of(self, account: Document) -> Reach:
        return self.population.reach(account)

    def tick(self) -> None:
        """Run what is due, let callbacks go, and commit the group."""
        self._run_due(self.now(), _TICK_TEMPLATES)
        self.callbacks.release()
        self.state.flush()

    def _run_due(self, until: int, most: int | None = None) -> None:
        """Jobs and outcomes up to a moment, each at its own time, in order; at most so many outcomes, and no job
        that another one has begun: one after another, long jobs let callers have their turn.
        """
        jobs, queue, began, settled = self._jobs, self.templates_due, self.now(), 0
        newest = next(self._numbers)
        try:
            while settled != most:
                due = queue[0][0] if queue and self.settle_template else until + 1
                if jobs and jobs[0].due <= min(due, until):
                    if most is not None and jobs[0].number > newest:
                        break
                    self.clock.pin(max(began, jobs[0].due))
                    heapq.heappop(jobs).run()
                elif due <= until and self.settle_template is not None:
                    self.clock.pin(max(began, due))
                    _, account, person, message = queue.popleft()
                    self.settle_template(account, person, message)
                    settled += 1
                else:
                    break
        finally:
            self.clock.pin(None)

    def pending(self) -> int:
        return len(self._jobs) + len(self.templates_due)

    def advance(self, to: int) -> None:
        """Move the clock on to a moment; what falls due on the way is done at its own time."""
        if to >= self.now():
            self._run_due(to)
            to = max(to, self.now())
        self.clock.move(to)
        self.tick()

    def fresh(self, kind: str, length: int) -> str:
        """An id that looks random and comes again with the same seed and the same calls before it."""
        number = self.state.next_number(f"fresh:{kind}")
        digest = hashlib.blake2b(f"{self.seed}:{kind}:{number}".encode(), digest_size=48).digest()
        return base64.urlsafe_b64encode(digest).decode()[:length]

    def confirms_after(self, account: int, userid: str, draw: float) -> float | None:
        """Seconds until a member confirms a task, None for never, from a number in [0, 1) and what is set for him."""
        own = self.state.get("employee", f"{account}:{userid}") or {}
        seconds = own.get("seconds")
        share = float(self.settings["confirm_share"] if own.get("share") is None else own["share"])
        if draw >= share:
            return None
        if seconds is not None:
            return float(seconds)
        return float(self.settings["confirm_seconds"]) * (0.5 + draw / share)

    def set_settings(self, values: dict[str, Any]) -> None:
        unknown = set(values) - set(SETTINGS)
        if unknown:
            raise ControlError(400, f"unknown setting: {', '.join(sorted(unknown))}")
        self.settings.update({name: float(value) for name, value in values.items()})
        self.state.put("config", "settings", dict(self.settings))

    # Accounts

    def accounts(self) -> list[Document]:
        return list(self.state.documents["account"].values())

    def account(self, ident: Any) -> Document:
        found = self.state.get("account", str(ident))
        if found is None:
            raise ControlError(404, f"no account {ident}")
        return found

    def create_account(self, asked: dict[str, Any]) -> Document:
        """A new account from the control API's fields."""
        kind, name = asked.get("kind"), asked.get("name")
        if kind not in KINDS or not name:
            raise ControlError(400, f"kind must be one of {', '.join(KINDS)}, and name be given")
        ident = self.state.next_number("account")
        wecom = kind == "wecom"
        made = Random(f"{self.seed}:account:{ident}:{name}")  # noqa: S311 - reproducible ids, no secrets of value
        code = f"{made.getrandbits(64):016x}"
        account: Document = {
            "id": ident,
            "kind": kind,
            "name": name,
            "appid": {"wecom": None, "custom": f"member{code[:6]}", "ads": None}.get(kind, f"wx{code}"),
            "advertiser": 20_000_000 + ident if kind == "ads" else None,
            "corpid": f"ww{code}" if wecom else None,
            "agentid": 1_000_000 + ident if wecom else None,
            "secret": _secret(kind),
            "original": f"gh_{code[:12]}",
            "callback_url": "",
            "token": secrets.token_hex(12),
            "encoding_aes_key": new_key(),
            "reception": "month" if wecom else None,
            "employees": [f"employee{number:03d}" for number in range(1, int(asked.get("employees", 20)) + 1)]
            if wecom
            else [],
            "reach": float(asked.get("reach", DATA["reach"][kind])),
            "blocks": float(asked.get("blocks", DATA["reach"]["blocks"])),
            "created": self.now(),
        }
        self.change_account(account, {name: value for name, value in asked.items() if name in _CHANGEABLE})
        return account

    def change_account(self, account: Document, asked: dict[str, Any]) -> None:
        """Apply a PATCH of the control API; ControlError when a value does not fit."""
        unknown = set(asked) - set(_CHANGEABLE)
        if unknown:
            raise ControlError(400, f"cannot change: {', '.join(sorted(unknown))}")
        if asked.get("callback_url") and not loopback(asked["callback_url"]):
            raise ControlError(
                400, "callback_url must be a loopback address: the sandbox does not talk to other machines"
            )
        if asked.get("encoding_aes_key") and len(asked["encoding_aes_key"]) != 43:
            raise ControlError(400, "encoding_aes_key must have 43 characters")
        if asked.get("reception") and asked["reception"] not in RECEPTIONS:
            raise ControlError(400, "reception must be month, week or day")
        for name, kind in OPTIONS.items():
            if asked.get(name) is not None and not isinstance(asked[name], kind):
                raise ControlError(400, f"{name} must be of type {kind.__name__}")
        for name, value in asked.items():
            if value is not None:
                account[_CHANGEABLE[name]] = value
        self.state.put("account", str(account["id"]), account)


def _secret(kind: str) -> str:
    """A secret as the platform of a kind gives one."""
    if kind == "custom":
        return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    return secrets.token_urlsafe(32) if kind == "wecom" else secrets.token_hex(16)


_CHANGEABLE = {
    "name": "name",
    "callback_url": "callback_url",
    "callback_token": "token",
    "encoding_aes_key": "encoding_aes_key",
    "reception": "reception",
    **{name: name for name in OPTIONS},
}
_LISTS = ("permissions", "visible", "trusted_ips", "own_welcome")
