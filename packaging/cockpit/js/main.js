/* The page at work: what is known, how it is kept so, and what its buttons do.
 *
 * Events are hints here as they are in mcsd: each makes the page ask again for what it shows, soon and not too often.
 * When the stream ends, mcsd is asked until it answers; if it has started anew, its events count from one again. */

import { patch } from "./tree.js";
import { frame } from "./frame.js";
import { addEvents } from "./events.js";
import { linkTo, readRoute } from "./route.js";
import { change, follow, get, list, systemctl } from "./socket.js";
import { followTheme } from "./theme.js";
import { _, counted, format, number, printable } from "./words.js";

const cockpit = globalThis.cockpit;
const SOON = 250;
const APART = 1000;
const WORKING = 1000;
const ANYWAY = 20000;
/* New elements and texts that are made in one frame: their layout takes longer than making them. */
const AT_ONCE = 250;
const AGAIN = [300, 700, 1500, 3000, 5000];

const s = {
    way: { state: "connecting", problem: null }, admin: null, now: Date.now(), route: readRoute(location.hash),
    status: null, containers: null, volumes: null, booleans: null, strays: null, reach: null, denials: null, audit: null,
    container: null, missing: null, history: null, events: [], lost: 0, paused: null,
    view: { text: "", verdict: "", all: false, map: "", actor: "", severity: "" }, busy: {}, told: null, question: null,
};

/* ---- drawing ------------------------------------------------------------------------------------------------- */

/* Milliseconds that the host's clock is ahead of the browser's. */
let skew = 0;
const app = document.getElementById("app");
let drawing = 0;

/* Draw with the next frame; what is much is drawn over several, so that no key that is typed waits for it. */
function draw() {
    drawing ||= requestAnimationFrame(() => {
        drawing = 0;
        s.now = Date.now() + skew;
        const budget = { left: AT_ONCE, cut: false };
        patch(app, frame(s, act).flat().filter(Boolean), budget);
        if (budget.cut)
            draw();
    });
}

/* ---- asking -------------------------------------------------------------------------------------------------- */

const NEEDS = {
    overview: { containers: () => list("/v1/containers"), volumes: () => list("/v1/volumes"), booleans: () => list("/v1/booleans"), strays: () => get("/v1/strays") },
    map: { reach: () => list("/v1/reach") },
    denials: {},
    audit: { audit: () => get("/v1/audit") },
    events: {},
    container: {},
};

async function lookAtContainer() {
    const { name } = s.route;
    const path = encodeURIComponent(name);
    const [found, told] = await Promise.allSettled([get(`/v1/containers/${path}`), get(`/v1/events?container=${path}`)]);
    if (name !== s.route.name)
        return;
    if (found.status === "rejected" && found.reason.status !== 404 && found.reason.status !== 409)
        throw found.reason;
    s.container = found.status === "fulfilled" ? found.value : null;
    s.missing = found.status === "fulfilled" ? null : found.reason;
    if (told.status === "fulfilled")
        s.history = told.value.items.reverse();
}

async function look() {
    const { page } = s.route;
    const wanted = Object.entries(NEEDS[page]);
    const asked = [get("/v1/status"), get("/v1/denials"), ...wanted.map(([, ask]) => ask())];
    if (page === "container")
        asked.push(lookAtContainer());
    const [status, denials, ...rest] = await Promise.all(asked);
    const isAnew = s.status !== null && s.status.started !== status.started;
    Object.assign(s, { status, denials });
    skew = Date.parse(status.now) - Date.now();
    wanted.forEach(([key], place) => { s[key] = rest[place] });
    for (const key of ["containers", "volumes"]) {
        if (Array.isArray(s[key]?.items))
            s[key] = s[key].items;
    }
    return isAnew;
}

let looking = false;
let wanted = false;
let timer = 0;

/* Look again before long: at once for somebody who waits, a little later for what happens. */
function lookAgain(after = SOON) {
    wanted = true;
    if (looking || (timer && after))
        return;
    clearTimeout(timer);
    timer = setTimeout(lookNow, after);
}

async function lookNow() {
    timer = 0;
    wanted = false;
    looking = true;
    try {
        const isAnew = await look();
        s.way = { state: "up", problem: null };
        if (isAnew || !following)
            beginToFollow();
    } catch (problem) {
        lose(problem);
    } finally {
        looking = false;
        draw();
    }
    if (s.way.state === "up")
        timer = setTimeout(lookNow, wanted ? APART : (s.status.work.length || s.strays?.scan?.finished === null) ? WORKING : ANYWAY);
}

let tries = 0;

function lose(problem) {
    stopFollowing();
    s.way = { state: problem.code === "access-denied" || problem.status === 403 ? "refused" : "lost", problem };
    clearTimeout(timer);
    timer = setTimeout(lookNow, AGAIN[Math.min(tries, AGAIN.length - 1)]);
    tries += 1;
}

/* ---- following ----------------------------------------------------------------------------------------------- */

let following = null;

function stopFollowing() {
    const stop = following;
    following = null;
    stop?.();
}

