// A network that learns: each frame says what arrows, circles and the panel show. While a reader is
// asked, everything is as it was one step before.
function start(root) {
  const story = JSON.parse(one(".story", root).textContent);
  const { frames, people, weights } = story;
  const last = frames.length - 1;
  const [ASIDE, HALO] = [5, 3];
  const network = network_in(root);
  let revealed = true;
  let chosen = null;
  let shown = 0;
  let drawn = null;

  // ---- Numbers ----------------------------------------------------------------------------------

  function short(value, digits = 4) {
    if (value === 0) return "0";
    const size = Math.abs(Number(value.toPrecision(digits)));
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const text =
      size < 1e-4 || size >= 10 ** digits ? `${Number(mantissa)}e${Number(exponent)}` : String(Number(value.toPrecision(digits)));
    return text.replaceAll("-", "−");
  }

  const capital = (words) => words[0].toUpperCase() + words.slice(1);
  const exact = (value) => String(value).replaceAll("-", "−");
  const at = ([column, row]) => people.findIndex((person) => person.at[0] === column && person.at[1] === row);

  function about_person(frame, place) {
    const [z, a, slope, delta] = frame.numbers[0][place];
    const given = people[place].at[0] === 0;
    return [
      z !== null && ["weighted sum z", z, sum_of(frame, place)],
      a !== null && [given ? "value" : "output a", a],
      slope !== null && ["slope of the curve there", slope],
      delta !== null && ["delta δ, the gradient at z", delta],
    ].filter(Boolean);
  }

  // The weighted sum, written out.
  function sum_of(frame, place) {
    const terms = weights.flatMap(({ from, to }, k) => {
      if (at(to) !== place) return [];
      const weight = short(frame.numbers[1][k][0], 3);
      return [from === null ? weight : `${short(frame.numbers[0][at(from)][1], 3)} × ${weight}`];
    });
    return terms.length > 8 ? "" : terms.join(" + ").replaceAll("+ −", "− ");
  }

  function about_weight(frame, place) {
    const [weight, gradient, change] = frame.numbers[1][place];
    return [
      ["now", weight],
      gradient !== null && ["gradient of the cost", gradient],
      change !== null && [`change ${frame.since}`, change],
    ].filter(Boolean);
  }

  // ---- The picture: lines that the layout program does not draw ----------------------------------

  lined(network.arrows, (place) => (weights[place].from ? 0 : ASIDE));
  for (const arrow of network.arrows) {
    arrow.ghost = arrow.along("ghost", arrow.shaft, arrow.line.before);
    arrow.run = arrow.along("run", arrow.ends[1], arrow.hit.after);
  }

  // A product is longer than the number that has this place: it goes as far from its arrow as it must.
  function aside(place, text, width) {
    const [[x, y], tip] = network.arrows.find((arrow) => arrow.place === place).ends;
    const length = Math.hypot(tip[0] - x, tip[1] - y);
    const normal = [(y - tip[1]) / length, (tip[0] - x) / length];
    const box = text.getBBox();
    const off = (box.x + box.width / 2 - x) * normal[0] + (box.y + box.height / 2 - y) * normal[1];
    const reach = (Math.abs(normal[0]) * box.width + Math.abs(normal[1]) * box.height) / 2;
    const missing = Math.max(0, reach + width / 2 + HALO - Math.abs(off)) * Math.sign(off);
    return missing ? `translate(${normal.map((side) => (side * missing).toFixed(1)).join(" ")})` : null;
  }

  function paint(frame, active) {
    network.show(frame);
    const flowing = new Set(frame.flowing);
    const dims = frame.chapter === 1 && !frame.ghost && flowing.size > 0;
    for (const arrow of network.arrows) {
      const flows = flowing.has(arrow.place);
      const width = frame.weights[arrow.place][2];
      const old = frame.ghost ? frame.ghost[arrow.place] : width;
      const [inner, outer] = [Math.min(old, width), Math.max(old, width)];
      const seen = outer - inner >= 0.3;
      const turned = frame.back && flows ? arrow.turned : "";
      for (const part of [arrow.line, arrow.head, arrow.run]) set(part, "transform", turned);
      set(arrow.halo, "stroke-width", String(width + 2 * HALO));
      // What was gained or lost is a pale rim around what is left of both widths.
      set(arrow.line, "stroke-width", String(seen ? inner : width));
      set(arrow.ghost, "stroke-width", String(seen ? outer : 0));
      set(arrow.ghost, "stroke-dasharray", arrow.line.getAttribute("stroke-dasharray"));
      set(arrow.ghost, "stroke", frame.weights[arrow.place][3]);
      arrow.ghost.classList.toggle("lost", old > width);
      arrow.group.classList.toggle("flowing", flows);
      arrow.group.classList.toggle("pale", dims && !flows);
    }
    for (const { place, group, text } of network.numbers) {
      group.classList.toggle("flowing", flowing.has(place));
      group.classList.toggle("pale", dims && !flowing.has(place));
      set(text, "transform", flowing.has(place) && weights[place].from ? aside(place, text, frame.weights[place][2]) : null);
    }
    for (const { place, group } of network.people) {
      group.classList.toggle("active", active.includes(place));
    }
    const say = (rows) => rows.map(([name, value, how]) => `${name} = ${how ? `${how} = ` : ""}${exact(value)}`);
    network.tell(
      (place) => [weights[place].name, ...say(about_weight(frame, place))].join("\n"),
      (place) => [`${people[place].name}, ${people[place].group}`, ...say(about_person(frame, place))].join("\n"),
    );
  }

  // What runs along the arrows does so once, when a step is reached.
  function run(frame) {
    root.classList.remove("running");
    if (!frame.flowing.length || frame.chapter !== 1 || frame.ghost) return;
    void root.offsetWidth; // the animation begins anew
    root.classList.add("running");
  }

  // Where the picture is larger than its frame, the frame follows what is happening.
  function follow() {
    const found = ["[data-neuron].active", "[data-weight].flowing", "[data-neuron]"].map((what) => all(what, root));
    const { chapter, flowing } = frames[shown];
    const beside = [all("[data-neuron]", root), all("[data-outcome]", root)];
    if (chapter === 1 && !flowing.length) beside.reverse(); // it is about the answer
    size.follow(...found.find((groups) => groups.length), ...beside.flat());
  }

  // ---- The panel --------------------------------------------------------------------------------

  const make = (name, text = "", parent = null) => {
    const element = document.createElement(name);
    element.textContent = text;
    parent?.append(element);
    return element;
  };

  function show(now) {
    shown = now;
    const asked = !revealed;
    const told = frames[now];
    const frame = asked ? frames[now - 1] : told;
    paint(frame, told.active);
    const words = `${story.chapters[told.chapter - 1]} · ${told.kind}`;
    write(one(".count", root), `Step ${now} of ${last} · ${words}`);
    write(one(".sentence", root), asked ? told.question : told.sentence);
    write(one(".shows", root), frame.shows);
    one(".reveal", root).hidden = !asked;
    if (drawn !== `${now} ${asked}`) {
      drawn = `${now} ${asked}`;
      one(".equations", root).innerHTML = asked ? "" : told.equations; // made by this page's author
      formulas(one(".equations", root));
      one(".notes", root).replaceChildren(...(asked ? [] : told.notes.map((note) => make("p", note))));
      one(".curves", root).replaceChildren(...(asked ? [] : curves(told)));
      rows(asked ? [] : told.rows);
      if (!asked) run(told);
    }
    const dot = one(".now", root);
    one(".panel .curve", root).hidden = !frame.point;
    if (frame.point) {
      set(dot, "cx", String(frame.point[0]));
      set(dot, "cy", String(frame.point[1]));
    }
    for (const [place, link] of all(".chapters a", root).entries()) {
      set(link, "aria-current", String(place === told.chapter - 1));
    }
    tables(frame, now);
    number();
    shrink();
    follow();
    return `${words}: ${asked ? told.question : told.sentence}`;
  }

  // A panel that is too small for its words has smaller letters, as long as they can be read.
  function shrink() {
    const panel = one(".panel", root);
    const least = root.classList.contains("projector") ? 0.6 : 0.8;
    for (let share = 1; share >= least; share -= 0.05) {
      panel.style.setProperty("--share", share.toFixed(2));
      if (panel.scrollHeight <= panel.clientHeight + 1) return;
    }
  }

  function rows(lines) {
    const table = one(".rows", root);
    table.hidden = !lines.length;
    table.replaceChildren(
      ...lines.map((cells, place) => {
        const row = make("tr");
        for (const cell of cells) make(place ? "td" : "th", cell, row);
        return row;
      }),
    );
  }

  // The curve of each neuron that is at work, with the point where it is and the slope there.
  function curves(frame) {
    return frame.bent.slice(0, 4).map((place) => {
      const [z, a, slope] = frame.numbers[0][place];
      const { name, points } = story.curves[people[place].at[0] - 1];
      const figure = make("figure");
      const [wide, high, edge] = [190, 104, 8];
      const heights = points.map((point) => point[1]);
      const [left, right] = [points[0][0], points.at(-1)[0]];
      const [low, top] = [Math.min(0, ...heights), Math.max(0, ...heights)];
      const x = (value) => (edge + ((value - left) / (right - left)) * (wide - 2 * edge)).toFixed(1);
      const y = (value) => (high - edge - ((value - low) / (top - low || 1)) * (high - 2 * edge)).toFixed(1);
      const reach = (right - left) / 5;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const draw = (tag, given) => {
        const part = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
        for (const [key, value] of Object.entries(given)) part.setAttribute(key, value);
      };
      const words = `${capital(people[place].name)}: ${name} of ${short(z, 3)} is ${short(a, 3)}${frame.kind === "back" ? `, slope there ${short(slope, 3)}` : ""}`;
      draw("path", { class: "axis", d: `M${edge},${y(0)}H${wide - edge}M${x(0)},${edge}V${high - edge}` });
      draw("path", { class: "bend", d: `M${points.map(([u, v]) => `${x(u)},${y(v)}`).join("L")}` });
      draw("path", { class: "tangent", d: `M${x(z - reach)},${y(a - slope * reach)}L${x(z + reach)},${y(a + slope * reach)}` });
      draw("circle", { cx: x(z), cy: y(a), r: "4.5" });
      for (const [key, value] of [["viewBox", `0 0 ${wide} ${high}`], ["role", "img"], ["aria-label", words]]) svg.setAttribute(key, value);
      figure.append(svg);
      make("figcaption", words, figure);
      return figure;
    });
  }

  function tables(frame, now) {
    for (const [name, numbers] of [["person", frame.numbers[0]], ["arrow", frame.numbers[1]]]) {
      for (const row of all(`[data-${name}]`, root)) {
        const known = numbers[Number(row.dataset[name])];
        for (const [place, cell] of all("td", row).slice(-known.length).entries()) {
          write(cell, known[place] === null ? "" : short(known[place]));
          set(cell, "data-exact", known[place] === null ? null : String(known[place]));
        }
      }
    }
    for (const words of all(".as-of", root)) write(words, ` at step ${now}`);
    write(one(".since", root), frame.since && ` ${frame.since}`);
  }

  // ---- Choosing a neuron or an arrow -------------------------------------------------------------

  const parts = [
    ...network.people.map(({ place, group }) => ({ id: `n${place}`, group, about: people[place], at: people[place].at })),
    ...network.arrows.map(({ place, group }) => ({ id: `w${place}`, group, about: weights[place], ...weights[place] })),
  ];

  function choose(id) {
    const part = parts.find((candidate) => candidate.id === id) || null;
    chosen = part && id;
    for (const { id, group } of parts) group.classList.toggle("chosen-part", id === chosen);
    number();
    steps.remember();
  }

  // What is known of the chosen part at this moment.
  function number() {
    const place = one(".chosen", root);
    const part = parts.find(({ id }) => id === chosen);
    place.replaceChildren();
    if (!part) return;
    const frame = revealed ? frames[shown] : frames[shown - 1];
    const index = Number(chosen.slice(1));
    const found = part.at ? about_person(frame, index) : about_weight(frame, index);
    make("h2", capital(part.about.name), place);
    make("p", part.about.role, place);
    const list = make("dl", "", place);
    for (const [name, value, how] of found) {
      make("dt", name, list);
      make("dd", `${how ? `${how} = ` : ""}${short(value)}`, list).title = exact(value);
    }
  }

  const walk = walking(parts, choose);
  for (const { place, group } of network.numbers) group.addEventListener("click", () => choose(`w${place}`));

  function key(event) {
    if (walk.key(event)) return true;
    if (event.key === "Escape") choose(null);
    else if (["1", "2", "3"].includes(event.key)) all(".chapters a", root)[event.key - 1].click();
    else return size.key(event);
    return true;
  }

  // ---- Being asked first ------------------------------------------------------------------------

  // Next reveals the answer first, and then asks for the one after it.
  function ahead(now) {
    if (!revealed) {
      revealed = true;
      return false;
    }
    revealed = now === last || !(one(".quiz", root).checked && frames[now + 1].question);
    return true;
  }

  function leave() {
    revealed = true;
  }

  one(".reveal", root).addEventListener("click", () => one(".next", root).click());
  one(".quiz", root).addEventListener("change", () => {
    if (!one(".quiz", root).checked) steps.go();
  });

  // ---- Beginning --------------------------------------------------------------------------------

  const size = zooming(root, () => {
    shrink();
    follow();
  }, true);
  const place = () => (chosen ? { part: chosen } : {});
  const restore = (from) => choose(from.get("part"));
  one(".table", root).open = false;
  size.begin();
  const steps = transport(root, { last, show, ahead, leave, waits: () => !revealed, key, place, restore });
  steps.recall();
}

for (const root of all(".stepper")) start(root);
