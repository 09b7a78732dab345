"""`tagcast bench`: how fast it is here, beside a peer in the same run. Needs a checkout."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

import tagcast
from tagcast.cli import bench_page
from tagcast.cli.frame import FAILED, Frame, plain
from tagcast.kit.errors import Unavailable

app = typer.Typer(no_args_is_help=True, help="Benchmarks, each with a peer on the same data.")


@app.callback()
def settle(
    ctx: typer.Context,
    page: Annotated[Path | None, typer.Option(help="Folder in which the benchmark writes its page.")] = None,
) -> None:
    """Where the figures go besides the screen."""
    ctx.meta["page"] = page


COLUMNS = ["work", "size", "ours", "peer", "unit", "ratio", "peer_name", "equal"]
BARS = [*COLUMNS[:-1], "bar", "met", "bound", "equal"]


@app.command()
def audience(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Contacts.")] = 10_000_000) -> None:
    """Exact counts of tag expressions, against DuckDB, PostgreSQL, ClickHouse and bare sets; memory and cold start."""
    _run(ctx, "audience", size, BARS)


@app.command()
def tagging(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Contacts.")] = 10_000_000) -> None:
    """Durable tagging, of one contact, of a segment and of pairs in any order, against SQLite and PostgreSQL."""
    _run(ctx, "tagging", size, BARS)


@app.command()
def intake(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Events.")] = 1_000_000) -> None:
    """Taking events in, durable and with all that is derived from them, against PostgreSQL and DuckDB."""
    _run(ctx, "intake", size, BARS)


@app.command()
def behaviour(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Events.")] = 10_000_000) -> None:
    """Who did what, how often and when, against DuckDB and polars over the same files."""
    _run(ctx, "behaviour", size, BARS)


@app.command()
def rfm(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Events.")] = 10_000_000) -> None:
    """Recency, frequency, money and lifetime values, against DuckDB and lifetimes."""
    _run(ctx, "rfm", size, BARS)


@app.command()
def rules(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Contacts.")] = 1_000_000) -> None:
    """From an event over a rule to a tag that a segment sees."""
    _run(ctx, "rules", size, BARS)


@app.command()
def lake(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Events.")] = 10_000_000) -> None:
    """What only the lake can answer, against SQL written by hand."""
    _run(ctx, "lake", size, BARS)


@app.command()
def plan(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Recipients.")] = 2_000_000) -> None:
    """A broadcast planned and frozen, against PostgreSQL with a row a fact and a row a recipient."""
    _run(ctx, "plan", size, BARS)


@app.command()
def send(ctx: typer.Context, size: Annotated[int, typer.Option(min=1000, help="Recipients.")] = 20_000) -> None:
    """A broadcast of template messages with its ledger, against bare HTTP clients and wechatpy; many workers."""
    _run(ctx, "send", size, BARS)


@app.command(name="import")
def import_(ctx: typer.Context, size: Annotated[int, typer.Option(min=100, help="Rows.")] = 20_000) -> None:
    """Importing contacts, against bulk loads of SQLite and PostgreSQL."""
    _run(ctx, "imports", size)


@app.command()
def channels(ctx: typer.Context, size: Annotated[int, typer.Option(min=100, help="Calls a turn.")] = 4000) -> None:
    """Template messages, one call a person, against wechatpy and bare HTTP clients; each ratio has a bar."""
    _run(ctx, "channels", size, BARS)


@app.command()
def callbacks(
    ctx: typer.Context, size: Annotated[int, typer.Option(min=100, help="Callbacks a turn.")] = 20_000
) -> None:
    """Callbacks received, decrypted and stored, against a framework route with wechatpy; each ratio has a bar."""
    _run(ctx, "callbacks", size, BARS)


def _run(ctx: typer.Context, name: str, size: int, columns: list[str] = COLUMNS) -> None:
    frame = Frame.of(ctx)
    root = Path(tagcast.__file__).parents[2]
    if not (root / "bench" / f"{name}.py").exists():
        raise Unavailable("cli.no_checkout", folder=str(root / "bench" / f"{name}.py"))
    sys.path.insert(0, str(root))
    found: list[object] = []
    try:
        for row in importlib.import_module(f"bench.{name}").run(size):
            found.append(plain(row))
            if sys.stderr.isatty():
                frame.say(f"  … {row.work}: {row.peer_name}", f"  … {row.work}：{row.peer_name}")
    except ModuleNotFoundError as error:
        raise Unavailable("cli.no_peer", package=error.name or "") from error
    frame.table(found, columns, lines=True)
    if (page := ctx.meta["page"]) is not None:
        written = bench_page.write(page, ctx.info_name or name, size, [row for row in found if isinstance(row, dict)])
        frame.say(f"Written: {written}", f"已写入：{written}")
    if not all(isinstance(row, dict) and row["equal"] for row in found):
        frame.say("The answers differ.", "结果不一致。")
        raise typer.Exit(FAILED)
    if missed := [row["work"] for row in found if isinstance(row, dict) and not row.get("met", True)]:
        frame.say(f"Below the bar: {'; '.join(map(str, missed))}.", f"未达标：{'；'.join(map(str, missed))}。")
