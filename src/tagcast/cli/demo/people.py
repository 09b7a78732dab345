"""The demo's input: the CDNOW purchase history, which is real, joined with people who are made up.

CDNOW: 23,570 customers who first bought in January to March 1997, and their 69,659 purchases until June 1998 (Fader and
Hardie); the file ships inside the package `lifetimes`. Names, regions, devices, tastes and WeChat identities come from
the sandbox's seeded population; consents are drawn here.
"""

import csv
import importlib.util
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tagcast.kit.errors import Unavailable

CUSTOMERS = 23_570
FILE = ("datasets", "CDNOW_master.txt")
CONSENTING = 0.9


def purchase_history() -> Path:
    """The CDNOW file, found without importing the package it ships in. Raises Unavailable."""
    found = importlib.util.find_spec("lifetimes")
    folders = list(found.submodule_search_locations or []) if found is not None else []
    for folder in folders:
        file = Path(folder).joinpath(*FILE)
        if file.exists():
            return file
    raise Unavailable("cli.no_purchases")


def purchases(history: Path) -> list[tuple[str, str, int, str]]:
    """(customer, day as YYYYMMDD, CDs, dollars) as the file has them."""
    rows = []
    for line in history.read_text("ascii").splitlines()[1:]:
        parts = line.split()
        if len(parts) == 4:
            rows.append((parts[0], parts[1], int(parts[2]), parts[3]))
    return rows


def write_members(file: Path, customers: Iterable[str], people: Iterable[Mapping[str, Any]], *, seed: int) -> int:
    """The shop's member file: real customer ids, made-up people. Returns the rows written."""
    chance = random.Random(seed)  # noqa: S311 - made-up people
    rows = 0
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(
            ["会员号", "unionid", "姓名", "性别", "地区", "城市", "设备", "年龄段", "偏好", "营销同意", "服务通知同意"]
        )
        for customer, person in zip(customers, people, strict=False):
            consent = "是" if chance.random() < CONSENTING else "否"
            notices = "是" if chance.random() < CONSENTING else "否"
            writer.writerow(
                [customer]
                + [person[name] for name in ("unionid", "name", "sex", "region", "city", "device", "age_band", "taste")]
                + [consent, notices]
            )
            rows += 1
    return rows


def write_purchases(file: Path, rows: Iterable[tuple[str, str, int, str]]) -> None:
    """The shop's order file."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["customer_id", "day", "cds", "dollars"])
        writer.writerows(rows)
