/* A page as plain values, and bringing the document to what they say.
 *
 * Views are pure functions that return such values, so that tests read them without a browser. Whatever a
 * container, a path or a label is called ends as a text node or as an attribute's value: there is no way from a
 * string to markup here, and a link can only lead to a place of this page.
 */

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "g", "line", "circle", "rect"]);
const AS_PROPERTIES = new Set(["value", "checked"]);
const state = new WeakMap();

/* Make an element: h("p", { class: "x", onclick: f, key: 1 }, "text", child, [more]). Nothing is made of null. */
export function h(tag, props, ...children) {
    const flat = children.flat(Infinity).filter(one => one !== null && one !== undefined && one !== false);
    return { tag, props: props || {}, children: flat.map(one => (typeof one === "object" ? one : String(one))) };
}

/* Return all text of a value, as a reader would hear it. */
export function textOf(value) {
    if (Array.isArray(value))
        return value.map(textOf).join("");
    return typeof value === "string" ? value : value.children.map(textOf).join("");
}

/* Find all elements in a value for which a question is true. */
export function findAll(value, question) {
    if (Array.isArray(value))
        return value.flatMap(one => findAll(one, question));
    if (typeof value === "string")
        return [];
    return [...(question(value) ? [value] : []), ...findAll(value.children, question)];
}

function create(wanted, parent) {
    if (typeof wanted === "string")
        return parent.ownerDocument.createTextNode(wanted);
    const document = parent.ownerDocument;
    return DRAWN.has(wanted.tag) ? document.createElementNS(SVG, wanted.tag) : document.createElement(wanted.tag);
}

function setProperty(node, name, value) {
    if (name.startsWith("on")) {
        node[name] = value ?? null;
    } else if (AS_PROPERTIES.has(name)) {
        if (node[name] !== value)
            node[name] = value;
    } else if (name === "style") {
        for (const [key, one] of Object.entries(value ?? {}))
            node.style.setProperty(key, one);
    } else if (value === null || value === undefined || value === false) {
        node.removeAttribute(name);
    } else {
        if (name === "href" && !value.startsWith("#"))
            throw new Error(`a link must stay on this page: ${value}`);
        node.setAttribute(name, value === true ? "" : value);
    }
}

function update(node, wanted, budget) {
    if (typeof wanted === "string") {
        if (node.data !== wanted)
            node.data = wanted;
        return;
    }
    const before = state.get(node) ?? {};
    for (const name of Object.keys(before)) {
        if (!(name in wanted.props))
            setProperty(node, name, undefined);
    }
    for (const [name, value] of Object.entries(wanted.props)) {
        if (name === "key" || name === "mounted" || (before[name] === value && !AS_PROPERTIES.has(name)))
            continue;
        setProperty(node, name, value);
    }
    state.set(node, wanted.props);
    patch(node, wanted.children, budget);
    // What a select shows can be set only when its options are there.
    if (wanted.tag === "select" && "value" in wanted.props)
        node.value = wanted.props.value;
}

const kindOf = node => (node.nodeType === 3 ? "#text" : node.localName);
const keyOf = node => state.get(node)?.key;

/* Bring the children of a node to what is wanted. Elements with a `key` are found again wherever they were, so
 * that what has the focus keeps it; `mounted` is called with an element that is new, when it is in its place.
 *
 * A budget of `left` new elements bounds how long one call keeps the browser busy: when it is used up, elements
 * with a key that are not there yet are left out, and `budget.cut` says so. The next call makes more of them. */
export function patch(parent, wanted, budget = { left: Infinity, cut: false }) {
    const keyed = new Map();
    const plain = [];
    for (const node of parent.childNodes) {
        const key = keyOf(node);
        if (key === undefined || keyed.has(key)) // a key that is there twice is found once
            plain.push(node);
        else
            keyed.set(key, node);
    }
    const fresh = [];
    let place = parent.firstChild;
    for (const one of wanted) {
        const kind = typeof one === "string" ? "#text" : one.tag;
        const key = typeof one === "string" ? undefined : one.props.key;
        let node = key === undefined ? plain.find(it => kindOf(it) === kind) : keyed.get(key);
        if (node && kindOf(node) !== kind)
            node = undefined;
        if (node && key === undefined)
            plain.splice(plain.indexOf(node), 1);
        else if (node)
            keyed.delete(key);
        const isNew = !node;
        const isWhole = Boolean(one.props?.mounted); // a dialog is shown with its buttons
        if (isNew && key !== undefined && budget.left <= 0 && !isWhole) {
            budget.cut = true;
            continue;
        }
        if (isNew)
            budget.left -= 1;
        node ??= create(one, parent);
        update(node, one, isWhole ? undefined : budget);
        if (node === place)
            place = place.nextSibling;
        else
            parent.insertBefore(node, place);
        if (isNew && one.props?.mounted)
            fresh.push([one.props.mounted, node]);
    }
    for (const node of [...plain, ...keyed.values()])
        node.remove();
    for (const [mounted, node] of fresh)
        mounted(node);
}
