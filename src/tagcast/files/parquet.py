"""Parquet, through pyarrow: the only file that knows it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tagcast.kit.errors import Invalid

_MAGIC = b"PAR1"
_BATCH = 8192


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does."""
    with path.open("rb") as source:
        return source.read(4) == _MAGIC


def column_names(path: Path) -> list[str]:
    """The names of the columns. Raises Invalid for a damaged file."""
    return list(_open(path).schema_arrow.names)


def read_batches(path: Path) -> Iterator[tuple[list[list[Any]], float]]:
    """The columns' Python values, some thousand rows at a time, with the share of rows read so far."""
    import pyarrow

    file = _open(path)
    done, total = 0, max(1, file.metadata.num_rows)
    try:
        for batch in file.iter_batches(batch_size=_BATCH):
            done += batch.num_rows
            yield [column.to_pylist() for column in batch.columns], done / total
    except pyarrow.ArrowInvalid:
        raise Invalid("files.damaged", file=path.name) from None


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows; each column's type is inferred from its values."""
    import pyarrow
    from pyarrow import parquet

    arrays = [pyarrow.array([row[index] for row in rows]) for index in range(len(columns))]
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=list(columns)), path, compression="zstd")


def _open(path: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError):
        raise Invalid("files.damaged", file=path.name) from None
