"""`tagcast rule`: rules that keep tags true."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import typer

from tagcast import access, audiences, tag_rules, tags
from tagcast.cli.frame import Frame
from tagcast.cli.segment import Which, expression
from tagcast.cli.tags import find_tag
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

app = typer.Typer(no_args_is_help=True, help="Rules 标签规则: keep a tag true by itself.")

Number = Annotated[str, typer.Argument(metavar="RULE", help="The rule's number, or the path of its tag.")]
Modes = Literal["mirror", "grow"]
ModeIs = Annotated[
    Modes, typer.Option(help="mirror: exactly those have the tag; grow: those get it, and nobody loses it.")
]
Days = Annotated[int, typer.Option(help="With grow: for so many days after the day it was given; 0: for good.")]
Account = Annotated[str | None, typer.Option(help="Name or number of the tag's account; else the workspace's own.")]

_COLUMNS = ["id", "path", "state", "holders", "lag", "lag_seconds", "acted_at", "text", "mode", "owner", "version"]


@app.command()
def ls(ctx: typer.Context) -> None:
    """All rules: state, size, when each did something last, how many changes it is behind."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [_row(frame, one) for one in tag_rules.seen(work)]
    frame.table(
        rows, _COLUMNS, of="rule",
        none=(
            "There is no rule yet. Make one: tagcast rule create TAG 'did(\"purchase\", last 30 days)'",
            "还没有规则。请先新建：tagcast rule create 标签 '做过(\"purchase\", 近 30 天)'",
        ),
    )  # fmt: skip


@app.command()
def show(ctx: typer.Context, rule: Number) -> None:
    """One rule."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        number = _find(work, rule).id
        found = next(one for one in tag_rules.seen(work) if one.rule.id == number)
    frame.emit(_row(frame, found), of="rule")


@app.command()
def create(
    ctx: typer.Context,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="Path or number of the tag to keep.")],
    segment: Which,
    mode: ModeIs = "mirror",
    days: Days = 0,
    owner: Annotated[str, typer.Option(help="Who answers for it; else you.")] = "",
    account: Account = None,
    activate: Annotated[bool, typer.Option("--activate", help="Let it run at once.")] = False,
) -> None:
    """A rule for a tag. It is a draft that does nothing before it is activated: see `tagcast rule try`."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        found = find_tag(work, tag, account)
        made = tag_rules.create(work, found.id, expression(work, segment), mode=mode, until_days=days, owner=owner)
        if activate:
            made = tag_rules.activate(work, made.id)
    if activate:
        _follow(frame)
    frame.emit({"id": made.id, "tag": found.id, "path": found.path, "state": made.state, "version": made.version})


@app.command()
def edit(
    ctx: typer.Context,
    rule: Number,
    segment: Annotated[str | None, typer.Argument(metavar="SEGMENT", help="Another expression.")] = None,
    mode: Annotated[Modes | None, typer.Option(help="Another mode.")] = None,
    days: Annotated[int | None, typer.Option(help="Other days.")] = None,
    owner: Annotated[str | None, typer.Option(help="Another owner.")] = None,
) -> None:
    """Change a rule: a new version. One that runs follows it at once; try it first with `tagcast rule try`."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        before = _find(work, rule)
        meant = None if segment is None else expression(work, segment)
        made = tag_rules.edit(work, before.id, expression=meant, mode=mode, until_days=days, owner=owner)
    if made.state == "active":
        _follow(frame)
    frame.emit({"id": made.id, "state": made.state, "version": made.version})


@app.command(name="try")
def attempt(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE|TAG", help="A rule, or a tag that has none yet.")],
    segment: Annotated[str | None, typer.Argument(metavar="SEGMENT", help="Try this expression instead.")] = None,
    mode: Annotated[Modes | None, typer.Option(help="Try this mode instead.")] = None,
    account: Account = None,
) -> None:
    """What it would do now: how many would get the tag and lose it, some of them with why. Nothing is changed."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        known = _known(work, rule)
        tag = known.tag if known is not None else find_tag(work, rule, account).id
        if segment is not None:
            meant = expression(work, segment)
        else:
            meant = (known if known is not None else _find(work, rule)).definition.expression
        found = tag_rules.dry_run(work, tag, meant, mode or (known.definition.mode if known is not None else "mirror"))
    told = {
        "holders": found.holders,
        "members": found.members,
        "added": found.added.count,
        "removed": found.removed.count,
        "problem": None if found.problem is None else found.problem.text(frame.lang),
    }
    sample = {"would_get": _told(frame, found.added), "would_lose": _told(frame, found.removed)}
    frame.emit(told | sample if frame.json else told, of="rule")
    for sign, side in (("+", found.added), ("-", found.removed)):
        for one in () if frame.json else side.sample:
            print(f"{sign} {one.number}")
            print("\n".join(_lines(frame, one.why, 1)))


