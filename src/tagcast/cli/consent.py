"""`tagcast consent`: who agreed to what, who gets nothing, who refused personalisation, who is a minor."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pyroaring import BitMap

from tagcast import compliance, contacts
from tagcast.cli import whom
from tagcast.cli.contacts import number_of, write_to
from tagcast.cli.frame import Frame
from tagcast.cli.whom import Whom
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

app = typer.Typer(
    no_args_is_help=True, help="Consent 同意: purposes, suppression, personalisation, minors; one person's records."
)

PURPOSES = compliance.purposes()
PERSONALISATION, SUPPRESSED, MINOR = "personalisation", "suppressed", "minor"


@app.command()
def show(ctx: typer.Context, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]) -> None:
    """How a person stands, with the records that prove it."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        number = number_of(work, who)
        contacts.describe(work, number)
        found = compliance.standing(work, number)
    if frame.json:
        frame.emit(found)
        return
    frame.emit(
        {
            "consented": ", ".join(found.consented) or "–",
            "suppressed": found.suppressed,
            "personalised": found.personalised,
            "minor": found.minor,
        },
        of="consent",
    )
    if found.records:
        print()
        frame.table(found.records, ["at", "purpose", "state", "source", "notice_version", "who"], of="consent")


@app.command()
def ls(ctx: typer.Context) -> None:
    """How many agreed to each purpose, get nothing, refused personalisation, are minors."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [{"what": one.name, "contacts": len(compliance.consented(work, one.name))} for one in PURPOSES]
        rows += [
            {"what": SUPPRESSED, "contacts": len(compliance.suppressed(work))},
            {"what": "personalisation off", "contacts": len(compliance.personalisation_refused(work))},
            {"what": MINOR, "contacts": len(compliance.minors(work))},
        ]
    frame.table(rows, ["what", "contacts"], of="consent")


@app.command()
def export(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="marketing, service …; personalisation (who refused), suppressed, minor."),
    ],
    file: Annotated[Path, typer.Argument(help="Where to write; .parquet for Parquet, else CSV.")],
    columns: Annotated[str, typer.Option(help="number, identity:<kind>, attribute:<name>, separated by commas.")] = (
        "number"
    ),
) -> None:
    """Write who is counted in a line of `ls` as a file."""
    frame = Frame.of(ctx)
    form = write_to(file)
    with frame.read() as work:
        rows = contacts.export(work, _listed(work, what), columns.split(","), file, format=form)
    frame.emit({"file": file, "rows": rows})


def _listed(work: Work, what: str) -> BitMap:
    match what:
        case "suppressed":
            return compliance.suppressed(work)
        case "personalisation":
            return compliance.personalisation_refused(work)
        case "minor":
            return compliance.minors(work)
        case _:
            _check_what(what)
            return compliance.consented(work, what)


@app.command(name="set")
def set_(
    ctx: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="marketing, service …; personalisation, suppressed or minor.")
    ],
    state: Annotated[Literal["on", "off"], typer.Argument(metavar="on|off", help="Given or withdrawn.")],
    who: Annotated[list[str] | None, whom.WHO] = None,
    file: Annotated[Path | None, whom.FILE] = None,
    column: Annotated[str, whom.COLUMN] = "customer_id",
    kind: Annotated[str, whom.KIND] = "customer_id",
    account: Annotated[str | None, whom.ACCOUNT] = None,
    segment: Annotated[str | None, whom.SEGMENT] = None,
    why: Annotated[str, typer.Option(help="The form, the call, the decision. It is kept.")] = "",
) -> None:
    """Record what people said, in force at once, also for what is being sent.

    A purpose or personalisation that is off is withdrawn; whoever is suppressed gets nothing; who refused
    personalisation and minors are in no audience that was chosen by tags or behaviour.
    """
    frame = Frame.of(ctx)
    with frame.write() as work:
        found, unknown = Whom(who, file, segment, column, kind, account).read(work)
        changed = _record(work, what, found, on=state == "on", why=why)
    frame.emit({"contacts": len(found), "changed": changed, "unknown": unknown}, of="consent")


def _record(work: Work, what: str, found: BitMap, *, on: bool, why: str) -> int:
    if what == SUPPRESSED:
        if not why.strip():
            raise Invalid("compliance.no_reason")
        return (compliance.suppress if on else compliance.unsuppress)(work, found, why)
    if what == PERSONALISATION:
        change = compliance.allow_personalisation if on else compliance.refuse_personalisation
        return change(work, found, source=why)
    if what == MINOR:
        return (compliance.mark_minors if on else compliance.unmark_minors)(work, found, why=why)
    _check_what(what)
    granted, withdrawn = (found, BitMap()) if on else (BitMap(), found)
    return sum(compliance.record(work, what, granted, withdrawn, source=why))


def _check_what(purpose: str) -> None:
    if purpose not in {one.name for one in PURPOSES}:
        known = ", ".join([*(one.name for one in PURPOSES), PERSONALISATION, SUPPRESSED, MINOR])
        raise Invalid("compliance.unknown_purpose", purpose=purpose, known=known)


@app.command()
def minors(
    ctx: typer.Context,
    attribute: Annotated[
        str | None, typer.Option(help="A date is a birthday, a number an age, a choice an age band, or a flag.")
    ] = None,
    band: Annotated[list[str] | None, typer.Option(help="Of a choice: a value of minors; repeatable.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Only who is marked by hand.")] = False,
    why: Annotated[str, typer.Option(help="Kept with it.")] = "",
) -> None:
    """How minors are told, and how many there are today; with an option, change it."""
    frame = Frame.of(ctx)
    if attribute is None and not none and not band:
        with frame.read() as work:
            _minors(frame, work)
        return
    with frame.write() as work:
        compliance.set_minors(work, None if none else attribute, band or [], why=why)
        _minors(frame, work)


def _minors(frame: Frame, work: Work) -> None:
    found = compliance.minors_setting(work)
    frame.emit(
        {
            "attribute": found.attribute or "–",
            "bands": list(found.bands),
            "years": found.years,
            "marked": found.marked,
            "contacts": len(compliance.minors(work)),
            "source": found.source,
        },
        of="consent",
    )
