/* Events: what mcsd tells, live, by importance, kind, container and text. Pure. */

import { h } from "./tree.js";
import { _, ago, moment, number } from "./words.js";
import { linkTo } from "./route.js";
import { button, card, label, name, row, said, table } from "./parts.js";

const PRIORITIES = [["7", _("everything")], ["6", _("information and worse")], ["5", _("notices and worse")], ["4", _("warnings and worse")], ["3", _("errors")]];
const TONES = ["danger", "danger", "danger", "danger", "warning", "info", "off", "off"];
const WORDS = [_("emergency"), _("alert"), _("critical"), _("error"), _("warning"), _("notice"), _("information"), _("debug")];
export const EVENT_HEADS = [_("When"), _("Importance"), _("Kind"), _("What")];
const SHOWN = 300;
export const KEPT = 1000;

/* Add events to those that are known, oldest first; the oldest go when there are too many. A sequence number comes
 * once, so what is told twice stays once. */
export function addEvents(known, fresh) {
    const last = known.length ? known[known.length - 1].sequence : 0;
    return [...known, ...fresh.filter(one => one.sequence > last)].slice(-KEPT);
}

/* Choose those that are asked for, the newest first. */
export function chosen(events, wish) {
    const text = (wish.text ?? "").toLowerCase();
    return events.filter(one =>
        one.priority <= Number(wish.priority ?? 7) &&
        (!wish.kind || one.kind === wish.kind) &&
        (!wish.container || one.fields.name === wish.container || (one.container ?? "").startsWith(wish.container)) &&
        (!text || `${one.message} ${one.kind}`.toLowerCase().includes(text))).reverse();
}

/* The message, with the container's name in it as a link. */
function sentence(one) {
    const who = one.container ? one.fields.name : "";
    const word = "container ";
    const found = who ? one.message.indexOf(word + who) : -1;
    if (found < 0)
        return said(one.message);
    const place = found + word.length;
    return [said(one.message.slice(0, place)), h("a", { href: linkTo("container", who) }, name(who)), said(one.message.slice(place + who.length))];
}

export const eventRows = (events, s) => events.map(one => row(String(one.sequence), EVENT_HEADS, [
    h("time", { datetime: one.time, title: moment(one.time) }, ago(one.time, s.now)),
    label(WORDS[one.priority], TONES[one.priority]),
    h("span", { class: "mono" }, one.kind),
    h("span", {}, sentence(one)),
]));

const choice = (text, value, options, onchange) =>
    h("label", { class: "field" }, h("span", {}, text), h("select", { class: "input", value, onchange: event => onchange(event.target.value) }, options.map(([key, word]) => h("option", { value: key }, word))));

export function events(s, act) {
    const wish = { priority: "6", ...s.route.options };
    const set = change => act.go("events", "", { ...s.route.options, ...change });
    const all = s.paused ?? s.events;
    const found = chosen(all, wish);
    const kinds = [...new Set(all.map(one => one.kind))].sort();
    const actions = [button(s.paused ? _("Go on") : _("Pause"), { onclick: () => act.pause(), key: "pause" })];
    return [
        h("div", { class: "toolbar start", key: "tools" },
          choice(_("Importance"), wish.priority, PRIORITIES, value => set({ priority: value })),
          choice(_("Kind"), wish.kind ?? "", [["", _("all kinds")], ...kinds.map(one => [one, one])], value => set({ kind: value })),
          h("label", { class: "field" }, h("span", {}, _("Container")), h("input", { class: "input", type: "search", value: wish.container ?? "", placeholder: _("name or id"), oninput: event => set({ container: event.target.value }) })),
          h("label", { class: "field" }, h("span", {}, _("Text")), h("input", { class: "input", type: "search", value: wish.text ?? "", oninput: event => set({ text: event.target.value }) }))),
        card(_("Events"), { id: "events", class: "wide", note: s.paused ? _("paused") : _("live"), actions },
             s.lost > 0 && h("p", { class: "note" }, `${number(s.lost)} `, _("were too many to be shown; the journal has them")),
             found.length ? table(_("Events"), EVENT_HEADS, eventRows(found.slice(0, SHOWN), s)) : h("p", { class: "note" }, _("Nothing of that kind was told since mcsd's start.")),
             found.length > SHOWN && h("p", { class: "note" }, `${number(found.length - SHOWN)} `, _("older ones are not shown"))),
    ];
}
