"""Settings, read once: defaults < `tagcast.toml` in the home folder < environment `TAGCAST_*` < flags.

A setting nobody knows is an error: a misspelt limit must not be a silent default.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagcast.kit.errors import Invalid

PREFIX = "TAGCAST_"
# Read by the test-suite and the developer's commands, not by the product.
FOREIGN_PREFIX = "TAGCAST_TEST_"


class Settings(BaseModel):
    """All that can be set. Each field is `TAGCAST_<NAME>` in the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(Path(".tagcast"), description="Folder of the database, the key, exports and checkpoints.")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the home folder.")
    key: str = Field("", description="Master key, base64 of 32 bytes; empty: the file `key` in the home folder.")
    public_url: str = Field("http://127.0.0.1:8300", description="Where people's phones and the platforms reach us.")
    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(8300, ge=0, le=65535, description="Port the server listens on; 0: any free one.")
    zone: str = Field("Asia/Shanghai", description="IANA zone of calendar days and months.")
    lang: Literal["", "zh", "en"] = Field("", description="Language of messages; empty: from the environment.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="Least level logged.")
    allow_private: bool = Field(False, description="Let accounts point at private addresses, e.g. a local sandbox.")
    lease_seconds: float = Field(4.5, gt=0, le=600, description="How long a worker holds a piece of work unrenewed.")
    in_doubt_seconds: float = Field(
        15.0, ge=0, description="Wait before a call of unknown outcome is looked up on the platform."
    )
    settle_seconds: float = Field(600.0, gt=0, description="How long a broadcast waits for receipts.")
    confirm_hours: float = Field(
        72.0, gt=0, le=720, description="How long a broadcast waits for employees to confirm, unless it says so itself."
    )
    http_timeout_seconds: float = Field(10.0, gt=0, description="Limit of one call to a platform.")
    transport: Literal["auto", "aiohttp", "fast"] = Field(
        "aiohttp",
        description="HTTP client of calls to platforms; fast needs the extra `fast`, auto takes it if it is there.",
    )
    send_concurrency: int = Field(32, ge=1, le=1024, description="Calls in flight per account.")
    lake_url: str = Field(
        "", description="Where the lake of events lies, e.g. s3://bucket/lake; empty: the folder lake in the home."
    )
    lake_engine: Literal["duckdb", "spark"] = Field("duckdb", description="What answers questions about events.")
    spark_url: str = Field("sc://127.0.0.1:15002", description="Spark Connect server, Spark's own or Sail.")
    lake_seconds: float = Field(30.0, gt=0, description="How often new events are brought into the lake.")
    lake_keep_hours: float = Field(
        24.0, ge=0, description="How long files that were replaced are kept, for older versions; erasing ends it."
    )
    lake_release_days: float = Field(
        0.0, ge=0, description="Age at which events that are in the lake leave the database; 0: they stay."
    )
    rate_per_second: float = Field(0.0, ge=0, description="Calls a second per account and API; 0: the profile's own.")

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{(self.home / 'tagcast.db').absolute()}"


def load(**flags: Any) -> Settings:
    """Read the settings. Raises Invalid for an unknown or impossible one, naming it."""
    values: dict[str, Any] = {}
    for name, value in os.environ.items():
        if name.startswith(PREFIX) and not name.startswith(FOREIGN_PREFIX):
            values[name.removeprefix(PREFIX).lower()] = value
    if (key_file := values.pop("key_file", None)) is not None:
        values["key"] = Path(key_file).read_text("utf-8").strip()
    given = {name: value for name, value in flags.items() if value is not None}
    home = Path(given.get("home", values.get("home", Settings.model_fields["home"].default)))
    file = home / "tagcast.toml"
    if file.exists():
        values = {**tomllib.loads(file.read_text("utf-8")), **values}
    try:
        return Settings(**{**values, **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise Invalid("kit.unknown_setting", name=name, known=", ".join(Settings.model_fields)) from None
        raise Invalid("kit.bad_setting", name=name, reason=first["msg"]) from None
