/* Denials: what SELinux has denied to containers, why, and what to do. Pure. */

import { h } from "./tree.js";
import { _, ago, moment } from "./words.js";
import { linkTo } from "./route.js";
import { button, card, command, empty, label, name, said } from "./parts.js";

const item = (one, s, act) => h("li", { class: "finding", key: `${one.time} ${one.container} ${one.text}` },
    h("div", { class: "finding-title" },
      one.name ? h("a", { href: linkTo("container", one.name) }, name(one.name)) : h("span", { class: "note" }, _("not known whose")),
      h("strong", {}, said(one.text)), label(one.cause, "info"),
      h("time", { class: "note", datetime: one.time, title: moment(one.time) }, ago(one.time, s.now))),
    one.because && h("p", {}, said(one.because)),
    command(one.hint, act));

export function denials(s, act) {
    if (!s.denials)
        return [empty("busy", _("Asking mcsd…"))];
    const teller = button(_("Have denials followed"), { changes: true, admin: s.admin, busy: s.busy.tell, kind: s.denials.items.length ? "secondary" : "primary", onclick: () => act.followDenials() });
    if (!s.denials.items.length)
        return [empty("info", _("mcsd was told of no denial"), _("mcsd-denials.service reads the audit log and tells mcsd of what containers are denied. It is off unless it is enabled."), teller)];
    const note = _("the newest first; each kind is told once in ten minutes");
    return [card(_("Denials"), { id: "denials", class: "wide", note, actions: [teller] }, h("ul", { class: "findings" }, s.denials.items.map(one => item(one, s, act))))];
}
