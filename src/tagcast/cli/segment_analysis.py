"""`tagcast segment`, looking into them: why, overlap, time, cross tables, how they are worked out."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from tagcast import audiences
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import Frame, created
from tagcast.cli.segment import Which, app, expression
from tagcast.kit.errors import Invalid


@app.command()
def explain(
    ctx: typer.Context, segment: Which, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]
) -> None:
    """Why a contact is in it or not: parts that hold, the facts, and `*` where the outcome rests on a part."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = audiences.explain(work, expression(work, segment), number_of(work, who))
    frame.emit(_told(found, frame), text=lambda: "\n".join(_lines(found, frame, 0)))


def _told(part: audiences.Explained, frame: Frame) -> dict[str, object]:
    facts = [{"code": fact.code, "text": fact.sentence(frame.lang), **fact.params} for fact in part.facts]
    parts = [_told(below, frame) for below in part.parts]
    return {"text": part.text, "holds": part.holds, "matters": part.matters, "facts": facts, "parts": parts}


def _lines(part: audiences.Explained, frame: Frame, depth: int) -> list[str]:
    indent = "  " * depth
    mark, sign = "*" if part.matters else " ", "✓" if part.holds else "✗"
    mine = f"{mark} {indent}{sign} {part.text}"
    facts = [f"  {indent}    {fact.sentence(frame.lang)}" for fact in part.facts]
    return [mine, *facts, *(line for below in part.parts for line in _lines(below, frame, depth + 1))]


@app.command()
def overlap(ctx: typer.Context, segments: Annotated[list[str], typer.Argument(metavar="SEGMENT SEGMENT…")]) -> None:
    """The size of every region of 2 to 6 segments, and of each pair."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        expressions = [expression(work, one) for one in segments]
        found = audiences.overlap(work, expressions)
        texts = [audiences.to_text(audiences.region(expressions, one.inside)) for one in found.regions]
    if frame.json:
        frame.emit(found)
        return
    frame.table(
        [
            {"in": " + ".join(segments[i] for i in one.inside), "size": one.size, "text": text}
            for one, text in zip(found.regions, texts, strict=True)
        ],
        ["in", "size", "text"],
        of="overlap",
    )
    print()
    frame.table(_pairs(found, segments), ["a", "b", "both", "only_a", "only_b", "jaccard"], of="overlap")


@app.command()
def matrix(
    ctx: typer.Context, segments: Annotated[list[str] | None, typer.Argument(metavar="[SEGMENT…]")] = None
) -> None:
    """Each pair of many segments, of all kept ones if none is named; the most alike first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        names = segments or [f"={one.name}" for one in audiences.every(work)]
        found = audiences.matrix(work, [expression(work, one) for one in names])
    rows = sorted(_pairs(found, names), key=lambda row: -float(str(row["jaccard"])))
    frame.table(rows, ["a", "b", "both", "only_a", "only_b", "jaccard"], of="overlap")


def _pairs(found: audiences.Overlap, names: list[str]) -> list[dict[str, object]]:
    return [
        {
            "a": names[one.a],
            "b": names[one.b],
            "both": one.both,
            "only_a": one.only_a,
            "only_b": one.only_b,
            "jaccard": one.jaccard,
        }
        for one in found.pairs
    ]


