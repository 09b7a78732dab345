"""HTTP: accounts. Secrets go in and never come out."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import accounts
from tagcast.access import Guarded
from tagcast.accounts.profiles import Limits
from tagcast.accounts.rules import Account, NewAccount

router = APIRouter(prefix="/accounts")


class AccountIn(BaseModel):
    """A new account. `wecom` needs corpid and secret, `official` and `service` appid and secret, `custom` base_url."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"kind": "service", "name": "旗舰店", "appid": "wx0123456789abcdef", "secret": "…"}
        },
    )

    kind: str
    name: str
    secret: str = Field("", max_length=200, repr=False)
    appid: str = ""
    corpid: str = ""
    agentid: int | None = None
    callback_token: str = Field("", repr=False)
    encoding_aes_key: str = Field("", repr=False)
    base_url: str = ""
    profile: str = "article"
    zone: str = "Asia/Shanghai"


class AccountOut(BaseModel):
    """An account without its secrets. Enter `callback_path` after the public address in the platform's console."""

    id: int
    kind: Literal["wecom", "official", "service", "custom"]
    name: str
    appid: str
    agentid: int | None
    base_url: str
    profile: str
    zone: str
    callback_path: str
    created_at: int

    @classmethod
    def of(cls, account: Account) -> "AccountOut":
        """The shape of an account."""
        return cls(
            id=account.id,
            kind=account.kind,
            name=account.name,
            appid=account.appid,
            agentid=account.agentid,
            base_url=account.base_url,
            profile=account.profile,
            zone=account.zone,
            callback_path=f"/callback/{account.callback_path}",
            created_at=account.created_at,
        )


class AccountsOut(BaseModel):
    """The workspace's accounts, oldest first."""

    accounts: list[AccountOut]


class ProblemOut(BaseModel):
    """What is wrong and what to do, in both languages."""

    code: str
    zh: str
    zh_remedy: str
    en: str
    en_remedy: str


class HealthOut(BaseModel):
    """Whether the platform answers, and what it has."""

    ok: bool
    tags: int
    employees: int | None
    problem: ProblemOut | None


class LimitOut(BaseModel):
    """One limit; `value` null means none."""

    key: str
    value: int | str | list[str] | None
    source: str
    date: str
    profile: str


class LimitsOut(BaseModel):
    """The limits of an account, each with its source."""

    profile: str
    kind: str
    limits: list[LimitOut]

    @classmethod
    def of(cls, limits: Limits) -> "LimitsOut":
        """The shape of an account's limits."""
        rows = [
            LimitOut(
                key=key,
                value=list(limit.value) if isinstance(limit.value, tuple) else limit.value,
                source=limit.source,
                date=limit.date,
                profile=limit.profile,
            )
            for key, limit in sorted(limits.values.items())
        ]
        return cls(profile=limits.profile, kind=limits.kind, limits=rows)


class ProfileIn(BaseModel):
    """The limit profile that an account shall follow."""

    model_config = ConfigDict(extra="forbid")

    profile: str


@router.post("", status_code=201)
def add(entry: Guarded, body: AccountIn) -> AccountOut:
    """Add an account."""
    return entry.write(lambda work: AccountOut.of(accounts.add(work, NewAccount(**body.model_dump()))))


@router.get("")
def all_(entry: Guarded) -> AccountsOut:
    """List the accounts."""
    with entry.read() as work:
        return AccountsOut(accounts=[AccountOut.of(account) for account in accounts.all_(work)])


@router.get("/{account}")
def get(entry: Guarded, account: int) -> AccountOut:
    """One account."""
    with entry.read() as work:
        return AccountOut.of(accounts.get(work, account))


@router.get("/{account}/limits")
def limits(entry: Guarded, account: int) -> LimitsOut:
    """The limits of an account, each with where it comes from."""
    with entry.read() as work:
        return LimitsOut.of(accounts.limits(work, account))


@router.put("/{account}/profile")
def set_profile(entry: Guarded, account: int, body: ProfileIn) -> AccountOut:
    """Let an account follow another limit profile."""
    return entry.write(lambda work: AccountOut.of(accounts.set_profile(work, account, body.profile)))


@router.post("/{account}/check")
async def check(entry: Guarded, account: int) -> HealthOut:
    """Ask the account's platform for a token, its tags and its employees."""
    health = await accounts.check(entry.runtime, entry.caller.workspace, account)
    problem = health.problem
    shown = None
    if problem is not None:
        shown = ProblemOut(
            code=problem.code,
            zh=problem.text("zh"),
            zh_remedy=problem.remedy("zh"),
            en=problem.text("en"),
            en_remedy=problem.remedy("en"),
        )
    return HealthOut(ok=health.ok, tags=health.tags, employees=health.employees, problem=shown)
