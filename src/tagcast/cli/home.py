"""`tagcast init | migrate | key`: the home folder and its API keys."""

import typer

from tagcast import access
from tagcast.cli.frame import Frame
from tagcast.kit import clock
from tagcast.kit.errors import NotFound

key = typer.Typer(no_args_is_help=True, help="API keys of the HTTP API.")


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
