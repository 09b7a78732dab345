"""The report as a CSV table, a finding a row."""

import csv
import io
from collections.abc import Mapping, Sequence

import orjson

from tagcast import files
from tagcast.kit.errors import Lang
from tagcast.upkeep import words
from tagcast.upkeep.rules import Finding

COLUMNS = ("kind", "tags", "paths", "found", "suggested", "facts")


def render(findings: Sequence[Finding], paths: Mapping[int, str], lang: Lang = "zh") -> str:
    """CSV with a header; texts that a spreadsheet would run are disarmed. `paths`: each tag's, by id."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in findings:
        facts = orjson.dumps(one.facts).decode()
        cells = (
            one.kind, " ".join(map(str, one.tags)), " | ".join(one.paths), words.sentence(one, lang),
            words.suggestion(one.suggested, paths, lang), facts,
        )  # fmt: skip
        writer.writerow([files.safe_cell(cell) for cell in cells])
    return target.getvalue()
