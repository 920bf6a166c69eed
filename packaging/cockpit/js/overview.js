/* Overview: how the host and its containers stand, what is not well, and what to do next. Pure. */

import { h } from "./tree.js";
import { _, ago, counted, engineName, format, fullName, number } from "./words.js";
import { linkTo } from "./route.js";
import { VERDICTS, button, card, command, empty, facts, hidden, icon, label, mono, name, row, said, stateLabel, table, verdict, verdictOf } from "./parts.js";

const TONES = { good: "success", busy: "info", warning: "warning", bad: "danger" };
/* So many rows of containers are drawn unless all are asked for; the filter looks at all of them. */
const FEW = 60;
const WORST_FIRST = ["no", "partly", "passing", "yes", "off"];

/* What the page itself can do about a check, beside telling what to type. */
function nextOf(check, s, act) {
    const admin = { changes: true, admin: s.admin };
    switch (check.subject) {
    case "Containers":
        return [button(_("Show them"), { onclick: () => act.filterContainers("no") })];
    case "Mounts":
        return [button(_("Show them"), { onclick: () => act.filterContainers("partly") })];
    case "Volumes":
        return [button(_("Verify and repair"), { ...admin, busy: s.busy.verify, onclick: () => act.verify(null, true) })];
    case "Docker":
        return [button(_("Docker's service"), { onclick: () => act.jump("/system/services#/docker.service") })];
    case "Denials":
        return [h("a", { class: "button secondary", href: linkTo("denials") }, _("Show them"))];
    case "Booleans":
        return [button(_("Show them"), { onclick: () => act.reveal("card-booleans") })];
    case "Pairs":
        return [button(_("Show volumes"), { onclick: () => act.reveal("card-volumes") })];
    case "Ledger":
        return [button(_("mcsd's service"), { onclick: () => act.jump("/system/services#/mcsd.service") })];
    default:
        return [];
    }
}

function checkRow(check, s, act) {
    const drawn = check.condition === "good" ? "good" : check.condition;
    return h("li", { class: `check tone-${TONES[check.condition]}`, key: check.subject },
             icon(drawn), hidden(`${check.condition}: `),
             h("div", { class: "check-text" }, h("strong", {}, check.subject), " ", said(check.text), command(check.hint, act)),
             check.condition !== "good" && h("div", { class: "actions" }, nextOf(check, s, act)));
}

function checks(s, act) {
    const amiss = s.status.checks.filter(one => one.condition !== "good");
    const well = s.status.checks.filter(one => one.condition === "good");
    const title = amiss.length ? counted(amiss.length, "$0 thing is not well", "$0 things are not well") : _("All is well");
    return card(title, { id: "checks", class: "wide" },
                amiss.length > 0 && h("ul", { class: "checks" }, amiss.map(one => checkRow(one, s, act))),
                h("ul", { class: "checks quiet" }, well.map(one => checkRow(one, s, act))));
}

const blocked = s => s.status.blocked.length > 0 && card(_("Does not answer"), { id: "blocked", class: "wide" },
    h("ul", { class: "checks" }, s.status.blocked.map(one => h("li", { class: "check tone-danger" },
        icon("busy"), h("div", { class: "check-text" }, said(one.text), command(one.hint))))));

function share(key, count, total) {
    const { tone, text } = VERDICTS[key];
    return count > 0 && h("div", { class: `share tone-${tone}`, style: { "flex-grow": String(count) }, title: `${text}: ${number(count)} / ${number(total)}` });
}

/* The verdict on the host in one sentence, a bar, and its legend. */
function glance(s, act) {
    const { selinux, containers: sum } = s.status;
    const counts = { yes: 0, partly: 0, no: 0, passing: 0, off: 0 };
    for (const one of s.containers ?? [])
        counts[verdictOf(one)] += 1;
    const running = sum.total - sum.not_running;
    const all = running > 0 && sum.isolated === running;
    const title = running === 0 ? _("No container runs") :
        format(_("$0 of $1 running containers are isolated"), number(sum.isolated), number(running));
    const engines = s.status.engines?.length ? s.status.engines : [{ name: "docker", ...s.status.engine }];
    const holds = selinux.backend === "kernel" && selinux.enforcing;
    return card(title, { id: "glance", class: `wide hero ${running === 0 ? "" : all ? "tone-success" : "tone-danger"}` },
                h("div", { class: "bar", "aria-hidden": "true" }, Object.keys(counts).map(key => share(key, counts[key], sum.total))),
                h("ul", { class: "legend" }, WORST_FIRST.map(key => h("li", {},
                    h("button", { type: "button", class: "chip", onclick: () => act.filterContainers(key), "aria-pressed": String(s.view.verdict === key) },
                      verdict(key), h("strong", {}, number(counts[key])))))),
                facts([_("SELinux"), selinux.backend === "recorded" ? label(_("recorded"), "warning", "info") : label(holds ? _("enforcing") : _("does not enforce"), holds ? "success" : "danger", holds ? "good" : "bad")],
                      [_("Policy"), said(selinux.policy)],
                      ...engines.flatMap(one => [
                          [engineName(one.name), one.version && said(one.version)],
                          [_("Starts through"), one.default_runtime && said(one.gate ? format(_("the gate, $0"), one.default_runtime) : one.default_runtime)]]),
                      ["mcsd", said(s.status.version)],
                      [_("Started"), ago(s.status.started, s.now)]));
}

