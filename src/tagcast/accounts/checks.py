"""What stands between an account and its use: asked of the platform by harmless reads, told in its console's words.

Each look is one item of a checklist. Nothing is sent and nothing is changed on the platform.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

from tagcast.channels import ChannelError, OfficialClient, Reaction, WecomClient
from tagcast.kit.errors import Lang, TagcastError
from tagcast.kit.shipped import read_toml

State = Literal["ok", "warn", "fail", "open"]
Remedy = Literal["own", "again"]
"""What to click for the thing itself, or: to look again later, for nothing was learnt."""

Probe = Callable[[], Awaitable[int]]
"""One harmless read; gives how many there are of what it read."""

DAY = 86_400
_ADDRESS = re.compile(r"(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w.])")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a checklist. `open`: not tried, or nothing to be found out. `count`: how many there are, if read."""

    check: str
    state: State
    zh: str
    en: str
    zh_text: str
    en_text: str
    zh_remedy: str = ""
    en_remedy: str = ""
    errcode: int | None = None
    count: int | None = None

    def told(self, lang: Lang) -> tuple[str, str, str]:
        """(what was looked at, what was found, what to do) in one language."""
        if lang == "zh":
            return self.zh, self.zh_text, self.zh_remedy
        return self.en, self.en_text, self.en_remedy


@dataclass(slots=True)
class Checklist:
    """Looks at one thing after the other; `url` is where callbacks of the account arrive."""

    kind: str
    url: str = ""
    items: list[Item] = field(default_factory=list)
    problem: ChannelError | TagcastError | None = None

    def count(self, check: str) -> int | None:
        """How many an item counted."""
        return next((item.count for item in self.items if item.check == check), None)

    async def token(self, fetch: Callable[[], Awaitable[object]]) -> bool:
        """Ask for a token; False: nothing else can be tried."""
        try:
            await fetch()
        except (ChannelError, TagcastError) as error:
            self.problem = error
            first, second = ("token", "address") if _is_address(error) else ("address", "token")
            self._add(first, "open", "open")
            self._fail(second, error)
            self.items.sort(key=lambda item: item.check != "token")
            for check in self._rest():
                self._add(check, "open", "open")
            return False
        self._add("token", "ok", "ok")
        return True

    async def look(self, check: str, probe: Probe) -> None:
        """Try one capability. An address that is refused is told once, as such."""
        try:
            count = await probe()
        except (ChannelError, TagcastError) as error:
            self.problem = self.problem or (error if self._needed(check) else None)
            if _is_address(error):
                self._fail("address", error)
                self._add(check, "open", "open")
            else:
                self._fail(check, error)
            return
        self._add(check, "ok", "ok", count=count)

    async def receiver(self, ping: Callable[[], Awaitable[None]]) -> None:
        """Ask the receiver of a webhook whether it is there, and whether it knows the secret."""
        try:
            await ping()
        except (ChannelError, TagcastError) as error:
            self.problem = error
            if isinstance(error, ChannelError) and error.reason == "webhook_signature":
                self._add("receiver", "ok", "ok")
                self._fail("signature", error)
            else:
                self._fail("receiver", error)
                self._add("signature", "open", "open")
            return
        self._add("receiver", "ok", "ok")
        self._add("signature", "ok", "ok")

    def callback(self, *, configured: bool, last: int | None) -> None:
        """Whether a callback with a good signature ever arrived (`last`: when)."""
        if last is not None:
            self._add("callback", "ok", "ok")
        else:
            self._add("callback", "warn" if configured else "open", "silent" if configured else "unset", remedy="own")

    def end(self) -> list[Item]:
        """The whole list in its order."""
        if self.kind == "custom":
            return self.items
        refused = [item for item in self.items if item.errcode == 48001]
        if self.kind != "wecom":
            state: State = "fail" if len(refused) > 1 else "ok" if self._any_ok() else "open"
            self._add(
                "verified", state, "refused" if state == "fail" else state, remedy="own" if state == "fail" else None
            )
        if not any(item.check == "address" for item in self.items):
            self._add("address", "ok", "ok")
        if self.kind == "wecom" and not any(item.check == "members" for item in self.items):
            self._add("members", "open", "open", remedy="own")
        order = list(_texts(self.kind))
        return sorted(self.items, key=lambda item: order.index(item.check))

    def employees(self) -> None:
        """Whether there is anybody to speak for the corp; follows from what `contact` counted."""
        count = self.count("contact")
        if count is None:
            self._add("range", "open", "open")
        elif count == 0:
            self._add("range", "fail", "none", remedy="own")
        else:
            self._add("range", "ok", "ok", count=count)

    def _any_ok(self) -> bool:
        return any(item.state == "ok" and item.check not in ("token", "address") for item in self.items)

    def _rest(self) -> list[str]:
        known = {item.check for item in self.items} | {"callback", "verified", "members"}
        return [check for check in _texts(self.kind) if check not in known]

    def _needed(self, check: str) -> bool:
        return bool(_texts(self.kind)[check].get("needed", True))

    def _fail(self, check: str, error: ChannelError | TagcastError) -> None:
        if any(item.check == check for item in self.items):
            return
        texts = (
            (error.sentence("zh"), error.sentence("en"))
            if isinstance(error, ChannelError)
            else (error.text("zh"), error.text("en"))
        )
        errcode = error.errcode if isinstance(error, ChannelError) else _errcode(error)
        state: State = "fail" if self._needed(check) else "warn"
        remedy: Remedy = "again" if check != "receiver" and _passes(error) else "own"
        self._add(check, state, "", texts=texts, remedy=remedy, address=address_of(error), errcode=errcode)

    def _add(
        self,
        check: str,
        state: State,
        said: str,
        *,
        texts: tuple[str, str] | None = None,
        remedy: Remedy | None = None,
        address: str = "",
        errcode: int | None = None,
        count: int | None = None,
    ) -> None:
        row, words = _texts(self.kind)[check], _said()
        texts = texts or (words[f"zh_{said}"], words[f"en_{said}"])
        remedies = {"own": row, "again": words["again"]}.get(remedy or "", {})
        zh_remedy, en_remedy = (
            remedies.get(f"{lang}_remedy", "").format(address=address or words[f"{lang}_somewhere"], url=self.url)
            for lang in ("zh", "en")
        )
        self.items.append(
            Item(check, state, row["zh"], row["en"], *texts, zh_remedy, en_remedy, errcode=errcode, count=count)
        )


