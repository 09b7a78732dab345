"""Each fault of the platform on each call of each way of sending: the cells of the matrix, lived through in `arena`.

A cell is a broadcast that a real worker sends while one kind of call fails in one way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tagcast import channels
from tagcast.channels import errors


@dataclass(frozen=True)
class Way:
    """A way of sending: the kind of account, what is said, and the calls it makes by name; the first one sends.

    `looked_up`: calls that are made only after an answer of the first one was lost. `after`: calls made when all was
    sent, whose failure holds nothing up. `codes`: errcodes that each call can meet beside those that all can meet.
    """

    kind: str
    content: dict[str, Any]
    calls: dict[str, str]
    codes: dict[str, tuple[int, ...]]
    looked_up: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def platform(self) -> channels.Platform:
        platforms: dict[str, channels.Platform] = {"wecom": "wecom", "custom": "webhook"}
        return platforms.get(self.kind, "official")


ARTICLE = {"kind": "article", "title": "会员日", "body": "第{n}次", "url": "https://shop.example.com/day"}
NOTICE = {
    "kind": "template",
    "data": {"name1": "会员", "thing2": "本月积分已到账", "thing3": "第{n}次"},
    "url": "https://shop.example.com/points",
}
TEXT = {"kind": "text", "text": "会员日第{n}次"}
MASS = (45028, 89504, 89505, 42010, 45062)
# The ways of sending. Another one is a row here, with its account in `Arena`.
WAYS = {
    "template": Way(
        "service", NOTICE,
        {"send": "/cgi-bin/message/template/send", "token": "/cgi-bin/stable_token"},
        {"send": (43004, 40003, 40037, 43116)},
    ),
    "list": Way(
        "service", ARTICLE,
        {
            "send": "/cgi-bin/message/mass/send", "token": "/cgi-bin/stable_token",
            "draft": "/cgi-bin/draft/add", "cover": "/cgi-bin/material/add_material",
        },
        {"send": (*MASS, 40007, 48002, 40003), "draft": (40007, 45003), "cover": (40009,)},
    ),
    "tag": Way(
        "official", ARTICLE,
        {
            "send": "/cgi-bin/message/mass/sendall", "token": "/cgi-bin/stable_token",
            "draft": "/cgi-bin/draft/add", "cover": "/cgi-bin/material/add_material",
            "tags": "/cgi-bin/tags/get", "create": "/cgi-bin/tags/create",
            "put_on": "/cgi-bin/tags/members/batchtagging", "bearers": "/cgi-bin/user/tag/get",
            "delete": "/cgi-bin/tags/delete",
        },
        {
            "send": (*MASS, 40007, 48002), "draft": (40007,), "create": (45056,),
            "put_on": (45169, 45059, 50005), "bearers": (), "delete": (45057,),
        },
        after=("delete",),
    ),
    "tasks": Way(
        "wecom", TEXT,
        {
            "send": "/cgi-bin/externalcontact/add_msg_template", "token": "/cgi-bin/gettoken",
            "record": "/cgi-bin/externalcontact/get_groupmsg_list_v2",
            "parts": "/cgi-bin/externalcontact/get_groupmsg_task",
            "results": "/cgi-bin/externalcontact/get_groupmsg_send_result",
        },
        {"send": (45033, 45035, 48002, 60111, 41048), "record": (41063, 48002), "parts": (41063,), "results": (41063,)},
        looked_up=("record", "parts", "results"),
    ),
    # A receiver answers with the status of HTTP.
    "webhook": Way("custom", ARTICLE, {"send": "/webhook/in"}, {"send": (401, 404, 410, 422)}),
}  # fmt: skip
STATUS = {401: "webhook_signature", 404: "webhook_missing", 410: "webhook_gone", 422: "webhook_refused"}

# What any call can meet. 60020 and 40164: the address of this server is not allowed. 99999 is in no table.
COMMON: dict[str, tuple[str, ...]] = {
    "official": ("busy", "quota", "45011", "40001", "42001", "40014", "48001", "40164", "99999"),
    "wecom": ("busy", "quota", "40014", "42001", "60020", "99999"),
    "webhook": ("busy", "quota"),
}
WIRE = ("timeout_before", "timeout_after", "slow", "cut", "cut_before", "gateway")
TIMES = ("once", "several", "20 %")
# Codes that say that the platform has met the same key before: only after a lost answer can they be met.
AFTER_LOST = ("45066",)


@dataclass(frozen=True)
class Cell:
    """One fault on one call of one way of sending, so many times."""

    way: str
    call: str
    fault: str
    times: str

    def __str__(self) -> str:
        return f"{self.way}.{self.call}: {self.fault} {self.times}"

    @property
    def path(self) -> str:
        return WAYS[self.way].calls[self.call]

    @property
    def code(self) -> int | None:
        """The errcode that the platform answers, if it does."""
        return {"busy": -1, "quota": 45009}.get(self.fault, int(self.fault) if self.fault.isdigit() else None)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """What the sandbox is told."""
        way, often = WAYS[self.way], 3 if self.way != "template" or self.call != "send" else 60
        how = {"once": {"times": 1}, "several": {"times": often}, "20 %": {"probability": 0.2}}[self.times]
        kind = "error" if self.fault.isdigit() else self.fault
        struck: dict[str, Any] = {
            "path": self.path,
            "kind": kind,
            "code": 502 if kind == "gateway" else self.code or -1,
            **how,
        }
        struck["seconds"] = 0.3 if self.fault == "slow" else 3.0
        lost = {"path": way.calls["send"], "kind": "cut", "times": 1}
        needs_lost = self.call in way.looked_up or self.fault in AFTER_LOST
        return [lost, struck] if needs_lost else [struck]

    @property
    def meaning(self) -> errors.Meaning | None:
        """The table's row for what the platform answers."""
        if self.code is None:
            return None
        rows, platform = errors.table(), WAYS[self.way].platform
        if platform == "webhook":
            return rows.get((platform, STATUS.get(self.code, ""), ""))
        there = (platform, self.code, self.path.removeprefix("/cgi-bin/"))
        return rows.get(there) or rows.get((platform, self.code, "")) or rows[(platform, "unknown", "")]

    @property
    def must_pause(self) -> bool:
        """Whether it concerns the whole broadcast and no repetition of ours can help."""
        row, way = self.meaning, WAYS[self.way]
        if row is None or row.reason in ("media_gone", "no_recipient") or self.call in (*way.after, "token"):
            return False
        of_all = row.scope not in (errors.Scope.RECIPIENT, errors.Scope.SENDER)
        return (row.reaction is errors.Reaction.PERMANENT and of_all) or bool(row.until)


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for name, way in WAYS.items():
        for call in way.calls:
            own = [str(code) for code in way.codes.get(call, ())]
            again = [code for code in AFTER_LOST if call == "send" and name in ("list", "tag")]
            for fault in (*COMMON[way.platform], *WIRE, *own, *again):
                for times in TIMES:
                    yield Cell(name, call, fault, times)
