"""`tagcast init | migrate | key`: the home folder, its API keys, and the rotation of the keys that seal."""

import base64
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from tagcast import access
from tagcast.cli.frame import Frame
from tagcast.kit import clock, crypto
from tagcast.kit.errors import NotFound

if TYPE_CHECKING:
    from tagcast.kit.uow import Runtime

key = typer.Typer(no_args_is_help=True, help="API keys of the HTTP API, and the keys that seal what is kept.")

# Whose columns are sealed; loaded before all that is sealed is counted or sealed anew.
SEALING = ("accounts", "broadcasts", "contacts", "inbox")


def init(ctx: typer.Context) -> None:
    """Make a home: master key, database, first API key (shown once)."""
    frame = Frame.of(ctx)
    settings = frame.settings()
    issued = access.initialise(settings)
    frame.say(
        f"Made {settings.home}. Keep {settings.home / 'key'} safe and apart:\n"
        "without it the people in the vault cannot be read. The API key below is shown once.",
        f"已创建 {settings.home}。请妥善并分开保管 {settings.home / 'key'}：\n"
        "没有它，保险库中的联系人无法读取。下面的 API 密钥只显示一次。",
    )
    frame.emit({"home": str(settings.home.absolute()), "api_key": issued}, text=lambda: issued)


def migrate(ctx: typer.Context) -> None:
    """Bring the database to this version; can be interrupted and run again."""
    frame = Frame.of(ctx)
    settings = frame.settings()
    if not access.is_initialised(settings):
        raise NotFound("kit.no_home", home=str(settings.home))
    access.migrate(settings)
    frame.done("The database is current.", "数据库已是最新版本。", current=True)


@key.command()
def issue(ctx: typer.Context, name: str = typer.Argument(help="What it is for.")) -> None:
    """Make a key; its text is shown once."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        text = access.issue_key(work, name)
    frame.emit({"name": name, "api_key": text}, text=lambda: text)


@key.command()
def ls(ctx: typer.Context) -> None:
    """The workspace's keys."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {
                "id": row.key_id,
                "name": row.name,
                "made": clock.from_ms(row.created_at),
                "revoked": None if row.revoked_at is None else clock.from_ms(row.revoked_at),
            }
            for row in access.keys(work)
        ]
    frame.table(rows, ["id", "name", "made", "revoked"])


@key.command()
def revoke(ctx: typer.Context, key_id: str = typer.Argument(help="Its id, as `tagcast key ls` shows it.")) -> None:
    """Make a key useless at once."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        access.revoke_key(work, key_id)
    frame.done(f"Revoked {key_id}.", f"已吊销 {key_id}。", revoked=key_id)


@key.command()
def status(ctx: typer.Context) -> None:
    """The keys that seal, and how much needs each."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        _show(frame, _ready(runtime))


@key.command()
def rotate(ctx: typer.Context) -> None:
    """Make new keys and seal everything anew; cut off, the next call goes on. Servers and workers may run meanwhile."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        _ready(runtime)
        with frame.progress("sealed values") as bar:
            found = access.rotate_keys(runtime, bar)
        if not runtime.settings.key:
            key = runtime.settings.home / "key"
            frame.say(
                f"The master key in {key} is new: back it up now, apart from the data. "
                "Keep the former one as long as you keep backups made before.",
                f"{key} 中的主密钥已更换：请立即另行备份，并与数据分开保管。旧主密钥须与此前的备份一同保留。",
            )
        elif found.master_keys == 1:
            frame.say(
                "The master key comes from the settings and was not replaced. To replace it, set TAGCAST_KEY to a new "
                "one (`tagcast key new`), a comma and the present one, restart all processes, and rotate again.",
                "主密钥来自设置，未更换。要更换，请把 TAGCAST_KEY 设为“新密钥,旧密钥”（用 `tagcast key new` 生成），"
                "重启全部进程后再次轮换。",
            )
        else:
            frame.say(
                "All keys are wrapped by the first master key of the settings; the others can be taken out.",
                "全部密钥已由设置中的第一个主密钥包裹，其余的可以移除。",
            )
        _show(frame, found)


@key.command()
def prune(ctx: typer.Context) -> None:
    """Remove former keys that nothing needs any more."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        _ready(runtime)
        removed = access.prune_keys(runtime)
    frame.done(f"Removed {removed} former keys.", f"已移除 {removed} 个旧密钥。", removed=removed)


@key.command()
def new(ctx: typer.Context) -> None:
    """Print a new master key, for a home whose key comes from the settings."""
    text = base64.b64encode(crypto.new_key()).decode()
    Frame.of(ctx).emit({"key": text}, text=lambda: text)


def _ready(runtime: "Runtime") -> access.KeyStatus:
    for name in SEALING:
        import_module(f"tagcast.{name}")
    return access.key_status(runtime)


def _show(frame: Frame, found: access.KeyStatus) -> None:
    if found.broken:
        frame.say(
            f"{found.broken} values open with no key; they were left as they are.",
            f"有 {found.broken} 个值无法用任何密钥打开，已保持原样。",
        )
    frame.table(found.keys, ["workspace", "number", "newest", "values", "made_at"])
