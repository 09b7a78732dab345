"""One account on both sides: ours in a runtime, the platform's in a sandbox that another program writes to as well."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tests.wechat_sandbox.conftest import Client, Sandbox

from tagcast import accounts, bitmaps, contacts, tags
from tagcast.kit import leases
from tagcast.kit.uow import Runtime, Work
from tagcast.tags import sync

Held = dict[str, set[str]]


def work_off(runtime: Runtime) -> int:
    """Carry out all runs that wait, as a worker does; returns how many leases were taken."""
    taken = 0
    while True:
        with runtime.system() as connection:
            lease = leases.claim(connection, "test", [sync.KIND], 30)
        if lease is None:
            return taken
        taken += 1
        asyncio.run(sync.work(runtime, lease))


@dataclass
class Both:
    """The two sides; people are named by openid or external_userid."""

    runtime: Runtime
    client: Client
    id: int

    @property
    def wecom(self) -> bool:
        return bool(self.client.account["kind"] == "wecom")

    @property
    def kind(self) -> str:
        return "external_userid" if self.wecom else "openid"

    def pull(self) -> contacts.SyncResult:
        return asyncio.run(contacts.sync_account(self.runtime, 1, self.id))

    def plan(self, *, full: bool | None = True) -> sync.Plan:
        return asyncio.run(sync.make(self.runtime, 1, self.id, full=full)).plan

    def start(self, plan_hash: str | None = None, **how: Any) -> sync.Run:
        with self.runtime.work(1, "test") as work:
            return sync.start(work, self.id, plan_hash, **how)

    def run(self, *, full: bool | None = True) -> sync.Run:
        """Plan, and carry that plan out."""
        begun = self.start(self.plan(full=full).hash)
        work_off(self.runtime)
        return self.look(begun.id)

    def look(self, number: int) -> sync.Run:
        with self.runtime.read(1, "test") as work:
            return sync.run(work, self.id, number)

    def configure(self, **settings: object) -> None:
        with self.runtime.work(1, "test") as work:
            sync.change(work, self.id, **settings)

    def direct(self, direction: str | None, path: str = "", *, account: bool = True) -> None:
        with self.runtime.work(1, "test") as work:
            tag = tags.find(work, path, account=self.id if account else None).id if path else 0
            sync.direct(work, self.id, tag, direction)

    # our side

    def numbers(self, work: Work, people: Collection[str]) -> Any:
        found = contacts.numbers_of(work, self.kind, list(people), self.id)
        return bitmaps.pack(number for number in found if number is not None)

    def give(self, path: str, people: Collection[str] = (), *, account: bool = True) -> int:
        """Make the tag if it is missing and give it to people."""
        with self.runtime.work(1, "test") as work:
            tag = tags.ensure(work, path, account=self.id if account else None)
            tags.assign(work, tag.id, self.numbers(work, people), why="test")
            return tag.id

    def take(self, path: str, people: Collection[str]) -> None:
        with self.runtime.work(1, "test") as work:
            tags.remove(work, tags.find(work, path, account=self.id).id, self.numbers(work, people), why="test")

    def ours(self) -> Held:
        """path → who holds the tag itself, of the account's tree and of the workspace's (with a star before it)."""
        held: Held = {}
        with self.runtime.read(1, "test") as work:
            for tag in tags.every(work).values():
                if tag.archived_at is None and tag.account in (None, self.id):
                    found = contacts.identities_of(work, tags.holders(work, tag.id, below=False), self.kind, self.id)
                    held["*" * (tag.account is None) + tag.path] = set(found.values())
        return held

    # their side

    def theirs(self) -> Held:
        """name, or group/name → who bears the tag there."""
        if self.wecom:
            return self._corp()
        shown = self.client.get("tags/get")["tags"]
        return {tag["name"]: set(self.bearers(tag["id"])) for tag in shown if tag["id"] > 2}

    def bearers(self, tag: int) -> list[str]:
        return list(self.client.post("user/tag/get", {"tagid": tag}).get("data", {}).get("openid", []))

    def tag_id(self, name: str) -> Any:
        if self.wecom:
            return self.corp_ids()[name]
        return next(tag["id"] for tag in self.client.get("tags/get")["tags"] if tag["name"] == name)

    def corp_ids(self) -> dict[str, str]:
        groups = self.client.post("externalcontact/get_corp_tag_list")["tag_group"]
        return {f"{group['group_name']}/{tag['name']}": tag["id"] for group in groups for tag in group["tag"]}

    def pairs(self) -> dict[tuple[str, str], set[str]]:
        """(employee, customer) → tag ids."""
        found = {}
        for employee in self.client.account["employees"]:
            body: dict[str, Any] = {"userid_list": [employee], "limit": 100}
            while True:
                page = self.client.post("externalcontact/batch/get_by_user", body)
                for row in page["external_contact_list"]:
                    customer = row["external_contact"]["external_userid"]
                    found[employee, customer] = set(row["follow_info"]["tag_id"])
                if not page["next_cursor"]:
                    break
                body["cursor"] = page["next_cursor"]
        return found

    def _corp(self) -> Held:
        pairs = self.pairs()
        return {
            name: {customer for (_, customer), tags in pairs.items() if ident in tags}
            for name, ident in self.corp_ids().items()
        }

    def put_there(self, name: str, people: Collection[str], *, off: bool = False) -> None:
        """Another program tags people of the platform."""
        path = f"tags/members/batch{'un' if off else ''}tagging"
        answer = self.client.post(path, {"openid_list": list(people), "tagid": self.tag_id(name)})
        assert answer.get("errcode", 0) == 0, answer

    def make_there(self, name: str, people: Collection[str] = ()) -> None:
        """Another program makes a tag."""
        assert "tag" in self.client.post("tags/create", {"tag": {"name": name}})
        if people:
            self.put_there(name, people)


def unhurried(work: Work, kind: str) -> str:
    """A limit profile without rates: what is tried here is what is called, not when."""
    name = f"unhurried-{kind}"
    unlimited = {"value": "unlimited", "source": "a test", "date": "2026-11-23"}
    accounts.add_profile(work, name, "article", {kind: {"send": {"rate_per_minute": unlimited}}})
    return name


def join(runtime: Runtime, sandbox: Sandbox, kind: str, **more: Any) -> Both:
    """A new account in the sandbox, added here, its people read."""
    client = sandbox.account(kind, **more)
    made = client.account
    with runtime.work(1, "test") as work:
        new = accounts.NewAccount(
            kind, f"{kind} {made['id']}", secret=made["secret"], appid=made["appid"] or "", corpid=made["corpid"] or "",
            agentid=made["agentid"], base_url=sandbox.url, profile=unhurried(work, kind),
        )  # fmt: skip
        account = accounts.add(work, new).id
    both = Both(runtime, client, account)
    both.pull()
    return both