def address_of(error: ChannelError | TagcastError) -> str:
    """Our address as the platform saw it, read from its message; empty when it names none.

    `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist` (40164); `…, from ip: 1.2.3.4, more info …` (60020).
    """
    if isinstance(error, TagcastError):
        return str(error.params.get("address", ""))
    found = _ADDRESS.search(error.errmsg)
    return found.group(1) if found else ""


def _is_address(error: ChannelError | TagcastError) -> bool:
    return (error.reason if isinstance(error, ChannelError) else error.code.partition(".")[2]) == "ip_not_allowed"


def _passes(error: ChannelError | TagcastError) -> bool:
    """Whether an error says nothing about the account's set-up: a busy platform, an address that does not answer."""
    if isinstance(error, ChannelError):
        return error.reaction in (Reaction.RETRY, Reaction.WAIT_UNTIL, Reaction.IN_DOUBT)
    code = error.code.partition(".")[2]
    return code == "unreachable" or (code == "platform_refused" and error.params.get("errcode") == -1)


def _errcode(error: TagcastError) -> int | None:
    found = error.params.get("errcode")
    return found if isinstance(found, int) else None


async def probe(
    checklist: Checklist, client: OfficialClient | WecomClient, call: Callable[[Probe], Awaitable[int]]
) -> None:
    """Try the capabilities of an account whose token is good; `call` makes one call."""
    probes = _wecom(client) if isinstance(client, WecomClient) else _official(client, checklist.kind)
    for check, one in probes.items():
        await checklist.look(check, partial(call, one))
    if checklist.kind == "wecom":
        checklist.employees()


def _official(client: OfficialClient, kind: str) -> dict[str, Probe]:
    async def users() -> int:
        page = await anext(client.people.followers(""), None)
        return page.total if page is not None else 0

    async def tags() -> int:
        return len(await client.tags.all())

    async def materials() -> int:
        return (await client.media.count_stored()).image_count

    async def mass() -> int:
        return (await client.quota.of(str(_texts(kind)["mass"]["path"]))).daily_limit

    async def template() -> int:
        return len(await client.templates.all())

    found: dict[str, Probe] = {"users": users, "tags": tags, "materials": materials, "mass": mass}
    return found | ({"template": template} if kind == "service" else {})


def _wecom(client: WecomClient) -> dict[str, Probe]:
    now = int(time.time())

    async def contact() -> int:
        return len(await client.customers.employees())

    async def tags() -> int:
        return sum(len(group.tag) for group in await client.tags.groups())

    return {
        "contact": contact,
        "tags": tags,
        "mass": lambda: _first(client.mass.list(now - DAY, now)),
        "groups": lambda: _first(client.groups.list()),
        "moments": lambda: _first(client.moments.list(now - DAY, now)),
    }


async def _first(pages: AsyncIterator[tuple[Any, ...]]) -> int:
    return len(await anext(pages, ()))


@cache
def _texts(kind: str) -> dict[str, dict[str, Any]]:
    data = read_toml("accounts", "checks.toml")
    if kind != "service":
        found: dict[str, dict[str, Any]] = data[kind]
        return found
    shared = dict(data["official"])
    callback = shared.pop("callback")
    return {**shared, **data["service"], "callback": callback}


@cache
def _said() -> dict[str, Any]:
    words: dict[str, Any] = read_toml("accounts", "checks.toml")["said"]
    return words
