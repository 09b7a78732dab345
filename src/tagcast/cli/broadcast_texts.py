"""`tagcast broadcast texts`: the different texts of a broadcast, and the extreme ones."""

from typing import Annotated

import typer

from tagcast import broadcasts
from tagcast.cli.broadcast import Number, app
from tagcast.cli.frame import Frame

LINE = 60


@app.command()
def texts(
    ctx: typer.Context,
    broadcast: Number,
    variant: Annotated[str, typer.Option(help="Name of a variant.")] = "",
) -> None:
    """The different texts with how many get each, and whose is the longest and the shortest."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.get(work, broadcast)
        who = broadcasts.addressees(work, found)
        needed = broadcasts.texts_needed(work, found, who, variant)
        cases = broadcasts.worst_cases(work, found, who, variant)
    if frame.json:
        rows = [
            {"contacts": one.contacts, "contact": one.contact, "content": one.content.to_json()} for one in needed.texts
        ]
        extremes = [
            {"why": case.why, "field": case.field, "contact": case.contact, "size": case.size} for case in cases
        ]
        frame.emit({"different": needed.different, "texts": rows, "cases": extremes})
        return
    frame.say(f"{needed.different} different texts.", f"共 {needed.different} 种文本。")
    frame.table(
        [{"contacts": one.contacts, "contact": one.contact, "content": _line(one.content)} for one in needed.texts],
        ["contacts", "contact", "content"],
        of="broadcast_texts",
    )
    if cases:
        frame.table(
            [{"why": one.why, "field": one.field, "contact": one.contact, "size": one.size} for one in cases],
            ["why", "field", "contact", "size"],
            of="broadcast_texts",
        )


def _line(content: broadcasts.Content) -> str:
    said = " · ".join(broadcasts.texts_of(content).values()).replace("\n", " ")
    return said if len(said) <= LINE else said[: LINE - 1] + "…"
