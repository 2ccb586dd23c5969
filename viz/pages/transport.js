// What every page of steps has: buttons, a scrubber, keys, and a form for paper.
// The page itself gives: last, and show(step), which returns the words for that step. It may also
// give ahead(step) (false: stay, there is something to reveal first), waits() (whether there is),
// next(step) (which step comes next, if not all do), leave() (a step is reached in another way),
// key(event) (true: it was for the page), place() and restore(place) for what else the address
// should hold (it may give another step to begin with), and worksheet() (whether paper shall show
// the first step as it is, before anything has happened, and no details of the class "answers").
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
  keyboard(root).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("select, input:not([type=checkbox])")) return;
    if (page.key?.(event)) {
      event.preventDefault();
    } else if (keys[event.key]) {
      by_hand(keys[event.key]);
      event.preventDefault();
    } else if (address.key(event)) {
      event.preventDefault();
    } else if (event.key === " " && !event.target.closest("button, input, summary")) {
      play(!timer);
      event.preventDefault();
    }
  });
  colouring(root);

  // Paper shows what is folded, and at the first step, where nothing has happened yet, the last.
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
  function recall(place) {
    page.leave?.();
    show(Math.trunc(Number(place.get("step"))) || 0);
    const instead = page.restore?.(place);
    if (instead !== undefined) show(instead);
  }

  const address = addressed(root, () => ({ step: String(now), ...page.place?.() }), recall);
  const remember = address.remember;
  root.classList.remove("still");
  show(0); // whatever the address says: so all ways to a step have one beginning
  return { recall: address.recall, remember, go: () => go(now) };
}
