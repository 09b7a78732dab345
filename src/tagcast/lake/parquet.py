"""Rows as Parquet files that carry their own digest in their name."""

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tagcast.lake.words import WHEN, WHO, Damaged, File

GROUP_ROWS = 131_072
"""Rows in a row group: what an engine skips by its least and largest number, and what one thread takes at a time."""

FILE_ROWS = 8_000_000
"""Rows in a file at most."""


def name_of(columns: int, since: int, upto: int, data: bytes) -> str:
    """A file's name: how many columns, which appends, the SHA-256 of its bytes."""
    return f"c{columns}-{since}-{upto}-{hashlib.sha256(data).hexdigest()}.parquet"


def read_name(name: str) -> tuple[int, int, int]:
    """(columns, since, upto) of a name."""
    columns, since, upto, _ = name.split("-")
    return int(columns[1:]), int(since), int(upto)


def check(file: File, data: bytes) -> None:
    """Raises Damaged unless the bytes are those that were written."""
    if hashlib.sha256(data).hexdigest() != file.digest:
        raise Damaged(file.name)


def decode(data: bytes, schema: pa.Schema, only: pc.Expression | None = None) -> pa.Table:
    """The rows, or some of them, under a schema: no other column is read, those that came later are null."""
    there = set(pq.read_schema(pa.BufferReader(data)).names)
    columns = [name for name in schema.names if name in there]
    return conform(pq.read_table(pa.BufferReader(data), columns=columns, filters=only), schema)


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows under a schema: missing columns are null. Raises ArrowInvalid for a value that does not fit."""
    made = []
    for field in schema:
        if field.name in rows.column_names:
            made.append(rows.column(field.name).cast(field.type))
        else:
            made.append(pa.nulls(len(rows), field.type))
    return pa.table(made, schema=schema)


def encode(rows: pa.Table) -> bytes:
    """The bytes of a file; pages carry checksums too, for readers that look at them."""
    out = pa.BufferOutputStream()
    texts = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    pq.write_table(
        rows,
        out,
        compression="zstd",
        compression_level=1,
        row_group_size=GROUP_ROWS,
        use_dictionary=texts,
        write_page_checksum=True,
        store_schema=False,
    )
    return bytes(out.getvalue())


def split(rows: pa.Table) -> list[pa.Table]:
    """The rows by UTC month, each part ordered by who and when, no part larger than a file may be."""
    when = rows.column(WHEN).to_numpy()
    if not len(when):
        return []
    month = when.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    parts = []
    for one in np.unique(month).tolist():
        here = np.flatnonzero(month == one) if month.min() != month.max() else None
        part = rows if here is None else rows.take(pa.array(here))
        ordered = part.take(pa.array(_order(part, one))).combine_chunks()
        parts += [ordered.slice(start, FILE_ROWS) for start in range(0, len(ordered), FILE_ROWS)]
    return parts


def _order(rows: pa.Table, month: int) -> NDArray[np.int64]:
    """One number a row makes one sort: a month has fewer than 2**32 milliseconds."""
    start = np.datetime64(month, "M").astype("datetime64[ms]").astype(np.int64)
    who = rows.column(WHO).to_numpy().astype(np.int64)
    return np.argsort((who << 32) | (rows.column(WHEN).to_numpy() - start))


def stats(rows: pa.Table) -> str:
    """What the log keeps of a file, so that readers can leave it out."""
    ends: dict[str, dict[str, Any]] = {name: pc.min_max(rows.column(name)).as_py() for name in (WHO, WHEN)}
    return json.dumps(
        {
            "numRecords": len(rows),
            "minValues": {name: found["min"] for name, found in ends.items()},
            "maxValues": {name: found["max"] for name, found in ends.items()},
            "nullCount": dict.fromkeys(ends, 0),
        }
    )
