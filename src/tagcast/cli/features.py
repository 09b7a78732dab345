"""`tagcast features`: numbers and classes computed from behaviour."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from tagcast import access, features
from tagcast.cli.frame import Frame, actor, plain, read_text
from tagcast.kit.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="Features 特征: RFM, layers, families, features of your own.")

DAY = ["%Y-%m-%d"]
Model = Annotated[str, typer.Option("--model", help="Which RFM model.")]


@app.command()
def rfm(
    ctx: typer.Context,
    as_of: Annotated[datetime | None, typer.Option("--as-of", formats=DAY, help="Else today.")] = None,
    event: Annotated[str | None, typer.Option(help="Which events count; else as the model is defined.")] = None,
    model: Model = "rfm",
) -> None:
    """Compute recency, frequency and money, with scores and the eight classes."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        day = as_of.date() if as_of is not None else work.today
        _print(frame, features.compute_rfm(work, as_of=day, event=event, name=model))


@app.command()
def show(ctx: typer.Context, model: Annotated[str, typer.Argument(help="Which RFM model.")] = "rfm") -> None:
    """The last computation: sizes of the classes, and of the grid of R and F."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        _print(frame, features.table(work, model))


def _print(frame: Frame, table: features.RfmTable) -> None:
    if frame.json:
        frame.emit(table)
        return
    frame.table([{"class": name, "contacts": size} for name, size in table.classes.items()], ["class", "contacts"])
    cells = [
        {"R \\ F": f"R{r}", **{f"F{f}": size for f, size in enumerate(row, 1)}}
        for r, row in reversed(list(enumerate(table.grid, 1)))
    ]
    print()
    frame.table(cells, ["R \\ F", *(f"F{f}" for f in range(1, len(table.grid) + 1))])


@app.command()
def ls(ctx: typer.Context) -> None:
    """The features that a segment can use."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = list(features.names(work).values())
    frame.table(rows, ["name", "type", "label_zh", "label_en"])


@app.command()
def status(ctx: typer.Context) -> None:
    """Each definition: when it was computed, for which day, how many contacts have a value, what is under way."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [_row(one) for one in features.states(work).values()]
    columns = ["name", "version", "kind", "schedule", "contacts", "as_of", "computed_at", "state"]
    frame.table(rows, columns, of="features")


def _row(state: features.State) -> dict[str, Any]:
    run, progress = state.run, state.progress
    doing = ""
    if progress is not None:
        share = f" {progress.done * 100 // progress.total} %" if progress.state == "running" and progress.total else ""
        doing = f"{progress.state}{share}" + (f": {progress.problem}" if progress.problem else "")
    return {
        "name": state.definition.name,
        "version": state.definition.version,
        "kind": state.definition.kind,
        "schedule": state.definition.schedule,
        "contacts": state.contacts,
        "as_of": run.details["as_of"] if run is not None else "",
        "computed_at": run.computed_ms if run is not None else None,
        "state": doing,
    }


@app.command()
def define(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The name under which segments use it.")],
    event: Annotated[list[str] | None, typer.Option("--event", help="A type that counts; may be repeated.")] = None,
    measure: Annotated[str, typer.Option(help="count, days, sum, average, least, most, recency …")] = "count",
    window: Annotated[int | None, typer.Option("--window", min=1, help="The last so many days; else all time.")] = None,
    where: Annotated[str | None, typer.Option(help='[{"name": "category", "op": "is", "value": "鞋"}]')] = None,
    schedule: Annotated[str, typer.Option(help="daily, weekly or asked.")] = "daily",
    zh: Annotated[str, typer.Option(help="Its Chinese name.")] = "",
    en: Annotated[str, typer.Option(help="Its English name.")] = "",
    file: Annotated[Path | None, typer.Option("--from", help="As JSON, e.g. an RFM model; - is stdin.")] = None,
) -> None:  # fmt: skip
    """Make a feature of your own, or a new version of it. Segments can use it once it is computed."""
    frame = Frame.of(ctx)
    if file is not None:
        data = _object(read_text(file), str(file))
    else:
        given = {"events": event or [], "measure": measure, "window_days": window, "schedule": schedule}
        data = given | {"label_zh": zh, "label_en": en, "where": _list(where) if where is not None else []}
    with frame.write() as work:
        made = features.define(work, features.parse(name, data))
        fields = list(features.states(work)[name].fields)
    if frame.json:
        frame.emit({"name": name, "version": made.version, "fields": fields})
        return
    listed = ", ".join(fields)
    frame.say(
        f"{name}, version {made.version}: {listed}. Compute it: tagcast features compute {name}",
        f"{name} 版本 {made.version}：{listed}。计算：tagcast features compute {name}",
    )


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid("cli.bad_json", file=source, reason=str(error)) from None
    if not isinstance(found, dict):
        raise Invalid("cli.bad_json", file=source, reason="{ … }")
    return found


def _list(text: str) -> list[Any]:
    return list(_object(f'{{"where": {text}}}', "--where").get("where", []))


@app.command()
def history(ctx: typer.Context, name: Annotated[str, typer.Argument(help="A definition.")]) -> None:
    """The versions of a definition, newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {
                "version": one.definition.version,
                "created_at": one.created_ms,
                "created_by": one.created_by,
                "definition": plain(features.as_data(one.definition)),
            }
            for one in features.versions(work, name)
        ]
    none = ("It was never defined here; the standard holds.", "此处未定义过；使用内置定义。")
    frame.table(rows, ["version", "created_at", "created_by", "definition"], of="features", none=none)


