"""Rotation of keys on real databases: everything is sealed anew, a kill loses nothing, other processes go on."""

import base64
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tagcast import access, accounts, contacts
from tagcast.accounts import NewAccount
from tagcast.accounts.tables import accounts as account_table
from tagcast.accounts.tables import tokens
from tagcast.inbox.store import Delivery, insert_new, read
from tagcast.kit import crypto, db, sealed
from tagcast.kit.crypto import Broken
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Runtime, open_runtime, sealing_keys

UNSEALED = {
    "api_key.secret_hash": "a hash",
    "behaviour_batch.fresh": "packed numbers",
    "behaviour_batch.payload": "packed numbers",
    "behaviour_seen.mark": "a hash",
    "broadcast_chunk.msgids": "packed numbers",
    "broadcast_chunk.recipients": "packed numbers",
    "broadcast_chunk.statuses": "packed numbers",
    "broadcast_media.content": "a file that messages show to everybody",
    "consent_record.members": "packed numbers",
    "contact_sync.before": "packed numbers",
    "contact_sync.seen": "packed numbers",
    "hit_batch.hits": "packed numbers",
    "identity.fingerprint": "an HMAC",
    "inbox_message.dedupe": "a hash",
    "kept_set.node": "keys of sets",
    "tag_sync_account.plan": "packed numbers and names of tags",
    "tag_sync_run.steps": "packed numbers and names of tags",
    "workspace.data_key": "wrapped by the master key",
    "workspace_key.wrapped": "wrapped by the master key",
}
"""Binary columns that no key of a workspace seals."""


def test_every_binary_column_is_sealed_and_registered_or_known_to_hold_no_secret(runtime_sqlite: Runtime) -> None:
    assert runtime_sqlite.engine, "the fixture loads the tables of all modules"
    registered = {column.name for column in sealed.columns()}
    seals = {"account.secret", "account.callback_token", "account.encoding_aes_key", "account_token.value"}
    assert registered == seals | {"broadcast_chunk.fill", "contact.sealed", "inbox_message.body"}
    binary = {
        f"{table.name}.{column.name}"
        for table in db.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }
    assert binary - registered == UNSEALED.keys()


