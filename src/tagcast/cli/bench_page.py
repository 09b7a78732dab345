"""The page of a benchmark in the documentation: its table, and the machine it ran on."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import tagcast


def write(folder: Path, name: str, size: int, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write `<folder>/<name>.md` anew; the time, the machine and its load stand in it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.md"
    file.write_text(_page(name, size, rows), "utf-8")
    return file


def _page(name: str, size: int, rows: Sequence[Mapping[str, object]]) -> str:
    has_bars = any("bar" in row for row in rows)
    head = ["work", "size", "ours", "peer", "", "times", *(["bar", "met"] if has_bars else []), "bound", "equal"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        unit = row.get("unit", "")
        cells = [row["work"], f"{row['size']:,}", f"{_figure(row['ours'])} {unit}", f"{_figure(row['peer'])} {unit}"]
        cells += [row["peer_name"], _figure(row["ratio"])]
        cells += [row.get("bar", ""), _said(row.get("met"))] if has_bars else []
        cells += [_figure(row.get("bound")), _said(row["equal"])]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    made = [
        f"# `tagcast bench {name} --size {size}`",
        "",
        f"Made by `python3 dev.py bench --page docs/reference/benchmarks {name} --size {size}`.",
        f"{datetime.now(UTC):%Y-%m-%d}: Tagcast {tagcast.__version__}, {machine}, load at the end {load}.",
        "Ours and the peers ran in turns on the same data in one run; `equal` says that they gave the same answers.",
        "",
        *lines,
        "",
    ]
    return "\n".join(made)


def _said(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else ""


def _figure(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
