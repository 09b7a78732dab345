"""`tagcast broadcast`, what it says: variants, previews, testers, test sends."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tagcast import access, accounts, broadcasts
from tagcast.broadcasts import previews
from tagcast.cli.account import which
from tagcast.cli.broadcast import Number, app
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import PARTLY_SENT, Frame, actor, created

Who = Annotated[list[str] | None, typer.Option("--as", help="A contact: number, or <kind>:<value>; may be repeated.")]
Variant = Annotated[str, typer.Option(help="Name of a variant; else each sees his own.")]


@app.command()
def variants(ctx: typer.Context, broadcast: Number) -> None:
    """Who gets which variant and why; once it is sent, what each did."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.variants.view(work, broadcast)
    if frame.json:
        frame.emit(found)
        return
    frame.table(
        [
            {
                "stage": draw.stage,
                "label": draw.label,
                "variant": one.variant,
                "size": one.size,
                "explored": one.explored,
                "best": round(one.best, 3),
                "probability": round(one.probability, 3),
            }
            for draw in found.draws
            for one in draw.shares
        ],
        ["stage", "label", "variant", "size", "explored", "best", "probability"],
        of="variants",
    )
    if not found.settled:
        frame.say("Nothing is decided yet: this is what the plan would do.", "尚未决定：以上为按当前计划的分配。")
        return
    print()
    frame.table(
        [
            {
                "variant": one.name,
                "size": one.got,
                "reached": one.reached,
                "did": one.did,
                "rate": _percent(one.rate.estimate) if one.rate else "-",
                "interval": f"{_percent(one.rate.low)} – {_percent(one.rate.high)}" if one.rate else "-",
            }
            for one in found.results
        ],
        ["variant", "size", "reached", "did", "rate", "interval"],
        of="variants",
    )
    frame.say(
        f"Measured: {found.measure}. The rate is that of all, had everybody got the variant; 95 % interval.",
        f"衡量：{frame.word(found.measure, 'variants')}。比率为假设所有人都收到该版本时的比率，区间为 95 %。",
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


@app.command()
def preview(
    ctx: typer.Context,
    broadcast: Number,
    who: Who = None,
    worst: Annotated[bool, typer.Option("--worst", help="The longest, the shortest, missing values.")] = False,
    sample: Annotated[int, typer.Option(min=1, max=20, help="How many of the audience.")] = 3,
    variant: Variant = "",
    file: Annotated[Path | None, typer.Option("--picture", help="Write a page of phones (HTML) to this file.")] = None,
) -> None:
    """How it looks to some of the audience, to named contacts, or in the worst cases; nothing is sent."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        if worst:
            found = previews.worst(work, broadcast)
        elif who:
            found = previews.named(work, broadcast, [number_of(work, one) for one in who], variant=variant)
        else:
            found = previews.sampled(work, broadcast, sample, variant=variant)
        name = broadcasts.get(work, broadcast).name
    if file is not None:
        with created(file) as out:
            out.write(previews.picture.render(found, name, frame.lang))
        frame.emit({"file": file, "count": len(found)})
        return
    frame.emit(found, text=lambda: "\n\n".join(_lines(one, frame) for one in found) or _nobody(frame))


def _nobody(frame: Frame) -> str:
    return previews.picture.words()["nobody"][frame.lang]


def _lines(one: previews.Preview, frame: Frame) -> str:
    words = previews.picture.words()

    def word(name: str) -> str:
        return words[name][frame.lang] if name in words else name

    head = [word(one.why), one.field] if one.why else [f"{word('contact')} {one.contact}"]
    head += [f"{word('variant')} {one.variant}"] if one.variant else []
    lines = ["── " + " · ".join(filter(None, head))]
    for part in one.parts:
        lines.append(f"[{part.kind}]")
        lines += [f"  {name}: {value}" for name, value in part.fields.items()]
        for size in part.sizes:
            if size.size:
                sign = f" ! {word('over')}" if size.size > size.limit else ""
                lines.append(f"  {size.field}  {size.size} / {size.limit} {word(size.unit)}{sign}")
    if one.page:
        lines += [f"[{word('opens')}]", *(f"  {said}" for said in one.page if said)]
    return "\n".join(lines)


@app.command("test")
def show_testers(
    ctx: typer.Context,
    broadcast: Number,
    tester: Annotated[list[int] | None, typer.Option(help="A tester's number; else the first of the list.")] = None,
    variant: Annotated[str | None, typer.Option(help="Name of a variant; else each.")] = None,
    like: Annotated[str, typer.Option(help="As this contact gets it: number, or <kind>:<value>.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Also to who was shown it before.")] = False,
) -> None:
    """Show it to testers, now and really; it counts for no cap and no figure. Exit code 3 when somebody saw nothing."""
    frame = Frame.of(ctx)
    frame.confirm(f"Show broadcast {broadcast} to the testers now?", f"现在把群发 {broadcast} 发给测试人员吗？")
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        contact = 0
        if like:
            with runtime.read(workspace, actor()) as work:
                contact = number_of(work, like)
        asked = previews.Asked(tuple(tester or ()), variant, contact, again)
        found = asyncio.run(previews.send(runtime, workspace, actor(), broadcast, asked))
    sentence = f"sentence_{frame.lang}"
    frame.table(
        [
            {
                "tester": one.tester,
                "contact": one.contact or one.userid,
                "variant": one.variant,
                "state": one.state,
                "reason": one.reason if frame.json else getattr(one, sentence),
            }
            for one in found
        ],
        ["tester", "contact", "variant", "state", "reason"],
        of="testers",
    )
    if any(one.state in ("failed", "unknown") for one in found):
        raise typer.Exit(PARTLY_SENT)


@app.command()
def testers(ctx: typer.Context) -> None:
    """Who is shown messages before they are sent."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(
            previews.listed(work, None),
            ["id", "account", "contact", "userid", "added_at", "added_by"],
            of="testers",
            none=(
                "There are no testers yet: tagcast broadcast tester-add ACCOUNT WHO --agreed",
                "还没有测试人员：tagcast broadcast tester-add 账号 人 --agreed",
            ),
        )


@app.command("tester-add")
def add_tester(
    ctx: typer.Context,
    account: Annotated[str, typer.Argument(help="Id or name of the account.")],
    who: Annotated[str, typer.Argument(help="A contact: number, or <kind>:<value>; of 企业微信 an employee's userid.")],
    agreed: Annotated[bool, typer.Option("--agreed", help="He agreed to be shown messages.")] = False,
) -> None:
    """Put somebody who agreed on the list of testers."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        target = accounts.get(work, which(account))
        if target.kind == "wecom":
            made = previews.add(work, target.id, userid=who, agreed=agreed)
        else:
            made = previews.add(work, target.id, contact=number_of(work, who), agreed=agreed)
    frame.emit(made, of="testers")


@app.command("tester-rm")
def remove_tester(ctx: typer.Context, tester: Annotated[int, typer.Argument(help="The tester's number.")]) -> None:
    """Take somebody off the list of testers."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        previews.remove(work, tester)
    frame.say("Taken off the list.", "已移出名单。")


@app.command("require-test")
def require_test(
    ctx: typer.Context,
    above: Annotated[int | None, typer.Option(min=0, help="Above so many recipients.")] = None,
    never: Annotated[bool, typer.Option("--never", help="A test is not required.")] = False,
) -> None:
    """Above which size a broadcast has to be shown to a tester before it is sent; without an option: as it is."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        if above is not None or never:
            previews.set_above(work, None if never else above)
        frame.emit({"above": previews.above(work)}, of="testers")
