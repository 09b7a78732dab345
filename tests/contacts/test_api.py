"""Contacts, events and features over real HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tracking.serving import call, serving

from tagcast import access, files
from tagcast.files import Row
from tagcast.kit.uow import Runtime
from tagcast.server import create_app


class Api:
    """A server's port and a key to it."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.auth = {"Authorization": f"Bearer {key}"}

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        status, _, answer = call(self.port, f"/api/v1{path}", method, body=body, **self.auth, **headers)
        return status, answer

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body).encode()
        status, answer = self.raw(method, path, sent, Content_Type="application/json", **headers)
        return status, json.loads(answer)

    def upload(self, path: str, content: bytes, **fields: str) -> tuple[int, Any]:
        parts = [
            f'--X\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()
        ]
        head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="../../etc/x.csv"\r\n\r\n'
        body = b"".join(parts) + head + content + b"\r\n--X--\r\n"
        status, answer = self.raw("POST", path, body, Content_Type="multipart/form-data; boundary=X")
        return status, json.loads(answer)


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[Api]:
    with runtime_sqlite.work(1, "test") as work:
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Api(port, key)


def test_from_file_to_person_to_export(api: Api, runtime_sqlite: Runtime, tmp_path: Path) -> None:
    region = {"type": "choice", "purpose": "offers nearby", "retention_days": 365}
    assert api("PUT", "/contacts/attributes/region", region)[1]["values"] == {}
    mapping = json.dumps({"id": "identity:customer_id", "phone": "identity:phone", "city": "attribute:region"})
    content = "id,phone,city,x\nA1,13800000001,深圳,1\nA2,123,北京,1\nA3,,深圳,1\n".encode("gbk")
    rehearsed = api.upload("/contacts/imports", content, mapping=mapping, dry_run="true")[1]
    status, done = api.upload("/contacts/imports", content, mapping=mapping)
    assert (status, rehearsed["made"], rehearsed["refused"]) == (200, 2, 1)
    assert (done["made"], done["refused"], done["dropped"]) == (2, 1, ["x"])
    assert done["problems"][0]["code"] == "contacts.bad_phone"
    status, refused = api.raw("GET", done["refused_rows"].removeprefix("/api/v1"))
    (tmp_path / "r.csv").write_bytes(refused)
    rows = [row.values for row, _ in files.open_table(tmp_path / "r.csv").rows() if isinstance(row, Row)]
    assert (status, rows[0]["line"], rows[0]["id"], rows[0]["city"]) == (200, "3", "A2", "北京")
    assert api.upload("/contacts/imports", content, mapping=mapping)[1]["already"] is True
    assert sorted(path.suffix for path in (runtime_sqlite.settings.home / "imports").iterdir()) == [".csv"]
    assert api("GET", "/contacts?kind=phone&value=%2B8613800000001")[1]["numbers"] == [1]
    seen = api("GET", "/contacts/1")[1]
    assert seen["identities"] == {"customer_id": "A1", "phone": "13800000001"}
    assert seen["attributes"] == {"region": "深圳"}
    assert api("GET", "/contacts/attributes")[1]["attributes"][0]["values"] == {"深圳": 2}
    export = {"columns": ["number", "identity:customer_id"], "numbers": [2, 99]}
    status, exported = api.raw("POST", "/contacts/export", json.dumps(export).encode(), Content_Type="application/json")
    assert (status, exported) == (200, b'\xef\xbb\xbf"number","identity:customer_id"\r\n2,"A3"\r\n')
    assert api("DELETE", "/contacts/1")[1]["total"] == 1
    assert api("GET", "/contacts/1")[0] == 404
    assert api("DELETE", "/contacts/attributes/region")[1] == {"attributes": []}


