/* Places of the page: #/map, #/container/NAME, #/events?container=NAME. Pure. */

export const PAGES = ["overview", "map", "denials", "audit", "events"];

/* Read what stands behind the hash. Whatever makes no sense is the overview. */
export function readRoute(hash) {
    const [path, query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
    const [page, ...rest] = path.split("/").map(decode);
    const options = Object.fromEntries(new URLSearchParams(query));
    if (page === "container" && rest.length === 1 && rest[0])
        return { page, name: rest[0], options };
    return { page: PAGES.includes(page) ? page : "overview", name: "", options };
}

function decode(text) {
    try {
        return decodeURIComponent(text);
    } catch (_error) {
        return text;
    }
}

/* Write a link. */
export function linkTo(page, name = "", options = {}) {
    const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value)).toString();
    const path = page === "overview" ? "/" : `/${page}${name ? `/${encodeURIComponent(name)}` : ""}`;
    return `#${path}${query ? `?${query}` : ""}`;
}
