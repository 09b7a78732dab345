"""`tagcast sandbox`: the local server that answers as the platforms do, its accounts and its people."""

import csv
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from tagcast.cli.contacts import write_to
from tagcast.cli.frame import Frame, created
from tagcast.kit.errors import Invalid, Unavailable

app = typer.Typer()

Url = Annotated[str, typer.Option(envvar="WECHAT_SANDBOX_URL", help="Where the sandbox answers.")]
URL = "http://127.0.0.1:8400"
PEOPLE = ("unionid", "name", "sex", "region", "city", "device", "age_band", "taste")


@app.callback(invoke_without_command=True)
def sandbox(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="0: any free one.")] = 8400,
    state: Annotated[Path | None, typer.Option(help="Its SQLite file; else sandbox.db in the home.")] = None,
    population: Annotated[int, typer.Option(help="How many people, when the state has none yet.")] = 2000,
    seed: Annotated[int | None, typer.Option(help="Fixes everything about them; 7 for a new state.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what the state has, and begin anew.")] = False,
    virtual: Annotated[bool, typer.Option("--virtual", help="Time stands still until `clock` moves it.")] = False,
) -> None:
    """Start the WeChat sandbox 沙箱; it prints its address as a line of JSON. Ctrl-C ends it.

    The same address in a browser shows accounts, people, clock, faults and the ledger. The commands below talk to one
    that runs.
    """
    if ctx.invoked_subcommand is not None:
        return
    file = state or Frame.of(ctx).settings().home / "sandbox.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "wechat_sandbox", "--port", str(port), "--state", str(file)]
    command += ["--population", str(population), *(["--fresh"] if fresh else [])]
    if seed is not None or fresh or not file.exists():
        command += ["--seed", str(7 if seed is None else seed)]
    started = subprocess.Popen([*command, *(["--clock", "virtual"] if virtual else [])])
    signal.signal(signal.SIGTERM, lambda *_: started.terminate())
    while True:
        try:
            code = started.wait()
        except KeyboardInterrupt:  # the sandbox got the signal too, and ends by itself
            continue
        raise typer.Exit(max(code, 0))


@app.command()
def account(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="wecom, official, service or custom.")],
    name: Annotated[str, typer.Argument(help="What it is called there.")],
    secrets: Annotated[Path, typer.Option(help="Where to write its secrets, for `tagcast account add`.")],
    url: Url = URL,
) -> None:
    """Open an account on the pretended platform."""
    frame = Frame.of(ctx)
    write_to(secrets)
    if secrets.exists():  # told before the account is opened
        raise Invalid("cli.file_exists", file=str(secrets))
    made = _call(url, "POST", "/sandbox/accounts", {"kind": kind, "name": name})
    with created(secrets) as out:
        out.write(f"secret={made['secret']}\n")
        if kind != "custom":
            out.write(f"callback_token={made['token']}\nencoding_aes_key={made['encoding_aes_key']}\n")
    option = f"--corpid {made['corpid']}" if kind == "wecom" else f"--appid {made['appid']}"
    where = f"{option} --base-url {url}"
    if kind == "custom":
        where = f"--url '{url}/webhook/in?account={made['id']}'"
    line = f"tagcast account add {kind} {_word(name)} {where} --secrets {_word(str(secrets))}"
    frame.say(f"Connect it: {line}", f"接入：{line}")
    frame.emit({"id": made["id"], "kind": kind, "name": name, "appid": made["appid"] or made["corpid"]})


@app.command()
def accounts(ctx: typer.Context, url: Url = URL) -> None:
    """The accounts of the pretended platform."""
    found = _call(url, "GET", "/sandbox/accounts")["accounts"]
    rows = [{**one, "appid": one["appid"] or one["corpid"]} for one in found]
    columns = ["id", "kind", "name", "appid", "callback_url"]
    Frame.of(ctx).table([{name: row[name] for name in columns} for row in rows], columns)


@app.command()
def callback(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(help="The account's number in the sandbox.")],
    address: Annotated[str, typer.Argument(help="As `tagcast account add` said it.")],
    token: Annotated[str, typer.Option(help="Token, if `tagcast account add` made one.")] = "",
    aes_key: Annotated[str, typer.Option(help="EncodingAESKey, made with it.")] = "",
    url: Url = URL,
) -> None:
    """Set an account's callback address, as one does on the platform's page, and let the platform check it."""
    keys = {"callback_token": token, "encoding_aes_key": aes_key}
    given = {name: value for name, value in keys.items() if value}
    _call(url, "PATCH", f"/sandbox/accounts/{number}", {"callback_url": address, **given})
    found = _call(url, "POST", f"/sandbox/accounts/{number}/verify", {})
    if not found["ok"]:
        code = "cli.callback_other_keys" if found["status"] == 400 else "cli.callback_fails"
        raise Unavailable(code, address=address, status=found["status"])
    Frame.of(ctx).emit({"account": number, "ok": True})


