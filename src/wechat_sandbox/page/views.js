// The sections of the page; each draws itself from the control API.
import { both, button, call, choice, copied, el, field, form, list, moment, query, say, show, table } from "./page.js";

const KINDS = [["wecom", "企业微信 WeCom"], ["service", "服务号 service"], ["official", "公众号 official"], ["mini", "小程序 mini"], ["custom", "第三方 custom"], ["ads", "广告 ads"]];
const kind = (name) => (KINDS.find(([key]) => key === name) || [name, name])[1];
const CALLED = ["wecom", "service", "official", "mini"];
const number = (value) => Number(value).toLocaleString("zh-CN");
const accounts = async () => (await call("GET", "accounts")).accounts;
const again = (text) => { say(text || "已完成 Done"); return show(); };

async function overview() {
  const [health, all, population] = await Promise.all([call("GET", "health"), accounts(), call("GET", "population")]);
  const sums = await Promise.all(all.map((one) => call("GET", `ledger/summary?account=${one.id}`)));
  const rows = all.map((one, at) => {
    const failed = Object.entries(sums[at].failed).map(([reason, count]) => `${reason} ${number(count)}`).join("，");
    const reach = population.accounts[one.id] || {};
    return [one.name, kind(one.kind), number(reach.reachable || 0), number(sums[at].asked), number(sums[at].arrived), number(sums[at].pending), failed];
  });
  const heads = [["账号", "account"], ["类型", "kind"], ["可触达", "reach", "number"], ["请求", "asked", "number"], ["到达", "arrived", "number"], ["待定", "pending", "number"], ["失败", "failed", "wide"]];
  const calls = Object.entries(health.calls).sort((a, b) => b[1] - a[1]).slice(0, 15);
  return [
    el("section", {}, el("h2", {}, both("账本小计", "ledger so far")), rows.length ? table(heads, rows) : el("p", { class: "soft" }, "还没有账号。No account yet. ", el("a", { href: "#accounts" }, both("去开通", "open one")))),
    el("div", { class: "grid" },
      el("section", {}, el("h2", {}, both("健康", "health")), list([
        ["人口", "people", number(population.size)], ["种子", "seed", population.seed], ["进程", "process", health.pid], ["请求", "requests", number(health.requests)],
        ["回调送达", "callbacks delivered", number(health.callbacks.delivered)], ["等待", "waiting", number(health.callbacks.waiting)],
        ["放弃", "given up", number(health.callbacks.given_up)], ["故意丢失", "lost on purpose", number(health.callbacks.lost)]])),
      el("section", {}, el("h2", {}, both("接口调用", "calls")), calls.length ? table([["路径", "path"], ["次数", "times", "number"]], calls.map(([path, times]) => [path, number(times)])) : el("p", { class: "soft" }, "尚无。None yet."))),
    el("div", { class: "row" }, button("刷新", "refresh", () => again()), button("人们生活一天", "let people live a day", () => call("POST", "population/act", { days: 1 }).then(() => again("已开始 Started")))),
  ];
}

async function accountList() {
  const cards = (await accounts()).map((one) => el("section", {}, el("h2", {}, one.name, " ", el("span", { class: "soft" }, kind(one.kind))),
    list([
      ["编号", "id", String(one.id)], ...(one.corpid || one.appid ? [[one.corpid ? "企业" : "应用", one.corpid ? "corpid" : "appid", copied(one.corpid || one.appid)]] : []),
      ...(one.agentid ? [["应用编号", "agentid", String(one.agentid)]] : []), ["密钥", "secret", copied(one.secret)]]),
    CALLED.includes(one.kind) && callback(one),
    one.secret && one.kind !== "custom" && button("作废令牌", "drop its tokens", async () => again(`${(await call("POST", "tokens/drop", { account: one.id })).dropped} 个已作废 dropped`), { class: "small" })));
  const fresh = form([choice("类型", "kind", "kind", KINDS), field("名称", "name", "name", { required: true })], "开通账号", "open an account", async (values) => {
    await call("POST", "accounts", values);
    await again();
  });
  return [el("section", {}, el("h2", {}, both("新账号", "new account")), fresh), el("div", { class: "grid" }, cards)];
}

// As on the platform's own page: address, Token and EncodingAESKey are entered together, then checked.
function callback(one) {
  const parts = [
    field("回调地址", "callback address", "callback_url", { value: one.callback_url, type: "url", placeholder: "http://127.0.0.1:8000/…" }),
    field("回调令牌", "Token", "callback_token", { value: one.token, required: true }),
    field("加密钥", "EncodingAESKey", "encoding_aes_key", { value: one.encoding_aes_key, required: true, pattern: "[A-Za-z0-9]{43}" })];
  return form(parts, "保存并验证", "save and verify", async (values) => {
    await call("PATCH", `accounts/${one.id}`, values);
    if (!values.callback_url) return say("已保存，不推送回调 Saved; no callbacks");
    const found = await call("POST", `accounts/${one.id}/verify`, {});
    return say(found.ok ? "验证通过 Verified" : `验证失败 Refused: HTTP ${found.status} ${found.answer}`, !found.ok);
  }, { class: "wide" });
}