def test_pages_of_contacts(api: Api) -> None:
    content = ("id\n" + "".join(f"P{n}\n" for n in range(7))).encode()
    mapping = json.dumps({"id": "identity:customer_id"})
    api.upload("/contacts/imports", content, mapping=mapping)
    assert api("GET", "/contacts?limit=3")[1] == {"total": 7, "numbers": [1, 2, 3], "next": 3}
    assert api("GET", "/contacts?limit=3&after=3")[1] == {"total": 7, "numbers": [4, 5, 6], "next": 6}
    assert api("GET", "/contacts?limit=3&after=6")[1] == {"total": 7, "numbers": [7], "next": None}
    assert api("GET", "/contacts?limit=3&after=7")[1] == {"total": 7, "numbers": [], "next": None}


def test_what_is_wrong_is_told(api: Api) -> None:
    status, problem = api.upload("/contacts/imports", b"id\n1\n", mapping='{"id": "identity:nobody"}')
    assert (status, "customer_id" in json.dumps(problem)) == (422, True)
    assert api.upload("/contacts/imports", b"id\n1\n", mapping="nonsense")[0] == 422
    assert api("GET", "/contacts?kind=phone")[0] == 422
    assert api("GET", "/contacts/imports/1/refused")[0] == 404
    assert api("PUT", "/contacts/attributes/region", {"type": "choice", "purpose": " "})[0] == 422
    assert api("POST", "/contacts/sync/9")[0] == 404
    assert call(api.port, "/api/v1/contacts")[0] == 401


def test_events_and_rfm(api: Api) -> None:
    content = ("id\n" + "".join(f"P{n}\n" for n in range(1, 6))).encode()
    api.upload("/contacts/imports", content, mapping='{"id": "identity:customer_id"}')
    assert api("GET", "/features/rfm")[0] == 404
    assert api("PUT", "/events/types/purchase", {"purpose": "sales", "properties": {"sku": "text"}})[0] == 200
    assert api("GET", "/events/types")[1] == {
        "types": [{"name": "purchase", "purpose": "sales", "properties": {"sku": "text"}}]
    }
    good = [
        {
            "type": "purchase",
            "contact": {"kind": "customer_id", "value": f"P{n}"},
            "at": f"2026-03-0{n}T10:00:00+08:00",
            "amount": f"{n}0.50",
            "properties": {"sku": "x"},
        }
        for n in range(1, 6)
    ]
    bad = [
        {**good[0], "contact": {"kind": "customer_id", "value": "P9"}},
        {**good[0], "type": "puchase"},
        {**good[0], "at": "soon"},
        {**good[0], "amount": "1.234"},
        {**good[0], "properties": {"sko": "x"}},
    ]
    batch = {"batch_key": "b1", "events": [*bad, *good]}
    status, problem = api("POST", "/events", batch)
    assert (status, problem["code"]) == (422, "behaviour.rows_refused")
    assert [row["row"] for row in problem["params"]["refused"]] == [0, 1, 2, 3, 4]
    batch["partial"] = True
    status, done = api("POST", "/events", batch, Idempotency_Key="k1")
    assert (status, done["recorded"]) == (200, 5)
    assert [(row["row"], row["code"]) for row in done["refused"]] == [
        (0, "behaviour.nobody"),
        (1, "behaviour.no_event_type"),
        (2, "behaviour.bad_time"),
        (3, "behaviour.bad_amount"),
        (4, "behaviour.no_property"),
    ]
    assert api("POST", "/events", batch, Idempotency_Key="k1")[1] == done
    assert api("POST", "/events", batch)[1]["recorded"] == 0
    status, table = api("POST", "/features/rfm", {"as_of": "2026-03-31"})
    assert (status, table["contacts"]) == (200, 5)
    assert table["grid"][4] == [0, 0, 0, 0, 1]
    assert table["classes"]["重要价值"] == 2
    assert api("GET", "/features/rfm")[1]["classes"] == table["classes"]
    assert "rfm.class" in [one["name"] for one in api("GET", "/features")[1]["features"]]
