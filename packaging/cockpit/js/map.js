/* Map: what can reach what. Each box is a cell of GET /v1/reach: between two boxes the kernel lets nothing through,
 * and lines inside one say who gets at what. Pure. */

import { h } from "./tree.js";
import { _, counted, format, number } from "./words.js";
import { linkTo } from "./route.js";
import { banner, empty, hidden, icon, label, mono, name, said } from "./parts.js";

const ROW = 28;
const DRAWN = 250;
const DENSE = 60;

const KINDS = {
    unbounded: { tone: "danger", drawn: "bad", title: _("Held by no level"), about: _("What runs here reaches everything on this host.") },
    conflict: { tone: "danger", drawn: "warning", title: _("Not apart"), about: _("These should be separate, and their levels do not keep them so.") },
    open: { tone: "warning", drawn: "open", title: _("Open to every container"), about: _("It carries no categories: whoever is let in by its type gets at it.") },
    together: { tone: "info", drawn: "info", title: _("Together"), about: _("They share on purpose: a group, a volume, or another's namespaces.") },
    unclaimed: { tone: "warning", drawn: "file", title: _("Nobody's"), about: _("No container holds this level now; while files carry it, nobody gets it.") },
    alone: { tone: "success", drawn: "wall", title: _("Alone behind their walls"), about: _("One container each, with what is its own: no other level reaches in.") },
    foreign: { tone: "off", drawn: "off", title: _("Not this engine's"), about: _("Processes of others, at levels of their own.") },
};

const THINGS = { volume: "", unmanaged: _("not labelled"), stray: _("stray"), host: _("the host's") };
const HOWS = { mounted: _("mounted"), level: _("by its level, after an escape"), denied: _("denied") };

export const keyOf = cell => `${cell.kind} ${cell.actors[0]?.container ?? cell.actors[0]?.pid ?? cell.things[0]?.name} ${cell.things[0]?.level ?? ""}`;

/* Tell whether a cell has what somebody looks for. */
export function matches(cell, text) {
    const wanted = text.toLowerCase();
    return [...cell.actors, ...cell.things].some(one => `${one.name} ${one.level ?? ""} ${one.group ?? ""}`.toLowerCase().includes(wanted));
}

/* Say in words what an actor gets at: what the lines show. */
export function reaches(cell, actor) {
    const told = how => cell.links.filter(one => one.actor === actor && one.how === how).map(one => said(cell.things[one.thing].name));
    const parts = ["mounted", "level", "denied"].map(how => [how, told(how)]).filter(([, names]) => names.length);
    return parts.map(([how, names]) => `${HOWS[how]}: ${names.join(", ")}`).join("; ");
}

const middle = place => place * ROW + ROW / 2;

