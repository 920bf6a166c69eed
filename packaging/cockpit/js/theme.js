/* Light or dark, as Cockpit's shell is set; it tells its pages by storage and by an event. */

const KEY = "shell:style";
const CLASS = "pf-v6-theme-dark";

function apply(style) {
    const wish = style || localStorage.getItem(KEY) || "auto";
    const dark = wish === "dark" || (wish === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.classList.toggle(CLASS, dark);
}

export function followTheme() {
    apply();
    addEventListener("storage", event => event.key === KEY && apply());
    addEventListener("cockpit-style", event => apply(event.detail?.style));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply());
}
