/* The small parts that views are made of. Pure. */

import { h } from "./tree.js";
import { _, format, printable } from "./words.js";

const DRAWINGS = {
    good: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.7 5.2-4.2 4.9a.9.9 0 0 1-1.3 0L4.3 9.2l1.2-1.2 1.3 1.3 3.6-4.2Z",
    warning: "M8 1.2 15.4 14H.6Zm-.9 4.6.2 4h1.4l.2-4Zm.9 4.9a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8Z",
    bad: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM7 4h2l-.2 5H7.2Zm1 6.2a1 1 0 1 1 0 2 1 1 0 0 1 0-2Z",
    busy: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm.8 3v3.7l2.6 1.6-.8 1.3-3.3-2V4Z",
    info: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm-.9 5.8h1.8V12H7.1ZM8 3.7a1.1 1.1 0 1 1 0 2.2 1.1 1.1 0 0 1 0-2.2Z",
    off: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM4.5 7.1h7v1.8h-7Z",
    open: "M2 14V2h7v2H4v8h5v2Zm8-3.5 1-1L9.8 8.3H6.5v-1.6h3.3L11 5.5l1.2-1 3 3.5-3 3.5Z",
    wall: "M1 2h6v3H1Zm8 0h6v3H9ZM1 6.5h3V9.5H1Zm4.5 0h5v3h-5Zm6.500 0h3v3h-3ZM1 11h6v3H1Zm8 0h6v3H9Z",
    file: "M3 1h6l4 4v10H3Zm5.5 1.500V5.500H11.500Z",
    copy: "M5 1h9v10h-2V3H5ZM2 4h9v11H2Z",
    next: "M5.500 2.500 11 8l-5.500 5.500L4 12l4-4-4-4Z",
};

export const icon = name => h("svg", { viewBox: "0 0 16 16", class: `icon icon-${name}`, "aria-hidden": "true" },
                              h("path", { d: DRAWINGS[name], "fill-rule": "evenodd" }));

export const hidden = text => h("span", { class: "hidden" }, text);

/* A word with a colour; the word says it all, the colour only helps. */
export const label = (text, tone, drawn = "", title = null) =>
    h("span", { class: `label tone-${tone}`, title }, drawn && icon(drawn), text);

/* A name that somebody else has chosen. */
export const name = text => h("span", { class: "name", title: printable(text) }, printable(text));

export const mono = text => h("code", { class: "mono" }, printable(text));

export const said = text => printable(text);

export function card(title, props, ...body) {
    const id = `card-${props.id}`;
    return h("section", { class: `card ${props.class ?? ""}`, "aria-labelledby": id, key: props.id },
             h("header", { class: "card-header" },
               h("h2", { id }, title),
               props.note && h("span", { class: "note" }, props.note),
               props.actions && h("div", { class: "actions" }, props.actions)),
             h("div", { class: "card-body" }, body));
}

/* A button. One for a change is off, and says why, while there is no administrative access; one that is at work is
 * off as well. */
export function button(text, props) {
    const lacks = props.changes && props.admin === false;
    const kind = props.kind ?? "secondary";
    return h("button", {
        type: "button", class: `button ${kind}`, key: props.key, onclick: props.onclick,
        disabled: lacks || Boolean(props.busy), "aria-busy": props.busy ? "true" : null,
        "aria-label": props.label ?? null,
        title: lacks ? _("Needs administrative access: turn it on at the top of the page") : props.title ?? null,
    }, props.drawn && icon(props.drawn), props.busy ? _("Working…") : text);
}

const TYPED = /^(?:mcsctl|systemctl|semanage|restorecon|setenforce|chcon|setsebool|semodule|docker|journalctl)\b[^,;]*$/;

/* What to do next; what is to be typed with a button that copies it. Nothing where there is nothing to do. */
export function command(text, act) {
    if (!text)
        return null;
    if (!TYPED.test(text))
        return h("span", { class: "command" }, icon("next"), h("span", { class: "note" }, printable(text)));
    return h("span", { class: "command" }, h("code", { class: "mono" }, printable(text)),
             act && h("button", {
                 type: "button", class: "button plain", onclick: () => act.copy(text),
                 "aria-label": format(_("Copy: $0"), printable(text)), title: _("Copy"),
             }, icon("copy")));
}

export function banner(tone, title, ...body) {
    const drawn = { danger: "bad", warning: "warning", info: "info", success: "good" }[tone];
    return h("div", { class: `banner tone-${tone}`, role: tone === "danger" ? "alert" : "status" },
             icon(drawn), h("div", {}, h("strong", {}, title), body.map(one => h("div", {}, one))));
}

export const empty = (drawn, title, ...body) =>
    h("div", { class: "empty" }, icon(drawn), h("h2", {}, title), body.map(one => h("p", {}, one)));

/* Pairs of a term and what is said of it; those without anything are left out. */
export const facts = (...pairs) =>
    h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
            .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));

export function table(caption, heads, rows, props = {}) {
    return h("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": caption },
             h("table", { class: `table ${props.class ?? ""}` },
               h("thead", {}, h("tr", {}, heads.map(one => h("th", { scope: "col" }, one)))),
               h("tbody", {}, rows)));
}

/* A row; its first cell heads it. On narrow screens each cell is named by its column. */
export const row = (key, heads, cells, props = {}) =>
    h("tr", { key, ...props }, cells.map((one, place) =>
        h(place ? "td" : "th", { scope: place ? null : "row", "data-label": heads[place] }, one)));

export const VERDICTS = {
    yes: { text: _("isolated"), tone: "success", drawn: "good" },
    partly: { text: _("isolated, weakened"), tone: "warning", drawn: "warning" },
    no: { text: _("not isolated"), tone: "danger", drawn: "bad" },
    off: { text: _("not running"), tone: "off", drawn: "off" },
    passing: { text: _("starting or ending"), tone: "info", drawn: "busy" },
};

/* Say in one word how a container stands: isolated is what mcsd calls so, and weakened where a mount or something
 * that is left out makes less of it. */
export function verdictOf(container) {
    if (container.isolated === true)
        return container.weaknesses.some(one => one.weakens) || container.volumes.partly ? "partly" : "yes";
    if (container.isolated === false)
        return "no";
    return container.running ? "passing" : "off";
}

export const verdict = key => label(VERDICTS[key].text, VERDICTS[key].tone, VERDICTS[key].drawn);

const STATES = {
    ready: "success", pending: "info", partial: "warning", refused: "danger", failed: "danger", unmanaged: "off",
    lingering: "info", restoring: "info", stranded: "danger", reserved: "info", active: "success", idle: "off",
    quarantined: "info", none: "off", group: "info", foreign: "off",
};

export const stateLabel = text => label(text, STATES[text] ?? "off");
