/* Audit: what stands open beside levels, the worst first. Pure. */

import { h } from "./tree.js";
import { _, ago, counted, number } from "./words.js";
import { linkTo } from "./route.js";
import { button, card, command, empty, label, name, said } from "./parts.js";

export const SEVERITIES = ["critical", "high", "medium", "low"];
const TONES = { critical: "danger", high: "danger", medium: "warning", low: "info" };
const WORDS = { critical: _("critical"), high: _("high"), medium: _("medium"), low: _("low") };

const subject = one => (one.container ? h("a", { href: linkTo("container", one.subject) }, name(one.subject)) : name(one.subject));

const item = (one, act) => h("li", { class: "finding", key: one.key },
    h("div", { class: "finding-title" }, label(WORDS[one.severity], TONES[one.severity]), subject(one), h("strong", {}, said(one.title)), h("span", { class: "note mono" }, said(one.rule))),
    h("p", {}, said(one.text), one.seen && h("span", { class: "note" }, ` ${_("Seen:")} ${said(one.seen)}`)),
    one.accepted === null ? command(one.remedy, act) : h("p", { class: "note" }, `${_("Accepted:")} ${said(one.accepted)}`));

export function audit(s, act) {
    if (!s.audit)
        return [empty("busy", _("Asking mcsd…"))];
    const again = button(_("Audit now"), { changes: true, admin: s.admin, busy: s.busy.audit, kind: "primary", onclick: () => act.audit(), key: "again" });
    if (s.audit.time === null)
        return [empty("info", _("mcsd was told of no audit since its start"), _("An audit asks mcsd, Docker, the kernel and the disk what is open beside levels. mcsd-audit.timer makes one each day."), again)];
    const open = s.audit.findings.filter(one => one.accepted === null);
    const accepted = s.audit.findings.filter(one => one.accepted !== null);
    const wanted = s.view.severity;
    const shown = open.filter(one => !wanted || one.severity === wanted);
    const chips = SEVERITIES.map(key => h("li", {}, h("button", { type: "button", class: "chip", "aria-pressed": String(wanted === key), onclick: () => act.view({ severity: wanted === key ? "" : key }) },
        label(WORDS[key], TONES[key]), h("strong", {}, number(open.filter(one => one.severity === key).length)))));
    return [
        h("div", { class: "toolbar", key: "tools" }, h("ul", { class: "legend" }, chips),
          h("span", { class: "note" }, counted(s.audit.containers, "$0 container looked at", "$0 containers looked at"), " · ", ago(s.audit.time, s.now)), again),
        card(_("Open"), { id: "open", class: "wide", note: number(shown.length) },
             shown.length ? h("ul", { class: "findings" }, shown.map(one => item(one, act))) : h("p", { class: "note" }, _("Nothing of that severity is open.")),
             s.audit.left_out > 0 && h("p", { class: "note" }, counted(s.audit.left_out, "$0 more; mcsctl audit has it", "$0 more; mcsctl audit has them"))),
        accepted.length > 0 && card(_("Accepted"), { id: "accepted", class: "wide", note: number(accepted.length) }, h("ul", { class: "findings" }, accepted.map(one => item(one, act)))),
    ];
}
