// A network that the reader trains. ``engine`` computes the graph of an example, forward and back;
// this script fills in the example and the weights, makes the steps, and shows the numbers.
function start(root) {
  const story = JSON.parse(one(".story", root).textContent);
  const { shapes, names, people, answers } = story;
  const examples = story.examples.map((example) => ({ ...example, numbers: example.numbers.map(Number) }));
  const graphs = shapes.map(({ rows }) => engine.read(rows));
  const network = network_in(root);
  const [ASIDE, MOST_POINTS, CELLS, BUDGET, SPEAK, ANNOUNCE, MOST_TERMS] = [5, 300, 32, 24, 5000, 500, 16];
  const SVG = "http://www.w3.org/2000/svg";

  let weights = [];
  let frozen = new Set();
  let by_hand = new Map();
  let lr = story.lr;
  let mode = "all";
  let beginning = 0;
  let backward = false;
  let shown = 0; // the example
  let chosen = null;
  let steps = 0;
  let next = 0;
  let history = [];
  let timer = 0;
  let broken = false;
  let spoken = 0;
  let announced = 0;
  let largest = { weight: 0, gradient: 0, delta: 0 };

  // ---- Numbers ----------------------------------------------------------------------------------

  const { number, hue } = numbers;
  const short = (value) => number(value, 3);
  const signed = (value) => numbers.signed(value, 3);
  const factor = (value) => (value < 0 ? `(${number(value)})` : number(value));
  const added = (terms) => terms.join(" + ").replaceAll("+ −", "− ");

  // ---- Computing: the cost of an example, its gradients, and a step of learning ------------------

  function filled(example) {
    const [shape, graph] = [shapes[example.shape], graphs[example.shape]];
    for (const [at, which] of shape.parameters) graph[at].data = weights[which];
    for (const [k, at] of shape.inputs.entries()) graph[at].data = example.x[k];
    for (const [k, [at, side]] of shape.slots.entries()) {
      if (side === "data") graph[at].data = example.numbers[k];
      else graph[at][side][0] = example.numbers[k];
    }
    engine.forward(graph);
    return { shape, graph, cost: graph[shape.cost].data };
  }

  function swept(example) {
    const found = filled(example);
    engine.backward(found.graph, [[found.shape.cost, 1]]);
    return found;
  }

  const mean_cost = () => examples.reduce((sum, example) => sum + filled(example).cost, 0) / examples.length;

  // w -= lr * gradient: the mean over all examples, or that of the next one.
  function step() {
    const batch = mode === "all" ? examples : [examples[next]];
    const sums = weights.map(() => 0);
    for (const example of batch) {
      const { shape, graph } = swept(example);
      for (const [at, which] of shape.parameters) sums[which] += graph[at].grad;
    }
    weights = weights.map((weight, which) => (frozen.has(which) ? weight : weight - lr * (sums[which] / batch.length)));
    if (mode === "one") next = (next + 1) % examples.length;
    steps += 1;
    broken = !weights.every(Number.isFinite);
  }

  // Weights as they were at the beginning; frozen ones stay as they are.
  function reset() {
    const fresh = story.beginnings[beginning][1].map(Number);
    weights = fresh.map((weight, which) => (frozen.has(which) ? weights[which] : weight));
    by_hand = new Map([...by_hand].filter(([which]) => frozen.has(which)));
    [steps, next, history, broken] = [0, 0, [], false];
    largest = { weight: 0, gradient: 0, delta: 0 };
  }

  // ---- The network ------------------------------------------------------------------------------

  const [INK, LEAF] = ["#111111", "#f0f0f0"];
  const width = (value, most) => (story.thinner * numbers.width(value, most || 1)).toFixed(2);

  // Colours have the largest delta since the beginning for their scale: so they fade while it learns.
  const painted = (delta) => numbers.paint(delta, { largest: largest.delta || 1, middle: (largest.delta || 1) / 10 });

  // All that the picture and the panel need of the chosen example.
  function read() {
    const { shape, graph, cost } = swept(examples[shown]);
    const data = (places) => places.map((place) => graph[place].data);
    const grads = (places) => places.map((place) => graph[place].grad);
    const slopes = weights.map(() => 0);
    for (const [at, which] of shape.parameters) slopes[which] = graph[at].grad;
    return {
      cost,
      slopes,
      values: [examples[shown].x, ...shape.outputs.map(data)],
      sums: shape.sums.map(data),
      arrived: shape.outputs.map(grads),
      deltas: shape.sums.map(grads),
      // The slope of an activation that is one operation; of others it is what they made of it.
      bends: shape.sums.map((places, layer) => places.map((place, k) => {
        const output = graph[shape.outputs[layer][k]];
        if (shape.outputs[layer][k] === place) return 1;
        return output.x === place && output.slopes.length === 1 ? output.slopes[0] : graph[place].grad / output.grad;
      })),
    };
  }

  function outcome(now) {
    const target = examples[shown].target;
    return names.at(-1).map((_, row) => {
      if (story.classes) return [`target ${Number(target === row)}`];
      const wanted = Array.isArray(target) ? target[row] : target;
      const words = [`target ${short(wanted)}`];
      if (story.error) words.push(`error = target − answer = ${signed(wanted - now.values.at(-1)[row])}`);
      return words;
    });
  }

  function paint(now) {
    const sizes = (values) => Math.max(0, ...values.map(Math.abs).filter(Number.isFinite));
    largest.weight = Math.max(largest.weight, sizes(weights));
    largest.gradient = Math.max(largest.gradient, sizes(now.slopes));
    largest.delta = Math.max(largest.delta, sizes(now.deltas.flat()));
    network.show({
      weights: story.weights.map(({ which, from }) => {
        const value = backward ? now.slopes[which] : weights[which];
        const words = from ? signed(value) : `${backward ? "dC/db" : "b"} ${signed(value)}`;
        return [words, value, width(value, backward ? largest.gradient : largest.weight), hue(value)];
      }),
      neurons: people.map(([column, row]) => {
        const value = short(now.values[column][row]);
        if (!column) return ["", value, "", INK, LEAF, null];
        const [z, delta] = [now.sums[column - 1][row], now.deltas[column - 1][row]];
        const colours = backward ? painted(delta) : [INK, LEAF];
        return [`z ${signed(z)}`, value, backward ? `δ ${signed(delta)}` : "", ...colours, null];
      }),
      outcome: outcome(now),
    });
    for (const arrow of network.arrows) {
      for (const part of [arrow.line, arrow.head]) set(part, "transform", backward ? arrow.turned : null);
      set(arrow.halo, "stroke-width", String(Number(arrow.line.getAttribute("stroke-width")) + 6));
      const held = frozen.has(story.weights[arrow.place].which);
      arrow.group.classList.toggle("frozen", held);
      network.numbers.find(({ place }) => place === arrow.place)?.group.classList.toggle("frozen", held);
    }
    network.tell(
      (place) => arrow_words(now, place).join("\n"),
      (place) => [title(people[place]), ...formulas(now, people[place])].join("\n"),
    );
  }

  // ---- Words about a neuron, and about a weight -------------------------------------------------

  const title = ([column, row]) => {
    const [name, heading] = [names[column][row], story.headings[column]];
    return /^\d+$/.test(name) ? `neuron ${name} of ${heading}` : `${name}, ${heading}`;
  };

  // The formula of a neuron with its numbers filled in: forward, and back.
  function formulas(now, [column, row]) {
    const value = now.values[column][row];
    if (!column) return [`input = ${number(value)}`];
    const [inputs, bias] = story.neurons[column - 1][row];
    const terms = inputs.map((which, k) => `${factor(weights[which])} × ${factor(now.values[column - 1][k])}`);
    const listed = terms.length > MOST_TERMS ? [...terms.slice(0, MOST_TERMS - 1), "…", terms.at(-1)] : terms;
    const z = now.sums[column - 1][row];
    const activation = story.activations[column - 1][row];
    const found = [`z = ${added([...listed, number(weights[bias])])} = ${number(z)}`];
    found.push(activation === "linear" ? `output = z = ${number(value)}` : `output = ${activation}(z) = ${activation}(${number(z)}) = ${number(value)}`);
    if (!backward) return found;
    const [arrived, slope, delta] = [now.arrived, now.bends, now.deltas].map((of) => of[column - 1][row]);
    const beyond = story.neurons[column] || [];
    const shares = beyond.map(([from], k) => `${factor(weights[from[row]])} × ${factor(now.deltas[column][k])}`);
    const sum = shares.length && shares.length <= MOST_TERMS ? `${added(shares)} = ` : "";
    found.push(`gradient that arrives: dC/da = ${sum}${number(arrived)}`);
    const bent = Number.isFinite(slope) ? ` × ${factor(slope)} (slope of ${activation})` : "";
    found.push(`δ = dC/dz = ${activation === "linear" ? "dC/da" : `${number(arrived)}${bent}`} = ${number(delta)}`);
    return found;
  }

  function arrow_words(now, place) {
    const { name, which, from, to } = story.weights[place];
    const delta = now.deltas[to[0] - 1][to[1]];
    const product = from ? `input × δ = ${factor(now.values[from[0]][from[1]])} × ${factor(delta)}` : "δ";
    return [
      `${name}${frozen.has(which) ? " (frozen)" : ""}`,
      `now = ${number(weights[which])}`,
      `dC/d${from ? "w" : "b"} = ${product} = ${number(now.slopes[which])}, for this example`,
    ];
  }

  // ---- The answers: a plane of colours, or a curve ----------------------------------------------

  const canvas = one("canvas", root);
  const points = one(".points", root);
  const [left, high] = [34, 8];
  const is_plane = answers.inputs === 2;
  const draw = (name, attributes, parent) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    parent.append(made);
    return made;
  };
  const along = ([low, top], value) => (value - low) / (top - low);

  // Of the graph only what the answers need: the cost comes after it.
  const answering = graphs[0].slice(0, Math.max(...shapes[0].outputs.at(-1), ...shapes[0].inputs) + 1);
  function answer(x) {
    for (const [k, at] of shapes[0].inputs.entries()) graphs[0][at].data = x[k];
    engine.forward(answering);
    return shapes[0].outputs.at(-1).map((at) => graphs[0][at].data);
  }

  function shade(value) {
    const share = Math.min(Math.max(2 * along([answers.low, answers.high], value) - 1, -1), 1);
    const size = Math.min(4, Math.floor(Math.abs(share) * 4) + 1);
    return share < 0 ? 4 - size : 3 + size;
  }
  const best = (outputs) => outputs.indexOf(Math.max(...outputs));
  const level = (example) => (story.classes ? examples[example].target : shade(answers.wanted[example]));
  const palette = story.classes ? answers.classes : answers.steps;

  function plane() {
    const paper = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colours = palette.map((colour) => style.getPropertyValue(`--c${colour.slice(1)}`).trim() || colour);
    const [across, up] = answers.across;
    const size = canvas.width / CELLS;
    paper.clearRect(0, 0, canvas.width, canvas.height);
    paper.globalAlpha = story.classes ? 0.45 : 1;
    filled(examples.find((example) => example.shape === 0));
    for (let row = 0; row < CELLS; row += 1) {
      for (let column = 0; column < CELLS; column += 1) {
        const x = across[0] + ((column + 0.5) / CELLS) * (across[1] - across[0]);
        const y = up[1] - ((row + 0.5) / CELLS) * (up[1] - up[0]);
        const outputs = answer([x, y]);
        paper.fillStyle = colours[(story.classes ? best(outputs) : shade(outputs[0])) % colours.length];
        paper.fillRect(column * size, row * size, size, size);
      }
    }
  }

  const curves = answers.inputs === 1 ? shapes[0].outputs.at(-1).map(() => draw("polyline", { class: "line" }, points)) : [];
  const heights = [answers.low, answers.high].map((end, k) => end + (k ? 0.25 : -0.25) * (answers.high - answers.low));
  const height = (value) => high + (1 - Math.min(Math.max(along(heights, value), -0.02), 1.02)) * (176 - high);

  function curve() {
    filled(examples.find((example) => example.shape === 0));
    const [begin, end] = answers.across[0];
    const lines = curves.map(() => []);
    for (let k = 0; k <= 80; k += 1) {
      const found = answer([begin + (k / 80) * (end - begin)]);
      for (const [row, value] of found.entries()) lines[row].push(`${(left + (k / 80) * (196 - left)).toFixed(1)},${height(value).toFixed(1)}`);
    }
    for (const [row, line] of curves.entries()) set(line, "points", lines[row].join(" "));
  }

  // A circle, a square, a triangle and a diamond tell targets apart by more than colour.
  const MARKS = [
    (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`,
    (r) => `M${-r},${-r}H${r}V${r}H${-r}z`,
    (r) => `M0,${-1.2 * r}L${1.1 * r},${0.8 * r}H${-1.1 * r}z`,
    (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  ];
  const marks = examples.map((example, place) => {
    if (answers.inputs > 2) return null;
    const [across, up] = answers.across;
    const wanted = story.classes ? heights[0] : answers.wanted[place];
    const x = is_plane ? 200 * along(across, example.x[0]) : left + (196 - left) * along(across, example.x[0]);
    const y = is_plane ? 200 * (1 - along(up, example.x[1])) : height(wanted);
    const kind = story.classes ? level(place) % MARKS.length : Number(level(place) > 3);
    const d = MARKS[kind](examples.length > 60 ? 3.5 : 5);
    const mark = draw("path", { class: "point", d, fill: palette[level(place) % palette.length], transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` }, points);
    draw("title", {}, mark).textContent = `example ${one(".example", root).options[place].text}`;
    mark.addEventListener("click", () => see(place));
    return mark;
  });
  if (answers.inputs > 2) one(".region", root).classList.add("none");
  else if (is_plane) {
    const [across, up] = answers.across;
    draw("rect", { class: "border", x: 0.5, y: 0.5, width: 199, height: 199 }, points);
    set(points, "aria-label", `The answer of the network at each point of a plane: ${names[0][0]} from ${number(across[0])} to ${number(across[1])}, ${names[0][1]} from ${number(up[0])} to ${number(up[1])}`);
    write(one(".axes", root), `Across ${names[0][0]}, up ${names[0][1]}. `);
  } else {
    const [begin, end] = answers.across[0];
    draw("path", { class: "axis", d: `M${left},${high}V176H196` }, points);
    for (const [x, y, anchor, words] of [
      [left - 3, 16, "end", short(heights[1])],
      [left - 3, 176, "end", short(heights[0])],
      [left, 192, "start", `${names[0][0]} ${short(begin)}`],
      [196, 192, "end", short(end)],
    ]) draw("text", { x, y, "text-anchor": anchor }, points).textContent = words;
    set(points, "aria-label", `The answer of the network to each ${names[0][0]}, as a curve`);
  }

  function picture() {
    if (is_plane) plane();
    else if (answers.inputs === 1) curve();
    for (const [place, mark] of marks.entries()) mark?.classList.toggle("seen", place === shown);
  }

  // ---- How the cost falls -----------------------------------------------------------------------

  function falling(cost) {
    if (history.at(-1)?.[0] === steps) history.pop();
    history.push([steps, cost]);
    if (history.length > MOST_POINTS) history = history.filter((_, k) => k % 2 === 0 || k === history.length - 1);
    const costs = history.map(([, value]) => value).filter(Number.isFinite);
    if (!costs.length) return;
    const [least, most] = [Math.min(...costs), Math.max(...costs)];
    const is_wide = least > 0 && most > 100 * least;
    const scale = is_wide ? Math.log : Number;
    const at = ([when, value]) => [
      44 + 152 * (steps ? when / steps : 0),
      8 + 168 * (1 - (most > least ? along([scale(least), scale(most)], scale(value)) : 0.5)),
    ].map((side) => side.toFixed(1));
    const known = history.filter(([, value]) => Number.isFinite(value));
    set(one(".loss-curve .loss", root), "points", known.map((point) => at(point).join(",")).join(" "));
    const [x, y] = at(known.at(-1));
    set(one(".loss-curve .now", root), "cx", x);
    set(one(".loss-curve .now", root), "cy", y);
    write(one(".loss-curve .top", root), most > least ? short(most) : "");
    write(one(".loss-curve .bottom", root), most > least ? short(least) : "");
    write(one(".loss-curve .right", root), steps ? `step ${steps}` : "");
    one(".logarithmic", root).hidden = !is_wide;
    set(one(".loss-curve", root), "aria-label", `The mean cost, from ${number(history[0][1])} to ${number(cost)} after ${steps} steps`);
  }

  // ---- The panel --------------------------------------------------------------------------------

  const make = (name, text = "", parent = null, attributes = {}) => {
    const element = document.createElement(name);
    element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent?.append(element);
    return element;
  };

  function sentence() {
    if (broken) return "The weights are no longer numbers: the learning rate is too large. Reset, and choose a smaller one.";
    if (mode === "all") return "A step: w becomes w − learning rate × mean gradient.";
    return `A step: w becomes w − learning rate × gradient of one example; the next is example ${next + 1}.`;
  }

  // What is chosen gets its place in the panel once; later only its numbers change.
  function choose(id) {
    const part = parts.find((candidate) => candidate.id === id) || null;
    chosen = part;
    for (const { id: other, group } of parts) group.classList.toggle("chosen-part", other === part?.id);
    for (const { place, group } of network.numbers) group.classList.toggle("chosen-number", `w${place}` === part?.id);
    const panel = one(".chosen", root);
    panel.replaceChildren();
    write(one(".refused", root), "");
    if (!part) make("p", "Click a neuron for its formula, an arrow to set its weight, a point to see that example.", panel, { class: "way" });
    else {
      make("h2", "", panel);
      if (!part.at) controls(story.weights[part.place], panel);
      make("div", "", panel, { class: "formulas" });
    }
    told(read());
  }

  function controls({ which, name }, panel) {
    const line = make("div", "", panel, { class: "by-hand" });
    const typed = make("input", "", make("label", "set to ", line), { type: "text", inputmode: "decimal", class: "typed" });
    const dragged = make("input", "", line, { type: "range", step: "0.01", class: "dragged", "aria-label": name });
    const hold = make("label", "", line);
    const box = make("input", "", hold, { type: "checkbox", class: "hold" });
    hold.append(" frozen");
    const reach = Math.max(3, Math.ceil(2 * Math.abs(weights[which]) || 0));
    [dragged.min, dragged.max] = [-reach, reach];
    for (const input of [typed, dragged]) reading(input, (value) => set_by_hand(which, value));
    box.addEventListener("change", () => freeze(which, box.checked));
  }

  // What is typed counts as soon as it is a number; what is none is told.
  function reading(input, take, least = -Infinity) {
    input.addEventListener("input", () => {
      const { value, refused } = numbers.read(input.value);
      const wrong = refused || (value < least && `This number is ${least} or more.`) || "";
      set(input, "aria-invalid", wrong ? "true" : null);
      write(one(".refused", root), wrong);
      if (!wrong) take(value);
    });
  }

  function told(now) {
    if (!chosen) return;
    const panel = one(".chosen", root);
    const lines = chosen.at ? [title(chosen.at), ...formulas(now, chosen.at)] : arrow_words(now, chosen.place);
    write(one("h2", panel), lines[0][0].toUpperCase() + lines[0].slice(1));
    if (!chosen.at) {
      const { which } = story.weights[chosen.place];
      for (const input of all(".typed, .dragged", panel)) {
        if (document.activeElement !== input) input.value = String(Number(weights[which].toPrecision(6)));
      }
      one(".hold", panel).checked = frozen.has(which);
    }
    const list = one(".formulas", panel);
    const wanted = lines.slice(1);
    while (list.children.length > wanted.length) list.lastChild.remove();
    while (list.children.length < wanted.length) make("p", "", list, { class: "formula" });
    for (const [k, line] of wanted.entries()) write(list.children[k], line);
  }

  function count(cost, now) {
    const round = mode === "one" && examples.length > 1 ? `, round ${Math.floor(steps / examples.length) + 1}` : "";
    return `Step ${steps}${round}: mean cost ${short(cost)}; of example ${shown + 1}: ${short(now.cost)}`;
  }

  function show() {
    const cost = mean_cost();
    picture();
    const now = read();
    paint(now);
    falling(cost);
    told(now);
    write(one(".count", root), count(cost, now));
    write(one(".sentence", root), sentence());
    write(one(".shows", root), `Example ${shown + 1}. ${backward ? "Arrows: dC/dw, the gradient of each weight. Circles: δ, the gradient of the cost at z." : "Arrows: the weights. Circles: the weighted sum z, and below it the output."}${story.folded}`);
    const held = frozen.size;
    write(one(".frozen-list", root), held ? `${held} frozen` : "");
    one(".release", root).hidden = !held;
    set(root, "data-step", String(steps));
    if (performance.now() - announced > ANNOUNCE || !timer) announce(cost);
    if (performance.now() - spoken > SPEAK || !timer) {
      spoken = performance.now();
      write(one(".spoken", root), broken ? sentence() : count(cost, now));
    }
  }

  // A notebook, in whose frame this may be, hands it on to Python.
  function announce(cost) {
    announced = performance.now();
    if (window.parent === window) return;
    const named = Object.fromEntries(story.parameters.map((name, which) => [name, weights[which]]));
    window.parent.postMessage({ microgradlike: { weights: named, steps, cost } }, "*");
  }

  // ---- Playing ----------------------------------------------------------------------------------

  function tick() {
    const pause = Number(one(".speed", root).value);
    const until = performance.now() + (pause ? 0 : BUDGET);
    do step();
    while (performance.now() < until && !broken);
    if (broken) play(false);
    else timer = setTimeout(tick, pause || 1);
    show();
  }

  function play(wanted) {
    clearTimeout(timer);
    timer = wanted && !broken ? setTimeout(tick, 0) : 0;
    write(one(".play", root), timer ? "Pause" : "Play");
    set(one(".play", root), "aria-label", timer ? "Pause" : "Play");
    root.classList.toggle("playing", Boolean(timer));
    if (!wanted) show();
  }

  // What the reader does by hand: shown at once, and kept in the address.
  function by_reader(action) {
    action();
    show();
    address.remember();
  }

  const single = () => {
    play(false);
    if (!broken) by_reader(step);
  };
  const anew = () => {
    play(false);
    by_reader(reset);
  };
  const turn = (back) => by_reader(() => {
    backward = back;
    for (const way of all("[data-way]", root)) set(way, "aria-pressed", String((way.dataset.way === "backward") === back));
  });
  const see = (place) => by_reader(() => {
    shown = place;
    one(".example", root).value = String(place);
  });
  const freeze = (which, wanted) => by_reader(() => {
    if (wanted) frozen.add(which);
    else frozen.delete(which);
  });
  const set_by_hand = (which, value) => by_reader(() => {
    weights[which] = value;
    by_hand.set(which, value);
    broken = !weights.every(Number.isFinite);
  });

  one(".play", root).addEventListener("click", () => play(!timer));
  one(".step", root).addEventListener("click", single);
  one(".reset", root).addEventListener("click", anew);
  one(".release", root).addEventListener("click", () => by_reader(() => frozen.clear()));
  for (const way of all("[data-way]", root)) way.addEventListener("click", () => turn(way.dataset.way === "backward"));
  one(".example", root).addEventListener("change", (event) => see(Number(event.target.value)));
  one(".mode", root).addEventListener("change", (event) => by_reader(() => {
    mode = event.target.value;
  }));
  one(".beginning", root).addEventListener("change", (event) => {
    beginning = Number(event.target.value);
    anew();
  });
  reading(one(".rate", root), (rate) => by_reader(() => {
    lr = rate;
  }), 0);

  const parts = [
    ...network.people.map(({ place, group }) => ({ id: `n${place}`, place, group, at: people[place] })),
    ...network.arrows.map(({ place, group }) => ({ id: `w${place}`, place, group, ...story.weights[place] })),
  ];
  lined(network.arrows, (place) => (story.weights[place].from ? 0 : ASIDE));
  const walk = walking(parts, choose);
  for (const { place, group } of network.numbers) group.addEventListener("click", () => choose(`w${place}`));

  const keys = {
    ArrowRight: single,
    r: anew,
    v: () => turn(!backward),
    f: () => {
      const which = chosen && !chosen.at ? story.weights[chosen.place].which : null;
      if (which !== null) freeze(which, !frozen.has(which));
    },
    Escape: () => choose(null),
  };
  keyboard(root).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("select, input:not([type=checkbox])")) return;
    const own = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (walk.key(event) || size.key(event) || address.key(event)) event.preventDefault();
    else if (own) {
      own();
      event.preventDefault();
    } else if (event.key === " " && !event.target.closest("button, input, summary")) {
      play(!timer);
      event.preventDefault();
    }
  });

  // ---- The address ------------------------------------------------------------------------------

  // #lr=0.3&mode=one&weights=2&view=backward&example=4&frozen=1,5&set=3:0.5
  const place = () => Object.fromEntries(Object.entries({
    lr: lr !== story.lr && String(lr),
    mode: mode === "one" && mode,
    weights: beginning && String(beginning),
    view: backward && "backward",
    example: shown && String(shown + 1),
    frozen: frozen.size && [...frozen].join(","),
    set: by_hand.size && [...by_hand].map(([which, value]) => `${which}:${value}`).join(","),
  }).filter(([, value]) => value));

  function recall(from) {
    play(false);
    const whole = (name, below) => {
      const found = Number(from.get(name) || NaN);
      return Number.isInteger(found) && found >= 0 && found < below ? found : null;
    };
    const rate = Number(from.get("lr") || NaN);
    lr = Number.isFinite(rate) && rate >= 0 ? rate : story.lr;
    mode = from.get("mode") === "one" ? "one" : "all";
    beginning = whole("weights", story.beginnings.length) ?? 0;
    shown = Math.max(0, (whole("example", examples.length + 1) ?? 1) - 1);
    frozen = new Set();
    reset();
    for (const [, which, text] of (from.get("set") ?? "").matchAll(/(\d+):([^,]+)/g)) {
      const value = Number(text);
      if (Number(which) in weights && Number.isFinite(value)) {
        weights[which] = value;
        by_hand.set(Number(which), value);
      }
    }
    for (const [which] of (from.get("frozen") ?? "").matchAll(/\d+/g)) {
      if (Number(which) in weights) frozen.add(Number(which));
    }
    one(".rate", root).value = String(lr);
    one(".mode", root).value = mode;
    one(".beginning", root).value = String(beginning);
    one(".example", root).value = String(shown);
    turn(from.get("view") === "backward");
  }

  // ---- Beginning --------------------------------------------------------------------------------

  const size = zooming(root, () => {}, "wide");
  const address = addressed(root, place, recall);
  colouring(root, show);
  for (const media of ["(prefers-color-scheme:dark)", "print"]) matchMedia(media).addEventListener("change", show);
  root.classList.remove("still");
  reset();
  choose(null);
  size.begin();
  address.recall();
}

for (const root of all(".stepper")) start(root);
