"""Write the next migration: `python src/tagcast/migrations/make.py "Add the table of coupons"`.

Compares the tables that the code defines with a new database at the present head. Read and mend what it wrote.
"""

import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tagcast.kit import db

HERE = Path(__file__).parent

# Until a first release the first migration is written anew when tables change, under its own name.
FIRST_DAY = "20261123"


def make(message: str) -> list[Path]:
    """The files written (none would mean that nothing differs)."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["compare"] = True
    number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
    day = FIRST_DAY if number == 1 else f"{datetime.now(UTC):%Y%m%d}"
    before = set((HERE / "versions").glob("*.py"))
    with tempfile.TemporaryDirectory() as folder:
        engine = db.open_engine(f"sqlite:///{folder}/empty.db")
        with engine.connect().execution_options(**{db.WRITE: True}) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=f"{day}_{number:02}")
        engine.dispose()
    written = sorted(set((HERE / "versions").glob("*.py")) - before)
    for file in written:
        file.write_text(re.sub(r"^ *# ###.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.search(r"\w", sys.argv[1]):
        sys.exit(__doc__)
    for file in make(sys.argv[1]):
        print(file)  # noqa: T201  # a developer's script