@app.command()
def people(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="CSV.")], url: Url = URL) -> None:
    """Write the made-up people as a shop would know them: a file to import.

    A custom account has a column member_id_<its number> with the ids of its members.
    """
    write_to(file)
    made = _call(url, "GET", "/sandbox/accounts")["accounts"]
    custom = [str(one["id"]) for one in made if one["kind"] == "custom"]
    found = _call(url, "GET", "/sandbox/people", lines=True)
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        rows = csv.writer(out)
        rows.writerow([*PEOPLE, *(f"member_id_{number}" for number in custom)])
        for person in found:
            known = [person["ids"][number] for number in custom]
            members = [one["member_id"] if one["follows"] else "" for one in known]
            rows.writerow([*(person[name] for name in PEOPLE), *members])
    Frame.of(ctx).emit({"file": file, "rows": len(found)})


@app.command()
def orders(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV.")],
    after: Annotated[int, typer.Option(help="Only those after this many.")] = 0,
    url: Url = URL,
) -> None:
    """Write what people ordered: a file to import as purchases."""
    write_to(file)
    found = _call(url, "GET", f"/sandbox/orders?after={after}&limit=1000000")["orders"]
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["order_id", "unionid", "at", "amount"])
        rows.writerows(
            [order["order_id"], order["unionid"], order["at"], f"{order['amount_cents'] / 100:.2f}"] for order in found
        )
    Frame.of(ctx).emit({"file": file, "rows": len(found)})


@app.command()
def act(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(help="How far, in compressed time.")] = 3,
    url: Url = URL,
) -> None:
    """Let the people live: open, click and buy."""
    frame = Frame.of(ctx)
    _call(url, "POST", "/sandbox/population/act", {"days": days})
    with frame.progress("people") as bar:
        while (now := _call(url, "GET", "/sandbox/population/act"))["state"] == "running":
            bar(now["done"], now["total"])
            time.sleep(0.2)
    frame.emit({name: now[name] for name in ("opened", "clicked", "bought", "left")})


@app.command()
def clock(
    ctx: typer.Context,
    advance: Annotated[float, typer.Option(help="Seconds to go on.")] = 0,
    days: Annotated[int, typer.Option(help="Days to go on, lived by the people.")] = 0,
    mode: Annotated[str | None, typer.Option(help="real, or virtual: stands still.")] = None,
    url: Url = URL,
) -> None:
    """Show or move the sandbox's clock; what falls due on the way is done, in order."""
    body = {"mode": mode} if mode else {}
    if days:
        _call(url, "POST", "/sandbox/clock", {**body, "advance_seconds": days * 86400, "act": True})
    if advance or (body and not days):
        _call(url, "POST", "/sandbox/clock", {**body, "advance_seconds": advance})
    Frame.of(ctx).emit(_call(url, "GET", "/sandbox/clock"))


@app.command()
def faults(
    ctx: typer.Context,
    preset: Annotated[str | None, typer.Option(help="Add a ready-made set, as bad_day.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all.")] = False,
    url: Url = URL,
) -> None:
    """Show what goes wrong on purpose, add a ready-made set, or remove all. More on the sandbox's page."""
    if clear:
        _call(url, "DELETE", "/sandbox/faults")
    if preset:
        known = _call(url, "GET", "/sandbox/faults/presets")["presets"]
        if preset not in known:
            raise Invalid("cli.no_preset", preset=preset, known=", ".join(known))
        _call(url, "POST", "/sandbox/faults", {"preset": preset})
    rows = [{**one, "where": one["path"] or one["event"]} for one in _call(url, "GET", "/sandbox/faults")["faults"]]
    columns = ["id", "where", "kind", "probability", "times", "seconds", "account", "hit"]
    Frame.of(ctx).table([{name: row[name] for name in columns} for row in rows], columns)


@app.command()
def ledger(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(help="The account's number in the sandbox.")],
    last: Annotated[int, typer.Option(help="How many entries, the newest first.")] = 20,
    url: Url = URL,
) -> None:
    """What the pretended platform was asked and what arrived."""
    frame = Frame.of(ctx)
    found = _call(url, "GET", f"/sandbox/ledger?account={number}&newest=1&limit={last}", lines=True)
    columns = ["seq", "person", "outcome", "via", "key", "topic"]
    frame.table([{name: row[name] for name in columns} for row in found], columns)


@app.command()
def phone(
    ctx: typer.Context,
    person: Annotated[str, typer.Argument(help="unionid, openid, external_userid or member id.")],
    url: Url = URL,
) -> None:
    """What a made-up person received, the newest first."""
    found = _call(url, "GET", f"/sandbox/people/phone?{urlencode({'person': person})}")["messages"]
    rows = [{**one, "account": one["name"], "text": " / ".join(one["lines"])} for one in found]
    columns = ["account", "via", "text", "link"]
    Frame.of(ctx).table([{name: row[name] for name in columns} for row in rows], columns)


def _call(url: str, method: str, path: str, body: object = None, *, lines: bool = False) -> Any:
    from tagcast.cli.demo.stage import Http
    from tagcast.kit.http import HttpError

    try:
        return Http(url).lines(path) if lines else Http(url).call(method, path, body)
    except HttpError as error:
        raise Unavailable("cli.no_sandbox", url=url, reason=str(error)) from None
    except Unavailable as error:
        if error.code != "cli.demo_call_failed":
            raise
        raise Invalid("cli.sandbox_refused", reason=_reason(str(error.params["answer"]))) from None


def _word(text: str) -> str:
    """As the shell takes it; Chinese needs no quotes."""
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)


def _reason(answer: str) -> str:
    """What the sandbox says is wrong."""
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:200]
