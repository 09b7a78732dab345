"""The table format's client (delta-rs) and what is kept from it: opening a log, beginning one, writing a commit."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from tagcast.lake import seals
from tagcast.lake.seals import Commit
from tagcast.lake.words import Contested, Damaged, File, Snapshot

APPENDED, REWRITTEN, STAMP, OWNER = "appended", "rewritten", "stamp", "owner"
"""The names of the log's numbers: how far appends came, how often files were put in the place of others,
what the writer put beside the number that was reached, and who the writer is."""

# Deletion vectors only hide; what is erased has to be gone.
_CONFIGURATION = {"delta.enableDeletionVectors": "false"}


@contextmanager
def reading() -> Iterator[None]:
    """What the client makes of a log that it cannot read is Damaged."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{seals.LOG}: {error}") from error
    except OSError:
        raise
    except BaseException as error:
        # A panic of the client's is no Exception; one of these is about a log with impossible numbers.
        if type(error).__name__ != "PanicException":
            raise
        raise Damaged(f"{seals.LOG}: {error}") from error


def open_table(place: str, options: Mapping[str, str], version: int | None = None) -> Any:
    """The log of a table."""
    from deltalake import DeltaTable

    return DeltaTable(place, version=version, storage_options=dict(options) or None)


def begin(place: str, options: Mapping[str, str], schema: pa.Schema) -> None:
    """Make a table unless there is one."""
    from deltalake import CommitProperties, DeltaTable, Schema

    digest = Commit(columns=seals.columns_of(schema)).digest
    DeltaTable.create(
        place,
        schema=Schema.from_arrow(schema),
        mode="ignore",
        configuration=_CONFIGURATION,
        storage_options=dict(options) or None,
        commit_properties=CommitProperties(custom_metadata={"digest": digest}),
    )


def widen(table: Any, known: pa.Schema, schema: pa.Schema) -> pa.Schema:
    """The table's schema after columns that it lacks were added."""
    from deltalake import CommitProperties, Schema

    new = [field for field in schema if field.name not in known.names]
    if not new:
        return known
    whole = pa.schema([*known, *new])
    digest = Commit(columns=seals.columns_of(whole)).digest
    table.alter.add_columns(
        Schema.from_arrow(pa.schema(new)).fields,
        commit_properties=CommitProperties(custom_metadata={"digest": digest}),
    )
    return whole


def write(
    table: Any,
    added: Sequence[tuple[str, int, str]],
    removed: Sequence[File],
    marks: Mapping[str, int],
    noted: Mapping[str, str],
    *,
    now_ms: int,
) -> None:
    """One commit with its own digest. Raises Contested when another with the same kind of mark came between."""
    from deltalake import CommitProperties, Transaction
    from deltalake.exceptions import CommitFailedError
    from deltalake.transaction import AddAction, RemoveAction

    changes = noted["what"] != "compact"
    actions: list[Any] = [AddAction(name, size, {}, now_ms, changes, told) for name, size, told in added]
    actions += [RemoveAction(one.name, changes, now_ms, one.size) for one in removed]
    mine = Commit(
        tuple(added),
        tuple(one.name for one in removed),
        tuple(marks.items()),
        noted=tuple((name, noted[name]) for name in seals.NOTED),
    )
    properties = CommitProperties(
        custom_metadata={**noted, "digest": mine.digest},
        app_transactions=[Transaction(name, number) for name, number in marks.items()],
    )
    try:
        table.create_write_transaction(actions, "append", table.schema(), commit_properties=properties)
    except CommitFailedError as error:
        raise Contested(noted["what"]) from error


def checkpoint(state: Snapshot, stats_of: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """(name, bytes) of the files with which a log begins anew at a version: a checkpoint, and where to find it."""
    marks = {APPENDED: state.upto, STAMP: state.stamp, OWNER: state.owner, REWRITTEN: state.rewritten}
    with tempfile.TemporaryDirectory() as aside:
        begin(aside, {}, state.schema)
        table = open_table(aside, {})
        added = [(one.name, one.size, stats_of[one.name]) for one in state.files]
        noted = {"what": "repair", "rows": "0", "upto": str(state.upto), "stamp": str(state.stamp)}
        write(table, added, [], marks, noted, now_ms=0)
        table = open_table(aside, {})
        table.create_checkpoint()
        log = Path(aside) / seals.LOG
        told = json.loads((log / "_last_checkpoint").read_bytes())
        (made,) = log.glob("*.checkpoint.parquet")
        name = made.name.replace(made.name.partition(".")[0], f"{state.version:020}")
        pointer = {"version": state.version, "size": told["size"]}
        return [(name, made.read_bytes()), ("_last_checkpoint", json.dumps(pointer).encode())]
