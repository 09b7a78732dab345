"""Use cases of synchronisation: settings, directions, beginning and cancelling a run, what a platform hints at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tagcast import accounts, bitmaps, contacts
from tagcast.kit import clock, leases
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work
from tagcast.tags import actions as tree
from tagcast.tags.rules import Tag
from tagcast.tags.sync import planning, rules, store
from tagcast.tags.sync.rules import Direction, Place, Settings
from tagcast.tags.sync.running import KIND
from tagcast.tags.sync.store import Run


@dataclass(frozen=True, slots=True)
class State:
    """How an account is synchronised, and when everything was last (epoch milliseconds; 0: never).

    `tree`: which way the account's own tags go unless one says otherwise; `arriving` tags of the platform follow it.
    """

    account: int
    settings: Settings
    tree: Direction
    full_at: int


@dataclass(frozen=True, slots=True)
class Way:
    """Which way a tag goes. `own`: said of the tag itself; `place`: what it is called there, None while it is not."""

    tag: Tag
    direction: Direction
    own: bool
    place: Place | None


def show(work: Work, account_id: int) -> State:
    """An account's settings. Raises NotFound, Invalid for an account without tags of its own."""
    _account(work, account_id)
    found = store.find(work, account_id)
    return State(account_id, found.settings, store.directions(work, account_id).get(0, "from"), found.full_at)


def change(work: Work, account_id: int, **given: object) -> State:
    """Change settings (`names`, `members`, `deletions`, `employees`, `daily`). Raises NotFound, Invalid."""
    _account(work, account_id)
    kept = rules.check_settings(**given)
    store.put_settings(work, account_id, replace(store.find(work, account_id).settings, **kept))
    return show(work, account_id)


def direct(work: Work, account_id: int, tag_id: int, direction: str | None) -> None:
    """Say which way a tag and those below it go; None: as the tag above. Tag 0 is the account's own tree.

    Raises NotFound; Invalid for another direction, or a tag of another account.
    """
    _account(work, account_id)
    checked = None if direction is None else rules.check_direction(direction)
    if tag_id:
        tag = tree.get(work, tag_id)
        if tag.account not in (None, account_id):
            raise Invalid("tags.sync_other_account", path=tag.path)
    store.put_direction(work, account_id, tag_id, checked)


def ways(work: Work, account_id: int) -> list[Way]:
    """Every tag that can go to an account or come from it, with its direction and what it is called there."""
    account = _account(work, account_id)
    named = planning.places(work, account)
    return [
        Way(tag, direction, own, named.get(tag.id))
        for tag, direction, own in planning.directions(work, account_id).values()
        if tag.archived_at is None
    ]


def start(work: Work, account_id: int, plan_hash: str | None, *, anew: bool = False, full: bool | None = None) -> Run:
    """Begin to carry out a plan. `anew`: whatever a new plan says, if it differs, or if none was made.

    Raises NotFound; Conflict when a run is under way, or when the plan is not the last one that was made.
    """
    _account(work, account_id)
    found = store.find(work, account_id)
    going = store.open_run(work, account_id)
    if going is not None:
        raise Conflict("tags.sync_running", run=going.id)
    if not anew and (plan_hash is None or plan_hash != found.plan_hash):
        raise Conflict("tags.sync_no_plan", plan=plan_hash or "–", known=found.plan_hash or "–")
    known = plan_hash is not None and plan_hash == found.plan_hash
    whole = found.plan_full if known and full is None else full if full is not None else _due(work, found)
    number = store.start_run(work, account_id, plan_hash or "", anew=anew, full=whole)
    leases.enqueue(work, KIND, f"run:{number}", {"run": number})
    return run(work, account_id, number)


def run(work: Work, account_id: int, number: int) -> Run:
    """One run of an account. Raises NotFound."""
    found = store.run(work, number)
    if found is None or found.account != account_id:
        raise NotFound("tags.sync_no_run", run=number)
    return found


def runs(work: Work, account_id: int, *, limit: int = 20) -> list[Run]:
    """The newest runs of an account, newest first. Raises NotFound."""
    _account(work, account_id)
    return store.runs(work, account_id, limit)


def cancel(work: Work, account_id: int, number: int) -> Run:
    """End a run where it is; what it has done stands. Raises NotFound, Conflict when it has ended."""
    found = run(work, account_id, number)
    if found.state not in store.OPEN:
        raise Conflict("tags.sync_ended", run=number, state=found.state)
    store.change_run(work, number, state="cancelled", ended_at=work.now_ms)
    return run(work, account_id, number)


def start_due(work: Work) -> list[int]:
    """Begin the daily full run of each account that asks for one and has none under way; returns their numbers."""
    since = clock.to_ms(work.now - timedelta(days=1))
    due = [one for one in store.daily(work, since) if store.open_run(work, one) is None]
    recent = {one: store.runs(work, one, 1) for one in due}
    # One that failed or was cancelled today is somebody's to look at, not to be repeated all day.
    begun = [one for one in due if not any(run.started_at >= since for run in recent[one])]
    return [start(work, one, None, anew=True, full=True).id for one in begun]


def touched(work: Work, account_id: int, names: Sequence[str]) -> None:
    """Customers of whom a callback told that a member changed something, maybe tags: an incremental run reads them."""
    found = contacts.numbers_of(work, "external_userid", names, account_id)
    members = bitmaps.pack(number for number in found if number is not None)
    work.bitmaps.add(store.touched_key(account_id), members, why="changed on the platform")


def _due(work: Work, found: store.Stored) -> bool:
    return found.full_at < clock.to_ms(work.now - planning.FULL_EVERY)


def _account(work: Work, account_id: int) -> accounts.Account:
    account = accounts.get(work, account_id)
    rules.shape(account.kind)
    return account
