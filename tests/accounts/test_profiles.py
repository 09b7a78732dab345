"""Limit profiles: both are complete, every value has its source, and a wrong file does not load."""

from datetime import date
from typing import get_args

import pytest

from tagcast import accounts, channels
from tagcast.accounts import profiles
from tagcast.accounts.rules import KINDS
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Work


@pytest.mark.parametrize("name", profiles.SHIPPED)
@pytest.mark.parametrize("kind", KINDS)
def test_shipped_profiles_are_complete_and_sourced(name: str, kind: str) -> None:
    limits = profiles.shipped(name)[kind]
    assert limits.values.keys() >= profiles.KEYS
    for key, limit in limits.values.items():
        assert len(limit.source) > 10, key
        assert date.fromisoformat(limit.date) >= date(2023, 1, 1), key
        assert limit.profile == name


def test_article_holds_the_figures_of_the_specification() -> None:
    article = profiles.shipped("article")
    assert [article[kind].count("tags.depth") for kind in KINDS] == [3, 2, 2, None]
    assert [article[kind].count("tags.count") for kind in KINDS] == [500, 100, 100, None]
    assert [article[kind].count("tags.members") for kind in KINDS] == [2_000_000, 500_000, 500_000, None]
    assert article["wecom"].count("broadcast.per_day") == 5
    assert article["official"].count("broadcast.per_day") == 1
    assert article["service"].count("broadcast.per_month") == 4
    assert article["wecom"].count("preview.testers") == 5
    assert article["wecom"].content == {"text", "article", "mini_program"}
    assert article["official"].content == {"article", "text"}
    assert article["service"].content == {"template"}


@pytest.mark.parametrize("profile", profiles.SHIPPED)
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_message_have_the_names_of_the_channels(profile: str, kind: str) -> None:
    ours = {part.kind for part in get_args(channels.Message)}
    assert ours == {"text", "article", "mini_program", "image", "video", "voice", "file", "template"}
    # A subscription message is a template message to the channel, sent on another way.
    assert profiles.shipped(profile)[kind].content <= ours | {"subscription"}


def test_platform_lets_service_accounts_mass_send_too() -> None:
    assert profiles.shipped("platform")["service"].content >= {"template", "article", "text", "image"}


def test_platform_counts_service_and_wecom_by_person() -> None:
    platform = profiles.shipped("platform")
    assert [platform[kind].scope for kind in ("wecom", "official", "service")] == ["person", "account", "person"]
    assert platform["service"].rate_per_minute("message_mass_send") == 60
    assert platform["service"].rate_per_minute("template") == 30_000


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2027-02-10", 28), ("2028-02-29", 29), ("2027-04-30", 30), ("2027-12-31", 31)],
)
def test_wecom_reception_has_the_length_of_the_month(day: str, expected: int) -> None:
    assert profiles.shipped("platform")["wecom"].per_month(date.fromisoformat(day)) == expected


GOOD = {"value": 9, "source": "our contract", "date": "2026-11-01"}


@pytest.mark.parametrize(
    "entry",
    [
        {**GOOD, "value": -1},
        {**GOOD, "value": True},
        {**GOOD, "value": 1.5},
        {**GOOD, "value": "many"},
        {**GOOD, "value": "days_of_month"},
        {**GOOD, "source": " "},
        {**GOOD, "date": "2026-13-01"},
        {**GOOD, "extra": 1},
        {"value": 9, "source": "our contract"},
        9,
    ],
)
def test_strict_loader_refuses(entry: object) -> None:
    with pytest.raises(Invalid) as refused:
        profiles.parse("own", {"wecom": {"tags": {"depth": entry}}})
    assert refused.value.code == "accounts.bad_limit"
    assert "wecom.tags.depth" in refused.value.text("zh")


@pytest.mark.parametrize(
    "body", [{"wecom": {"tags": {"width": GOOD}}}, {"telegram": {"tags": {"depth": GOOD}}}, {"wecom": {"tags": 3}}]
)
def test_strict_loader_refuses_unknown_names(body: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        profiles.parse("own", body)


def test_a_workspace_profile_replaces_only_what_it_names(work: Work) -> None:
    accounts.add_profile(work, "own", "platform", {"wecom": {"tags": {"depth": GOOD}}})
    added = accounts.add(
        work,
        accounts.NewAccount(kind="wecom", name="企微", corpid="ww0123456789abcdef", secret="s" * 32, profile="own"),
    )
    limits = accounts.limits(work, added.id)
    assert limits.value("tags.depth") == accounts.Limit(9, "our contract", "2026-11-01", "own")
    assert limits.value("tags.count").value == 10_000
    assert limits.value("tags.count").profile == "platform"
    with pytest.raises(Conflict):
        accounts.add_profile(work, "article", "platform", {})
    with pytest.raises(NotFound):
        accounts.add_profile(work, "other", "own", {})
    with pytest.raises(NotFound):
        accounts.set_profile(work, added.id, "missing")


def test_the_workspace_itself_has_no_limit(work: Work) -> None:
    limits = accounts.limits(work, None)
    assert (limits.kind, limits.count("tags.depth"), limits.count("tags.members")) == ("custom", None, None)
