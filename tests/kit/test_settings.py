"""Settings: their order, and that a misspelt one is an error."""

from pathlib import Path

import pytest

from tagcast.kit import settings
from tagcast.kit.errors import Invalid


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TAGCAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_flags_stand_above_environment_above_file_above_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".tagcast").mkdir()
    (tmp_path / ".tagcast" / "tagcast.toml").write_text('port = 1\nhost = "file"\nzone = "UTC"\n')
    monkeypatch.setenv("TAGCAST_PORT", "2")
    monkeypatch.setenv("TAGCAST_HOST", "environment")
    found = settings.load(port=3, host=None)
    assert (found.port, found.host, found.zone, found.lang) == (3, "environment", "UTC", "")


def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGCAST_PROT", "1")
    with pytest.raises(Invalid) as caught:
        settings.load()
    assert caught.value.code == "kit.unknown_setting"
    assert caught.value.params["name"] == "prot"
    assert "port" in caught.value.remedy("en")


def test_an_impossible_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGCAST_PORT", "70000")
    with pytest.raises(Invalid) as caught:
        settings.load()
    assert (caught.value.code, caught.value.params["name"]) == ("kit.bad_setting", "port")


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("abc\n")
    monkeypatch.setenv("TAGCAST_KEY_FILE", str(tmp_path / "secret"))
    assert settings.load().key == "abc"


def test_settings_of_the_tests_are_not_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGCAST_TEST_POSTGRES", "postgresql://nowhere")
    assert settings.load().database_url == ""
