// A picture in its frame: as large as fits, or as large as the reader wants, and then it scrolls.
// moved() is called whenever the size of the picture or of its frame has changed. follow(part, ...)
// scrolls the frame so that this part of the picture is in sight, and of the others as many as there
// is room for: a page calls it at every step. whole: a projector shows all of it, whatever its size.
function zooming(root, moved, whole = false) {
  const READABLE = 0.76; // of the natural size, in which the smallest letters have 12 pixels
  const READABLE_FROM_FAR = 1.5; // from the last row of a class
  const LARGEST = 1.35; // a small picture grows so far by itself
  const FACTOR = 1.3;
  const SLACK = 2;
  const NARROW = 500;

  const frame = one(".views", root);
  const cue = document.createElement("p");
  cue.className = "cue";
  frame.after(cue);
  let chosen = false;
  let begun = "";
  let overflows = false;

  const projected = () => root.classList.contains("projector");
  const room = () => `${frame.clientWidth} ${projected()}`;
  const natural = (svg, side) => Number(svg.getAttribute(side));

  function scale() {
    const svg = one(".view:not([hidden]) > svg", root);
    const { width, height } = svg.getBoundingClientRect();
    return Math.min(width / natural(svg, "width"), height / natural(svg, "height"));
  }

  function measure() {
    const across = frame.scrollWidth > frame.clientWidth + SLACK;
    const down = frame.scrollHeight > frame.clientHeight + SLACK;
    overflows = across || down;
    cue.hidden = !overflows;
    const ways = [across && "◄ ►", down && "▲ ▼"].filter(Boolean).join(" ");
    write(cue, `The picture is larger than its frame: drag it ${ways}`);
    moved();
  }

  function resize(wanted) {
    const bounded = Math.min(Math.max(wanted, 0.4), 5);
    root.classList.add("zoomed");
    for (const svg of all(".view > svg", root)) svg.style.width = `${natural(svg, "width") * bounded}px`;
    measure();
  }

  function fit() {
    root.classList.remove("zoomed");
    const room = parseFloat(getComputedStyle(frame).maxHeight);
    for (const svg of all(".view > svg", root)) {
      const [width, height] = [natural(svg, "width"), natural(svg, "height")];
      const grown = Math.min(frame.clientWidth / width, room / height, LARGEST);
      svg.style.width = grown > 1 ? `${width * grown}px` : ""; // a projector has no such room: NaN
    }
    measure();
  }

  // The whole picture, or where its letters would be too small, a part of it.
  function begin() {
    chosen = false;
    begun = room();
    fit();
    if (whole && (projected() || (whole === "wide" && frame.clientWidth > NARROW))) return;
    const least = projected() ? READABLE_FROM_FAR : READABLE;
    if (scale() < least) resize(least);
  }

  function follow(...parts) {
    if (!overflows || !parts[0]) return;
    const outer = frame.getBoundingClientRect();
    const [first, ...others] = parts.filter(Boolean).map((part) => part.getBoundingClientRect());
    let inner = first;
    for (const box of others) {
      const [left, top] = [Math.min(inner.left, box.left), Math.min(inner.top, box.top)];
      const [right, bottom] = [Math.max(inner.right, box.right), Math.max(inner.bottom, box.bottom)];
      if (right - left <= outer.width && bottom - top <= outer.height) inner = { left, top, right, bottom };
    }
    if (inner.left < outer.left || inner.right > outer.right) {
      frame.scrollLeft += (inner.left + inner.right - outer.left - outer.right) / 2;
    }
    if (inner.top < outer.top || inner.bottom > outer.bottom) {
      frame.scrollTop += (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
    }
  }

  // A phone that is turned, and the mode for projectors, give the frame another width.
  window.addEventListener("resize", () => {
    if (chosen || room() === begun) measure();
    else begin();
  });

  const by_reader = (size) => {
    chosen = true;
    size();
  };
  const larger = () => by_reader(() => resize(scale() * FACTOR));
  const smaller = () => by_reader(() => resize(scale() / FACTOR));
  const fitted = () => by_reader(fit);
  const keys = { "+": larger, "-": smaller, 0: fitted };

  function key(event) {
    keys[event.key]?.();
    return event.key in keys;
  }

  one(".smaller", root).addEventListener("click", smaller);
  one(".larger", root).addEventListener("click", larger);
  one(".fit", root).addEventListener("click", fitted);
  return { begin, follow, key };
}
