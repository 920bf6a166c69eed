/* What is around every page: where one can go, how the way to mcsd stands, what was done, and questions. Pure. */

import { h } from "./tree.js";
import { _, format } from "./words.js";
import { PAGES, linkTo } from "./route.js";
import { banner, button, command, empty, icon, label, said } from "./parts.js";
import { overview } from "./overview.js";
import { map } from "./map.js";
import { container } from "./container.js";
import { denials } from "./denials.js";
import { audit } from "./audit.js";
import { events } from "./events.js";

const TITLES = { overview: _("Overview"), map: _("Map"), denials: _("Denials"), audit: _("Audit"), events: _("Events") };
const VIEWS = { overview, map, container, denials, audit, events };

const badge = (page, s) => {
    if (page === "denials" && s.denials?.items.length)
        return h("span", { class: "badge" }, String(s.denials.items.length));
    const work = s.status?.work.length;
    return page === "overview" && work ? h("span", { class: "badge", title: _("Work in progress") }, String(work)) : null;
};

function head(s) {
    const here = s.route.page === "container" ? "overview" : s.route.page;
    const selinux = s.status?.selinux;
    const holds = selinux && selinux.backend === "kernel" && selinux.enforcing;
    return h("header", { class: "masthead", key: "head" },
             h("nav", { "aria-label": _("Pages") }, h("ul", {}, PAGES.map(page =>
                 h("li", {}, h("a", { href: linkTo(page), "aria-current": page === here ? "page" : null }, TITLES[page], badge(page, s)))))),
             selinux && (selinux.backend === "recorded" ? label(_("recorded"), "warning", "info") : label(holds ? _("enforcing") : _("does not enforce"), holds ? "success" : "danger", holds ? "good" : "bad")));
}

/* How the way to mcsd stands, while it is not open. What was known stays below, and is said to be old. */
function way(s) {
    const { state, problem } = s.way;
    if (state === "lost")
        return banner("warning", _("mcsd does not answer"), said(problem.message), _("What is shown is what was known last. It is asked again in a moment."));
    if (state === "refused") {
        return banner("danger", _("You may not read mcsd's socket"), said(problem.message),
                      _("Turn on administrative access at the top of the page, or become a member of the group mcsd."));
    }
    return null;
}

/* Kinds of host that must never be taken for one where something is held apart. */
function ground(s) {
    const backend = s.status?.selinux.backend;
    if (backend === "recorded")
        return banner("warning", _("Recorded states"), _("This is a demonstration. Nothing shown here is so on this machine, and nothing is changed."));
    if (backend === "xattr")
        return banner("warning", _("There is no SELinux in the kernel"), _("mcsd writes labels here, and nothing keeps to them."));
    return null;
}

function told(s, act) {
    const one = s.told;
    return h("div", { class: "told", role: "status", "aria-live": "polite", key: "told" },
             one && h("div", { class: `banner tone-${one.tone}` }, icon(one.tone === "success" ? "good" : "bad"),
                      h("div", {}, h("strong", {}, one.title), one.texts.map(text => h("div", {}, said(text))), command(one.hint, act)),
                      button(_("Close"), { kind: "plain", onclick: () => act.dismiss() })));
}

function question(s, act) {
    const one = s.question;
    return one && h("dialog", { class: "dialog", key: "question", "aria-labelledby": "question-title", mounted: node => node.showModal(), oncancel: () => act.answer(false) },
                    h("h2", { id: "question-title" }, one.title), one.texts.map(text => h("p", {}, said(text))),
                    h("div", { class: "actions" },
                      button(one.yes, { kind: "primary", onclick: () => act.answer(true), key: "yes" }),
                      button(_("Cancel"), { kind: "secondary", onclick: () => act.answer(false), key: "no" })));
}

export function frame(s, act) {
    const page = s.way.state === "refused" ? [] : s.way.state === "connecting" && !s.status ? [empty("busy", _("Asking mcsd…"))] : VIEWS[s.route.page](s, act);
    const title = s.route.page === "container" ? format(_("Container $0"), said(s.route.name)) : TITLES[s.route.page];
    return [
        h("a", { class: "skip", href: "#main", key: "skip", onclick: event => { event.preventDefault(); act.reveal("main"); } }, _("Skip to the content")),
        head(s), h("div", { class: "banners", key: "banners" }, ground(s), way(s)), told(s, act),
        h("main", { id: "main", tabindex: "-1", key: "main", class: s.way.state === "lost" ? "old" : "" },
          s.route.page !== "container" && h("h1", { class: "hidden", key: "h1" }, title), h("div", { class: "page", key: `${s.route.page} ${s.route.name}` }, page)),
        question(s, act),
    ];
}
