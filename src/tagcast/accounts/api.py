"""HTTP: accounts. Secrets go in and never come out."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from tagcast import accounts
from tagcast.access import Entry, Guarded
from tagcast.accounts.profiles import Limits
from tagcast.accounts.rules import Account, NewAccount
from tagcast.kit.uow import Work

router = APIRouter(prefix="/accounts")

Which = Annotated[str, Path(description="账号编号或名称 · Its number or its name.")]


class AccountIn(BaseModel):
    """A new account. `wecom` needs corpid and secret, `official` and `service` appid and secret.

    `custom` needs base_url, the whole address of its receiver, and secret: `whsec_` and at least 16 bytes in base64.
    """

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


class ItemOut(BaseModel):
    """One line of the checklist, in both languages. `open`: not tried, or nothing to be found out."""

    check: str
    state: Literal["ok", "warn", "fail", "open"]
    zh: str
    en: str
    zh_text: str
    en_text: str
    zh_remedy: str
    en_remedy: str
    errcode: int | None
    count: int | None


class HealthOut(BaseModel):
    """Whether the platform answers, what it has, and what is missing there in its console's words."""

    ok: bool
    tags: int
    employees: int | None
    problem: ProblemOut | None
    items: list[ItemOut]


class QuotaOut(BaseModel):
    """Calls of one API today. `limit` null: the platform tells none; `read_at` null: only counted by us."""

    api: str
    zh: str
    en: str
    limit: int | None
    used: int
    left: int | None
    source: Literal["platform", "counted"]
    read_at: int | None
    closed_until: int | None


class QuotasOut(BaseModel):
    """The quotas of an account, those that matter most first."""

    quotas: list[QuotaOut]


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


class SecretIn(BaseModel):
    """The new secret of an account."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(min_length=1, max_length=200, repr=False)


class CallbackKeysIn(BaseModel):
    """What callbacks are signed and sealed with: the Token and EncodingAESKey of the platform's console."""

    model_config = ConfigDict(extra="forbid")

    callback_token: str = Field(min_length=3, max_length=32, repr=False)
    encoding_aes_key: str = Field(min_length=43, max_length=43, repr=False)


class NewProfileIn(BaseModel):
    """A limit profile of the workspace: `limits` is `{kind: {group: {key: {value, source, date}}}}` over the base."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "contract",
                "base": "platform",
                "limits": {
                    "service": {
                        "broadcast": {"per_month": {"value": 2, "source": "our contract", "date": "2026-11-01"}}
                    }
                },
            }
        },
    )

    name: str
    base: Literal["article", "platform"]
    limits: Mapping[str, Any]


class ProfileOut(BaseModel):
    """A limit profile that is stored."""

    name: str
    base: str


class TemplateOut(BaseModel):
    """A message template of the platform; `content` names its keywords as `{{thing1.DATA}}`."""

    template_id: str
    title: str
    content: str
    example: str


class TemplatesOut(BaseModel):
    """The templates of an account."""

    templates: list[TemplateOut]


@router.post("", status_code=201, summary="添加账号 · Add an account")
def add(entry: Guarded, body: AccountIn) -> AccountOut:
    """Its secrets are sealed and never shown again."""
    return entry.write(lambda work: AccountOut.of(accounts.add(work, NewAccount(**body.model_dump()))))


@router.get("", summary="账号列表 · List the accounts")
def all_(entry: Guarded) -> AccountsOut:
    """Oldest first."""
    with entry.read() as work:
        return AccountsOut(accounts=[AccountOut.of(account) for account in accounts.all_(work)])


@router.post("/profiles", status_code=201, summary="添加限额方案 · Add a limit profile")
def add_profile(entry: Guarded, body: NewProfileIn) -> ProfileOut:
    """Give only what differs from the base. The workspace's profile of the same name is replaced."""

    def use_case(work: Work) -> ProfileOut:
        accounts.add_profile(work, body.name, body.base, body.limits)
        return ProfileOut(name=body.name, base=body.base)

    return entry.write(use_case)


