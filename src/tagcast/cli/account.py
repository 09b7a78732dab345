"""`tagcast account`: WeChat accounts. Secrets come from a file or the environment, never from the command line."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagcast import access, accounts, broadcasts, contacts, inbox
from tagcast.cli import asking
from tagcast.cli.frame import Frame, actor, read_text
from tagcast.kit.errors import Invalid, Refused

if TYPE_CHECKING:
    from tagcast.kit.uow import Runtime, Work

app = typer.Typer(no_args_is_help=True, help="WeChat accounts 渠道账号: add, list, check, limits.")

# They say what accounts cannot know: what is being sent through one, and when a callback came.
ASKED = (broadcasts, inbox)

Which = Annotated[str, typer.Argument(help="Its name or number.")]
SECRETS = ("secret", "callback_token", "encoding_aes_key")


@app.command()
def add(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="wecom, official, service or custom.")] = "",
    name: Annotated[str, typer.Argument(help="What you call it.")] = "",
    appid: Annotated[str, typer.Option(help="appid of an official or service account.")] = "",
    corpid: Annotated[str, typer.Option(help="corpid of a wecom account.")] = "",
    agentid: Annotated[int | None, typer.Option(help="agentid of a wecom application.")] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="File of lines NAME=value: secret, callback_token, encoding_aes_key.")
    ] = None,
    base_url: Annotated[
        str, typer.Option("--base-url", "--url", help="Address of a custom account's receiver; else of a sandbox.")
    ] = "",
    profile: Annotated[str, typer.Option(help="Limit profile.")] = "article",
    zone: Annotated[str, typer.Option(help="IANA zone of its days and months.")] = "Asia/Shanghai",
    no_check: Annotated[bool, typer.Option("--no-check", help="Keep it without asking the platform.")] = False,
) -> None:
    """Add an account. On a terminal, what is missing is asked for, with where the platform's console shows it.

    Its secrets come from --secrets, or from WECHAT_SECRET, WECHAT_CALLBACK_TOKEN and WECHAT_ENCODING_AES_KEY. Without
    a callback token and key new ones are made. The platform is asked before the account is kept: what is missing there
    is told in its console's words, and an account that cannot be used is not kept. A custom account without a secret
    gets a new one, and its receiver is asked by `account check` once it knows it.
    """
    frame = Frame.of(ctx)
    given: dict[str, Any] = {
        "kind": kind, "name": name, "appid": appid, "corpid": corpid, "agentid": agentid, "base_url": base_url,
        "profile": profile, "zone": zone, **_secrets(secrets),
    }  # fmt: skip
    given = _asked(frame, given)
    made_secret = given["kind"] == "custom" and not given.get("secret")
    made_keys = given["kind"] in ("wecom", "official", "service") and not (
        given.get("callback_token") or given.get("encoding_aes_key")
    )
    if made_secret:
        given["secret"] = accounts.new_webhook_secret()
    elif made_keys:
        given["callback_token"], given["encoding_aes_key"] = accounts.new_callback_keys()
    new = accounts.NewAccount(**given)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, actor()) as work:
            accounts.check_addable(work, new)
            _say_twice(frame, work, new)
        if not no_check:
            _check_new(frame, runtime, new, ask=not made_secret)
        with runtime.work(workspace, actor()) as work:
            made = accounts.add(work, new)
    _say_added(frame, made, new if made_keys or made_secret else None)
    frame.emit(made)


def _asked(frame: Frame, given: dict[str, Any]) -> dict[str, Any]:
    if asking.can_ask() and not frame.yes:
        return asking.ask(frame, given)
    if not given["kind"]:
        raise Invalid("cli.missing_argument", name="kind", command="tagcast account add")
    return given


def _say_twice(frame: Frame, work: "Work", new: accounts.NewAccount) -> None:
    """A corp may have several apps; of another platform account a second one here is rarely meant."""
    for one in accounts.all_(work):
        if new.appid and one.appid == new.appid and one.kind != "custom":
            frame.say(
                f"{new.appid} is connected already, as {one.name}: each counts its own calls, and only the account "
                "whose address stands in the platform's console gets callbacks.",
                f"{new.appid} 已作为“{one.name}”接入：两者各自计数，且只有平台后台填写的那个地址能收到回调。",
            )


def _say_added(frame: Frame, made: accounts.Account, new: accounts.NewAccount | None) -> None:
    """Where callbacks arrive, and the callback keys or the secret that were made for it, if any."""
    if made.kind == "custom":
        frame.say(f"Added {made.name}.", f"已添加 {made.name}。")
        if new is not None:
            _say_secret(frame, made.name, new.secret)
        return
    address = f"{frame.settings().public_url.rstrip('/')}/callback/{made.callback_path}"
    frame.say(f"Added {made.name}. Its callback address is {address}", f"已添加 {made.name}，回调地址为 {address}")
    if new is not None:
        pair = f"Token {new.callback_token}  EncodingAESKey {new.encoding_aes_key}"
        frame.say(
            f"Enter in the platform's console, in 安全模式 (shown once): {pair}",
            f"请在平台后台填写并选择安全模式（只显示一次）：{pair}",
        )


def _say_secret(frame: Frame, name: str, secret: str) -> None:
    frame.say(
        f"Give this secret to your system (shown once), then run `tagcast account check {name}`: {secret}",
        f"请把密钥填入您的系统（只显示一次），然后运行 `tagcast account check {name}`：{secret}",
    )


def _check_new(frame: Frame, runtime: "Runtime", new: accounts.NewAccount, *, ask: bool) -> None:
    """Raises Refused when the platform lacks something that the account needs."""
    health = asyncio.run(accounts.check_new(runtime, new, ask=ask))
    if health.ok:
        return
    if not frame.json:
        asking.show(frame, health)
    raise _not_ready(frame, health)


def _not_ready(frame: Frame, health: accounts.Health) -> Refused:
    missing = [item.told(frame.lang)[0] for item in health.items if item.state == "fail"]
    listed = ("、" if frame.lang == "zh" else ", ").join(missing)
    return Refused("cli.account_not_ready", account=health.account.name, missing=listed)


@app.command()
def ls(ctx: typer.Context) -> None:
    """The accounts."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(
            accounts.all_(work),
            ["id", "kind", "name", "appid", "profile", "zone", "base_url"],
            none=(
                "There is no account yet. Connect one with `tagcast account add`, or try `tagcast sandbox`.",
                "还没有账号。请用 `tagcast account add` 接入，或用 `tagcast sandbox` 试用。",
            ),
        )


