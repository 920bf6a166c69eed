/* One container: whether it is isolated and why not, its level and process, its volumes, network and history. Pure. */

import { h } from "./tree.js";
import { _, ago, engineName, format, fullName, moment, number } from "./words.js";
import { linkTo } from "./route.js";
import { button, card, command, empty, facts, icon, label, mono, name, row, said, stateLabel, table, verdict, verdictOf } from "./parts.js";
import { eventRows, EVENT_HEADS } from "./events.js";

function why(one, act) {
    const told = [
        ...(one.error ? [{ tone: "danger", text: one.error, hint: one.hint }] : []),
        ...one.reasons.map(it => ({ tone: "danger", text: it.text, hint: it.hint })),
        ...one.weaknesses.map(it => ({ tone: it.weakens ? "warning" : "off", text: it.text, hint: it.hint })),
        ...one.notes.map(it => ({ tone: it.misread ? "warning" : "info", text: `${it.subject}: ${it.text}`, hint: it.hint })),
    ];
    const drawn = { danger: "bad", warning: "warning", info: "info", off: "wall" };
    if (!told.length)
        return card(_("Why"), { id: "why" }, h("p", {}, icon("good"), " ", one.isolated ? _("The kernel enforces, its process carries its level, and its volumes carry theirs.") : _("There is nothing to say against it.")));
    return card(_("Why"), { id: "why" }, h("ul", { class: "checks" }, told.map(it =>
        h("li", { class: `check tone-${it.tone}` }, icon(drawn[it.tone]), h("div", { class: "check-text" }, said(it.text), command(it.hint, act))))));
}

function level(one, s) {
    return card(_("Level and process"), { id: "level" }, facts(
        [_("Level"), one.level && mono(one.level)],
        [_("Chosen by"), one.origin === null ? "" : one.origin === "adopted" ? engineName(one.engine ?? "docker") : "mcsd"],
        [_("Engine"), one.engine === "run" ? "mcsctl run" : engineName(one.engine ?? "docker")],
        [_("State"), h("span", {}, stateLabel(one.state), one.since && ` ${ago(one.since, s.now)}`)],
        [_("Runs as"), one.process && mono(one.process)],
        [_("Was to run as"), one.process_label ? mono(one.process_label) : label(_("unconfined"), "danger", "bad")],
        [_("Process"), one.pid === null ? "" : String(one.pid)],
        [_("Group"), one.group && name(one.group)],
        [_("Reservation"), one.reservation && name(one.reservation)],
        [_("Shares the level of"), one.shares_with && name(one.shares_with)],
        [_("In conflict with"), one.conflicts.length ? one.conflicts.map(it => h("div", {}, it.container ? h("a", { href: linkTo("container", it.name) }, name(it.name)) : name(it.name), " ", mono(it.level))) : ""],
        [_("Image"), name(one.image)],
        [_("Looked at"), ago(one.seen, s.now)]));
}

const WATCHING = { watched: _("watched"), rounds: _("looked at in rounds"), pending: _("to be watched") };

function disk(claim, s) {
    if (!claim.disk)
        return "–";
    const looked = claim.disk.looked ? format(_("looked at $0"), ago(claim.disk.looked, s.now)) : _("not looked at yet");
    return h("span", { title: said(claim.disk.reason) }, WATCHING[claim.disk.watching], ", ", looked,
             claim.disk.drifted > 0 && h("strong", {}, ` ${format(_("$0 differ"), number(claim.disk.drifted))}`));
}

function volumes(one, s, act) {
    const heads = [_("In the container"), _("On the host"), _("Mode"), _("State"), _("Disk"), _("Why")];
    const admin = { changes: true, admin: s.admin, busy: s.busy.verify };
    const actions = [
        button(_("Verify"), { ...admin, onclick: () => act.verify(one.id, false) }),
        button(_("Verify and repair"), { ...admin, onclick: () => act.verify(one.id, true) }),
    ];
    return card(_("Volumes"), { id: "claims", class: "wide", actions },
                one.claims.length ? table(_("Volumes"), heads, one.claims.map(it => row(it.destination, heads, [
                    name(it.destination), name(it.source), `${it.mode}${it.writable ? "" : `, ${_("read-only")}`}`, stateLabel(it.state), disk(it, s),
                    h("div", {}, said(it.reason), command(it.hint, act), it.left_out.map(left => h("div", {}, name(left.path), ": ", said(left.text), command(left.hint, act)))),
                ]))) : h("p", { class: "note" }, _("Nothing of the host is bound into it.")));
}

function network(one) {
    if (!one.network)
        return null;
    const heads = [_("On the host"), _("In the container"), _("Address")];
    return card(_("Network"), { id: "network", class: "wide" },
                facts([_("Kind"), one.network.kind], [_("Shared with"), one.network.shared_with && name(one.network.shared_with)]),
                one.network.interfaces.length > 0 && table(_("Interfaces"), heads, one.network.interfaces.map(it => row(it.name, heads, [name(it.name), it.peer ? name(it.peer) : "–", mono(it.mac)]))),
                one.network.error && h("p", {}, said(one.network.error)));
}

const history = s => card(_("History"), { id: "history", class: "wide", note: s.history ? _("as far as mcsd remembers since its start") : "" },
    s.history?.length ? table(_("History"), EVENT_HEADS, eventRows(s.history, s)) : h("p", { class: "note" }, _("Nothing was told of it.")));

export function container(s, act) {
    const one = s.container;
    const back = h("nav", { class: "crumbs", "aria-label": _("Where you are"), key: "crumbs" }, h("a", { href: linkTo("overview") }, _("Overview")), icon("next"), name(s.route.name));
    if (s.missing)
        return [back, empty("info", _("There is no such container"), said(s.missing.message), _("It may have been removed. Its events are remembered for a while."), h("a", { class: "button secondary", href: linkTo("events", "", { container: s.route.name }) }, _("Its events")))];
    if (!one || !s.status)
        return [back, empty("busy", _("Asking mcsd…"))];
    return [
        back,
        h("header", { class: "page-title", key: "title" }, h("h1", {}, name(fullName(one))), verdict(verdictOf(one)), label(said(one.status), one.running ? "success" : "off"), h("span", { class: "note mono", title: one.id }, one.id.slice(0, 12)), !one.settled && label(_("in work"), "info", "busy"), one.since && h("span", { class: "hidden" }, moment(one.since))),
        h("div", { class: "grid", key: "grid" }, why(one, act), level(one, s), volumes(one, s, act), network(one), history(s)),
    ];
}
