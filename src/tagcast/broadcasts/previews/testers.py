"""Testers of an account, and whether a broadcast has to be shown to them before it is sent."""

from pyroaring import BitMap

from tagcast import accounts, compliance, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import store as broadcasts
from tagcast.broadcasts import variants
from tagcast.broadcasts.previews import store
from tagcast.broadcasts.previews.store import Tester
from tagcast.broadcasts.store import Broadcast
from tagcast.kit import db
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Invalid, NotFound, Refused
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

SETTING = "test"
ID_OF = {"service": "openid", "official": "openid", "custom": "member_id"}
MOST = 1_000_000_000


def add(work: Work, account: int | str, *, contact: int = 0, userid: str = "", agreed: bool = False) -> Tester:
    """Put somebody on the list: of a `wecom` account an employee by `userid`, of the others a contact it knows.

    Raises Invalid without his consent, NotFound for nobody, Refused for a full list.
    """
    target = accounts.get(work, account)
    if not agreed:
        raise Invalid("broadcasts.tester_agrees")
    if target.kind == "wecom":
        if not userid or contact or len(userid) > 64 or "|" in userid or userid == "@all":
            raise Invalid("broadcasts.tester_employee", account=target.name)
    else:
        if not contact or userid:
            raise Invalid("broadcasts.tester_contact", account=target.name)
        if not contacts.identities_of(work, [contact], ID_OF[target.kind], target.id):
            raise NotFound("broadcasts.tester_unknown", contact=contact, account=target.name)
    known = store.listed(work, target.id)
    for one in known:
        if (one.contact, one.userid) == (contact, userid):
            return one
    if len(known) >= (limit := limits()["testers"]["kept"]):
        raise Refused("broadcasts.many_testers", account=target.name, limit=limit)
    store.add_tester(work, target.id, contact, userid)
    return store.listed(work, target.id)[-1]


def remove(work: Work, tester: int) -> None:
    """Take somebody off the list. Raises NotFound."""
    if not store.delete_tester(work, tester):
        raise NotFound("broadcasts.no_tester", tester=tester)


def able(work: Work, broadcast: Broadcast, chosen: list[int] | None) -> list[Tester]:
    """Whom to show a broadcast: these testers, or the first of the account, as many as its profile lets see it.

    Raises Refused where the profile has none, there is none, or somebody does not want to be written to any more.
    """
    account = accounts.get(work, broadcast.account)
    limit = accounts.limits(work, account.id).value("preview.testers")
    most = limit.value if isinstance(limit.value, int) else 10
    if not most:
        raise Refused("broadcasts.no_test_here", account=account.name, profile=limit.profile, source=limit.source)
    known = {one.id: one for one in store.listed(work, account.id)}
    if not known:
        raise Refused("broadcasts.no_testers", account=account.name)
    for one in chosen or []:
        if one not in known:
            raise NotFound("broadcasts.no_tester", tester=one)
    asked = [known[one] for one in dict.fromkeys(chosen)] if chosen else list(known.values())[:most]
    if len(asked) > most:
        raise Refused("broadcasts.testers_at_once", count=len(asked), limit=most, source=limit.source)
    silent = compliance.suppressed(work) & BitMap([one.contact for one in asked if one.contact])
    if silent:
        raise Refused("broadcasts.tester_silent", contact=next(iter(silent)))
    return asked


def limits() -> dict[str, dict[str, int]]:
    """The figures of limits.toml."""
    return read_toml("broadcasts", "previews", "limits.toml")


def above(work: Work) -> int | None:
    """Above how many recipients a test is required; None: never."""
    found = broadcasts.setting(work, SETTING)
    return None if found is None else found.value["above"]


def set_above(work: Work, size: int | None) -> None:
    """Require a test above a size, or never. Raises Invalid."""
    if size is not None and not 0 <= size <= MOST:
        raise Invalid("broadcasts.bad_test_size", value=size, most=MOST)
    broadcasts.put_setting(work, SETTING, {"above": size})


def required(work: Work, broadcast: Broadcast, assigned: BitMap) -> bool:
    """Whether a broadcast to so many has to be tested first, by the workspace's setting."""
    size = above(work)
    return size is not None and len(assigned) > size


def done(work: Work, plan_hash: str) -> bool:
    """Whether each variant of what was planned, as it stands, was shown to a tester. False for an unknown plan."""
    found = broadcasts.broadcast_of_plan(work, plan_hash)
    return found is not None and not untested(work, broadcasts.get(work, found))


def untested(work: Work, broadcast: Broadcast) -> list[str]:
    """Names of the variants that no tester was shown as they stand; "" for a message without variants."""
    shown = {one.digest for one in store.trials_of(work, broadcast.id) if one.state == "sent"}
    return [variants.name_of(broadcast, key) for key, said in digests(broadcast).items() if said not in shown]


def digests(broadcast: Broadcast) -> dict[str, str]:
    """Key of a variant → a digest of what it says, before anybody's values are put in."""
    return {
        key: digest(str(broadcast.account), db.json(said.to_json()))[:16]
        for key, said in contents.contents_of(broadcast).items()
    }


def check(work: Work, broadcast: Broadcast, assigned: BitMap) -> None:
    """Raises Refused when a test is required and some variant was not shown to anybody."""
    if required(work, broadcast, assigned) and (left := untested(work, broadcast)):
        names = ", ".join(filter(None, left))
        raise Refused("broadcasts.test_needed", broadcast=broadcast.name, above=above(work), variants=names or "-")
