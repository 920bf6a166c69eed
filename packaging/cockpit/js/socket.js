/* mcsd's socket, through Cockpit: requests, and the stream of events. */

const SOCKET = "/run/mcsd/mcsd.sock";
const cockpit = globalThis.cockpit;

/* What mcsd or the way to it says is wrong. `code` is mcsd's, or Cockpit's word for a way that is not there. */
export class Problem extends Error {
    constructor(message, hint = "", code = "", status = 0) {
        super(message);
        this.hint = hint;
        this.code = code;
        this.status = status;
    }
}

function problemOf(error, body) {
    try {
        const told = JSON.parse(body);
        return new Problem(told.detail, told.hint, told.code, told.status);
    } catch (_error) {
        return new Problem(error.message || String(error), "", error.problem || "", error.status || 0);
    }
}

function ask(method, path, body, superuser) {
    const client = cockpit.http(SOCKET, { superuser });
    const options = { method, path, body: body === undefined ? "" : JSON.stringify(body), headers: { Host: "mcsd" } };
    if (body !== undefined)
        options.headers["Content-Type"] = "application/json";
    return new Promise((resolve, reject) => {
        client.request(options)
                .then(text => resolve(text ? JSON.parse(text) : null), (error, text) => reject(problemOf(error, text)));
    });
}

/* Whoever may read the socket may ask; with administrative access it is asked as root. */
export const get = path => ask("GET", path, undefined, "try");

/* Only root changes anything. */
export const change = (method, path, body) => ask(method, path, body, "require");

/* Read a list whole, page by page; the answer is its last page with all items. */
export async function list(path) {
    const items = [];
    let after = null;
    for (;;) {
        const sign = path.includes("?") ? "&" : "?";
        const page = await get(`${path}${sign}limit=1000${after === null ? "" : `&after=${encodeURIComponent(after)}`}`);
        items.push(...page.items);
        after = page.next;
        if (after === null)
            return { ...page, items };
    }
}

/* Follow events above a sequence number: `told` gets each line's object, `ended` the reason when it is over. Returns
 * what ends it. */
export function follow(after, told, ended) {
    let rest = "";
    const client = cockpit.http(SOCKET, { superuser: "try" });
    const request = client.get(`/v1/events?follow=1&after=${after}`, null, { Host: "mcsd" });
    request.stream(text => {
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        for (const line of lines.filter(Boolean))
            told(JSON.parse(line));
    });
    request.then(() => ended(new Problem("the stream has ended", "", "ended")), (error, text) => ended(problemOf(error, text)));
    return () => request.close();
}

/* Have systemd do something with a unit of mcsd's, as root. */
export function systemctl(...words) {
    return new Promise((resolve, reject) => {
        cockpit.spawn(["systemctl", ...words], { superuser: "require", err: "message" })
                .then(() => resolve(), error => reject(new Problem(error.message || String(error), `systemctl ${words.join(" ")}`, error.problem)));
    });
}
