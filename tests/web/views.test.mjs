/* The views as the pure functions they are: no browser, no document. Answers of mcsd's are in $MCSD_ANSWERS. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { addEvents, chosen, events } from "../../packaging/cockpit/js/events.js";
import { audit } from "../../packaging/cockpit/js/audit.js";
import { command, verdictOf } from "../../packaging/cockpit/js/parts.js";
import { container } from "../../packaging/cockpit/js/container.js";
import { frame } from "../../packaging/cockpit/js/frame.js";
import { linkTo, readRoute } from "../../packaging/cockpit/js/route.js";
import { map, matches, reaches } from "../../packaging/cockpit/js/map.js";
import { workBar } from "../../packaging/cockpit/js/overview.js";
import { ago, format, printable } from "../../packaging/cockpit/js/words.js";
import { findAll, h, textOf } from "../../packaging/cockpit/js/tree.js";

const answers = JSON.parse(readFileSync(process.env.MCSD_ANSWERS, "utf-8"));
const act = new Proxy({}, { get: () => () => {} });

function state(hash, changes = {}) {
    return {
        way: { state: "up", problem: null }, admin: true, now: Date.parse(answers.status.now), route: readRoute(hash),
        status: answers.status, containers: answers.containers.items, volumes: answers.volumes.items, booleans: answers.booleans,
        strays: answers.strays, reach: answers.reach, denials: answers.denials, audit: answers.audit, container: null, missing: null,
        history: null, events: answers.events.items, lost: 0, paused: null,
        view: { text: "", verdict: "", map: "", actor: "", severity: "" }, busy: {}, told: null, question: null, ...changes,
    };
}

test("a place of the page is written and read again, whatever a container is called", () => {
    for (const name of ["web", "a/b?c#d", "%41", "<b>", "ä ö"])
        assert.deepEqual(readRoute(linkTo("container", name)), { page: "container", name, options: {} });
    assert.deepEqual(readRoute(linkTo("events", "", { kind: "granted", text: "a&b=c" })).options, { kind: "granted", text: "a&b=c" });
    for (const nonsense of ["", "#", "#/nowhere", "#/container", "#/container/", "#/map/x/y%"])
        assert.notEqual(readRoute(nonsense).page, "container");
});

test("what turns the direction of writing or moves the cursor is spelled out", () => {
    assert.equal(printable("a\u001b[31m\n\u202eb\u200bä"), "a\\x1b[31m\\x0a\\u202eb\\u200bä");
});

test("times are told by the host's clock, and never lie in the future", () => {
    assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:02:30Z")), "2 minutes ago");
    assert.equal(ago("2026-01-01T00:01:00Z", Date.parse("2026-01-01T00:00:00Z")), "just now");
    assert.equal(format("$1 of $0", 3, 2), "2 of 3");
});

test("only commands look like commands", () => {
    assert.equal(findAll(command("mcsctl show web", act), one => one.tag === "code").length, 1);
    for (const sentence of ["mend the cause, then run mcsctl restore /x", "mcsctl status, in a moment", "make the directory"])
        assert.equal(findAll(command(sentence, act), one => one.tag === "code").length, 0);
    assert.equal(command("", act), null);
});

test("events come once, in order, and the oldest go", () => {
    const event = sequence => ({ sequence, priority: 6, kind: "granted", message: `m${sequence}`, fields: {}, container: null });
    const some = addEvents([], [event(1), event(2)]);
    assert.deepEqual(addEvents(some, [event(2), event(3)]).map(one => one.sequence), [1, 2, 3]);
    const many = addEvents(some, Array.from({ length: 2000 }, (_one, place) => event(place + 3)));
    assert.equal(many.length, 1000);
    assert.equal(many.at(-1).sequence, 2002);
});

test("events are chosen by all that is asked for", () => {
    const all = answers.events.items;
    assert.deepEqual(chosen(all, { priority: "3" }).map(one => one.kind), ["conflict"]);
    assert.deepEqual(chosen(all, { kind: "volume-labelled", container: "db" }).length, 1);
    assert.deepEqual(chosen(all, { container: "nobody" }), []);
    assert.deepEqual(chosen(all, {}).map(one => one.sequence), all.map(one => one.sequence).reverse());
});

test("a verdict is what mcsd says, and weakened where something makes less of it", () => {
    const one = { isolated: true, running: true, weaknesses: [], volumes: { partly: 0 } };
    assert.equal(verdictOf(one), "yes");
    assert.equal(verdictOf({ ...one, weaknesses: [{ weakens: true }] }), "partly");
    assert.equal(verdictOf({ ...one, volumes: { partly: 1 } }), "partly");
    assert.equal(verdictOf({ ...one, isolated: false, weaknesses: [{ weakens: true }] }), "no");
    assert.equal(verdictOf({ ...one, isolated: null, running: false }), "off");
    assert.equal(verdictOf({ ...one, isolated: null }), "passing");
});

test("the map says in words what its lines say, and draws each link once", () => {
    const cell = answers.reach.items.find(one => one.kind === "conflict");
    const clone = cell.actors.findIndex(one => one.name === "web-clone");
    assert.match(reaches(cell, clone), /by its level, after an escape: \/srv\/web; denied: \/srv\/web/);
    const drawn = findAll(map(state("#/map"), act).filter(Boolean), one => one.tag === "path" && (one.props.class ?? "").startsWith("line"));
    const links = answers.reach.items.filter(one => one.actors.length > 1).flatMap(one => one.links);
    assert.equal(drawn.length, links.length);
    assert.ok(matches(cell, "WEB-CLONE") && matches(cell, "/srv/web") && !matches(cell, "db"));
});

test("a host that enforces nothing is not shown as one that does", () => {
    const reach = { ...answers.reach, enforced: false, lacking: "SELinux is permissive" };
    assert.match(textOf(map(state("#/map", { reach }), act).filter(Boolean)), /Nothing is held apart on this host/);
    const status = { ...answers.status, selinux: { ...answers.status.selinux, enforcing: false } };
    assert.match(textOf(frame(state("#/", { status }), act).flat().filter(Boolean)), /does not enforce/);
});

test("every link that is drawn on the map leads to its container's page", () => {
    const links = findAll(map(state("#/map"), act).filter(Boolean), one => one.tag === "a").map(one => readRoute(one.props.href));
    const known = new Set(answers.containers.items.map(one => one.name));
    assert.ok(links.length > 0 && links.every(one => one.page === "container" && known.has(one.name)));
});

test("a walk without a known end has no percentage, one with it never more than a hundred", () => {
    const walk = { path: "/v", work: "relabel", started: answers.status.now, seen: 500, changed: 1, skipped: 0, expected: 0 };
    const bar = one => findAll(workBar(one, Date.now()), it => it.props.role === "progressbar")[0].props;
    assert.equal(bar(walk)["aria-valuenow"], null);
    assert.equal(bar({ ...walk, expected: 400 })["aria-valuenow"], "100");
    assert.equal(bar({ ...walk, expected: 1000 })["aria-valuenow"], "50");
});

test("without administrative access every change is off, and says why", () => {
    const pages = ["#/", "#/audit", "#/denials"].map(hash => frame(state(hash, { admin: false }), act).flat().filter(Boolean));
    const off = findAll(pages, one => one.tag === "button" && one.props.disabled);
    assert.deepEqual(new Set(off.map(textOf)), new Set(["Verify", "Verify and repair", "Restore labels", "Scan", "Audit now", "Have denials followed"]));
    assert.ok(off.every(one => /administrative access/.test(one.props.title)));
});

test("a button at work cannot be pressed again", () => {
    const found = findAll(audit(state("#/audit", { busy: { audit: true } }), act).filter(Boolean), one => one.props["aria-busy"]);
    assert.deepEqual(found.map(one => [one.props.disabled, textOf(one)]), [[true, "Working…"]]);
});

test("a container that is gone is said to be gone", () => {
    const text = textOf(container(state("#/container/gone", { missing: { message: "there is no container 'gone'" } }), act).filter(Boolean));
    assert.match(text, /There is no such container/);
});

test("while it is held the list of events stands still", () => {
    const held = state("#/events", { paused: answers.events.items.slice(0, 1) });
    assert.match(textOf(events(held, act).filter(Boolean)), /paused/);
    assert.equal(findAll(events(held, act).filter(Boolean), one => one.tag === "tr").length, 2);
});

test("what is not there is not made into an element", () => {
    assert.deepEqual(h("p", null, null, undefined, false, 0, ["a", [null]]).children, ["0", "a"]);
});
