"""A process that is killed: appends, compacts or erases for ever, telling each commit it was given back."""

import sys
from pathlib import Path

from tests.lake.rows import rows

from tagcast.lake import Contested, Lake

ROWS = 200


def append(folder: Path) -> None:
    """One append after another from where the table stands."""
    table = Lake(folder).table("t/one")
    while True:
        seen = table.snapshot()
        at = seen.upto if seen is not None else 0
        if table.append(rows(at, ROWS), after=at, upto=at + 1):
            print(at + 1, flush=True)


def tidy(folder: Path) -> None:
    """Compaction and removal of old files, over and over."""
    table = Lake(folder).table("t/one")
    while True:
        try:
            table.compact(everything=True)
        except Contested:
            continue
        table.vacuum(60)
        print("tidied", flush=True)


def erase(folder: Path) -> None:
    """One contact after another, each a step of the log."""
    table = Lake(folder).table("t/one")
    while True:
        seen = table.snapshot()
        if seen is None:
            continue
        try:
            table.erase([seen.upto % 40 + 1], after=seen.upto, upto=seen.upto + 1)
        except Contested:
            continue
        print(seen.upto + 1, flush=True)


if __name__ == "__main__":
    {"append": append, "tidy": tidy, "erase": erase}[sys.argv[1]](Path(sys.argv[2]))