def test_the_command_loads_all_modules_that_seal() -> None:
    code = (
        "from importlib import import_module\nfrom tagcast.cli.home import SEALING\nfrom tagcast.kit import sealed\n"
        "for name in SEALING: import_module(f'tagcast.{name}')\n"
        "print(*(column.name for column in sealed.columns()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == [column.name for column in sealed.columns()]


def fill(runtime: Runtime, people: int = 3) -> int:
    """An account with a token, some people and a callback."""
    with runtime.work(1, "test") as work:
        new = NewAccount(
            "service", "旗舰店", "the secret", appid="wx0123456789abcdef",
            callback_token="token", encoding_aes_key=AES_KEY,
        )  # fmt: skip
        account = accounts.add(work, new).id
        value = work.vault.seal(b"the token", f"account_token:{account}")
        work.connection.execute(sa.update(tokens).values(value=value))
        contacts.ensure(work, [person(number) for number in range(people)])
        insert_new(work, [Delivery(account, bytes(32), "text", b"<xml/>")])
    return account


AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def person(number: int) -> contacts.PersonIn:
    return contacts.PersonIn({contacts.Identity("phone"): f"138{number:08d}"})


def phones(runtime: Runtime, people: int) -> list[str]:
    with runtime.read(1, "test") as work:
        found = contacts.identities_of(work, range(1, people + 1), "phone")
    return [found[number] for number in sorted(found)]


def assert_readable(runtime: Runtime, account: int, people: int = 3) -> None:
    with runtime.read(1, "test") as work:
        found = accounts.secrets(work, account)
        assert (found.secret, found.callback_token, found.encoding_aes_key) == ("the secret", "token", AES_KEY)
        row = work.connection.execute(sa.select(tokens.c.value)).scalar_one()
        assert work.vault.open(row, f"account_token:{account}") == b"the token"
        assert read(work, [1])[0].body == b"<xml/>"
    assert phones(runtime, people) == [f"138{number:08d}" for number in range(people)]


def uses(runtime: Runtime) -> dict[int, int]:
    return {key.number: key.values for key in access.key_status(runtime).keys}


def age(runtime: Runtime) -> None:
    """As if the keys had been made an hour ago."""
    with runtime.system() as connection:
        connection.execute(sa.update(sealing_keys).values(created_at=sealing_keys.c.created_at - 3_600_000))


def test_everything_is_sealed_anew_and_the_former_key_removed_in_time(runtime: Runtime) -> None:
    account = fill(runtime)
    with runtime.read(1, "test") as work:
        mark, signature = work.vault.fingerprint("phone", "1"), work.vault.sign("link", b"1")
    former = (runtime.settings.home / "key").read_text()
    assert uses(runtime) == {1: 8}
    status = access.rotate_keys(runtime)
    assert (status.master_keys, status.broken, uses(runtime)) == (1, 0, {1: 0, 2: 8})
    assert_readable(runtime, account)
    fresh = (runtime.settings.home / "key").read_text()
    assert fresh != former
    assert (runtime.settings.home / "key").stat().st_mode & 0o777 == 0o600
    assert access.prune_keys(runtime) == 0, "another process may know the former key only"
    age(runtime)
    assert access.prune_keys(runtime) == 1
    assert uses(runtime) == {2: 8}
    again = open_runtime(runtime.settings)
    assert_readable(again, account)
    with again.read(1, "test") as work:
        assert (work.vault.fingerprint("phone", "1"), work.vault.sign("link", b"1")) == (mark, signature)
    again.close()
    (runtime.settings.home / "key").write_text(former)
    stranger = open_runtime(runtime.settings)
    with pytest.raises(Broken), stranger.read(1, "test"):
        pass
    stranger.close()


def test_a_key_in_use_is_not_removed(runtime: Runtime) -> None:
    account = fill(runtime)
    with runtime.work(1, "test") as work:
        old = work.vault.seal(b"the secret", f"account:{accounts.get(work, account).callback_path}:secret")
    access.rotate_keys(runtime)
    with runtime.work(1, "test") as work:
        work.connection.execute(sa.update(account_table).values(secret=old))
    age(runtime)
    assert (access.prune_keys(runtime), uses(runtime)) == (0, {1: 1, 2: 7})
    access.rotate_keys(runtime)
    assert uses(runtime) == {2: 8}, "the rest of a rotation is gone on with, no third key is made"
    assert_readable(runtime, account)


def test_a_process_that_runs_meanwhile_reads_and_writes_on(runtime: Runtime) -> None:
    account = fill(runtime)
    server = open_runtime(runtime.settings)
    assert_readable(server, account)
    access.rotate_keys(runtime)
    with server.read(1, "test") as work:
        assert work.vault.number == 1
    assert_readable(server, account)
    with server.work(1, "test") as work:
        contacts.ensure(work, [person(3)])
    assert_readable(runtime, account, 4)
    assert uses(runtime) == {1: 1, 2: 8}
    server.forget_keys()
    assert_readable(server, account, 4)
    with server.read(1, "test") as work:
        assert work.vault.number == 2
    server.close()


_ROTATE = """
import sys
from pathlib import Path
from tagcast import access, accounts, contacts, inbox
from tagcast.access import keyring
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

keyring.BATCH = 20
runtime = open_runtime(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2]))
print("ready", flush=True)
access.rotate_keys(runtime)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(runtime: Runtime) -> None:
    people = 400
    account = fill(runtime, people)
    arguments = [str(runtime.settings.home), runtime.settings.database_url]
    moments = random.Random(7)
    cut_off = 0
    for _ in range(4):
        rotation = subprocess.Popen([sys.executable, "-c", _ROTATE, *arguments], stdout=subprocess.PIPE, text=True)
        assert rotation.stdout is not None
        assert rotation.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.15))
        rotation.send_signal(signal.SIGKILL)
        cut_off += "done" not in rotation.communicate(timeout=20)[0]
        after = open_runtime(runtime.settings)
        assert_readable(after, account, people)
        after.close()
    assert cut_off >= 1
    status = access.rotate_keys(runtime)
    newest = max(key.number for key in status.keys)
    assert (status.master_keys, status.broken) == (1, 0)
    assert uses(runtime)[newest] == sum(uses(runtime).values()) == people + 5
    assert_readable(runtime, account, people)


def test_a_master_key_of_the_settings_is_replaced_by_the_one_before_it(runtime_sqlite: Runtime) -> None:
    account = fill(runtime_sqlite)
    old = (runtime_sqlite.settings.home / "key").read_text().strip()
    (runtime_sqlite.settings.home / "key").unlink()
    new = base64.b64encode(crypto.new_key()).decode()

    def opened(key: str) -> Runtime:
        return open_runtime(runtime_sqlite.settings.model_copy(update={"key": key}))

    both = opened(f"{new},{old}")
    assert access.rotate_keys(both).master_keys == 2
    assert_readable(both, account)
    alone = opened(new)
    assert_readable(alone, account)
    with pytest.raises(Broken), opened(old).read(1, "test"):
        pass
    assert not (runtime_sqlite.settings.home / "key").exists()


def test_one_rotation_at_a_time(runtime_sqlite: Runtime) -> None:
    other = replace(runtime_sqlite)

    def meanwhile(_done: int, _of: int) -> None:
        with pytest.raises(Conflict) as raised:
            access.rotate_keys(other)
        assert raised.value.code == "access.rotating"

    fill(runtime_sqlite)
    access.rotate_keys(runtime_sqlite, meanwhile)
    access.rotate_keys(other)


def test_a_value_that_no_key_opens_is_told_and_left(runtime: Runtime) -> None:
    account = fill(runtime)
    with runtime.work(1, "test") as work:
        damaged = crypto.header(1) + b"damaged beyond all repair, alas"
        work.connection.execute(sa.update(account_table).values(callback_token=damaged))
    assert access.rotate_keys(runtime).broken == 1
    assert uses(runtime) == {1: 1, 2: 7}
    with runtime.read(1, "test") as work:
        assert work.connection.scalar(sa.select(account_table.c.callback_token)) == damaged
        with pytest.raises(Broken):
            accounts.secrets(work, account)