const WORKS = { relabel: _("Labelling"), restore: _("Restoring"), verify: _("Verifying") };

/* One walk over a volume, and a bar where it is known how long it will be. */
export function workBar(one, now) {
    const title = `${WORKS[one.work]} ${said(one.path)}`;
    const known = one.expected > 0;
    const percent = known ? Math.min(100, Math.floor(100 * one.seen / one.expected)) : null;
    const done = known ? format(_("$0 of about $1 files"), number(one.seen), number(one.expected)) :
        format(_("$0 files so far"), number(one.seen));
    return h("li", { class: "work", key: `${one.work} ${one.path}` },
             h("div", { class: "work-title" }, name(title), h("span", { class: "note" }, ago(one.started, now))),
             h("div", { class: "progress", role: "progressbar", "aria-label": title, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": known ? String(percent) : null, "aria-valuetext": done },
               h("div", { class: known ? "progress-bar" : "progress-bar unknown", style: { width: known ? `${percent}%` : "30%" } })),
             h("div", { class: "note" }, done, " · ", format(_("$0 changed"), number(one.changed)),
               one.skipped > 0 && ` · ${format(_("$0 skipped"), number(one.skipped))}`));
}

const work = s => s.status.work.length > 0 &&
    card(_("Work in progress"), { id: "work", class: "wide" }, h("ul", { class: "works" }, s.status.work.map(one => workBar(one, s.now))));

function containerRow(one, heads) {
    const first = one.error || one.reasons[0]?.text || one.weaknesses.find(it => it.weakens)?.text || "";
    return row(one.id, heads, [
        h("a", { href: linkTo("container", fullName(one)) }, name(fullName(one))),
        verdict(verdictOf(one)),
        one.level ? mono(one.level) : "–",
        one.volumes.total ? `${one.volumes.ready}/${one.volumes.total}` : "–",
        h("span", { class: "clip", title: said(first) }, said(first)),
    ]);
}

function containers(s, act) {
    const most = s.view.all ? Infinity : FEW;
    const heads = [_("Name"), _("Isolation"), _("Level"), _("Volumes"), _("What is missing")];
    const wanted = s.view.text.toLowerCase();
    const shown = (s.containers ?? []).filter(one =>
        (!s.view.verdict || verdictOf(one) === s.view.verdict) &&
        `${fullName(one)} ${one.id} ${one.level ?? ""} ${one.image}`.toLowerCase().includes(wanted));
    shown.sort((a, b) => WORST_FIRST.indexOf(verdictOf(a)) - WORST_FIRST.indexOf(verdictOf(b)) || (fullName(a) < fullName(b) ? -1 : 1));
    const tools = [
        h("input", { type: "search", class: "input", key: "search", "aria-label": _("Filter containers"), placeholder: _("Name, level or image"), value: s.view.text, oninput: event => act.view({ text: event.target.value }) }),
        s.view.verdict && button(_("Show all"), { key: "all", onclick: () => act.filterContainers("") }),
    ];
    const note = shown.length === (s.containers ?? []).length ? number(shown.length) : `${number(shown.length)} / ${number(s.containers.length)}`;
    return card(_("Containers"), { id: "containers", class: "wide", note, actions: tools },
                shown.length ? table(_("Containers"), heads, shown.slice(0, most).map(one => containerRow(one, heads))) :
                    h("p", { class: "note" }, s.containers?.length ? _("None is so.") : _("There are no containers.")),
                shown.length > most && h("p", {}, button(format(_("Show all $0"), number(shown.length)), { onclick: () => act.view({ all: true }) })));
}

const TROUBLED = new Set(["failed", "refused", "partial", "stranded"]);

function volumeRow(one, heads, s, act) {
    const restorable = one.id !== null && (one.state === "lingering" || one.state === "stranded");
    return row(`${one.id} ${one.path}`, heads, [
        name(one.path), stateLabel(one.state), one.level ? mono(one.level) : "–",
        h("div", {}, said(one.reason), command(one.hint, act)),
        restorable && button(_("Restore labels"), { changes: true, admin: s.admin, busy: s.busy[`restore ${one.path}`], label: format(_("Restore labels of $0"), said(one.path)), onclick: () => act.restore(one.path) }),
    ]);
}

function volumes(s, act) {
    const heads = [_("Path"), _("State"), _("Level"), _("Why"), _("Next")];
    const told = (s.volumes ?? []).filter(one => TROUBLED.has(one.state) || one.state === "lingering");
    const counts = Object.entries(s.status.volumes).map(([state, count]) => h("li", {}, stateLabel(state), " ", number(count)));
    const actions = [
        button(_("Verify"), { changes: true, admin: s.admin, busy: s.busy.verify, onclick: () => act.verify(null, false) }),
        button(_("Verify and repair"), { changes: true, admin: s.admin, busy: s.busy.verify, onclick: () => act.verify(null, true) }),
    ];
    return card(_("Volumes"), { id: "volumes", class: "wide", actions }, h("ul", { class: "legend" }, counts),
                told.length > 0 && table(_("Volumes that need a look"), heads, told.map(one => volumeRow(one, heads, s, act))));
}

function pairs({ status: { pairs: sum } }) {
    if (!sum)
        return null;
    const parts = [[_("granted"), sum.granted], [_("reserved"), sum.reserved], [_("in quarantine"), sum.quarantined], [_("held by others"), sum.foreign], [_("set aside by the configuration"), sum.configured]];
    return card(_("Pairs of categories"), { id: "pairs" },
                facts([_("free"), `${number(sum.free)} / ${number(sum.total)}`], ...parts.map(([term, count]) => [term, number(count)])));
}

function booleanRow(one, heads, s, act) {
    const value = one.present === null ? _("not known") : one.present ? _("on") : _("off");
    const order = one.order ?? "configured";
    const key = `boolean ${one.asked}`;
    return row(one.asked, heads, [
        h("span", {}, name(one.asked), one.name && one.name !== one.asked && h("span", { class: "note" }, " ", said(one.name))),
        label(value, one.good ? "success" : "danger", one.good ? "good" : "bad"),
        h("span", {}, one.wish, one.holders.length > 0 && h("span", { class: "note" }, " ", format(_("held by $0"), one.holders.map(it => said(it.name)).join(", ")))),
        h("select", {
            class: "input", "aria-label": format(_("Hold $0"), said(one.asked)), value: order, key,
            disabled: s.admin === false || Boolean(s.busy[key]) || one.name === null,
            onchange: event => act.setBoolean(one.asked, event.target.value),
        }, [["configured", _("as configured")], ["on", _("on until mcsd restarts")], ["off", _("off until mcsd restarts")]].map(([state, text]) => h("option", { value: state }, text))),
        h("span", {}, said(one.problem), command(one.hint, act)),
    ]);
}

function booleans(s, act) {
    const page = s.booleans;
    if (!page || (!page.items.length && !page.refusals.length))
        return null;
    const heads = [_("Boolean"), _("Now"), _("Configured"), _("Hold"), _("Remark")];
    return card(_("Booleans"), { id: "booleans", class: "wide" },
                page.items.length > 0 && table(_("Booleans"), heads, page.items.map(one => booleanRow(one, heads, s, act))),
                page.refusals.length > 0 && h("ul", { class: "checks" }, page.refusals.map(one => h("li", { class: "check tone-warning" }, icon("warning"),
                    h("div", { class: "check-text" }, h("strong", {}, said(one.name)), " ", said(one.text), command(one.hint, act))))));
}

function strays(s, act) {
    const told = s.strays;
    if (!told)
        return null;
    const runs = told.scan !== null && told.scan.finished === null;
    const last = told.complete === null ? _("The host was never scanned whole.") :
        format(_("The host was scanned $0."), ago(new Date(told.complete * 1000).toISOString(), s.now));
    const actions = [button(_("Scan"), { changes: true, admin: s.admin, busy: s.busy.scan || runs, onclick: () => act.scan() })];
    return card(_("Strays"), { id: "strays", actions },
                h("p", { class: "note" }, _("Files outside every volume that carry a container's level."), " ", last,
                  runs && ` ${format(_("Now at $0: $1 looked at."), said(told.scan.at || "/"), number(told.scan.seen))}`),
                told.lost && h("p", {}, said(told.lost)),
                told.items.length ? h("ul", { class: "checks" }, told.items.map(one => h("li", { class: "check tone-warning", key: one.level },
                    icon("warning"), h("div", { class: "check-text" }, mono(one.level), " ", counted(one.count, "$0 file", "$0 files"), one.paths.length > 0 && [": ", name(one.paths[0])], command(one.remedy, act))))) :
                    h("p", {}, icon("good"), " ", _("None is known.")));
}

function problems(s) {
    const told = s.status.problems.slice(0, 5);
    return told.length > 0 && card(_("Newest warnings"), { id: "problems", class: "wide", actions: [h("a", { class: "button secondary", href: linkTo("events", "", { priority: "4" }) }, _("All events"))] },
        h("ul", { class: "checks" }, told.map(one => h("li", { class: `check tone-${one.priority <= 3 ? "danger" : "warning"}`, key: String(one.sequence) },
            icon(one.priority <= 3 ? "bad" : "warning"), h("div", { class: "check-text" }, said(one.message), " ", h("span", { class: "note" }, ago(one.time, s.now)))))));
}

export function overview(s, act) {
    if (!s.status)
        return [empty("busy", _("Asking mcsd…"))];
    return [h("div", { class: "grid" }, glance(s, act), checks(s, act), blocked(s), work(s), containers(s, act), volumes(s, act), booleans(s, act), pairs(s), strays(s, act), problems(s))];
}
