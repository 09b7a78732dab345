// The sandbox's page: sections by the address's fragment. All texts enter the document as text, never as HTML.
import { views } from "./views.js";

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// Chinese first, English second.
export function both(zh, en) {
  return [zh + " ", el("span", { lang: "en" }, en)];
}

export function button(zh, en, run, attributes = {}) {
  const made = el("button", { type: "button", ...attributes }, both(zh, en));
  made.addEventListener("click", () => work(made, run));
  return made;
}

export function form(fields, zh, en, run, attributes = {}) {
  const submit = el("button", { type: "submit", class: "main" }, both(zh, en));
  const made = el("form", attributes, fields, submit);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    work(submit, () => run(Object.fromEntries(new FormData(made))));
  });
  return made;
}

export function field(zh, en, name, attributes = {}) {
  return el("label", {}, el("span", {}, both(zh, en)), el("input", { name, autocomplete: "off", ...attributes }));
}

export function choice(zh, en, name, options, chosen) {
  const rows = options.map(([value, text]) => el("option", { value, selected: String(value) === String(chosen) }, text));
  return el("label", {}, el("span", {}, both(zh, en)), el("select", { name }, rows));
}

export function table(heads, rows) {
  const head = el("tr", {}, heads.map(([zh, en, kind]) => el("th", { scope: "col", class: kind }, both(zh, en))));
  const cell = (value, at) => el("td", { class: heads[at][2] }, value ?? "");
  const body = rows.map((row) => el("tr", {}, row.map(cell)));
  return el("div", { class: "scroll", tabindex: "0" }, el("table", {}, el("thead", {}, head), el("tbody", {}, body)));
}

export function list(pairs) {
  return el("dl", {}, pairs.map(([zh, en, value]) => [el("dt", {}, both(zh, en)), el("dd", {}, value ?? "—")]));
}

export function copied(text) {
  const run = async () => { await navigator.clipboard.writeText(text); say("已复制 Copied"); };
  return [el("code", {}, text), " ", button("复制", "copy", run, { class: "small" })];
}

export async function call(method, path, body) {
  const init = { method, headers: {} };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch("/sandbox/" + path, init);
  const text = await answer.text();
  if (answer.headers.get("content-type").includes("jsonl")) return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const found = text ? JSON.parse(text) : {};
  if (!answer.ok) throw new Error(found.error || `HTTP ${answer.status}`);
  return found;
}

export const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
export const moment = (ms) => new Date(ms).toLocaleString("zh-CN", { timeZone: "Asia/Shanghai", hour12: false });

export function say(text, bad = false) {
  const notice = document.getElementById("notice");
  notice.className = bad ? "bad" : "good";
  notice.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { notice.textContent = ""; }, bad ? 12000 : 4000);
}

const controls = () => [...document.querySelectorAll("main button, main input, main select, main a")];

// What had the focus has it afterwards too, also when the section was drawn anew: the keyboard stays where it was.
async function work(control, run) {
  const place = controls().indexOf(document.activeElement);
  control.disabled = true;
  try {
    await run();
  } catch (error) {
    say(error.message, true);
  } finally {
    control.disabled = false;
    if (place >= 0 && document.activeElement === document.body) controls()[place]?.focus({ preventScroll: true });
  }
}

export async function show() {
  const [name, argument] = location.hash.slice(1).split("/", 2);
  const view = views[name] ? name : "overview";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === "#" + view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const main = document.getElementById("main");
  try {
    main.replaceChildren(...[await views[view].draw(argument ? decodeURIComponent(argument) : "")].flat());
  } catch (error) {
    say(error.message, true);
  }
}

async function state() {
  const place = document.getElementById("state");
  try {
    const [health, clock] = await Promise.all([call("GET", "health"), call("GET", "clock")]);
    const mode = clock.mode === "virtual" ? "虚拟时钟 virtual clock" : "真实时钟 real clock";
    place.textContent = `${moment(clock.now)} · ${mode} · 待办 pending ${health.pending.jobs} · 回调 callbacks ${health.pending.callbacks}`;
    place.className = "";
  } catch {
    place.textContent = "沙箱没有应答 The sandbox does not answer";
    place.className = "bad";
  }
  setTimeout(state, document.hidden ? 15000 : 2000);
}

for (const [name, view] of Object.entries(views)) {
  document.getElementById("tabs").append(el("li", {}, el("a", { href: "#" + name }, both(...view.name))));
}
addEventListener("hashchange", () => { show(); document.getElementById("main").focus(); });
show();
state();
