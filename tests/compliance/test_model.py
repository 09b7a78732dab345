"""No order of sendings, caps, pauses, releases, moved clocks and zones breaks a cap: against a list of sends."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pyroaring import BitMap

from tagcast import access, accounts, compliance, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Runtime

WORKSPACE_ZONE = "Asia/Shanghai"
KINDS = ("service", "official", "wecom")
ACCOUNT_ZONES = ("Asia/Shanghai", "America/New_York", "Asia/Kathmandu")
PERSON_ZONES = ("Asia/Tokyo", "America/New_York", "Pacific/Auckland", "Europe/Berlin", "nowhere")
# Days of a clock change, ends of months and years, a leap day.
BEGINNINGS = (
    datetime(2026, 10, 31, 20, tzinfo=UTC),
    datetime(2026, 3, 7, 20, tzinfo=UTC),
    datetime(2028, 2, 28, 12, tzinfo=UTC),
    datetime(2026, 12, 31, 2, tzinfo=UTC),
)
PEOPLE = st.sets(st.integers(1, 3), min_size=1)
SCOPES = ("all", "kind:service", "account:0", "account:2")
PERIODS = ("day", "week", "month")


@dataclass
class Naive:
    """What was sent, as a list, and who may be sent what, by looking at all of it."""

    kinds: list[str]
    caps: dict[tuple[str, str], int] = field(default_factory=lambda: {("all", "month"): 8})
    by_person: bool = False
    zone_of: dict[int, str] = field(default_factory=dict)
    sends: dict[tuple[int, str, int], datetime] = field(default_factory=dict)
    account_days: set[tuple[int, str, date]] = field(default_factory=set)

    def zone(self, person: int, fallback: str) -> str:
        if not self.by_person:
            return fallback
        try:
            return ZoneInfo(self.zone_of.get(person, "nowhere")).key
        except ZoneInfoNotFoundError:
            return WORKSPACE_ZONE

    def bounds(self, account: int, person: int) -> Iterator[tuple[set[int], str, int, str]]:
        """(accounts, period, limit, zone) of all that a message counts for."""
        if self.kinds[account] == "service":
            yield {account}, "month", 4, ACCOUNT_ZONES[account]
        everybody = set(range(len(self.kinds)))
        for (scope, period), limit in self.caps.items():
            if scope == "all":
                yield everybody, period, limit, self.zone(person, WORKSPACE_ZONE)
            elif scope == f"kind:{self.kinds[account]}":
                alike = {one for one in everybody if self.kinds[one] == self.kinds[account]}
                yield alike, period, limit, self.zone(person, WORKSPACE_ZONE)
            elif scope == f"account:{account}":
                yield {account}, period, limit, self.zone(person, ACCOUNT_ZONES[account])

    def room(self, account: int, person: int, now: datetime, *, kept: datetime | None = None) -> int:
        """How many more messages fit; windows that hold the slot `kept` are not asked."""
        left = 1000
        for through, period, limit, zone in self.bounds(account, person):
            if kept is not None and same(period, zone, kept, now):
                continue
            taken = sum(
                who == person and at in through and same(period, zone, sent, now)
                for (at, _, who), sent in self.sends.items()
            )
            left = min(left, limit - taken)
        return left

    def account_full(self, account: int, ref: str, now: datetime) -> bool:
        """Whether the official account's one send of the day is another's."""
        day = local(now, ACCOUNT_ZONES[account])
        others = {one for at, one, sent in self.account_days if at == account and sent == day and one != ref}
        return self.kinds[account] == "official" and len(others) >= 1 and (account, ref, day) not in self.account_days

    def stays(self, account: int, person: int, sent: datetime, now: datetime) -> bool:
        """Whether a slot is of today, in every zone by which something counts."""
        zones = {ACCOUNT_ZONES[account], WORKSPACE_ZONE, self.zone(person, WORKSPACE_ZONE)}
        return all(local(sent, zone) == local(now, zone) for zone in zones)


def local(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def same(period: str, zone: str, one: datetime, other: datetime) -> bool:
    """Whether two moments are in one calendar day, week or month of a zone."""
    a, b = local(one, zone), local(other, zone)
    if period == "day":
        return a == b
    return a.isocalendar()[:2] == b.isocalendar()[:2] if period == "week" else (a.year, a.month) == (b.year, b.month)


class Sending(RuleBasedStateMachine):
    """Everything that happens to slots, each step a transaction of its own, as several workers make them."""

    runtime: Runtime
    numbers = count(1)

    @initialize(start=st.sampled_from(BEGINNINGS))
    def begin(self, start: datetime) -> None:
        self.now, self.refs, self.naive = start, list[tuple[int, str]](), Naive(list(KINDS))
        with self.runtime.system() as connection:
            name = f"w{next(self.numbers)}"
            self.workspace = access.create_workspace(connection, self.runtime.master_key, name)
        with self.runtime.work(self.workspace, "test") as work:
            self.ids = []
            for kind, zone in zip(KINDS, ACCOUNT_ZONES, strict=True):
                number = {"corpid": "ww0123456789abcdef"} if kind == "wecom" else {"appid": f"wx{len(self.ids):016x}"}
                new = accounts.NewAccount(kind, kind, "secret", profile="platform", zone=zone, **number)
                self.ids.append(accounts.add(work, new).id)
            made = contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{n}"}) for n in range(1, 4)])
            assert made == [1, 2, 3]
            contacts.declare_attribute(work, "tz", "choice", purpose="test")

    def reserve(self, account: int, ref: str, people: set[int]) -> set[int] | None:
        """Who got a slot; None: the account has no send left."""
        try:
            with self.runtime.work(self.workspace, "test", now=self.now) as work:
                return set(compliance.reserve(work, self.ids[account], ref, BitMap(people), self.now))
        except Refused:
            return None

    def note(self, account: int, ref: str, people: set[int]) -> None:
        for person in people:
            self.naive.sends[account, ref, person] = self.now
        if people:
            self.naive.account_days.add((account, ref, local(self.now, ACCOUNT_ZONES[account])))

    @rule(account=st.integers(0, 2), people=PEOPLE, again=st.booleans())
    def send(self, account: int, people: set[int], again: bool) -> None:
        """A new sending, or one more attempt of the last."""
        if again and self.refs:
            account, ref = self.refs[-1]
        else:
            ref = f"b{len(self.refs)}"
            self.refs.append((account, ref))
        held = {person for person in people if (account, ref, person) in self.naive.sends}
        able = {person for person in people - held if self.naive.room(account, person, self.now) > 0}
        got = self.reserve(account, ref, people)
        if able and self.naive.account_full(account, ref, self.now):
            assert got is None
        else:
            assert got == held | able
            self.note(account, ref, able)

    @rule(back=st.integers(1, 3), people=PEOPLE)
    def call(self, back: int, people: set[int]) -> None:
        """What was paused goes on, perhaps on another day: it asks for today's slots."""
        if not self.refs:
            return
        account, ref = self.refs[-min(back, len(self.refs))]
        naive, sure, moving = self.naive, set(), []
        for person in people:
            sent = naive.sends.get((account, ref, person))
            if sent is not None and naive.stays(account, person, sent, self.now):
                sure.add(person)
            else:
                moving.append(person)
                if naive.room(account, person, self.now, kept=sent) > 0:
                    sure.add(person)
        full = bool(moving) and naive.account_full(account, ref, self.now)
        try:
            with self.runtime.work(self.workspace, "test", now=self.now) as work:
                found = set(compliance.renew(work, self.ids[account], ref, BitMap(people), self.now))
        except Refused:
            assert full
            return
        assert not full
        assert found == sure
        if moving:
            self.note(account, ref, sure & set(moving))
            naive.account_days.add((account, ref, local(self.now, ACCOUNT_ZONES[account])))

    @rule(back=st.integers(1, 3), people=PEOPLE)
    def fail(self, back: int, people: set[int]) -> None:
        """A definite failure, told twice by two workers; what nobody names stays in doubt and keeps its slot."""
        if not self.refs:
            return
        account, ref = self.refs[-min(back, len(self.refs))]
        for _ in range(2):
            with self.runtime.work(self.workspace, "test", now=self.now) as work:
                compliance.release(work, self.ids[account], ref, BitMap(people))
        for person in people:
            self.naive.sends.pop((account, ref, person), None)

    @rule(
        scope=st.sampled_from(SCOPES), period=st.sampled_from(PERIODS), value=st.sampled_from([0, 1, 1, 2, 2, 3, None])
    )
    def cap(self, scope: str, period: str, value: int | None) -> None:
        """A cap is set, lowered, raised or taken away in the middle of everything."""
        what, _, which = scope.partition(":")
        named = f"account:{self.ids[int(which)]}" if what == "account" else scope
        with self.runtime.work(self.workspace, "test", now=self.now) as work:
            if value is not None:
                compliance.set_cap(work, named, period, value)
                self.naive.caps[scope, period] = value
            elif named in {cap.scope for cap in compliance.caps(work) if cap.who and cap.period == period}:
                compliance.unset_cap(work, named, period)
                self.naive.caps.pop((scope, period))
                if (scope, period) == ("all", "month"):
                    self.naive.caps[scope, period] = 8

    @rule(minutes=st.sampled_from([-1440, -600, -61, 59, 300, 600, 1440, 1500, 6 * 1440, 20 * 1440]))
    def clock(self, minutes: int) -> None:
        """Time passes; or the machine's clock is put back."""
        self.now += timedelta(minutes=minutes)

    @rule(by_person=st.booleans())
    def calendar(self, by_person: bool) -> None:
        """Days are counted by the account, or by the person."""
        with self.runtime.work(self.workspace, "test", now=self.now) as work:
            compliance.set_zones(work, "person" if by_person else "account", "tz" if by_person else None)
        self.naive.by_person = by_person

    @rule(person=st.integers(1, 3), zone=st.sampled_from(PERSON_ZONES))
    def moves(self, person: int, zone: str) -> None:
        """Somebody lives elsewhere now."""
        with self.runtime.work(self.workspace, "test", now=self.now) as work:
            contacts.set_choices(work, "tz", {zone: BitMap([person])}, why="test")
        self.naive.zone_of[person] = zone

    @rule(account=st.sampled_from([0, 2]), people=PEOPLE)
    def race(self, account: int, people: set[int]) -> None:
        """A second worker reserves for the same people over its own connection before the first has committed."""
        refs, second = [f"b{len(self.refs) + one}" for one in range(2)], list[set[int] | None]()
        self.refs.extend((account, ref) for ref in refs)
        before = {person: self.naive.room(account, person, self.now) for person in people}
        other = threading.Thread(target=lambda: second.append(self.reserve(account, refs[1], people)))
        with self.runtime.work(self.workspace, "test", now=self.now) as work:
            first = set(compliance.reserve(work, self.ids[account], refs[0], BitMap(people), self.now))
            other.start()
            other.join(0.02)
            assert not second
        other.join()
        assert first == {person for person in people if before[person] > 0}
        assert second == [{person for person in people if before[person] > 1}]
        self.note(account, refs[0], first)
        self.note(account, refs[1], second[0] or set())


def test_no_order_of_events_breaks_a_cap(runtime: Runtime) -> None:
    class Here(Sending):
        pass

    Here.runtime = runtime
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=20 if runtime.engine.dialect.name == "sqlite" else 80,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
