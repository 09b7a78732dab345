"""The demo as a newcomer runs it: real purchases, three accounts, and the sandbox's ledger as the judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tagcast import access, audiences, behaviour, contacts, tags
from tagcast.cli.demo.story import SCENARIO
from tagcast.kit.settings import Settings


@pytest.mark.slow
def test_demo_ends_with_nobody_lost_doubled_or_forbidden(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAGCAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "tagcast", "demo", "--folder", str(folder), "--json", "--lang", "en"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout)
    assert outcome["ok"] is True
    assert [outcome[name] for name in ("lost", "duplicated", "forbidden", "unexpected")] == [0, 0, 0, 0]
    assert "self-check against the sandbox's ledger: lost 0, duplicated 0, forbidden 0, unexpected 0 ✓" in done.stderr
    page = (folder / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 9
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")

    runtime = access.open_home(Settings(home=folder / "home"))
    try:
        with runtime.read(1, "test") as work:
            assert len(behaviour.events_of(work, "purchase")) >= 69_659
            (first,) = contacts.numbers_of(work, "customer_id", ["00001"])
            assert first is not None
            assert "客户关系/活动/老客户回访" in {tag.path for tag in tags.tags_of(work, first)}
            meant = audiences.parse(SCENARIO["rule"]["text"])
            kept = tags.find(work, SCENARIO["rule"]["tag"], account=1)
            assert tags.holders(work, kept.id) == audiences.members(work, meant)
            assert len(tags.history(work, kept.id)) > 1
            for broadcast in outcome["broadcasts"].values():
                key = f"broadcast:{broadcast}"
                assigned, holdout = work.bitmaps.read(f"{key}:assigned"), work.bitmaps.read(f"{key}:holdout")
                assert not assigned & holdout
                assert len(holdout) == round((len(assigned) + len(holdout)) * 0.1)
    finally:
        runtime.close()
