"""The demo's story: each step is a command, an API call or a public function that a user has."""

import contextlib
import io
import os
import shlex
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from tagcast import access, contacts
from tagcast.cli.demo import people, stage
from tagcast.cli.demo.stage import Http
from tagcast.cli.frame import Frame
from tagcast.kit import settings as kit_settings
from tagcast.kit.errors import Unavailable

KINDS = ("wecom", "official", "service")
SCENARIO: dict[str, Any] = tomllib.loads(
    resources.files("tagcast.cli.demo").joinpath("scenario.toml").read_text("utf-8")
)


def shown(arguments: Sequence[str], folder: Path) -> str:
    """A command as one would type it in the demo's folder."""
    return shlex.join(argument.replace(f"{folder}/", "") for argument in arguments)


@dataclass
class Story:
    """One run of the demo in a new folder."""

    frame: Frame
    folder: Path
    seed: int
    remote: dict[str, dict[str, Any]] = field(default_factory=dict)
    local: dict[str, dict[str, Any]] = field(default_factory=dict)
    sandbox: Http = field(default_factory=lambda: Http(""))
    api: Http = field(default_factory=lambda: Http(""))

    def tell(self) -> dict[str, Any]:
        """Play it all; what came out. `ok`: the sandbox's ledger agrees that nobody was lost, doubled or forbidden."""
        port = stage.free_port()
        os.environ.update(
            TAGCAST_HOME=str(self.folder / "home"),
            TAGCAST_PORT=str(port),
            TAGCAST_PUBLIC_URL=f"http://127.0.0.1:{port}",
            TAGCAST_ALLOW_PRIVATE="true",
            # Employees who never confirm would keep a broadcast open for ten minutes.
            TAGCAST_SETTLE_SECONDS="4",
            TAGCAST_CONFIRM_HOURS="0.001",
        )
        with ExitStack() as stack:
            with self.step("starting the WeChat sandbox", "启动微信沙箱"):
                options = ("--port", "0", "--state", str(self.folder / "sandbox.db"), "--seed", str(self.seed))
                box = stage.process("wechat_sandbox", *options, log=self.folder / "sandbox.log")
                self.sandbox = Http(stack.enter_context(box)["url"])
            key = self.set_up()
            with self.step("starting the server and its worker", "启动服务与后台任务"):
                server = stack.enter_context(stage.process("tagcast", "serve", log=self.folder / "server.log"))
                self.api = Http(server["url"], {"Authorization": f"Bearer {key}"})
            self.import_people()
            self.tag()
            self.keep_true()
            sent = self.broadcast()
            self.let_people_act()
            return self.conclude(sent)

    def set_up(self) -> str:
        """Make a home and connect three accounts. Returns the API key."""
        with self.step("a new Tagcast on SQLite, three accounts", "新建 Tagcast（SQLite），接入三个账号"):
            key = self.run("init")["api_key"]
            for kind in KINDS:
                remote = self.sandbox.post("/sandbox/accounts", {"kind": kind, "name": kind, "employees": 20})
                secrets = self.folder / f"{kind}.secrets"
                secrets.touch(mode=0o600)
                secrets.write_text(
                    f"secret={remote['secret']}\ncallback_token={remote['token']}\n"
                    f"encoding_aes_key={remote['encoding_aes_key']}\n"
                )
                identifier = ["--corpid", remote["corpid"]] if kind == "wecom" else ["--appid", remote["appid"]]
                self.local[kind] = self.run(
                    "account", "add", kind, kind, *identifier, "--secrets", str(secrets),
                    "--base-url", self.sandbox.base,
                )  # fmt: skip
                self.remote[kind] = remote
                address = f"{os.environ['TAGCAST_PUBLIC_URL']}/callback/{self.local[kind]['callback_path']}"
                self.sandbox.call("PATCH", f"/sandbox/accounts/{remote['id']}", {"callback_url": address})
        return str(key)

    def import_people(self) -> None:
        """Real purchases under made-up people, through the ordinary importers; then the accounts' own contacts."""
        history = people.purchase_history()
        bought = people.purchases(history)
        customers = sorted({row[0] for row in bought})
        with self.step("a made-up population of the sandbox", "沙箱生成虚构人群"):
            self.sandbox.post("/sandbox/population", {"size": len(customers), "seed": self.seed})
            strangers = self.sandbox.lines("/sandbox/people")
        members, orders = self.folder / "members.csv", self.folder / "purchases.csv"
        people.write_members(members, customers, strangers, seed=self.seed)
        people.write_purchases(orders, bought)
        for name, label in SCENARIO["attributes"].items():
            self.run("contacts", "declare", name, "choice", "--purpose", "marketing", "--zh", label)
        self.run("contacts", "declare", "name", "text", "--purpose", "service", "--zh", "姓名")
        with self.step("importing 23,570 members", "导入 23,570 名会员") as said:
            done = self.run("contacts", "import", str(members), "--map", self.mapping("members"))  # fmt: skip
            said.append(
                self.either(
                    f"{done['made']:,} made, {done['refused']} refused",
                    f"新增 {done['made']:,}，拒绝 {done['refused']}",
                )
            )
        self.run("events", "declare", "purchase", "--purpose", "marketing")
        with self.step("importing 69,659 purchases (CDNOW, real)", "导入 69,659 笔购买（CDNOW 真实数据）") as said:
            mapping = self.mapping("purchases")
            done = self.run("events", "import", str(orders), "--type", "purchase", "--map", mapping)
            taken, refused = done["rows"] - done["refused"], done["refused"]
            said.append(self.either(f"{taken:,} taken, {refused} refused", f"接收 {taken:,}，拒绝 {refused}"))
        for kind in KINDS:
            with self.step(f"reading the contacts of {kind}", f"同步 {kind} 的联系人") as said:
                done = self.run("account", "sync", kind)
                said.append(self.either(f"{done['seen']:,} people", f"{done['seen']:,} 人"))

    def tag(self) -> None:
        """RFM, the tag trees, tags by segment, by hand and by file."""
        with self.step("R, F and M from the purchases", "由购买计算 R、F、M") as said:
            classes = self.run("features", "rfm", "--as-of", SCENARIO["as_of"])
            said.append(", ".join(f"{name} {count:,}" for name, count in classes["classes"].items()))
        with self.step("tag trees; tags by segment, by hand, by file", "建标签树；按人群、手工、文件打标签") as said:
            for kind, paths in SCENARIO["tags"].items():
                for path in paths:
                    self.run("tags", "add", path, "--account", kind, "--parents")
            self.show("tags", "add", SCENARIO["too_deep"], "--account", "wecom", "--parents")
            counts = []
            by_hand = SCENARIO["tags"]["wecom"][-1]
            for kind, (path, *_others) in SCENARIO["tags"].items():
                done = self.run("segment", "tag", "rfm.m >= 3", path, "--account", kind)
                counts.append(done["holders"])
            self.run("tags", "apply", by_hand, "--account", "wecom", "--contact", "customer_id:00001",
                     "--contact", "customer_id:00002", "--why", "老客户")  # fmt: skip
            visited = self.folder / "visited.csv"
            visited.write_text("customer_id\n" + "\n".join(f"{number:05d}" for number in range(1, 501)) + "\n")
            self.run("tags", "apply", by_hand, "--account", "wecom", "--file", str(visited))
            said.append(f"高消费 {counts[0]:,}")

    def keep_true(self) -> None:
        """A rule over what people did keeps a tag, and says of one person why."""
        tag, text = SCENARIO["rule"]["tag"], SCENARIO["rule"]["text"]
        with self.step("a rule keeps a tag true by itself", "规则自动维护标签") as said:
            self.run("tags", "add", tag, "--account", "wecom")
            number = str(self.run("rule", "create", tag, text, "--account", "wecom")["id"])
            self.run("rule", "activate", number)
            self.show("segment", "explain", text, SCENARIO["rule"]["person"])
            said.append(self.holders())

    def holders(self) -> str:
        """How many hold the rule's tag, once the worker has followed everything."""

        def followed() -> dict[str, Any] | None:
            found: dict[str, Any] = self.api.get("/api/v1/rules/1")
            return found if found["lag"] == 0 else None

        return f"{SCENARIO['rule']['tag']} {stage.wait_for(followed, seconds=60)['holders']:,}"

    def show(self, *arguments: str) -> None:
        """A command with what it says, also when a limit forbids it."""
        from tagcast.cli.main import main

        self.tell_line(f"  $ tagcast {shown(arguments, self.folder)}")
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main([*arguments, "--lang", self.frame.lang])
        for line in out.getvalue().strip().splitlines():
            self.tell_line(f"    {line}")

    def broadcast(self) -> dict[str, int]:
        """Choose the crowd, plan, send, wait until settled; the broadcasts by account kind."""
        sent: dict[str, int] = {}
        plans: dict[str, dict[str, Any]] = {}
        # The demo runs at any hour, and nobody but the sandbox is written to.
        self.api.call("PUT", "/api/v1/quiet", {"on": False, "why": "demo"})
        for kind, wanted in SCENARIO["crowds"].items():
            content = dict(wanted["content"])
            audience = wanted["audience"].format(account=self.local[kind]["id"])
            if "template" in wanted:
                content["template_id"] = self.template(wanted["template"])
            draft = self.api.post(
                "/api/v1/broadcasts",
                {
                    "name": wanted["name"],
                    "account": kind,
                    "audience": audience,
                    "content": content,
                    "purpose": wanted.get("purpose", "marketing"),
                    "holdout_percent": 10,
                },
            )
            sent[kind] = draft["id"]
            plans[kind] = self.api.post(f"/api/v1/broadcasts/{draft['id']}/plan")
            self.show_plan(wanted["name"], audience, plans[kind])
        for kind, plan in plans.items():
            with self.step(f"sending on {kind}", f"在 {kind} 上发送") as said:
                self.api.post(f"/api/v1/broadcasts/plans/{plan['hash']}/send")
                said.append(self.either(f"plan {plan['hash']}", f"计划 {plan['hash']}"))
        with self.step("waiting for receipts, polling results", "等待回执，轮询结果") as said:
            for kind, number in sent.items():
                state = self.settled(number)
                counts = ", ".join(f"{self.word(name)} {count:,}" for name, count in state["states"].items() if count)
                said.append(f"{kind}: {counts}")
        return sent

    def settled(self, number: int) -> dict[str, Any]:
        """The progress of a broadcast once it is finished, or after two minutes."""

        def finished() -> dict[str, Any] | None:
            found: dict[str, Any] = self.api.get(f"/api/v1/broadcasts/{number}/progress")
            return found if found["state"] in ("finished", "paused", "cancelled") else None

        last: dict[str, Any] = stage.wait_for(finished, seconds=120) or self.api.get(
            f"/api/v1/broadcasts/{number}/progress"
        )
        return last

    def template(self, title: str) -> str:
        """A template of the service account, looked up on the platform."""
        found = self.run("account", "templates", "service")
        return str(next(one["template_id"] for one in found if one["title"] == title))

    def let_people_act(self) -> None:
        """The population opens, clicks and buys for three days; the shop's order system reports the orders to us."""
        days = SCENARIO["days"]
        with self.step(f"{days} days pass: people open, click, buy", f"过 {days} 天：打开、点击、购买") as said:
            self.sandbox.post("/sandbox/population/act", {"days": days})

            def done() -> dict[str, Any] | None:
                found: dict[str, Any] = self.sandbox.get("/sandbox/population/act")
                return found if found["state"] == "done" else None

            acted = stage.wait_for(done, seconds=180)
            opened, clicked, bought = (f"{acted[name]:,}" for name in ("opened", "clicked", "bought"))
            said.append(
                self.either(
                    f"{opened} opened, {clicked} clicked, {bought} orders",
                    f"打开 {opened}，点击 {clicked}，订单 {bought}",
                )
            )
        with self.step("the shop reports its orders over the API", "商城通过 API 上报订单") as said:
            orders = self.sandbox.get("/sandbox/orders")["orders"]
            for at in range(0, len(orders), 1000):
                batch = orders[at : at + 1000]
                rows = [
                    {
                        "type": "purchase",
                        "contact": {"kind": "unionid", "value": order["unionid"]},
                        "at": str(order["at"]),
                        "amount": f"{order['amount_cents'] / 100:.2f}",
                    }
                    for order in batch
                ]
                self.api.post("/api/v1/events", {"batch_key": f"orders-{orders[at]['seq']}", "events": rows})
            said += [f"{len(orders):,}", self.holders()]

    def conclude(self, sent: Mapping[str, int]) -> dict[str, Any]:
        """The report, the HTML beside it, and the check against the sandbox's own ledger."""
        for kind, number in sent.items():
            report = self.api.get(f"/api/v1/reports/broadcasts/{number}?lang={self.frame.lang}")
            self.show_report(kind, report, self.truth(kind, number))
        page = self.folder / "report.html"
        self.run("report", "broadcast", *map(str, sent.values()), "--html", str(page))
        verdict = {"lost": 0, "duplicated": 0, "forbidden": 0, "unexpected": 0}
        for kind, number in sent.items():
            judged = self.sandbox.post(
                "/sandbox/ledger/judge", {"account": self.remote[kind]["id"], "expected": self.assigned(number)}
            )
            verdict = {name: total + judged[name] for name, total in verdict.items()}
        ok = not any(verdict.values())
        counts = ", ".join(f"{self.word(name)} {total}" for name, total in verdict.items())
        mark = "✓" if ok else "✗"
        self.tell_line("")
        self.frame.say(f"self-check against the sandbox's ledger: {counts} {mark}", f"与沙箱账本核对：{counts} {mark}")
        self.frame.say(
            f"report: {page}\nnext: TAGCAST_HOME={os.environ['TAGCAST_HOME']} tagcast --help · docs/tutorial.md",
            f"报告：{page}\n下一步：TAGCAST_HOME={os.environ['TAGCAST_HOME']} tagcast --help · docs/tutorial.md",
        )
        return {"ok": ok, **verdict, "report": str(page), "broadcasts": dict(sent)}

    def assigned(self, number: int) -> list[str]:
        """unionids of those to whom a broadcast was to be sent."""
        runtime = access.open_home(kit_settings.load())
        try:
            with runtime.read(access.only_workspace(runtime), "demo") as work:
                members = list(work.bitmaps.read(f"broadcast:{number}:assigned"))
                return list(contacts.identities_of(work, members, "unionid").values())
        finally:
            runtime.close()

    def show_plan(self, name: str, audience: str, plan: Mapping[str, Any]) -> None:
        """The waterfall of a plan."""
        self.tell_line(f"\n  {name}\n  {audience}")
        for step in plan["steps"]:
            label = step[f"label_{self.frame.lang}"]
            sign = " " if step["name"] in ("addressed", "assigned") else "−"
            if step["count"] or step["name"] in ("addressed", "assigned"):
                self.tell_line(f"    {sign} {step['count']:>7,}  {label}")

    def truth(self, kind: str, number: int) -> float:
        """What the sandbox knows: the true effect on those to whom the broadcast was to be sent, as a share."""
        asked = {
            "account": self.remote[kind]["id"],
            "days": SCENARIO["days"],
            "since_seq": 0,
            "people": self.assigned(number),
        }
        return float(self.sandbox.post("/sandbox/truth", asked)["effect"])

    def show_report(self, kind: str, report: Mapping[str, Any], truth: float) -> None:
        """The report's figures, a line each, with the true effect beside the measured one."""
        self.tell_line(f"\n  {SCENARIO['crowds'][kind]['name']}")
        for one in [*report["figures"], report["effect"]["sent"], report["effect"]["holdout"]]:
            if one["share"] is not None:
                self.tell_line(
                    f"    {one['share']:7.2%}  {one['label']}  ({one['numerator']:,} / {one['denominator']:,})"
                )
        for one in report["visits"]:
            if one["value"]:
                self.tell_line(f"    {one['value']:>7,}  {one['label']}")
        for one in report["failures"]:
            self.tell_line(f"    {one['count']:>7,}  ✗ {one['label']}")
        self.tell_line(f"    {report['effect']['sentence']}")
        found = report["effect"]["difference"]
        inside = found is not None and found["low"] <= truth <= found["high"]
        self.frame.say(
            f"    true effect known to the sandbox: {truth:+.2%} ({'inside' if inside else 'outside'} the interval)",
            f"    沙箱所知的真实效果：{truth:+.2%}（{'在' if inside else '不在'}置信区间内）",
        )

    def either(self, en: str, zh: str) -> str:
        """The text in the language of this run."""
        return zh if self.frame.lang == "zh" else en

    def word(self, name: str) -> str:
        """A status or a verdict in the language of this run."""
        return str(SCENARIO["words"][name]) if self.frame.lang == "zh" else name.replace("_", " ")

    def tell_line(self, line: str) -> None:
        """A line that is the same in both languages."""
        self.frame.say(line, line)

    @contextlib.contextmanager
    def step(self, en: str, zh: str) -> Iterator[list[str]]:
        """Say what is done, how long it took, and what came out."""
        started = time.monotonic()
        said: list[str] = []
        yield said
        text = zh if self.frame.lang == "zh" else en
        self.tell_line(f"✓ {text} · {time.monotonic() - started:.1f} s{' · ' if said else ''}{'; '.join(said)}")

    def mapping(self, name: str) -> str:
        """A mapping file of an import."""
        file = self.folder / f"{name}.map.json"
        file.write_bytes(orjson.dumps(SCENARIO[name], option=orjson.OPT_INDENT_2))
        return str(file)

    def run(self, *arguments: str) -> Any:
        """Run one of our own commands, as typed, and read its JSON."""
        from tagcast.cli.main import main

        self.tell_line(f"  $ tagcast {shown(arguments, self.folder)}")
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as errors:
            code = main([*arguments, "--json", "--yes", "--lang", self.frame.lang])
        if code != 0:
            command = shown(arguments, self.folder)
            said = errors.getvalue().strip()[-400:]
            raise Unavailable("cli.demo_call_failed", method="tagcast", path=command, status=code, answer=said)
        text = out.getvalue().strip()
        return orjson.loads(text) if text else None
