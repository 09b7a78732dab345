"""Use cases of postings: draft, plan, send, cancel, look."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tagcast import accounts, audiences, compliance, groups
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import planning as broadcast_planning
from tagcast.broadcasts import views
from tagcast.broadcasts.postings import planning, store
from tagcast.broadcasts.postings.shapes import (
    CANCELLED,
    DRAFT,
    FINISHED,
    GROUPS,
    KIND,
    MOMENTS,
    PAUSED,
    SENDING,
    Line,
    Plan,
    Posting,
    Status,
)
from tagcast.broadcasts.senders import employees, figures
from tagcast.kit import leases
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work

FIELDS = {GROUPS: ("owners", "chats", "audience", "least"), MOMENTS: ("employees", "audience")}
# What a Moment shows of our kinds; pictures and films need files of its own kind on the platform.
MOMENT_KINDS = ("text", "article")


@accounts.guard
def in_progress(work: Work, account: int) -> list[str]:
    """Names of the postings that need an account until they have ended."""
    return [one.name for one in store.all_(work) if one.account == account and one.state in (SENDING, PAUSED)]


def draft(
    work: Work,
    *,
    kind: str,
    name: str,
    account: int | str,
    content: Mapping[str, Any],
    target: Mapping[str, Any] | None = None,
    purpose: str = "marketing",
    within_hours: float = 72.0,
) -> Posting:
    """A draft for customer `groups`, or of `moments`. Raises Invalid, NotFound or Refused."""
    if kind not in FIELDS:
        raise Invalid("broadcasts.bad_posting", field="kind", known=", ".join(FIELDS))
    found = accounts.get(work, account)
    if found.kind != "wecom":
        raise Invalid("broadcasts.only_wecom", setting=kind, account=found.name)
    if not name.strip() or len(name) > 200:
        raise Invalid("broadcasts.bad_name", limit=200)
    most = figures()["confirm_hours_at_most"]
    if not 0 < within_hours <= most:
        raise Invalid("broadcasts.bad_confirm", field="within_hours", value=within_hours, known=f"0 – {most}")
    compliance.consented(work, purpose)
    said = contents.parse(content)
    broadcast_planning.check_kind(work, found, said.kind)
    contents.check(work, found, said)
    if contents.script(work, said).parts:
        raise Invalid("broadcasts.posting_text")
    if said.kind == "article" and not said.url:
        raise Invalid("broadcasts.missing_field", kind=said.kind, field="url")
    if kind == MOMENTS and (said.kind not in MOMENT_KINDS or said.attachments):
        raise Invalid("broadcasts.moment_kinds", known=", ".join(MOMENT_KINDS))
    if kind == MOMENTS and not said.text:
        # By its text a Moment whose answer was lost is found again.
        raise Invalid("broadcasts.missing_field", kind=said.kind, field="text")
    number = store.insert(
        work,
        account=found.id,
        kind=kind,
        name=name.strip(),
        purpose=purpose,
        content=said.to_json(),
        target=_target(work, found, kind, target or {}),
        within_hours=float(within_hours),
    )
    return store.get(work, number)


def _target(work: Work, account: accounts.Account, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The target in its normal form."""
    if set(given) - set(FIELDS[kind]):
        raise Invalid("broadcasts.bad_posting", field="target", known=", ".join(FIELDS[kind]))
    target: dict[str, Any] = {}
    known = employees(work, account.id)
    for field in ("owners", "employees"):
        if field in given:
            if strange := sorted(set(given[field]) - known.keys()):
                raise Invalid("broadcasts.unknown_employee", employee=strange[0], account=account.name)
            target[field] = sorted(set(given[field]))
    if "chats" in given:
        target["chats"] = sorted(groups.find_chat(work, account.id, one).chat_id for one in given["chats"])
    audience = given.get("audience", "all" if kind == MOMENTS else None)
    if audience is not None:
        expression = audiences.parse(audience) if isinstance(audience, str) else audiences.from_json(audience)
        audiences.count(work, expression)
        target["audience"] = audiences.to_json(expression)
    if kind == GROUPS and audience is not None:
        least = given.get("least", 1)
        if not isinstance(least, int) or isinstance(least, bool) or least < 1:
            raise Invalid("broadcasts.bad_posting", field="least", known="1 …")
        target["least"] = least
    return target