function beginToFollow() {
    stopFollowing();
    tries = 0;
    s.events = [];
    s.lost = 0;
    let waiting = [];
    const flush = () => {
        s.events = addEvents(s.events, waiting);
        waiting = [];
        lookAgain();
        draw();
    };
    const stop = follow(0, line => {
        if (line.lost !== undefined) {
            s.lost += line.lost;
        } else {
            if (!waiting.length)
                setTimeout(flush, SOON);
            waiting.push(line);
        }
    }, problem => {
        if (following === stop) {
            following = null;
            lose(problem);
            draw();
        }
    });
    following = stop;
}

/* ---- what buttons do ----------------------------------------------------------------------------------------- */

function tell(tone, title, texts = [], hint = "") {
    s.told = { tone, title, texts, hint };
    draw();
}

/* Do one thing, with its button at work meanwhile, and tell how it went. */
async function doing(key, work, done) {
    s.busy = { ...s.busy, [key]: true };
    draw();
    try {
        const result = await work();
        tell(...done(result));
    } catch (problem) {
        tell("danger", _("It was not done"), [problem.message], problem.hint);
    } finally {
        s.busy = { ...s.busy, [key]: false };
        lookAgain(0);
    }
}

function ask(title, texts, yes) {
    return new Promise(resolve => {
        s.question = { title, texts, yes, resolve };
        draw();
    });
}

function verified(found) {
    const wrong = found.volumes.filter(one => one.error || one.wrong);
    const texts = [...wrong.map(one => one.error ? `${one.path}: ${one.error}` : format(one.repaired ? _("$0: $1 differed, and are mended") : _("$0: $1 differ"), one.path, number(one.wrong))), ...found.processes, ...found.pairs, ...found.ledger];
    return [found.good ? "success" : "danger", found.good ? counted(found.volumes.length, "$0 volume: everything agrees", "$0 volumes: everything agrees") : _("Something does not agree"), texts.slice(0, 10)];
}

const act = {
    view(change) {
        Object.assign(s.view, change);
        draw();
    },
    go(page, name, options) {
        location.replace(linkTo(page, name, options));
    },
    jump: path => cockpit.jump(path, cockpit.transport.host),
    reveal(id) {
        const node = document.getElementById(id);
        node?.scrollIntoView({ block: "start" });
        node?.focus({ preventScroll: true });
    },
    filterContainers(verdict) {
        act.view({ verdict });
        act.reveal("card-containers");
    },
    async copy(text) {
        try {
            await navigator.clipboard.writeText(text);
            tell("success", _("Copied"), [text]);
        } catch (error) {
            tell("danger", _("It cannot be copied from here"), [text, error.message]);
        }
    },
    dismiss() {
        s.told = null;
        draw();
    },
    answer(yes) {
        s.question?.resolve(yes);
        s.question = null;
        draw();
    },
    pause() {
        s.paused = s.paused ? null : s.events;
        draw();
    },
    async verify(target, repair) {
        if (repair && !await ask(_("Verify and repair?"), [_("Every file is looked at, and what does not carry its container's label is labelled again. Originals are kept.")], _("Verify and repair")))
            return;
        await doing("verify", () => change("POST", "/v1/verify", { target, repair }), verified);
    },
    async restore(path) {
        if (!await ask(_("Restore labels?"), [format(_("$0 gets the labels back that it had before mcsd first wrote to it."), printable(path))], _("Restore labels")))
            return;
        await doing(`restore ${path}`, () => change("POST", "/v1/restore", { path }), done =>
            [done.complete ? "success" : "danger", format(_("$0: $1 restored, $2 left alone"), printable(done.path), number(done.changed), number(done.skipped))]);
    },
    scan: () => doing("scan", () => change("POST", "/v1/scan", {}), () => ["success", _("The scan has begun")]),
    setBoolean: (name, state) => doing(`boolean ${name}`, () => change("POST", `/v1/booleans/${encodeURIComponent(name)}`, { state }), one =>
        [one.good ? "success" : "danger", format(_("$0 is $1 now"), printable(one.asked), one.present ? _("on") : _("off")), one.problem ? [one.problem] : []]),
    audit: () => doing("audit", () => systemctl("start", "mcsd-audit.service"), () => ["success", _("The host was audited")]),
    followDenials: () => doing("tell", () => systemctl("enable", "--now", "mcsd-denials.service"), () => ["success", _("Denials are followed from now on")]),
};

/* ---- beginning ----------------------------------------------------------------------------------------------- */

addEventListener("hashchange", () => {
    const before = s.route;
    s.route = readRoute(location.hash);
    if (before.page !== s.route.page || before.name !== s.route.name) {
        Object.assign(s, { container: null, missing: null, history: null, paused: null });
        scrollTo(0, 0);
        lookAgain(0);
    }
    draw();
});
addEventListener("visibilitychange", () => !document.hidden && s.way.state === "up" && lookAgain(0));

const permission = cockpit.permission({ admin: true });
permission.addEventListener("changed", () => {
    s.admin = permission.allowed;
    if (s.way.state === "refused")
        lookAgain(0);
    draw();
});

followTheme();
cockpit.translate?.();
draw();
lookNow();