@router.get("/{account}", summary="账号详情 · One account")
def get(entry: Guarded, account: Which) -> AccountOut:
    """Without its secrets."""
    with entry.read() as work:
        return AccountOut.of(accounts.get(work, account))


@router.delete("/{account}", summary="移除账号 · Remove an account")
def remove(entry: Guarded, account: Which) -> AccountOut:
    """Removes its secrets too; what was sent through it stays on record. The answer is what it was."""

    def use_case(work: Work) -> AccountOut:
        found = accounts.get(work, account)
        accounts.remove(work, found.id)
        return AccountOut.of(found)

    return entry.write(use_case)


@router.get("/{account}/limits", summary="账号的限额与出处 · Limits of an account and their sources")
def limits(entry: Guarded, account: Which) -> LimitsOut:
    """Each with where it comes from."""
    with entry.read() as work:
        return LimitsOut.of(accounts.limits(work, accounts.get(work, account).id))


@router.put("/{account}/profile", summary="更换限额方案 · Follow another limit profile")
def set_profile(entry: Guarded, account: Which, body: ProfileIn) -> AccountOut:
    """It holds from the next plan on."""
    return entry.write(
        lambda work: AccountOut.of(accounts.set_profile(work, accounts.get(work, account).id, body.profile))
    )


@router.put("/{account}/secret", summary="更换密钥 · Replace the secret")
def set_secret(entry: Guarded, account: Which, body: SecretIn) -> AccountOut:
    """Goes in and never comes out; the token is renewed at the next call."""

    def use_case(work: Work) -> AccountOut:
        found = accounts.get(work, account)
        accounts.set_secret(work, found.id, body.secret)
        return AccountOut.of(found)

    return entry.write(use_case)


@router.put("/{account}/callback-keys", summary="更换回调密钥 · Replace Token and EncodingAESKey")
def set_callback_keys(entry: Guarded, account: Which, body: CallbackKeysIn) -> AccountOut:
    """They go in and never come out; servers use them within seconds."""

    def use_case(work: Work) -> AccountOut:
        found = accounts.get(work, account)
        accounts.set_callback_keys(work, found.id, body.callback_token, body.encoding_aes_key)
        return AccountOut.of(found)

    return entry.write(use_case)


@router.get("/{account}/templates", summary="消息模板列表 · Message templates of a service account")
async def templates(entry: Guarded, account: Which) -> TemplatesOut:
    """Asked of the platform now."""
    account_id = await asyncio.to_thread(_id, entry, account)
    found = await accounts.templates(entry.runtime, entry.caller.workspace, account_id)
    shown = [
        TemplateOut(template_id=one.template_id, title=one.title, content=one.content, example=one.example)
        for one in found
    ]
    return TemplatesOut(templates=shown)


@router.post("/{account}/check", summary="检查连接 · Check an account's platform")
async def check(entry: Guarded, account: Which) -> HealthOut:
    """Ask the account's platform for a token and try, by reading, all that Tagcast needs of it."""
    account_id = await asyncio.to_thread(_id, entry, account)
    health = await accounts.check(entry.runtime, entry.caller.workspace, account_id)
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
    items = [ItemOut(**asdict(item)) for item in health.items]
    return HealthOut(ok=health.ok, tags=health.tags, employees=health.employees, problem=shown, items=items)


@router.get("/{account}/quota", summary="今日调用额度 · Calls of today and what is left")
async def quota(entry: Guarded, account: Which) -> QuotasOut:
    """As last read and counted since. Figures older than ten minutes are read from the platform anew, where it tells
    them (公众号, 服务号); an API that has something left is opened again by that.
    """
    account_id = await asyncio.to_thread(_id, entry, account)
    found = await accounts.fresh_quota(entry.runtime, entry.caller.workspace, account_id)
    return QuotasOut(quotas=[QuotaOut(**asdict(one)) for one in found])


def _id(entry: Entry, account: str) -> int:
    with entry.read() as work:
        return accounts.get(work, account).id