def plan(work: Work, posting_id: int) -> Plan:
    """Plan a draft anew; nothing is sent. Raises Conflict when it was sent."""
    posting = store.get(work, posting_id, lock=True)
    _only(posting, DRAFT)
    made = planning.make(work, posting)
    store.update(work, posting_id, plan_hash=made.hash, plan=made.to_json())
    words = views.words()
    lines = [Line(step.name, step.count, words[step.name]["zh"], words[step.name]["en"]) for step in made.steps]
    return Plan(made.hash, posting_id, lines, made.shares, made.warnings)


def send(work: Work, plan_hash: str) -> Posting:
    """Send exactly what was planned, once. Raises NotFound, Conflict when anything has moved, Refused for nobody."""
    number = store.of_plan(work, plan_hash)
    if number is None:
        raise NotFound("broadcasts.no_plan", plan=plan_hash)
    posting = store.get(work, number, lock=True)
    if posting.state != DRAFT:
        return posting
    made = planning.make(work, posting)
    if made.hash != plan_hash:
        before = dict(posting.plan["steps"])
        moved = [f"{one.name} {before.get(one.name, 0)} → {one.count}" for one in made.steps]
        raise Conflict("broadcasts.posting_moved", plan=plan_hash, changes="; ".join(moved))
    planning.check_nobody(posting, made)
    work.bitmaps.replace(f"{posting.key}:assigned", made.contacts, why=posting.key)
    size = figures()["group_batch"] if posting.kind == GROUPS else 100_000
    numbers = store.add_posts(work, number, made.recipients, size)
    store.update(work, number, state=SENDING, started_at=work.now_ms)
    _enqueue(work, number, numbers)
    return store.get(work, number)


def cancel(work: Work, posting_id: int) -> Posting:
    """Cancel what no employee has confirmed, on the platform, with proof of who had been reached."""
    posting = store.get(work, posting_id, lock=True)
    if posting.stopping:
        return posting
    if posting.state == DRAFT:
        store.update(work, posting_id, state=CANCELLED, finished_at=work.now_ms)
        return store.get(work, posting_id)
    _only(posting, SENDING, PAUSED)
    store.update(work, posting_id, stopping=True, state=SENDING, reason=None)
    _enqueue(work, posting_id, [post.no for post in store.posts_of(work, posting_id) if not post.done])
    return store.get(work, posting_id)


def resume(work: Work, posting_id: int) -> Posting:
    """Go on with a posting that stopped with a reason."""
    posting = store.get(work, posting_id, lock=True)
    _only(posting, PAUSED)
    store.update(work, posting_id, state=SENDING, reason=None)
    _enqueue(work, posting_id, [post.no for post in store.posts_of(work, posting_id) if not post.done])
    return store.get(work, posting_id)


def get(work: Work, posting_id: int) -> Posting:
    """One posting. Raises NotFound."""
    return store.get(work, posting_id)


def list_(work: Work) -> list[Posting]:
    """The newest first."""
    return store.all_(work)


def status(work: Work, posting_id: int) -> Status:
    """Where it stands, and what became of each recipient."""
    posting = store.get(work, posting_id)
    outcomes = store.outcomes_of(work, posting_id)
    states = Counter(one.status for one in outcomes)
    open_ = [one for one in outcomes if one.status == "accepted"]
    names = {post.no: post.sender for post in store.posts_of(work, posting_id)}
    waiting = {one.recipient if posting.kind == MOMENTS else names[one.post] for one in open_}
    over = posting.state in (FINISHED, CANCELLED)
    return Status(posting_id, posting.state, posting.reason, dict(states), 0 if over else len(waiting), outcomes)


def deadline_ms(posting: Posting) -> int:
    """When it is not waited for any longer (ms)."""
    assert posting.started_at is not None
    return int((posting.started_at + timedelta(hours=posting.within_hours)).timestamp() * 1000)


def _enqueue(work: Work, posting: int, numbers: list[int]) -> None:
    for no in numbers:
        leases.enqueue(work, KIND, f"{posting}:{no}", {"posting": posting, "post": no})
        leases.hasten(work, KIND, f"{posting}:{no}")


def _only(posting: Posting, *allowed: str) -> None:
    if posting.state not in allowed or posting.stopping:
        state = CANCELLED if posting.stopping else posting.state
        raise Conflict("broadcasts.wrong_state", broadcast=posting.name, state=state, needed=" / ".join(allowed))