@app.command()
def diff(
    ctx: typer.Context,
    segment: Which,
    since: Annotated[str, typer.Argument(help="A day or a local time: 2026-11-01, 2026-11-01T08:00.")],
    until: Annotated[str, typer.Argument(help="The later moment; nothing: now.")] = "",
    sample: Annotated[int, typer.Option(min=0, max=100, help="How many to show of who came and left, with why.")] = 0,
) -> None:
    """Who came and who left between two moments."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        meant = expression(work, segment)
        moments = (_moment(since, work.zone), _moment(until, work.zone) if until else None)
        found = audiences.difference(work, meant, *moments)
        moved = [
            one
            for members, came in ((found.came, True), (found.left, False))
            for one in audiences.moved(work, meant, moments, audiences.draw(members, sample), came=came)
        ]
    told = {"before": found.before, "after": found.after, "came": len(found.came), "left": len(found.left)}
    if frame.json:
        some = [
            {"number": one.number, "came": one.came, "leaves": [_told(leaf, frame) for leaf in one.leaves]}
            for one in moved
        ]
        frame.emit({**told, "sample": some})
        return
    frame.emit(told, of="difference")
    for one in moved:
        print(f"{'+' if one.came else '−'} {one.number}")
        print("\n".join(line for leaf in one.leaves for line in _lines(leaf, frame, 1)))


def _moment(text: str, zone: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("cli.bad_moment", text=text) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))


@app.command()
def sizes(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument()],
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Else 30 days ago.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Tell missing days from the change log.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Record the size now, too.")] = False,
    file: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
) -> None:
    """The size of a kept segment over time."""
    frame = Frame.of(ctx)
    with frame.write() if record else frame.read() as work:
        segment = audiences.find(work, name)
        if record:
            audiences.record_size(work, segment.id)
        day: date | None = since.date() if since is not None else None
        found = audiences.trend(work, segment.id, since=day, rebuild=rebuild)
    if file is not None:
        with created(file) as out:
            out.write(audiences.trend_csv(found))
        frame.emit({"file": file, "rows": len(found.sizes)})
        return
    if frame.json:
        frame.emit({"name": name, "sizes": found.sizes, "least": found.least, "most": found.most, "now": found.now})
        return
    frame.table(found.sizes, ["day", "at_ms", "size", "kept", "version"], of="sizes")
    print()
    frame.emit({"least": found.least, "most": found.most, "now": found.now}, of="sizes")


@app.command()
def table(
    ctx: typer.Context,
    dimensions: Annotated[
        list[str],
        typer.Argument(
            metavar="DIMENSION…",
            help="region · 'spend: 0, 100' · 'spend: 4 parts' · 'tag: 会员' · 'segments: A, B'",
        ),
    ],
    within: Annotated[str, typer.Option(help="Only the members of this segment.")] = "all",
    cell: Annotated[str, typer.Option(help="Print the expression of one cell: its places, e.g. 0,2.")] = "",
    file: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
) -> None:
    """The exact size of every cell of one to four dimensions."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = audiences.cross_table(work, dimensions, expression(work, within))
        if cell:
            one = found.cell(_places(cell))
            total = audiences.count(work, one)
    if cell:
        text = audiences.to_text(one)
        frame.emit({"count": total, "text": text, "json": audiences.to_json(one)}, text=lambda: text)
        return
    if file is not None:
        with created(file) as out:
            out.write(audiences.table_csv(found))
        frame.emit({"file": file, "rows": len(found.sizes)})
        return
    if frame.json:
        sizes = {"sizes": found.sizes, "margins": found.margins, "total": found.total}
        dimensions_ = [_dimension(one) for one in found.dimensions]
        frame.emit({"dimensions": dimensions_, **sizes})
        return
    heads = ["cell", *(dimension.name for dimension in found.dimensions), "size"]
    rows = [
        dict(zip(heads, [",".join(map(str, place)), *labels, size], strict=True))
        for place, size in zip(found.places(), found.sizes, strict=True)
        for labels in [[one.categories[i].label for one, i in zip(found.dimensions, place, strict=True)]]
    ]
    frame.table(rows, heads, of="cross")
    print()
    frame.emit({"total": found.total}, of="cross")


def _dimension(one: audiences.Dimension) -> dict[str, object]:
    listed = [{"label": each.label, "text": each.text, "rest": each.rest} for each in one.categories]
    return {"name": one.name, "apart": one.apart, "categories": listed}


def _places(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise Invalid("cli.bad_cell", text=text) from None


@app.command()
def plan(ctx: typer.Context, segment: Which) -> None:
    """How it is worked out: its parts in their order, expected and exact sizes, what must be asked of events."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = audiences.plan(work, expression(work, segment))
    if frame.json:
        frame.emit(found)
        return
    rows = list(_planned(found.root, 0))
    frame.table(rows, ["part", "kind", "keys", "estimate", "size", "ms", "times"], of="plan")


def _planned(part: audiences.Planned, depth: int) -> list[dict[str, object]]:
    mine = {
        "part": f"{'  ' * depth}{part.text[:80]}",
        "kind": part.kind,
        "keys": part.keys,
        "estimate": part.estimate,
        "size": part.size,
        "ms": part.ms,
        "times": part.times,
    }
    return [mine, *(row for below in part.parts for row in _planned(below, depth + 1))]
