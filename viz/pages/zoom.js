// A picture in its frame: as large as fits, or as large as the reader wants, and then it scrolls.
// moved() is called whenever its size has changed.
function zooming(root, moved) {
  const READABLE = 0.76; // of the natural size, in which the smallest letters have 12 pixels
  const FACTOR = 1.3;

  const natural = (svg, side) => Number(svg.getAttribute(side));

  function scale() {
    const svg = one(".view:not([hidden]) > svg", root);
    const { width, height } = svg.getBoundingClientRect();
    return Math.min(width / natural(svg, "width"), height / natural(svg, "height"));
  }

  function resize(wanted) {
    const bounded = Math.min(Math.max(wanted, 0.4), 5);
    root.classList.add("zoomed");
    for (const svg of all(".view > svg", root)) svg.style.width = `${natural(svg, "width") * bounded}px`;
    moved();
  }

  function fit() {
    root.classList.remove("zoomed");
    for (const svg of all(".view > svg", root)) svg.style.width = "";
    moved();
  }

  // The whole picture, or where its letters would be too small, a part of it.
  function begin() {
    fit();
    if (scale() < READABLE) resize(READABLE);
  }

  const larger = () => resize(scale() * FACTOR);
  const smaller = () => resize(scale() / FACTOR);
  const keys = { "+": larger, "-": smaller, 0: fit };

  function key(event) {
    keys[event.key]?.();
    return event.key in keys;
  }

  one(".smaller", root).addEventListener("click", smaller);
  one(".larger", root).addEventListener("click", larger);
  one(".fit", root).addEventListener("click", fit);
  return { begin, key };
}