@app.command()
def activate(ctx: typer.Context, rule: Number) -> None:
    """Let it run: from now on it alone gives and takes its tag, first to everybody concerned."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = tag_rules.activate(work, _find(work, rule).id)
    _follow(frame)
    with frame.read() as work:
        found = next(one for one in tag_rules.seen(work) if one.rule.id == made.id)
    frame.emit(_row(frame, found), of="rule")


@app.command()
def stop(ctx: typer.Context, rule: Number) -> None:
    """Let it rest: who has the tag keeps it, and it can be given and taken by hand."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = tag_rules.stop(work, _find(work, rule).id)
    frame.done(f"Rule {made.id} is stopped.", f"规则 {made.id} 已停止。", id=made.id, state=made.state)


@app.command()
def history(ctx: typer.Context, rule: Number) -> None:
    """What was done to it, by whom and when, with every version."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        known = _known(work, rule)
        # A deleted one has a number only.
        gone = known is None and rule.isdecimal()
        lines = tag_rules.history(work, int(rule) if gone else _find(work, rule).id)
        rows = [
            {
                "version": line.version,
                "what": line.what,
                "who": line.who,
                "changed_at": line.at,
                "text": audiences.to_text(line.definition.expression),
                "mode": line.definition.mode,
                "until_days": line.definition.until_days,
                "problem": None if line.problem is None else line.problem[frame.lang],
            }
            for line in lines
        ]
    frame.table(rows, list(rows[0]), of="rule")


@app.command()
def restore(ctx: typer.Context, rule: Number, version: Annotated[int, typer.Argument(help="Which.")]) -> None:
    """Make an earlier version the newest."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = tag_rules.restore(work, _find(work, rule).id, version)
    if made.state == "active":
        _follow(frame)
    frame.emit({"id": made.id, "state": made.state, "version": made.version})


@app.command()
def rm(
    ctx: typer.Context,
    rule: Number,
    take: Annotated[bool, typer.Option("--take", help="Take the tag from who has it by the rule.")] = False,
) -> None:
    """Delete a rule. Who has the tag keeps it, unless it is taken."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = _find(work, rule)
    if take:
        frame.confirm(f"Take the tag that rule {found.id} gave?", f"移除规则 {found.id} 添加的标签？")
    with frame.write() as work:
        gone = tag_rules.delete(work, found.id, take=take)
    frame.done(
        f"Deleted rule {found.id}; {gone} lost the tag.", f"已删除规则 {found.id}，移除标签 {gone} 人。",
        deleted=found.id, taken=gone,
    )  # fmt: skip


def _follow(frame: Frame) -> None:
    """Take the turns here that a worker would take, so that the tag is true when the command ends."""
    turning = tag_rules.Turning()
    with frame.runtime() as runtime:
        workspaces = [access.only_workspace(runtime)]
        while turning.turn(runtime, workspaces):
            pass


def _known(work: Work, given: str) -> tag_rules.Rule | None:
    """The rule of that number, or of the tag at that path."""
    for rule in tag_rules.every(work):
        if given == str(rule.id) or tags.get(work, rule.tag).path == given:
            return rule
    return None


def _find(work: Work, given: str) -> tag_rules.Rule:
    found = _known(work, given)
    if found is None:
        raise NotFound("tag_rules.no_rule", rule=given)
    return found


def _row(frame: Frame, found: tag_rules.Seen) -> dict[str, object]:
    rule, wanted = found.rule, found.rule.definition
    problem = rule.problem
    return {
        "id": rule.id,
        "path": found.path,
        "state": found.state,
        "holders": found.holders,
        "looked_at": None if found.looked_at is None else f"{found.looked_at}/{found.contacts}",
        "lag": None if found.lag is None else found.lag.changes,
        "lag_seconds": None if found.lag is None else round(found.lag.seconds, 1),
        "acted_at": found.acted_at,
        "text": audiences.to_text(wanted.expression),
        "mode": wanted.mode,
        "until_days": wanted.until_days,
        "owner": wanted.owner,
        "version": rule.version,
        "trouble": None if found.trouble is None else _shown(frame, found.trouble.problem),
        "problem": None if problem is None else _shown(frame, problem),
    }


def _shown(frame: Frame, problem: Mapping[str, str]) -> str:
    return f"{problem[frame.lang]} {problem[f'{frame.lang}_remedy']}"


def _told(frame: Frame, side: tag_rules.Side) -> list[dict[str, object]]:
    return [{"number": one.number, "why": list(_lines(frame, one.why, 0))} for one in side.sample]


def _lines(frame: Frame, part: audiences.Explained, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{'✓' if part.holds else '✗'} {part.text}"
    for fact in part.facts:
        yield f"{'  ' * (depth + 2)}{fact.sentence(frame.lang)}"
    for below in part.parts:
        yield from _lines(frame, below, depth + 1)
