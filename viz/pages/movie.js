// Each record of the training says how wide its arrows are, and what its neurons show.
function start(root) {
  const { frames } = JSON.parse(one(".story", root).textContent);
  const weights = all("[data-weight]", root).map((group) => ({
    place: Number(group.dataset.weight),
    group,
    title: one("title", group),
    words: group.dataset.words,
    line: one("path", group),
    head: one("polygon", group),
  }));
  const numbers = all("[data-number]", root).map((group) => ({
    place: Number(group.dataset.number),
    text: one("text", group),
    title: one("title", group),
    words: one(`[data-weight="${group.dataset.number}"]`, root).dataset.words,
  }));
  const outcomes = all("[data-outcome]", root).map((group) => ({
    row: Number(group.dataset.outcome),
    title: one("title", group),
    lines: all(".line", group),
  }));
  const neurons = all("[data-neuron]", root).map((group) => ({
    place: Number(group.dataset.neuron),
    group,
    title: one("title", group),
    words: one("title", group).textContent.split("\n")[0],
    name: one(".name", group),
    total: one(".total", group),
    value: one(".value", group),
    delta: one(".delta", group),
    outline: one(".outline", group),
    curve: one(`[data-curve="${group.dataset.neuron}"] path`, root),
    mark: one(`[data-mark="${group.dataset.neuron}"] ellipse`, root),
  }));

  function show(now) {
    const frame = frames[now];
    for (const { place, group, title, words, line, head } of weights) {
      const [, exact, width, colour] = frame.weights[place];
      set(line, "stroke", colour);
      set(line, "stroke-width", String(width));
      set(line, "stroke-dasharray", exact < 0 ? "6 4" : exact > 0 ? null : "1 3");
      set(head, "stroke", colour);
      set(head, "fill", colour);
      set(group, "data-value", exact);
      write(title, words + exact);
    }
    for (const { place, text, title, words } of numbers) {
      const [shown, exact] = frame.weights[place];
      write(text, shown);
      write(title, words + exact);
    }
    for (const { place, group, title, words, name, total, value, delta, ...drawn } of neurons) {
      const { outline, curve, mark } = drawn;
      const [sum, shown, error, ink, fill, point] = frame.neurons[place];
      set(outline, "fill", fill);
      for (const text of [name, total, value, delta]) if (text) set(text, "fill", ink);
      if (total) write(total, sum);
      if (value) write(value, shown);
      if (delta) write(delta, error);
      if (mark) {
        const [right, up] = point || [0, 0];
        set(curve, "stroke", ink);
        set(mark, "fill", ink);
        set(mark, "stroke", ink);
        set(mark, "visibility", point ? null : "hidden");
        set(mark, "cx", String(Number(outline.getAttribute("cx")) + right));
        set(mark, "cy", String(Number(outline.getAttribute("cy")) - up));
      }
      const numbers_in_words = [sum, shown && `output ${shown}`, error].filter(Boolean).join(", ");
      write(title, [words, numbers_in_words].filter(Boolean).join("\n"));
      set(group, "aria-label", title.textContent);
    }
    for (const { row, title, lines } of outcomes) {
      lines.forEach((line, place) => write(line, frame.outcome[row][place]));
      write(title, frame.outcome[row].join(", "));
    }
    const point = one(".now", root);
    point.classList.toggle("absent", !frame.point);
    if (frame.point) {
      set(point, "cx", String(frame.point[0]));
      set(point, "cy", String(frame.point[1]));
    }
    write(one(".count", root), frame.count);
    write(one(".sentence", root), frame.sentence);
    return frame.count;
  }

  const size = zooming(root, () => {
    const frame = one(".views", root);
    frame.scrollTop = (frame.scrollHeight - frame.clientHeight) / 2;
  });
  size.begin();
  transport(root, { last: frames.length - 1, show, key: size.key }).recall();
}

for (const root of all(".stepper")) start(root);
