"""Readiness of a home that was made as users make it."""

import json
from pathlib import Path

import sqlalchemy as sa

from tagcast import access
from tagcast.kit.settings import Settings
from tagcast.server import create_app
from tests.tracking.serving import call, serving


def test_a_fresh_home_is_ready_and_an_older_database_is_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    access.initialise(settings)
    runtime = access.open_home(settings)
    with serving(create_app(runtime), lifespan="on") as port:
        assert call(port, "/readyz")[0] == 200
        with runtime.system() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = 'older'"))
        status, _, body = call(port, "/readyz", Accept_Language="zh")
        assert (status, json.loads(body)["code"]) == (503, "server.not_migrated")
        assert "tagcast migrate" in json.loads(body)["remedy"]
        assert call(port, "/livez")[0] == 200
    runtime.close()