function lines(cell, key, s) {
    const height = Math.max(cell.actors.length, cell.things.length) * ROW;
    const drawn = cell.links.slice(0, DRAWN);
    return h("svg", { class: "lines", viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", height: String(height) },
             drawn.map(one => h("path", {
                 class: `line how-${one.how} ${s.view.actor === `${key} ${one.actor}` ? "on" : ""}`,
                 d: `M0 ${middle(one.actor)} C50 ${middle(one.actor)} 50 ${middle(one.thing)} 100 ${middle(one.thing)}`,
                 "vector-effect": "non-scaling-stroke",
             })));
}

function actorItem(cell, key, place, s, act) {
    const one = cell.actors[place];
    const point = on => () => act.view({ actor: on ? `${key} ${place}` : "" });
    const inside = [name(one.name), one.level && h("span", { class: "note mono" }, one.level), hidden(reaches(cell, place))];
    const state = one.container === null ? "foreign" : one.running ? (one.isolated ? "yes" : "no") : "off";
    return h("li", { class: `node actor is-${state}`, onmouseenter: point(true), onmouseleave: point(false) },
             one.container === null ? h("span", { title: said(one.name) }, inside) :
                 h("a", { href: linkTo("container", one.name), onfocus: point(true), onblur: point(false) }, inside));
}

function thingItem(cell, place) {
    const one = cell.things[place];
    const links = cell.links.filter(it => it.thing === place);
    const denied = links.length > 0 && links.every(it => it.how === "denied");
    const word = denied ? _("denied") : one.open ? _("open") : THINGS[one.kind];
    return h("li", { class: `node thing is-${denied ? "denied" : one.open ? "open" : one.kind}` },
             icon(denied ? "off" : one.open ? "open" : "file"), name(one.name || _("not known by name")),
             one.count > 1 && h("span", { class: "note" }, counted(one.count, "$0 file", "$0 files")),
             word && h("span", { class: "note" }, word),
             one.state && one.state !== "ready" && h("span", { class: "note" }, one.state));
}

const things = cell => cell.things.map((_one, place) => thingItem(cell, place));

/* One container over what is its own: there is nothing to tell apart by lines. */
function single(cell, s, act) {
    const key = keyOf(cell);
    const why = cell.actors[0].unbounded;
    return h("li", { class: `cell single tone-${KINDS[cell.kind].tone}`, key },
             h("ul", { "aria-label": _("Containers") }, actorItem(cell, key, 0, s, act)),
             cell.things.length > 0 && h("ul", { class: "own", "aria-label": _("Within reach") }, things(cell)),
             why && h("p", { class: "note" }, said(why)));
}

function box(cell, s, act) {
    if (cell.actors.length === 1)
        return single(cell, s, act);
    const key = keyOf(cell);
    const { tone } = KINDS[cell.kind];
    const more = cell.links.length - DRAWN;
    const level = cell.actors.length === 0 && cell.things[0].level;
    return h("li", { class: `cell tone-${tone} ${cell.actors.length > 1 || cell.things.length > 3 ? "large" : ""}`, key },
             level && mono(level),
             h("div", { class: cell.actors.length && cell.things.length ? "sides" : "sides single" },
               cell.actors.length > 0 && h("ul", { class: "side", "aria-label": _("Containers") }, cell.actors.map((_one, place) => actorItem(cell, key, place, s, act))),
               cell.actors.length > 0 && cell.things.length > 0 && lines(cell, key, s),
               cell.things.length > 0 && h("ul", { class: "side", "aria-label": _("Within reach") }, things(cell))),
             more > 0 && h("p", { class: "note" }, format(_("$0 more lines are not drawn"), number(more))));
}

/* One container and its own, in one line, for hosts with many. */
function small(cell) {
    const [one] = cell.actors;
    const held = cell.things.map(it => said(it.name));
    return h("li", { class: `cell small tone-${one.running && !one.isolated ? "warning" : one.running ? "success" : "off"}`, key: keyOf(cell), title: [one.level, ...held].filter(Boolean).join("\n") },
             h("a", { href: linkTo("container", one.name) }, name(one.name), hidden(reaches(cell, 0))),
             held.length > 0 && h("span", { class: "note" }, counted(held.length, "$0 volume", "$0 volumes")));
}

function section(kind, cells, s, act) {
    const { title, about, drawn, tone } = KINDS[kind];
    const dense = kind === "alone" && cells.length > DENSE;
    return h("section", { class: `walls tone-${tone}`, key: kind, "aria-labelledby": `walls-${kind}` },
             h("header", {}, icon(drawn), h("h2", { id: `walls-${kind}`, tabindex: "-1" }, title), h("span", { class: "badge" }, number(cells.length)), h("p", { class: "note" }, about)),
             h("ul", { class: dense ? "cells dense" : "cells" }, cells.map(one => (dense ? small(one) : box(one, s, act)))));
}

const KEY = () => h("ul", { class: "legend key" },
    h("li", {}, h("span", { class: "stroke how-mounted" }), HOWS.mounted),
    h("li", {}, h("span", { class: "stroke how-level" }), HOWS.level),
    h("li", {}, h("span", { class: "stroke how-denied" }), HOWS.denied));

export function map(s, act) {
    if (!s.reach)
        return [empty("busy", _("Asking mcsd…"))];
    const cells = s.reach.items.filter(one => !s.view.map || matches(one, s.view.map));
    const kinds = Object.keys(KINDS).map(kind => [kind, cells.filter(one => one.kind === kind)]).filter(([, some]) => some.length);
    return [
        !s.reach.enforced && banner("danger", _("Nothing is held apart on this host"), said(s.reach.lacking), _("The walls below are those that levels would make.")),
        h("div", { class: "toolbar", key: "tools" },
          h("ul", { class: "legend" }, kinds.map(([kind, some]) => h("li", { key: kind },
              h("button", { type: "button", class: "chip", onclick: () => act.reveal(`walls-${kind}`) },
                label(KINDS[kind].title, KINDS[kind].tone, KINDS[kind].drawn), h("strong", {}, number(some.length)))))),
          h("input", { type: "search", class: "input", "aria-label": _("Filter the map"), placeholder: _("Container, path or level"), value: s.view.map, oninput: event => act.view({ map: event.target.value }) })),
        KEY(),
        ...kinds.map(([kind, some]) => section(kind, some, s, act)),
        cells.length === 0 && empty("info", s.reach.items.length ? _("Nothing on the map is called so") : _("There is nothing on the map yet")),
    ];
}
