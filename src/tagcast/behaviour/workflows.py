"""Imports of event files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tagcast import contacts, files
from tagcast.behaviour import packed, rules
from tagcast.behaviour.actions import record_packed
from tagcast.behaviour.recording import find_type
from tagcast.behaviour.rules import EventType, Value
from tagcast.contacts import ChunkOutcome, Identity, ImportResult, Progress
from tagcast.files import Row, Table
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.uow import Runtime, Work

_TARGETS = ("contact:<identity>", "at", "amount", "quantity", "id", "property:<name>", "ignore")


class EventHandler:
    """Imports events of one type by column."""

    chunk = 10_000

    def __init__(self, name: str, mapping: Mapping[str, str], zone: str) -> None:
        self.kind = f"event:{name}"
        self.name = name
        self.mapping = dict(mapping)
        self.zone = zone
        self.who = ("", Identity("customer_id"))
        self.columns: dict[str, str] = {}
        self.properties: dict[str, str] = {}
        self.declared = EventType(name, "")

    def prepare(self, work: Work, columns: Sequence[str]) -> None:
        """Check the mapping. Raises NotFound for the type, Invalid naming the column, the target and what is known."""
        declared = self.declared = find_type(work, self.name)
        contacts.check_columns(self.mapping, columns)
        for column, target in self.mapping.items():
            what, _, name = target.partition(":")
            if what == "contact":
                self.who = (column, contacts.identity_of(work, name, column))
            elif target in {"at", "amount", "quantity", "id"}:
                self.columns[target] = column
            elif what == "property":
                rules.check_properties(declared, [name])
                self.properties[column] = name
            elif target != "ignore":
                known = ", ".join(_TARGETS)
                raise Invalid("contacts.unknown_target", column=column, target=target, known=known)
        if not self.who[0] or "at" not in self.columns:
            raise Invalid("behaviour.no_contact_column")

    def apply(self, work: Work, rows: Sequence[Row], why: str) -> ChunkOutcome:
        """Record the rows as one batch; a row with a problem has no effect at all."""
        outcome = ChunkOutcome()
        column, identity = self.who
        found = contacts.numbers_of(work, identity.kind, [row.values[column] for row in rows], identity.account)
        kept: list[tuple[int, int, int, int]] = []
        held: list[dict[str, Value]] = []
        ids: list[str] = []
        for index, (row, number) in enumerate(zip(rows, found, strict=True)):
            try:
                parsed = self._parse(row.values, number, work.now_ms)
                own = rules.check_key(row.values[self.columns["id"]].strip()) if "id" in self.columns else ""
                properties = {
                    name: rules.parse_value(self.declared, name, text)
                    for column, name in self.properties.items()
                    if (text := row.values[column].strip())
                }
            except TagcastError as error:
                outcome.problems[index] = error
                continue
            kept.append(parsed)
            ids.append(own)
            if self.properties:
                held.append(properties)
        if kept:
            who, at_ms, amount, quantity = zip(*kept, strict=True)
            batch = packed.events(who, at_ms, amount, quantity, held)
            key = f"{why}:{rows[0].line}"
            outcome.made = record_packed(work, self.name, batch, batch_key=key, zone=self.zone, ids=ids)
        return outcome

    def _parse(self, values: Mapping[str, str], number: int | None, now_ms: int) -> tuple[int, int, int, int]:
        if number is None:
            raise Invalid("behaviour.nobody", kind=self.who[1].text)
        amount = values[self.columns["amount"]].strip() if "amount" in self.columns else ""
        quantity = values[self.columns["quantity"]].strip() if "quantity" in self.columns else ""
        return (
            number,
            rules.check_age(rules.parse_time(values[self.columns["at"]].strip(), self.zone), now_ms),
            rules.parse_amount(amount) if amount else 0,
            rules.parse_quantity(quantity) if quantity else 1,
        )


def import_events(
    runtime: Runtime,
    workspace: int,
    source: Path | Table,
    name: str,
    mapping: Mapping[str, str],
    *,
    actor: str = "import",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Import events of one declared type from a CSV or Parquet file; `made` counts the events.

    `mapping`: column → `contact:<kind>[:<account>]`, `at` (a day, ISO 8601, epoch), `amount` (at most two decimals),
    `quantity`, `id` (the event's own), `property:<name>` or `ignore`. Rows of unknown contacts are refused. The same
    file under the same mapping is imported once. Raises NotFound and Invalid before anything is changed.
    """
    handler = EventHandler(name, mapping, runtime.settings.zone)
    table = files.open_table(source) if isinstance(source, Path) else source
    return contacts.run_import(
        runtime, workspace, table, mapping, handler, actor=actor, dry_run=dry_run, progress=progress
    )