async function people(text) {
  const found = (await call("GET", "people/find?" + query({ text, limit: 30 }))).people;
  const search = form([field("姓名、编号或任何 ID", "name, number or any id", "text", { value: text, type: "search" })], "查找", "find", ({ text: wanted }) => { location.hash = "people/" + encodeURIComponent(wanted); });
  const heads = [["编号", "no.", "number"], ["姓名", "name"], ["城市", "city"], ["偏好", "taste"], ["活跃", "active"], ["", ""]];
  const rows = found.map((one) => [number(one.index), one.name, one.city, one.taste, `${one.active_hour}:00`, el("a", { href: "#phone/" + one.unionid }, both("手机", "phone"))]);
  return el("section", {}, el("h2", {}, both("找人", "find people")), search, rows.length ? table(heads, rows) : el("p", { class: "soft" }, "没有这样的人。Nobody."));
}

async function phone(ident) {
  if (!ident) return people("");
  const [{ person, messages }, all] = await Promise.all([call("GET", "people/phone?" + query({ person: ident })), accounts()]);
  const who = person.unionid;
  const relations = all.filter((one) => person.ids[one.id]).map((one) => relation(one, person.ids[one.id], who));
  const bubbles = messages.map((one) => el("div", { class: "bubble" },
    el("p", { class: "soft" }, `${one.name} · ${moment(one.at)} · ${one.via}`),
    one.lines.length ? one.lines.map((line) => el("p", {}, line)) : el("p", { class: "soft" }, "（内容未保存 content not kept）"),
    one.attachments.map((part) => el("p", { class: "soft" }, `［${part.kind}］${part.title}`)),
    one.link && el("div", {}, el("p", { class: "soft" }, el("code", {}, one.link)), el("div", { class: "row" },
      button("打开链接", "open the link", () => open(who, one.link, false), { class: "small" }), button("打开并点击", "open and click", () => open(who, one.link, true), { class: "small" })))));
  return [
    el("section", {}, el("h2", {}, person.name, " ", el("span", { class: "soft" }, `${person.sex} · ${person.age_band} · ${person.city} · ${person.taste} · ${person.device}`)), el("p", { class: "soft" }, el("code", {}, who))),
    el("section", {}, el("h2", {}, both("收到的消息", "what arrived")), el("div", { class: "phone" }, bubbles.length ? bubbles : el("p", { class: "soft" }, "还没有消息。Nothing yet.")), el("div", { class: "row" }, button("刷新", "refresh", () => again()))),
    el("section", {}, el("h2", {}, both("关系", "relations")), relations.length ? el("div", { class: "grid" }, relations) : el("p", { class: "soft" }, "还没有账号。No account yet.")),
  ];
}

async function open(person, link, click) {
  const found = await call("POST", "people/open", { person, link, click });
  say(found.opened ? `已打开 Opened “${found.title}”${found.clicked ? " → " + found.clicked : ""}` : `打不开 Cannot be opened: ${found.address}`, !found.opened);
}

function relation(one, mine, who) {
  const change = (values) => async () => { await call("POST", "people/change", { account: one.id, people: [who], ...values }); await again(); };
  const friend = one.kind === "wecom";
  const state = !mine.follows ? (friend ? "不是好友 no friend" : "未关注 does not follow") : mine.blocks ? "已屏蔽 blocks" : friend ? "好友 friend" : "已关注 follows";
  const acts = [
    mine.follows ? button(friend ? "删除" : "取消关注", friend ? "delete" : "unfollow", change({ follows: false }), { class: "small" }) : button(friend ? "添加" : "关注", friend ? "add" : "follow", change({ follows: true }), { class: "small" }),
    mine.follows && button(mine.blocks ? "取消屏蔽" : "屏蔽", mine.blocks ? "unblock" : "block", change({ blocks: !mine.blocks }), { class: "small" })];
  const fans = one.kind === "service" || one.kind === "official";
  const speak = fans && mine.follows && form([field("说", "say", "text", { required: true })], "发送", "send", async ({ text }) => { await call("POST", "people/say", { account: one.id, person: who, text }); say("已发送 Sent"); });
  const scan = fans && form([field("二维码 ticket", "scan a code", "ticket", { required: true })], "扫码", "scan", async ({ ticket }) => again((await call("POST", "people/scan", { account: one.id, person: who, ticket })).event));
  return el("section", {}, el("h3", {}, one.name, " ", el("span", { class: "soft" }, kind(one.kind))), el("p", { class: "soft" }, state, mine.employees?.length ? " · " + mine.employees.join("，") : ""), el("p", { class: "soft" }, el("code", {}, mine.openid || mine.external_userid || mine.member_id)), el("div", { class: "row" }, acts), speak, scan);
}