@app.command()
def show(ctx: typer.Context, account: Which) -> None:
    """One account."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.emit(accounts.get(work, which(account)))


@app.command()
def check(ctx: typer.Context, account: Which) -> None:
    """Try all that Tagcast needs of the platform, by reading; what is missing is told in its console's words."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "check") as work:
            found = accounts.get(work, which(account))
        health = asyncio.run(accounts.check(runtime, workspace, found.id))
    if frame.json:
        facts = {"account": found.name, "ok": health.ok, "tags": health.tags, "employees": health.employees}
        frame.emit({**facts, "items": health.items})
    else:
        asking.show(frame, health)
    if not health.ok:
        raise health.problem or _not_ready(frame, health)


@app.command()
def quota(ctx: typer.Context, account: Which) -> None:
    """Calls of today and what is left, read from the platform where it tells them."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "quota") as work:
            found = accounts.get(work, which(account))
        rows = asyncio.run(accounts.read_quota(runtime, workspace, found.id))
    frame.table(
        [
            {
                "api": row.api,
                "what": row.zh if frame.lang == "zh" else row.en,
                "used": row.used,
                "left": row.left,
                "limit": row.limit,
                "source": row.source,
                "read_at": row.read_at,
                "closed_until_ms": row.closed_until,
            }
            for row in rows
        ],
        ["api", "what", "used", "left", "limit", "source", "read_at", "closed_until_ms"],
        none=("Nothing is called, so nothing is counted.", "没有调用，也没有计数。"),
        of="quota",
    )


@app.command()
def sync(
    ctx: typer.Context,
    account: Which,
    full: Annotated[bool, typer.Option("--full", help="Ask about everybody again, not about new people only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would change, and change nothing.")] = False,
    every: Annotated[int | None, typer.Option(help="Only set how often, in hours; 0: never. Else daily.")] = None,
) -> None:
    """Read its followers or customers from the platform; interrupted, it goes on where it stopped."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime, frame.progress("people") as bar:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "sync") as work:
            found = accounts.get(work, which(account))
        if every is not None:
            with runtime.work(workspace, actor()) as work:
                contacts.schedule(work, found.id, every)
            said = (f"Every {every} hours.", f"每 {every} 小时一次。") if every else ("By hand only.", "仅手动同步。")
            frame.done(*said, account=found.name, every_hours=every)
            return
        result = asyncio.run(
            contacts.sync_account(
                runtime, workspace, found.id, full=full, dry_run=dry_run,
                progress=lambda done, total: bar(done, total or None),
            )
        )  # fmt: skip
    frame.emit(result)


