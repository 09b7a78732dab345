"""`tagcast contacts`: people and their attributes, import and export."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from tagcast import access, accounts, compliance, contacts, files, tags
from tagcast.cli.account import which
from tagcast.cli.frame import REFUSED, Frame, actor, readable
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Work

app = typer.Typer(no_args_is_help=True, help="Contacts 联系人: import, export, attributes, one person.")


@app.command(name="import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet; - is stdin.")],
    mapping: Annotated[Path, typer.Option("--map", help='TOML or JSON: column = "identity:customer_id" …')],
    tag: Annotated[list[str] | None, typer.Option(help="Path of a tag for every row; repeatable.")] = None,
    make_tags: Annotated[bool, typer.Option("--make-tags", help="Make tags that are not there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check all, change nothing.")] = False,
    errors: Annotated[Path | None, typer.Option(help="Copy the refused rows with their reasons here.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Else found out: UTF-8, GB18030 …")] = None,
) -> None:
    """Import people. Running it again goes on where it stopped, or changes nothing."""
    frame = Frame.of(ctx)
    targets = contacts.with_tags(contacts.load_mapping(mapping), tag or [])
    with readable(file) as source, frame.runtime() as runtime, reading(frame, file) as progress:
        table = files.open_table(source, encoding=encoding)
        above = contacts.Above(compliance.on_import, tags.ON_IMPORT, make_tags)
        result = contacts.import_contacts(
            runtime, access.only_workspace(runtime), table, targets, actor=actor(), above=above, dry_run=dry_run,
            progress=progress,
        )  # fmt: skip
    tell(frame, result, errors)


@contextmanager
def reading(frame: Frame, file: Path) -> Iterator[Callable[[int, int, int], None]]:
    """Progress of an import on stderr."""
    with frame.progress(f"{file.name} (bytes)") as bar:
        yield lambda done, total, _rows: bar(done, total)


def tell(frame: Frame, result: contacts.ImportResult, errors: Path | None) -> None:
    """Print an import's result; exit code 2 when every row was refused."""
    if errors is not None and result.refused_file is not None:
        shutil.copyfile(result.refused_file, errors)
    if not frame.json:
        for problem in result.problems[:5]:
            text = problem.zh if frame.lang == "zh" else problem.en
            frame.say(f"line {problem.line}: {text}", f"第 {problem.line} 行：{text}")
    if result.already:
        frame.say(
            "This file was imported under this mapping before: nothing was done.",
            "该文件已按此映射导入过，本次未做任何更改。",
        )
    frame.emit(
        {
            "job": result.job,
            "rows": result.rows,
            "made": result.made,
            "matched": result.matched,
            "changed": result.changed,
            "refused": result.refused,
            "dropped": list(result.dropped),
            "dry_run": result.dry_run,
            "already": result.already,
            "refused_file": errors if errors is not None and result.refused_file else result.refused_file,
        }
    )
    if result.rows and result.refused == result.rows:
        raise typer.Exit(REFUSED)


@app.command()
def sync(ctx: typer.Context, account: Annotated[str, typer.Argument(help="Name or number.")]) -> None:
    """Read an account's followers or customers from the platform: who is new, who left."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        with runtime.read(workspace, actor()) as work:
            found = accounts.get(work, which(account))
        frame.emit(asyncio.run(contacts.sync_account(runtime, workspace, found.id)))


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write; .parquet for Parquet, else CSV.")],
    columns: Annotated[str, typer.Option(help="number, identity:<kind>, attribute:<name>, separated by commas.")],
) -> None:
    """Write all contacts as a file."""
    frame = Frame.of(ctx)
    form = write_to(file)
    with frame.read() as work:
        rows = contacts.export(work, contacts.everyone(work), columns.split(","), file, format=form)
    frame.emit({"file": file, "rows": rows})


def write_to(file: Path) -> Literal["csv", "parquet"]:
    """The form of a file to write, by its name. Raises Invalid when its folder is not there."""
    if not file.absolute().parent.is_dir():
        raise Invalid("cli.no_folder", folder=str(file.absolute().parent))
    return "parquet" if file.suffix == ".parquet" else "csv"


@app.command()
def show(ctx: typer.Context, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]) -> None:
    """One person: what is known, in the clear."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        seen = contacts.describe(work, number_of(work, who))
    frame.emit(
        {
            "number": seen.number,
            "since": clock.from_ms(seen.created_ms),
            "identities": seen.identities,
            "texts": seen.texts,
            "attributes": seen.attributes,
            "following": seen.following,
        }
    )


@app.command()
def count(ctx: typer.Context) -> None:
    """How many there are."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        total = len(contacts.everyone(work))
    frame.emit({"contacts": total}, text=lambda: str(total))


@app.command()
def erase(ctx: typer.Context, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]) -> None:
    """Delete a person for good."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        number = number_of(work, who)
    frame.confirm(f"Erase contact {number} for good?", f"要永久删除联系人 {number} 吗？")
    with frame.write() as work:
        contacts.erase(work, number)
    frame.done(f"Erased contact {number}.", f"已删除联系人 {number}。", erased=number)


@app.command()
def attributes(ctx: typer.Context) -> None:
    """The declared attributes."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = list(contacts.attributes(work).values())
    frame.table(
        rows,
        ["name", "type", "scale", "label_zh", "label_en", "purpose", "retention_days"],
        none=(
            "No attribute is declared yet. Declare one: tagcast contacts declare region choice --purpose …",
            "还没有声明属性。请先声明：tagcast contacts declare region choice --purpose …",
        ),
    )


@app.command()
def declare(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, _.")],
    kind: Annotated[Literal["choice", "number", "date", "flag", "text"], typer.Argument(metavar="TYPE")],
    purpose: Annotated[str, typer.Option(help="What it is collected for.")],
    scale: Annotated[int, typer.Option(help="Digits after the point of a number.")] = 0,
    zh: Annotated[str, typer.Option(help="Chinese label.")] = "",
    en: Annotated[str, typer.Option(help="English label.")] = "",
) -> None:
    """Declare an attribute, before the first import that fills it."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = contacts.declare_attribute(work, name, kind, purpose=purpose, scale=scale, label_zh=zh, label_en=en)
    frame.emit(made)


def number_of(work: Work, who: str) -> int:
    """The contact of a number or `<kind>:<value>` or `<kind>:<account>:<value>`. Raises Invalid."""
    if who.isascii() and who.isdigit():
        if int(who) >= 1 << 32:
            raise NotFound("cli.no_number", number=who)
        return int(who)
    kind, _, value = who.partition(":")
    account, colon, rest = value.partition(":")
    account_id, value = (int(account), rest) if colon and account.isdigit() else (0, value)
    (found,) = contacts.numbers_of(work, kind, [value], account_id)
    if found is None:
        raise Invalid("cli.nobody", kind=kind)
    return found