async function employees(chosen) {
  const corps = (await accounts()).filter((one) => one.kind === "wecom");
  if (!corps.length) return el("section", {}, el("h2", {}, both("员工", "members")), el("p", { class: "soft" }, "还没有企业微信账号。No WeCom account yet."));
  const corp = corps.find((one) => String(one.id) === chosen) || corps[0];
  const { employees: rows } = await call("GET", `employees?account=${corp.id}`);
  const pick = el("div", { class: "row" }, corps.map((one) => el("a", { href: "#employees/" + one.id }, one.name)));
  const habit = (userid, share, seconds, zh, en) => button(zh, en, async () => { await call("POST", "employees", { account: corp.id, userid, share, seconds }); await again(); }, { class: "small" });
  const lines = rows.map((one) => [one.userid, one.share === 0 ? "从不 never" : one.seconds !== null || one.share !== null ? `${one.share ?? "·"} · ${one.seconds ?? "·"} s` : "照设置 as set",
    one.waiting.map((task) => el("div", { class: "row" }, `${moment(task.at)} · ${number(task.people)} 人 · ${task.lines.join(" ").slice(0, 60)} `,
      button("确认发送", "confirm", async () => again(`${(await call("POST", "employees/confirm", { account: corp.id, msgid: task.msgid, userid: one.userid })).confirmed} 个任务 task`), { class: "small main" }))),
    el("div", { class: "row" }, habit(one.userid, 0, null, "从不", "never"), habit(one.userid, 1, 3600, "晚一小时", "an hour late"), habit(one.userid, null, null, "照设置", "as set"))]);
  const heads = [["员工", "member"], ["习惯", "habit"], ["等待确认的任务", "tasks that wait", "wide"], ["改为", "change to"]];
  const confirm = button("全部确认", "confirm all", async () => again(`${(await call("POST", "employees/confirm", { account: corp.id })).confirmed} 个任务 tasks`), { class: "main" });
  return el("section", {}, el("h2", {}, both("员工", "members"), " ", corp.name), pick, el("div", { class: "row" }, confirm, button("刷新", "refresh", () => again())), table(heads, lines));
}

async function clock() {
  const found = await call("GET", "clock");
  const move = (seconds, zh, en, act = false) => button(zh, en, async () => { await call("POST", "clock", { advance_seconds: seconds, act }); await again(); });
  const other = found.mode === "virtual" ? ["real", "改用真实时钟", "use a real clock"] : ["virtual", "改用虚拟时钟", "use a virtual clock"];
  return el("section", {}, el("h2", {}, both("时钟", "clock")), list([["现在", "now", `${moment(found.now)}（北京时间 Beijing time）`], ["方式", "mode", found.mode], ["偏移", "offset", `${number(Math.round(found.offset_seconds))} s`]]),
    el("div", { class: "row" }, move(60, "一分钟", "a minute"), move(3600, "一小时", "an hour"), move(86400, "一天", "a day"), move(86400, "一天，人们照常生活", "a day, lived by the people", true), move(604800, "一周，人们照常生活", "a week, lived by the people", true)),
    form([field("秒数", "seconds", "seconds", { type: "number", min: 0, step: "any", required: true })], "前进", "advance", async ({ seconds }) => { await call("POST", "clock", { advance_seconds: Number(seconds) }); await again(); }),
    el("div", { class: "row" }, button(other[1], other[2], async () => { await call("POST", "clock", { mode: other[0] }); await again(); })));
}

