"use strict";

// What every page of steps has: buttons, a scrubber, keys, an address, a choice of colours, a mode
// for projectors, and a form for paper.
// The page itself gives: last, and show(step), which returns the words for that step. It may also
// give ahead(step) (false: stay, there is something to reveal first), waits() (whether there is),
// next(step) (which step comes next, if not all do),
// leave() (a step is reached in another way), key(event) (true: it was for the page), place() and
// restore(place) for what else the address should hold (it may give another step to begin with), and worksheet() (whether paper shall show
// the first step as it is, before anything has happened, and no details of the class "answers").

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

function transport(root, page) {
  const last = page.last;
  let now = 0;
  let timer = 0;

  function show(step) {
    now = Math.min(Math.max(step, 0), last);
    const words = page.show(now);
    set(root, "data-step", String(now));
    const scrubber = one(".scrubber", root);
    scrubber.value = String(now);
    set(scrubber, "aria-valuetext", `Step ${now} of ${last}, ${words}`);
    one(".first", root).disabled = one(".back", root).disabled = now === 0;
    one(".next", root).disabled = one(".last", root).disabled = now === last && !page.waits?.();
  }

  function go(step) {
    page.leave?.();
    show(step);
    remember();
  }

  function forward() {
    if (page.ahead && !page.ahead(now)) show(now);
    else if (now < last) show(page.next?.(now) ?? now + 1);
    remember();
  }

  function play(wanted) {
    clearInterval(timer);
    timer = 0;
    if (wanted) {
      if (now === last) go(0);
      timer = setInterval(() => {
        forward();
        if (now === last && !page.waits?.()) play(false);
      }, Number(one(".speed", root).value));
    }
    write(one(".play", root), timer ? "Pause" : "Play");
    root.classList.toggle("playing", Boolean(timer));
    set(one(".told", root), "aria-live", timer ? "off" : "polite");
  }

  function by_hand(action) {
    if (timer) play(false);
    action();
  }

  const moves = {
    first: () => go(0),
    back: () => go(now - 1),
    next: forward,
    last: () => go(last),
  };
  for (const [name, move] of Object.entries(moves)) {
    one(`.${name}`, root).addEventListener("click", () => by_hand(move));
  }
  one(".play", root).addEventListener("click", () => play(!timer));
  one(".speed", root).addEventListener("change", () => timer && play(true));
  one(".scrubber", root).max = String(last);
  one(".scrubber", root).addEventListener("input", (event) => {
    by_hand(() => go(Number(event.target.value)));
  });

  const keys = {
    ArrowLeft: moves.back,
    ArrowRight: moves.next,
    Home: moves.first,
    End: moves.last,
  };
  const alone = all(".stepper").length === 1;
  (alone ? document : root).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("select, input:not([type=checkbox])")) return;
    if (page.key?.(event)) {
      event.preventDefault();
    } else if (keys[event.key]) {
      by_hand(keys[event.key]);
      event.preventDefault();
    } else if (event.key === "p" || event.key === "P") {
      project(!projected());
      remember();
      event.preventDefault();
    } else if (event.key === "?") {
      const help = one(".keys", root);
      help.open = !help.open;
      help.scrollIntoView({ block: "nearest" });
      event.preventDefault();
    } else if (event.key === " " && !event.target.closest("button, input, summary")) {
      play(!timer);
      event.preventDefault();
    }
  });

  const themes = ["", "light", "dark"];
  one(".theme", root).addEventListener("click", (event) => {
    const style = document.documentElement.dataset;
    style.theme = themes[(themes.indexOf(style.theme || "") + 1) % themes.length];
    set(event.currentTarget, "aria-label", `Colours: ${style.theme || "as the system"}`);
  });

  // On a projector letters are large, the picture fills the window, and what is not needed is gone.
  const projected = () => root.classList.contains("projector");
  function project(wanted) {
    if (wanted === projected()) return;
    root.classList.toggle("projector", wanted);
    window.dispatchEvent(new Event("resize"));
  }

  // Paper shows what is folded, and at the first step, where nothing has happened yet, the last one.
  const before = { unfolded: [], step: 0 };
  window.addEventListener("beforeprint", () => {
    const worksheet = page.worksheet?.();
    before.unfolded = all("details:not([open]):not(.long)", root)
      .filter((folded) => !(worksheet && folded.matches(".answers")));
    for (const folded of before.unfolded) folded.open = true;
    before.step = now;
    if (now === 0 && !worksheet) show(last);
  });
  window.addEventListener("afterprint", () => {
    for (const folded of before.unfolded) folded.open = false;
    show(before.step);
  });

  // The address says where we are: #step=12, or #step=12&projector
  function remember() {
    const place = new URLSearchParams({ step: String(now), ...page.place?.() });
    try {
      history.replaceState(null, "", `#${place}${projected() ? "&projector" : ""}`);
    } catch {
      // Inside a notebook's frame there is no address to write to.
    }
  }

  function recall() {
    const place = new URLSearchParams(location.hash.slice(1));
    project(place.has("projector"));
    page.leave?.();
    show(Math.trunc(Number(place.get("step"))) || 0);
    const instead = page.restore?.(place);
    if (instead !== undefined) show(instead);
    remember();
  }

  window.addEventListener("hashchange", recall);
  root.classList.remove("still");
  show(0); // whatever the address says: so all ways to a step have one beginning
  return { recall, remember, go: () => go(now) };
}