@app.command()
def templates(ctx: typer.Context, account: Which) -> None:
    """The message templates that a service account has on the platform."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, "templates") as work:
            found = accounts.get(work, which(account))
        rows = asyncio.run(accounts.templates(runtime, workspace, found.id))
    frame.table([row.model_dump() for row in rows], ["template_id", "title", "content"])


@app.command()
def limits(ctx: typer.Context, account: Which) -> None:
    """The limits that hold for an account, each with its source."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = accounts.limits(work, accounts.get(work, which(account)).id)
    rows = [
        {"limit": key, "value": limit.value, "source": limit.source, "date": limit.date, "profile": limit.profile}
        for key, limit in sorted(found.values.items())
    ]
    frame.table(rows, ["limit", "value", "profile", "date", "source"])


@app.command()
def profile(ctx: typer.Context, account: Which, name: Annotated[str, typer.Argument(help="Limit profile.")]) -> None:
    """Let an account follow another limit profile."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(accounts.set_profile(work, accounts.get(work, which(account)).id, name))


@app.command()
def secret(ctx: typer.Context, account: Which, secrets: Annotated[Path | None, typer.Option()] = None) -> None:
    """Replace the secret, or the callback's token and key, or all, given as for `add`.

    A custom account gets a new secret when none is given.
    """
    frame = Frame.of(ctx)
    given = _secrets(secrets)
    secret, pair = given.get("secret", ""), [given.get(name, "") for name in SECRETS[1:]]
    with frame.write() as work:
        found = accounts.get(work, which(account))
        made = accounts.new_webhook_secret() if found.kind == "custom" and not secret else ""
        if secret or made or not any(pair):
            accounts.set_secret(work, found.id, secret or made)
        if any(pair):
            accounts.set_callback_keys(work, found.id, *pair)
    if made:
        _say_secret(frame, found.name, made)
    frame.done(f"The secret of {found.name} is replaced.", f"已更换 {found.name} 的密钥。", replaced=found.name)


@app.command()
def rm(ctx: typer.Context, account: Which) -> None:
    """Remove an account and its secrets."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = accounts.get(work, which(account))
    frame.confirm(f"Remove the account {found.name} and its secrets?", f"要移除账号 {found.name} 及其密钥吗？")
    with frame.write() as work:
        accounts.remove(work, found.id)
    frame.done(f"Removed {found.name}.", f"已移除 {found.name}。", removed=found.name)


def which(text: str) -> int | str:
    """A number or a name, as the front doors take them."""
    return int(text) if text.isascii() and text.isdigit() else text


def _secrets(file: Path | None) -> dict[str, str]:
    if file is None:
        found = {name: os.environ.get(f"WECHAT_{name.upper()}", "") for name in SECRETS}
        return {name: value for name, value in found.items() if value}
    lines = [line.partition("=") for line in read_text(file).splitlines() if line.strip()]
    given = {name.strip().lower(): value.strip().strip("\"'") for name, _, value in lines if not name.startswith("#")}
    if unknown := set(given) - set(SECRETS):
        raise Invalid("cli.bad_secrets", file=str(file), name=min(unknown), known=", ".join(SECRETS))
    return given