@app.command()
def compute(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Definitions; none: all.")] = None,
    as_of: Annotated[datetime | None, typer.Option("--as-of", formats=DAY, help="Else today.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Look at everybody again, not only at who has moved.")] = False,
) -> None:
    """Compute features now. A worker does it by itself on their schedule."""
    frame = Frame.of(ctx)
    rows = []
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        if not names:
            with runtime.read(workspace, actor()) as work:
                names = list(features.definitions(work))
        for name in names:
            with frame.progress(name) as progress:
                run = features.recompute(
                    runtime, workspace, name, actor=actor(), as_of=as_of.date() if as_of is not None else None,
                    full=full, progress=progress,
                )  # fmt: skip
            rows.append({"name": name, "as_of": run.details["as_of"]} | _counts(run))
    frame.table(rows, ["name", "as_of", "contacts", "changed"], of="features")


def _counts(run: features.Run) -> dict[str, int]:
    return {"contacts": run.details["contacts"], "changed": run.details["changed"]}


@app.command()
def delete(ctx: typer.Context, name: Annotated[str, typer.Argument(help="A definition.")]) -> None:
    """Delete a feature with its values, unless a segment uses it."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        features.deletable(work, name)
    frame.confirm(f"Delete {name} and its values?", f"删除 {name} 及其取值？")
    with frame.write() as work:
        features.delete(work, name)
    frame.done(f"{name} is deleted.", f"已删除 {name}。", deleted=name)


@app.command()
def spread(ctx: typer.Context, name: Annotated[str, typer.Argument(help="A field, as `ls` shows it.")]) -> None:
    """How a feature is spread over the contacts that have it: percentiles, or the size of each class."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = features.distribution(work, name)
    if frame.json:
        frame.emit(found)
        return
    if found.choices is not None:
        frame.table([{"class": one, "contacts": size} for one, size in found.choices.items()], ["class", "contacts"])
        return
    frame.emit(
        {"contacts": found.contacts, "least": found.least, "most": found.most, "mean": found.mean}, of="features"
    )
    rows = [{"percentile": f"{at} %", "value": str(value)} for at, value in (found.percentiles or {}).items()]
    if rows:
        frame.table(rows, ["percentile", "value"], of="features")


@app.command()
def moves(
    ctx: typer.Context,
    before: Annotated[datetime, typer.Option("--before", formats=DAY, help="The earlier day.")],
    after: Annotated[datetime, typer.Option("--after", formats=DAY, help="The later day.")],
    model: Model = "rfm",
    source: Annotated[str | None, typer.Option("--source", help="With --target: who moved from this class.")] = None,
    target: Annotated[str | None, typer.Option("--target", help='A class; "" is in none.')] = None,
) -> None:
    """Who moved from which RFM class (rows) to which (columns) between two days."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = features.migration(work, model, before.date(), after.date())
    if source is not None or target is not None:
        members = list(found.members(source or "", target or ""))
        if frame.json:
            frame.emit({"count": len(members), "contacts": members})
        else:
            print("".join(f"{member}\n" for member in members), end="")
        return
    names = list(features.MOVE_CLASSES)
    if frame.json:
        frame.emit({"before": found.before, "after": found.after, "classes": names, "counts": found.counts})
        return
    called = [name or ("–" if frame.lang == "zh" else "none") for name in names]
    rows = [
        {"class": one, **dict(zip(called, row, strict=True))} for one, row in zip(called, found.counts, strict=True)
    ]
    frame.table(rows, ["class", *called])


@app.command()
def layers(ctx: typer.Context) -> None:
    """The ready-made features of the four layers, and what this workspace lacks for them."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = features.ready(work)
    frame.table(rows, ["layer", "name", "label_zh", "label_en", "used", "possible", "missing"], of="features")


@app.command()
def use(
    ctx: typer.Context, layer: Annotated[str, typer.Argument(help="basic, behaviour, value or social.")]
) -> None:  # fmt: skip
    """Take the ready-made features of a layer into use, as far as their events are declared."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = features.use(work, layer)
    _made(frame, made)


@app.command()
def pest(ctx: typer.Context, family: Annotated[str | None, typer.Argument(help="Only this family.")] = None) -> None:
    """PEST 人口-设备-行为-社交: how many contacts have a value of each member, and how old the values are."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = [one for one in features.families(work) if family in {None, one.name}]
    if frame.json:
        frame.emit({"families": found})
        return
    shown = [
        {"family": one.name, "name": member.name, "label_zh": member.label_zh, "there": member.there}
        | {"contacts": member.contacts, "coverage": f"{member.coverage:.1%}", "median_days": member.median_days}
        | {"stale": "" if member.stale is None else f"{member.stale:.1%}"}
        for one in found
        for member in one.members
    ]
    columns = ["family", "name", "label_zh", "there", "contacts", "coverage", "median_days", "stale"]
    frame.table(shown, columns, of="features")


@app.command()
def declare(
    ctx: typer.Context, family: Annotated[str, typer.Argument(help="population, device, behaviour or social.")]
) -> None:  # fmt: skip
    """Declare the built-in attributes of a family, and use its ready-made features."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = features.declare(work, family)
    _made(frame, made)


def _made(frame: Frame, made: list[str]) -> None:
    listed = ", ".join(made)
    if frame.json:
        frame.emit({"made": made})
    elif made:
        frame.say(f"New: {listed}.", f"新增：{listed}。")
    else:
        frame.say(
            "Nothing new: all that is possible is there. `tagcast features layers` says what is missing.",
            "没有新增：可用的都已存在。`tagcast features layers` 会说明缺少什么。",
        )
