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
