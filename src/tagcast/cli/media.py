"""`tagcast media`: the files that messages show."""

from pathlib import Path
from typing import Annotated

import typer

from tagcast import broadcasts
from tagcast.cli.frame import Frame
from tagcast.kit.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="Files 素材 that messages show: pictures, films, recordings, documents.")

COLUMNS = ["id", "reference", "kind", "name", "size", "created_at"]
Number = Annotated[int, typer.Argument(help="The file's number.")]


@app.command()
def add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file.")],
    kind: Annotated[str, typer.Option(help="image, voice, video or file; else by the name's ending.")] = "",
) -> None:
    """Keep a file; prints what a message calls it. The same file again is kept once."""
    frame = Frame.of(ctx)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid("cli.no_file", file=str(file), reason=error.strerror) from None
    with frame.write() as work:
        frame.emit(_row(broadcasts.media.add(work, file.name, content, kind)), of="media")


@app.command()
def ls(ctx: typer.Context) -> None:
    """All files, the newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(
            [_row(one) for one in broadcasts.media.all_(work)],
            COLUMNS,
            of="media",
            none=(
                "There is no file yet. Add one with: tagcast media add FILE",
                "还没有文件。添加：tagcast media add 文件",
            ),
        )


@app.command()
def rm(ctx: typer.Context, number: Number) -> None:
    """Delete a file that no broadcast which is not over shows."""
    frame = Frame.of(ctx)
    frame.confirm(f"Delete file {number}?", f"要删除文件 {number} 吗？")
    with frame.write() as work:
        gone = broadcasts.media.remove(work, number)
    frame.done(f"Deleted {gone.name}.", f"已删除 {gone.name}。", deleted=number)


def _row(one: broadcasts.Media) -> dict[str, object]:
    return {name: getattr(one, name) for name in COLUMNS}
