"""Accounts: what is refused, what is sealed, what another workspace sees."""

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tagcast import access, accounts
from tagcast.accounts import NewAccount
from tagcast.accounts.tables import accounts as table
from tagcast.kit.crypto import Broken
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

SECRET = "canary-app-secret-7f3a"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the public example
TOKEN = "canaryToken7f3a"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
GOOD = NewAccount(
    "service", "旗舰店", SECRET, appid="wx5823bf96d3bd56c7", callback_token=TOKEN, encoding_aes_key=AES_KEY
)


def test_added_account_is_found_by_id_and_name(work: Work) -> None:
    added = accounts.add(work, GOOD)
    assert accounts.get(work, added.id) == added == accounts.get(work, "旗舰店")
    assert (added.base_url, added.profile, added.zone) == ("https://api.weixin.qq.com", "article", "Asia/Shanghai")
    assert len(bytes.fromhex(added.callback_path)) == 16
    assert accounts.all_(work) == [added]
    opened = accounts.secrets(work, added.id)
    assert (opened.secret, opened.callback_token, opened.encoding_aes_key) == (SECRET, TOKEN, AES_KEY)
    assert SECRET not in repr((added, opened, GOOD))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "telegram"}, "accounts.unknown_kind"),
        ({"kind": "wecom"}, "accounts.missing"),
        ({"appid": ""}, "accounts.missing"),
        ({"corpid": "ww0123456789"}, "accounts.missing"),
        ({"appid": "wx/../x"}, "accounts.bad_field"),
        ({"secret": ""}, "accounts.missing"),
        ({"name": ""}, "accounts.bad_name"),
        ({"name": "a\nb"}, "accounts.bad_name"),
        ({"callback_token": ""}, "accounts.half_callback"),
        ({"encoding_aes_key": ""}, "accounts.half_callback"),
        ({"callback_token": "with space"}, "accounts.bad_callback_token"),
        ({"encoding_aes_key": "x" * 42}, "accounts.bad_aes_key"),
        ({"base_url": "ftp://host"}, "accounts.bad_field"),
        ({"base_url": "https://user:pw@host"}, "accounts.bad_field"),
        ({"base_url": "https://host/?q=1"}, "accounts.bad_field"),
        ({"base_url": "https://host:99999"}, "accounts.bad_field"),
        ({"base_url": "https://[::1"}, "accounts.bad_field"),
        ({"base_url": "https://ho st"}, "accounts.bad_field"),
        ({"base_url": "https:///path"}, "accounts.bad_field"),
        ({"zone": "Mars/Olympus"}, "accounts.bad_field"),
        ({"zone": "../etc"}, "accounts.bad_field"),
        ({"kind": "custom", "base_url": ""}, "accounts.missing"),
        ({"kind": "custom", "base_url": "https://host/in", "secret": ""}, "accounts.missing"),
        ({"kind": "custom", "base_url": "https://host/in", "secret": "plain"}, "accounts.bad_webhook_secret"),
        ({"kind": "custom", "base_url": "https://host/in", "secret": "whsec_c2hvcnQ="}, "accounts.bad_webhook_secret"),
        ({"kind": "custom", "base_url": "https://host/in#x", "secret": WHSEC}, "accounts.bad_field"),
        ({"kind": "custom", "base_url": "ftp://host/in", "secret": WHSEC}, "accounts.bad_field"),
    ],
)
def test_bad_input_is_refused_in_both_languages(work: Work, changes: dict[str, str], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        accounts.add(work, replace(GOOD, **changes))
    assert refused.value.code == code
    assert refused.value.text("zh")
    assert refused.value.remedy("zh")
    assert refused.value.text("en")
    assert refused.value.remedy("en")
    assert accounts.all_(work) == []


def test_a_name_is_taken_once(work: Work) -> None:
    accounts.add(work, GOOD)
    with pytest.raises(Conflict):
        accounts.add(work, GOOD)


def test_a_removed_account_leaves_nothing_and_its_number_does_not_come_back(work: Work) -> None:
    first = accounts.add(work, GOOD)
    accounts.remove(work, first.id)
    with pytest.raises(NotFound):
        accounts.get(work, first.id)
    assert accounts.add(work, GOOD).id > first.id


def test_another_workspace_sees_no_account(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        added = accounts.add(work, GOOD)
    with runtime.work(other, "test") as work:
        assert accounts.all_(work) == []
        for call in (accounts.get, accounts.limits, accounts.secrets, accounts.remove):
            with pytest.raises(NotFound):
                call(work, added.id)
    assert accounts.at_callback_path(runtime, added.callback_path) == (1, added.id)
    assert accounts.at_callback_path(runtime, "0" * 32) is None


def test_secrets_lie_sealed_in_the_database_file(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        accounts.add(work, GOOD)
    home = Path(runtime_sqlite.settings.home)
    content = b"".join(file.read_bytes() for file in home.glob("tagcast.db*"))
    assert GOOD.appid.encode() in content
    for secret in (SECRET, TOKEN, AES_KEY):
        assert secret.encode() not in content


def test_a_sealed_secret_does_not_open_in_another_row(work: Work) -> None:
    first = accounts.add(work, GOOD)
    second = accounts.add(work, replace(GOOD, name="二店", secret="other"))
    moved = work.connection.scalar(sa.select(table.c.secret).where(table.c.id == first.id))
    work.connection.execute(sa.update(table).where(table.c.id == second.id).values(secret=moved))
    with pytest.raises(Broken):
        accounts.secrets(work, second.id)
