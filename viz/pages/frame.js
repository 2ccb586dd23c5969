"use strict";

// What every page has: a choice of colours, a mode for projectors, help, and an address.

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// What has been written is remembered: to ask the document takes longer than to compute it.
function set(element, name, value) {
  element.given ??= {};
  if (!(name in element.given)) element.given[name] = element.getAttribute(name);
  if (element.given[name] === value) return;
  element.given[name] = value;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

function write(element, text) {
  element.written ??= element.textContent;
  if (element.written !== text) element.textContent = element.written = text;
}

// A browser without MathML would write the parts of a fraction one behind the other: there formulas
// are lines of text.
function formulas(within) {
  if ("MathMLElement" in window) return;
  const line = (node) => {
    if (!node.childNodes.length) return node.textContent;
    const parts = [...node.childNodes].map(line);
    const [first, second] = parts.map((part) => part.trim());
    const closed = (part) => (/^\(.*\)$|^[^ ]*$/.test(part) ? part : `(${part})`);
    const kind = node.localName;
    if (kind === "mfrac") return `${closed(first)}/${closed(second)}`;
    if (kind === "msup") return `${closed(first)}^${closed(second)}`;
    if (kind === "munder") return `${first} (${second})`;
    return kind === "mo" && node.textContent !== "∂" ? ` ${parts.join("")} ` : parts.join("");
  };
  for (const formula of all("math", within)) {
    const text = document.createElement(formula.hasAttribute("displaystyle") ? "p" : "span");
    text.textContent = line(formula).replace(/\s+/g, " ").replace(/\( /g, "(").replace(/ \)/g, ")").trim();
    formula.replaceWith(text, " ");
  }
}

// A button that changes between the colours of the system, light and dark ones.
function colouring(root, changed = () => {}) {
  const themes = ["", "light", "dark"];
  one(".theme", root).addEventListener("click", (event) => {
    const style = document.documentElement.dataset;
    style.theme = themes[(themes.indexOf(style.theme || "") + 1) % themes.length];
    set(event.currentTarget, "aria-label", `Colours: ${style.theme || "as the system"}`);
    changed();
  });
}

// On a projector letters are large, the picture fills the window, and what is not needed is gone.
// remember() writes the address, and recall() is called when it was changed.
function addressed(root, place, recall) {
  const projected = () => root.classList.contains("projector");

  function project(wanted) {
    if (wanted === projected()) return;
    root.classList.toggle("projector", wanted);
    window.dispatchEvent(new Event("resize"));
  }

  function remember() {
    try {
      history.replaceState(null, "", `#${new URLSearchParams(place())}${projected() ? "&projector" : ""}`);
    } catch {
      // Inside a notebook's frame there is no address to write to.
    }
  }

  function read() {
    const place = new URLSearchParams(location.hash.slice(1));
    project(place.has("projector"));
    recall(place);
    remember();
  }

  // P, and ? for help: true if it was one of them.
  function key(event) {
    if (event.key === "p" || event.key === "P") {
      project(!projected());
      remember();
    } else if (event.key === "?") {
      const help = one(".keys", root);
      help.open = !help.open;
      help.scrollIntoView({ block: "nearest" });
    } else return false;
    return true;
  }

  window.addEventListener("hashchange", read);
  return { remember, recall: read, key };
}

// In a notebook the page is in a frame, which it makes as high as it is: nothing is cut, and nothing
// has a bar to scroll. The frame only grows, so that the cells below keep their place.
function inNotebook() {
  const frame = location.href === "about:srcdoc" ? window.frameElement : null;
  if (!frame) return;
  document.documentElement.classList.add("in-notebook");
  let width = 0, height = 0;
  new ResizeObserver(() => {
    if (width !== innerWidth) [width, height] = [innerWidth, 0];
    height = Math.max(height, Math.ceil(document.body.getBoundingClientRect().height));
    frame.style.height = `${height}px`;
  }).observe(document.body);
}
inNotebook();

// Where keys are heard: a page that is alone has all of them.
const keyboard = (root) => (all(".stepper").length === 1 ? document : root);
