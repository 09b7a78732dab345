"""Use cases of features: define, compute, look, delete."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from tagcast import behaviour, bitmaps, contacts
from tagcast.behaviour import Did
from tagcast.contacts import Attribute
from tagcast.features import computing, keeping, measures, rules, store, values
from tagcast.features.computing import Computed
from tagcast.features.measures import Progress, nothing
from tagcast.features.rules import DAYS_OF, Definition
from tagcast.features.scoring import CLASS_NAMES, Amounts, Scores, Thresholds
from tagcast.features.store import Run
from tagcast.kit import clock, leases
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Work

KIND = "features.compute"

FindUsers = Callable[[Work, Collection[str]], list[str]]
"""What uses any of these fields, by name."""

_find_users: list[FindUsers] = []


@dataclass(frozen=True, slots=True)
class RfmTable:
    """How many contacts lie in each class and each cell: `grid[r - 1][f - 1]`. `details` says how it was computed."""

    contacts: int
    classes: dict[str, int]
    grid: list[list[int]]
    details: dict[str, Any]
    computed_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """A definition, its fields, and how things stand: last computation, contacts with a value, what is under way."""

    definition: Definition
    fields: dict[str, Attribute]
    run: Run | None
    contacts: int
    progress: store.Progress | None


def asked_before_deleting(find: FindUsers) -> None:
    """Let a floor above say what uses a field; a feature in use is not deleted."""
    _find_users.append(find)


def define(work: Work, definition: Definition) -> Definition:
    """Make a feature, or a new version of it; the same again changes nothing. Values stay until the next computation.

    Raises Invalid, NotFound for a type of event or an attribute, Conflict for a name in use, Refused over the limit.
    """
    rules.check(definition)
    _check_inputs(work, definition)
    known = values.definitions(work)
    before = known.get(definition.name)
    if before == definition and (definition.name != "rfm" or store.versions(work, "rfm")):
        return before
    made = rules.fields_of(definition)
    taken = {name: one.definition.name for name, one in values.fields(work).items()} | dict.fromkeys(
        contacts.attributes(work), "attribute"
    )
    for name in made:
        if taken.get(name, definition.name) != definition.name:
            raise Conflict("features.name_taken", name=name, by=taken[name])
    if before is None and len(known) >= rules.limits().definitions:
        raise Refused("features.too_many", limit=rules.limits().definitions)
    versions = store.versions(work, definition.name)
    version = versions[0].definition.version + 1 if versions else 1
    if before is not None:
        gone = rules.fields_of(before).keys() - made.keys()
        _check_unused(work, definition.name, gone)
        for name in gone:
            keeping.clear(work, rules.fields_of(before)[name].attribute, why="another definition")
    definition = replace(definition, version=version)
    store.put_definition(work, definition)
    return definition


def delete(work: Work, name: str) -> None:
    """Delete a feature with its values; its versions and the history of its values stay. Raises as `deletable`."""
    made = rules.fields_of(deletable(work, name))
    for field in made.values():
        keeping.clear(work, field.attribute, why="feature deleted")
    store.retire(work, name)


def deletable(work: Work, name: str) -> Definition:
    """A definition that may be deleted.

    Raises NotFound; Conflict naming what uses it; Invalid for the standard RFM, which can only be defined anew.
    """
    definition = find(work, name)
    if not store.versions(work, name):
        raise Invalid("features.standard", name=name)
    _check_unused(work, name, rules.fields_of(definition).keys())
    return definition


def users(work: Work, names: Collection[str]) -> list[str]:
    """What uses any of these fields, as far as floors above said that they know."""
    return sorted({user for find_some in _find_users for user in find_some(work, names)})


def find(work: Work, name: str) -> Definition:
    """One definition. Raises NotFound naming the known ones."""
    known = values.definitions(work)
    if name not in known:
        raise NotFound("features.no_feature", name=name, known=", ".join(known))
    return known[name]


def states(work: Work) -> dict[str, State]:
    """Every feature with how things stand, by name."""
    runs, under_way = store.runs(work), store.all_progress(work)
    found = {}
    for name, definition in values.definitions(work).items():
        made = rules.fields_of(definition)
        have = len(values.has(work, next(iter(made.values()))))
        fields = {field: one.attribute for field, one in made.items()}
        found[name] = State(definition, fields, runs.get(name), have, under_way.get(name))
    return found


def compute(
    work: Work, name: str, *, as_of: date | None = None, full: bool = False, progress: Progress = nothing
) -> Run:
    """Compute a feature as of a day, today unless said, and keep it. Raises as `computing.compute`, and NotFound."""
    definition = find(work, name)
    return keep(work, computing.compute(work, definition, as_of or work.today, full=full, progress=progress))


def keep(work: Work, computed: Computed, progress: Progress = nothing) -> Run:
    """Write what was computed; only what differs is written. Raises Conflict if it was defined anew meanwhile."""
    definition = computed.definition
    if find(work, definition.name).version != definition.version:
        raise Conflict("features.changed_meanwhile", name=definition.name)
    why = f"{definition.name} as of {measures.day_of(computed.as_of)}"
    changed = bitmaps.pack([])
    everyone = contacts.everyone(work)
    for index, column in enumerate(computed.columns, 1):
        changed |= keeping.keep(work, keeping.among(column, everyone), why=why)
        progress(index, len(computed.columns))
    details = {"contacts": len(values.has(work, next(iter(rules.fields_of(definition).values()))))} | computed.details
    details["changed"] = len(changed)
    run = Run(definition.name, definition.version, computed.as_of, computed.seq, details, work.now_ms)
    store.put_run(work, run)
    return run


def score(work: Work, name: str, *, as_of: date, progress: Progress = nothing) -> tuple[Amounts, Scores]:
    """What an RFM model says as of a day, without keeping it. Raises NotFound, Invalid for another kind."""
    return computing.scored(work, find_rfm(work, name), measures.day_number(as_of), progress)


def compute_rfm(
    work: Work,
    *,
    as_of: date,
    event: str | None = None,
    thresholds: Thresholds | None = None,
    name: str = "rfm",
) -> RfmTable:
    """Compute an RFM model as of a day and keep it in place of what was there.

    With `event` or `thresholds` the model is defined anew by them first. Raises as `define` and `compute`.
    """
    definition = find_rfm(work, name)
    if event is not None or thresholds is not None:
        method: rules.Method = "quantiles" if thresholds is None else "thresholds"
        wanted = replace(definition, events=(event,) if event is not None else definition.events)
        wanted = replace(wanted, method=method, thresholds=thresholds, half_life_days=None)
        if wanted != definition:
            define(work, wanted)
    compute(work, name, as_of=as_of)
    return table(work, name)


def find_rfm(work: Work, name: str) -> Definition:
    """One RFM model. Raises NotFound, Invalid for a feature of another kind."""
    definition = find(work, name)
    if definition.kind != "rfm":
        raise Invalid("features.not_rfm", name=name)
    return definition


def table(work: Work, name: str = "rfm") -> RfmTable:
    """The sizes of the classes and of the grid of R and F. Raises NotFound before the first computation."""
    definition = find_rfm(work, name)
    run = store.last_run(work, name)
    if run is None:
        raise NotFound("features.not_computed", name=name)
    view, scores = work.bitmaps, range(1, definition.parts + 1)
    rows = [bitmaps.sliced.compare(view, f"feature:{name}.r", "=", score) for score in scores]
    columns = [bitmaps.sliced.compare(view, f"feature:{name}.f", "=", score) for score in scores]
    grid = [[row.intersection_cardinality(column) for column in columns] for row in rows]
    classes = {cls: view.count(f"feature:{name}.class={cls}") for cls in CLASS_NAMES}
    details = run.details | {"version": run.version}
    return RfmTable(view.count(f"feature:{name}.r#known"), classes, grid, details, run.computed_ms)


def ask_for(work: Work, name: str, *, as_of: date | None = None, full: bool = False) -> None:
    """Let a worker compute a feature as soon as it can. Raises NotFound."""
    find(work, name)
    payload: dict[str, Any] = {"name": name, "full": full}
    if as_of is not None:
        payload["as_of"] = as_of.isoformat()
    leases.enqueue(work, KIND, name, payload)
    store.put_progress(work, name, "waiting")


def start_due(work: Work) -> list[str]:
    """Ask for every feature whose day has come; returns their names."""
    found = due(work)
    for name in found:
        ask_for(work, name)
    return found


def due(work: Work) -> list[str]:
    """The features whose day has come: of each day after midnight, of each week after seven days.

    What a worker was asked for and has not done, or could not do today, is not among them.
    """
    today = measures.day_number(work.today)
    midnight = clock.to_ms(datetime.combine(work.today, time(), ZoneInfo(work.zone)))
    runs, asked = store.runs(work), store.all_progress(work)
    found = []
    for name, definition in values.definitions(work).items():
        every, run, last = DAYS_OF.get(definition.schedule), runs.get(name), asked.get(name)
        if every is None or (run is not None and run.version == definition.version and today - run.as_of < every):
            continue
        if last is not None and (
            last.state in {"waiting", "running"} or (last.state == "failed" and last.at_ms >= midnight)
        ):
            continue
        found.append(name)
    return found


def forget(work: Work, number: int) -> None:
    """Take every value of a contact away."""
    gone = bitmaps.pack([number])
    for definition in values.definitions(work).values():
        for field in rules.fields_of(definition).values():
            keeping.clear(work, field.attribute, gone, why="contact erased")


def parse(name: str, data: Mapping[str, Any]) -> Definition:
    """A definition as users write it. Raises Invalid."""
    return rules.parse(name, data)


def _check_inputs(work: Work, definition: Definition) -> None:
    for event in definition.inputs:
        declared = behaviour.find_type(work, event)
        known = {"amount", "quantity", *declared.properties}
        for where in definition.where:
            if where.name not in known:
                raise Invalid("features.no_property", event=event, name=where.name, known=", ".join(sorted(known)))
        if definition.where:
            # Whoever answers questions knows which values a property can have.
            behaviour.node(work, Did(event, where=definition.where), zone=work.zone)
    if definition.kind == "age":
        attribute = contacts.find_attribute(work, definition.attribute)
        if attribute.type != "date":
            raise Invalid("features.no_birth_date", name=attribute.name, type=attribute.type)


def _check_unused(work: Work, name: str, fields: Collection[str]) -> None:
    if fields and (found := users(work, fields)):
        raise Conflict("features.in_use", name=name, users=", ".join(found[:20]))
