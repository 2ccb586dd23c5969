// The picture of a network whose numbers change, as all pages that have one show it.
// Arrows are the weights, then the biases; a frame says of each [words, number, width, colour].
function network_in(root) {
  const arrows = all("[data-weight]", root).map((group) => ({
    place: Number(group.dataset.weight),
    group,
    title: one("title", group),
    line: one("path", group),
    head: one("polygon", group),
  }));
  const numbers = all("[data-number]", root).map((group) => ({
    place: Number(group.dataset.number),
    group,
    title: one("title", group),
    text: one("text", group),
  }));
  const outcomes = all("[data-outcome]", root).map((group) => ({
    row: Number(group.dataset.outcome),
    title: one("title", group),
    lines: all(".line", group),
  }));
  const people = all("[data-neuron]", root).map((group) => ({
    place: Number(group.dataset.neuron),
    group,
    title: one("title", group),
    name: one(".name", group),
    total: one(".total", group),
    value: one(".value", group),
    delta: one(".delta", group),
    outline: one(".outline", group),
    curve: one(`[data-curve="${group.dataset.neuron}"] path`, root),
    mark: one(`[data-mark="${group.dataset.neuron}"] ellipse`, root),
  }));
  const begins = people.map(({ title }) => title.textContent.split("\n")[0]);
  const words_of = (place) => arrows.find((arrow) => arrow.place === place).group.dataset.words;

  function show(frame) {
    for (const { place, group, line, head } of arrows) {
      const [, exact, width, colour] = frame.weights[place];
      set(line, "stroke", colour);
      set(line, "stroke-width", String(width));
      set(line, "stroke-dasharray", exact < 0 ? "6 4" : exact > 0 ? "none" : "1 3");
      set(head, "stroke", colour);
      set(head, "fill", colour);
      set(group, "data-value", exact);
    }
    for (const { place, text } of numbers) write(text, frame.weights[place][0]);
    for (const { place, name, total, value, delta, outline, curve, mark } of people) {
      const [sum, shown, slope, ink, fill, point] = frame.neurons[place];
      set(outline, "fill", fill);
      for (const text of [name, total, value, delta]) if (text) set(text, "fill", ink);
      if (total) write(total, sum);
      if (value) write(value, shown);
      if (delta) write(delta, slope);
      if (!mark) continue;
      set(curve, "stroke", ink);
      set(mark, "fill", ink);
      set(mark, "stroke", ink);
      set(mark, "visibility", point ? "visible" : "hidden");
      const [right, up] = point || [0, 0];
      set(mark, "cx", String(Number(outline.getAttribute("cx")) + right));
      set(mark, "cy", String(Number(outline.getAttribute("cy")) - up));
    }
    for (const { row, title, lines } of outcomes) {
      lines.forEach((line, place) => write(line, frame.outcome[row][place] || ""));
      write(title, frame.outcome[row].join(", "));
    }
  }

  // What is said of the arrow when it, or its number, is pointed at; and of a neuron.
  function tell(arrow, neuron) {
    for (const { place, title, group } of [...arrows, ...numbers]) {
      write(title, arrow(place, words_of(place)));
      if (group.hasAttribute("aria-label")) set(group, "aria-label", title.textContent);
    }
    for (const { place, title, group } of people) {
      write(title, neuron(place, begins[place]));
      set(group, "aria-label", title.textContent);
    }
  }

  return { arrows, numbers, people, show, tell };
}

// ---- Parts of the picture that can be pointed at, and chosen ------------------------------------

// Lines that the layout program does not draw, from the beginning of each arrow: a halo under it, and
// over it room for a pointer. ``turned`` is what turns an arrow round; ``aside`` keeps what is turned
// as far from the words above it as from the circle.
function lined(arrows, aside) {
  for (const arrow of arrows) {
    const { line, head } = arrow;
    const pairs = (text) => text.match(/-?[\d.]+/g).map(Number).reduce((found, value, k) => {
      if (k % 2) found.at(-1).push(value);
      else found.push([value]);
      return found;
    }, []);
    const shaft = pairs(line.getAttribute("d"));
    const start = shaft[0];
    const far = ([x, y]) => (x - start[0]) ** 2 + (y - start[1]) ** 2;
    const tip = pairs(head.getAttribute("points")).reduce((best, corner) => (far(corner) > far(best) ? corner : best));
    arrow.along = (name, end, add) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const ends = { x1: start[0], y1: start[1], x2: end[0], y2: end[1], class: name };
      for (const [key, value] of Object.entries(ends)) made.setAttribute(key, String(value));
      add.call(line, made);
      return made;
    };
    arrow.ends = [start, tip];
    arrow.shaft = shaft.at(-1);
    arrow.halo = arrow.along("halo", tip, line.before);
    arrow.hit = arrow.along("hit", tip, line.after);
    const moved = aside(arrow.place) ? `translate(0 ${aside(arrow.place)}) ` : "";
    arrow.turned = `${moved}rotate(180 ${(start[0] + tip[0]) / 2} ${(start[1] + tip[1]) / 2})`;
  }
}

// The picture is one stop of the Tab key; inside it the arrow keys go from circle to arrow to circle.
// A part is {id, group, at} with the place of a neuron, or {id, group, from, to} of a weight.
function walking(parts, choose) {
  const same = (one, other) => one && other && one[0] === other[0] && one[1] === other[1];
  const neuron = (place) => parts.find((part) => same(part.at, place));

  function next_to(part, key) {
    const coming = parts.filter((p) => !p.at && same(p.to, part.at));
    const going = parts.filter((p) => !p.at && same(p.from, part.at));
    const kin = parts.filter((p) => (part.at ? p.at?.[0] === part.at[0] : !p.at && p.to[0] === part.to[0]));
    return {
      ArrowLeft: () => (part.at ? coming[0] : neuron(part.from)),
      ArrowRight: () => (part.at ? going[0] : neuron(part.to)),
      ArrowUp: () => kin[kin.indexOf(part) - 1],
      ArrowDown: () => kin[kin.indexOf(part) + 1],
    }[key];
  }

  function land(part) {
    for (const { group } of parts) set(group, "tabindex", group === part.group ? "0" : "-1");
    return part.group;
  }

  for (const { id, group } of parts) {
    set(group, "role", "button");
    set(group, "aria-label", "");
    group.addEventListener("click", () => choose(id));
  }
  land(parts[0]);

  // True if the key was for the part that has the focus.
  function key(event) {
    const part = parts.find(({ group }) => group === event.target.closest("[data-neuron], [data-weight]"));
    const next = part && next_to(part, event.key);
    if (next) {
      const to = next();
      if (to) land(to).focus();
    } else if (part && event.key === "Enter") choose(part.id);
    else return false;
    return true;
  }

  return { key };
}