async function faults() {
  const [{ faults: all }, { presets }, named] = await Promise.all([call("GET", "faults"), call("GET", "faults/presets"), accounts()]);
  const remove = (one) => button("移除", "remove", async () => { await call("DELETE", `faults/${one.id}`); await again(); }, { class: "small" });
  const rows = all.map((one) => [String(one.id), one.path || one.event, one.kind, one.probability === null ? `×${one.times}` : `${one.probability * 100} %`, `${one.seconds} s`, one.account === null ? "全部 all" : String(one.account), String(one.hit), remove(one)]);
  const heads = [["编号", "id"], ["路径或事件", "path or event"], ["种类", "kind"], ["次数或概率", "times or share"], ["秒", "seconds"], ["账号", "account"], ["命中", "hit", "number"], ["", ""]];
  const kinds = ["busy", "quota", "error", "timeout_before", "timeout_after", "slow", "cut", "cut_before", "gateway", "duplicate", "late", "lost", "disordered"];
  const events = ["duplicate", "late", "lost", "disordered"];
  const add = form([
    choice("种类", "kind", "kind", kinds.map((name) => [name, name])), field("路径或事件", "path or event", "name", { value: "*", required: true }),
    field("概率（空：用次数）", "share (empty: times)", "probability", { type: "number", min: 0, max: 1, step: "any" }), field("次数", "times", "times", { type: "number", min: 1, value: 1 }),
    field("秒", "seconds", "seconds", { type: "number", min: 0, step: "any", value: 30 }), field("错误码", "code", "code", { type: "number", value: -1 }),
    choice("账号", "account", "account", [["", "全部 all"], ...named.map((one) => [one.id, one.name])])], "添加", "add", async (values) => {
    const body = { kind: values.kind, [events.includes(values.kind) ? "event" : "path"]: values.name, seconds: Number(values.seconds), code: Number(values.code) };
    if (values.probability !== "") body.probability = Number(values.probability);
    else body.times = Number(values.times);
    if (values.account) body.account = Number(values.account);
    await call("POST", "faults", body);
    await again();
  });
  const sets = Object.entries(presets).map(([name, one]) => button(name, one.text, async () => { await call("POST", "faults", { preset: name }); await again(); }));
  return [el("section", {}, el("h2", {}, both("生效的故障", "faults in force")), rows.length ? table(heads, rows) : el("p", { class: "soft" }, "一切正常。None."), el("div", { class: "row" }, button("全部移除", "remove all", async () => { await call("DELETE", "faults"); await again(); }))),
    el("section", {}, el("h2", {}, both("现成场景", "ready-made sets")), el("div", { class: "row" }, sets)), el("section", {}, el("h2", {}, both("添加", "add one")), add)];
}

async function ledger(chosen) {
  const wanted = Object.fromEntries(new URLSearchParams(chosen));
  const [rows, all] = await Promise.all([call("GET", "ledger?" + query({ ...wanted, limit: 200, newest: 1 })), accounts()]);
  const names = Object.fromEntries(all.map((one) => [one.id, one.name]));
  const outcomes = [["", "全部 all"], ["asked", "请求 asked"], ["arrived", "到达 arrived"], ...["not_follower", "invalid_openid", "user_block", "system_failed", "over_limit", "not_friend", "not_confirmed"].map((name) => [`failed:${name}`, `失败 ${name}`])];
  const filters = form([choice("账号", "account", "account", [["", "全部 all"], ...all.map((one) => [one.id, one.name])], wanted.account), choice("结果", "outcome", "outcome", outcomes, wanted.outcome),
    choice("方式", "via", "via", [["", "全部 all"], ...["mass", "template", "task", "preview", "custom", "subscribe", "group"].map((name) => [name, name])], wanted.via),
    field("人", "person", "person", { value: wanted.person || "" }), field("消息编号", "key", "key", { value: wanted.key || "" })], "筛选", "filter", (values) => {
    const next = "#ledger/" + encodeURIComponent(query(values));
    if (location.hash === next) return show();
    location.hash = next;
    return undefined;
  });
  const heads = [["序号", "seq", "number"], ["时间", "at"], ["账号", "account"], ["人", "person"], ["结果", "outcome"], ["方式", "via"], ["消息", "key"], ["主题", "topic"]];
  const lines = rows.map((one) => [number(one.seq), moment(one.at), names[one.account] || one.account, el("a", { href: "#phone/" + encodeURIComponent(one.person) }, el("code", {}, one.person)),
    el("span", { class: one.outcome.startsWith("failed") ? "bad" : one.outcome === "arrived" ? "good" : "" }, one.outcome), one.via, el("code", {}, one.key), one.topic]);
  return el("section", {}, el("h2", {}, both("账本（最新 200 条）", "ledger, the newest 200")), filters, lines.length ? table(heads, lines) : el("p", { class: "soft" }, "没有记录。Nothing."));
}

export const views = {
  overview: { name: ["总览", "overview"], draw: overview },
  accounts: { name: ["账号", "accounts"], draw: accountList },
  people: { name: ["人", "people"], draw: people },
  phone: { name: ["手机", "phone"], draw: phone },
  employees: { name: ["员工", "members"], draw: employees },
  clock: { name: ["时钟", "clock"], draw: clock },
  faults: { name: ["故障", "faults"], draw: faults },
  ledger: { name: ["账本", "ledger"], draw: ledger },
};
