/* Words: translation, numbers and times. Pure but for the language that Cockpit has chosen. */

const cockpit = globalThis.cockpit;

export const _ = cockpit ? text => cockpit.gettext(text) : text => text;
const plural = cockpit ? (one, many, count) => cockpit.ngettext(one, many, count) : (one, many, count) => (count === 1 ? one : many);
const language = cockpit?.language?.replace("_", "-") || "en";
const numbers = new Intl.NumberFormat(language);
const clock = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/* An engine's name as a word: Docker, Podman. */
export const engineName = text => text.charAt(0).toUpperCase() + text.slice(1);

/* A container's name, with its engine's before it unless that is Docker, or mcsd itself. */
export const fullName = one => (["docker", "run", undefined].includes(one.engine) ? one.name : `${one.engine}/${one.name}`);

/* Fill $0, $1, … in. */
export function format(text, ...values) {
    return text.replace(/\$(\d)/g, (_whole, digit) => String(values[Number(digit)]));
}

/* Say a counted thing: counted(3, "$0 container", "$0 containers"). */
export function counted(count, one, many) {
    return format(plural(one, many, count), number(count));
}

export const number = value => numbers.format(value);

export const moment = text => clock.format(new Date(text));

const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];

/* Say how long ago a time was; `now` in milliseconds. */
export function ago(text, now) {
    const seconds = Math.max(0, (now - Date.parse(text)) / 1000);
    const [, unit, size] = STEPS.find(([limit]) => seconds < limit);
    return seconds < 1 ? _("just now") : relative.format(-Math.floor(seconds / size), unit);
}

/* Make control characters, and those that turn the direction of writing, visible in what others have named. */
export function printable(text) {
    // eslint-disable-next-line no-control-regex
    return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, one => {
        const code = one.codePointAt(0);
        return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    });
}
