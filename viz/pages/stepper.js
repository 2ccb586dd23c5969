// One page, one story. A moment is shown by asking each node and each edge what it looks like then,
// so that every way of getting to a moment ends with the same page.
function start(root) {
  const story = JSON.parse(one(".story", root).textContent);
  const last = story.moments.length - 1;
  formulas(root);
  const panel = one(".panel", root); // a search from there does not go through the picture
  const table = one(".table", root);
  let revealed = true;
  let chosen = "";
  let opened = "";
  let shown = 0;

  const nodes = all("[data-node], [data-shows]", root).map((element) => ({
    element,
    own: Boolean(element.dataset.node),
    drawn: element.matches(".node"),
    title: one("title", element),
    value: one(".value", element),
    grad: one(".grad", element),
    ground: one(".grad-ground", element),
    words: one("title", element)?.textContent,
    id: element.dataset.node || element.dataset.shows,
    name: element.dataset.name,
    kind: element.dataset.kind,
    ...story.nodes[element.dataset.node || element.dataset.shows],
  }));
  const edges = all("[data-ahead]", root).map((group) => ({
    group,
    ahead: Number(group.dataset.ahead),
    at: group.dataset.at === undefined ? Infinity : Number(group.dataset.at), // never to a constant
    slope: one(".slope", group),
    known: story.nodes[group.dataset.edge?.split("->")[1]]?.values[0][0] || 0, // no slope before
    contribution: group.dataset.contribution,
    news: one(".news", group),
    steps: (group.dataset.steps || "").split(" ").filter(Boolean).map(Number),
    largest: Number(group.closest(".view").dataset.largest),
  }));
  for (const { group } of edges) {
    if (group.dataset.at === undefined) continue;
    for (const part of all("path, polygon", group)) part.classList.add("sent");
    group.append(forward(group));
  }
  const remarks = all("[data-known]", root).map((words) => ({
    words,
    known: Number(words.dataset.known),
    id: words.closest("[data-node]")?.dataset.node,
  }));
  const boxes = all(".node[data-node], .node[data-box]", root);

  for (const node of nodes) {
    node.origin = node.element.dataset.origin === "";
    node.room = { value: room_in(one(".value-ground", node.element)), grad: room_in(node.ground) };
  }
  for (const edge of edges) {
    edge.line = one("path.sent", edge.group);
    edge.heads = all("polygon.sent", edge.group);
    edge.length = edge.line ? extent(edge.line.getAttribute("d"), 0) : 0;
  }
  const pictures = all(".view > svg", root).map((svg) => ({ svg, title: one("title", svg), label: svg.getAttribute("aria-label") }));
  const heading = { element: one(".heading", root), text: one(".heading", root).textContent, title: document.title };
  const rows = all(".table tbody tr", root).map((row) => {
    const cells = all("td", row).slice(1, 3);
    return { cells, words: cells.map((cell) => cell.textContent) };
  });
  const live = story.live.refused ? null : recomputing(story);
  const answering = questioner(one(".answering", root), () => one(".next", root).click());
  let ten = []; // the moments that are asked for, if these are some of them
  let seed = null;
  let dressed = false; // whether the picture shows numbers of the reader's
  let computed = 0; // how often anything was
  let rendered = ""; // the moment that is shown, and whether it asks
  let ghosts = null; // the values and gradients before the last change

  // How far something reaches, across (0) or down (1); and how much of a cell its letters may take.
  function extent(text, odd) {
    const along = text.match(/-?[\d.]+/g).map(Number).filter((_, place) => place % 2 === odd);
    return Math.max(...along) - Math.min(...along);
  }
  function room_in(ground) {
    return ground ? extent(ground.getAttribute("points"), 0) - 3 : 0;
  }

  // The arrow on which the value goes forward: of one width, whatever will come back on it. Its line
  // begins where the tip of the other one ends, or rather behind that, inside the box that covers it.
  function forward(group) {
    const [LENGTH, HALF, INSIDE] = [7, 3, 8];
    const d = one("path.sent", group).getAttribute("d");
    const points = (text) => text.match(/-?[\d.]+/g).map(Number);
    const numbers = points(d);
    const [from_x, from_y] = numbers;
    const [bend_x, bend_y, x, y] = numbers.slice(-4);
    const corners = points(one("polygon.sent", group)?.getAttribute("points") || `${from_x} ${from_y}`);
    let tip = [from_x, from_y];
    for (let k = 0; k + 1 < corners.length; k += 2) {
      const corner = corners.slice(k, k + 2);
      if (Math.hypot(corner[0] - x, corner[1] - y) > Math.hypot(tip[0] - x, tip[1] - y)) tip = corner;
    }
    const back = Math.hypot(tip[0] - from_x, tip[1] - from_y) || 1;
    const begin = [tip[0] + (INSIDE * (tip[0] - from_x)) / back, tip[1] + (INSIDE * (tip[1] - from_y)) / back];
    const far = Math.hypot(x - bend_x, y - bend_y) || 1;
    const [along, across] = [(x - bend_x) / far, (y - bend_y) / far];
    const foot = [x - LENGTH * along, y - LENGTH * across];
    const sides = [1, -1].map((s) => [foot[0] + s * HALF * across, foot[1] - s * HALF * along]);
    const made = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      return element;
    };
    const arrow = made("g", { class: "forth" });
    arrow.append(
      made("path", { d: `M${begin}L${d.slice(1)}` }),
      made("polygon", { points: [[x, y], ...sides].map((point) => point.map((v) => v.toFixed(1)).join(",")).join(" ") }),
    );
    return arrow;
  }

  // ---- Showing a moment -------------------------------------------------------------------------

  const [not_yet, muted, surface] = story.not_yet;

  function latest(changes, moment) {
    let found = null;
    for (const change of changes) {
      if (change[0] > moment) break;
      found = change;
    }
    return found;
  }

  // Python's own words and numbers; or, where the reader has changed one, what the page computes.
  const told_at = (moment) => (live?.changed() ? live.moment(moment) : story.moments[moment]);
  const exact = (change) => (typeof change[1] === "string" ? change[1] : numbers.exact(change[1]));
  const written = (change) => change[2] ?? numbers.number(change[1]);
  const painted_as = (change) => (change.length > 2 ? change.slice(3) : numbers.paint(change[1], story.live.scale));

  function show(now) {
    const words = render(now);
    follow();
    return words;
  }

  function render(now) {
    const asked = !revealed;
    const told = told_at(now);
    const moved = rendered !== `${now}${asked}`; // else only numbers have changed
    rendered = `${now}${asked}`;
    shown = now;
    for (const node of nodes) {
      const value = latest(node.values, now);
      const grad = latest(node.grads, now);
      if (value === node.shown?.value && grad === node.shown?.grad && !node.shown?.asked) continue;
      node.shown = { value, grad, asked };
      if (node.own) {
        set(node.element, "data-value", value === null ? null : exact(value));
        set(node.element, "data-grad", grad === null ? null : exact(grad));
      }
      if (!node.drawn) continue;
      const hides = (change) => asked && change !== null && change[0] === now && now > 0;
      node.said = [value, grad].map((change) => (change === null ? not_yet : hides(change) ? "?" : written(change)));
      const cells = [[value, node.value, node.room.value], [grad, node.grad, node.room.grad]];
      for (const [k, [change, cell, room]] of cells.entries()) {
        write(cell, change?.length === 2 ? numbers.fitting(change[1], room, 11, numbers.number, node.said[k]) : node.said[k]);
      }
      const [ink, ground] = grad !== null && !hides(grad) ? painted_as(grad) : [muted, surface];
      set(node.grad, "fill", ink);
      set(node.ground, "fill", ground);
      const both = `data ${node.said[0]}, grad ${node.said[1]}`;
      write(node.title, `${node.words}\n${both}`);
      set(node.element, "aria-label", `${node.name}, ${node.kind}, ${both}`);
    }
    const asks = quiz();
    for (const edge of edges) {
      const { group, ahead, at, slope, known, contribution } = edge;
      const crossed = now >= at && !(asked && now === at);
      if (slope) set(slope, "visibility", now < known || (asks && !crossed) ? "hidden" : null);
      if (contribution) set(group, "data-contribution", now >= at ? contribution : null);
      if (!moved) continue;
      const states = {
        waiting: !crossed,
        ahead: now >= ahead && !(asked && now === ahead),
        going: now === ahead && now > 0 && !asked,
        current: now === at && crossed,
      };
      const names = Object.keys(states).filter((state) => states[state]);
      if (edge.shown === String(names)) continue;
      edge.shown = String(names);
      group.classList.remove(...Object.keys(states));
      group.classList.add(...names); // always in this order
    }
    for (const { words, known, id } of remarks) {
      const holds = !live?.changed() || !id || live.flags(place_of(id)).includes(words.textContent);
      set(words, "visibility", !holds || now < known || (asked && now === known) ? "hidden" : null);
    }
    haunt();
    for (const box of moved ? boxes : []) {
      box.classList.toggle("active", (box.dataset.box || box.dataset.node) === told.active);
    }
    say(now, told, asked);
    number();
    return `${told.kind}: ${asked ? told.question : told.sentence}`;
  }

  // Where the graph is larger than its frame, the frame follows what is happening.
  function follow() {
    const drawn = all(".view:not([hidden]) .node", root);
    const at_rest = story.moments[shown].active === "" && drawn.at(shown === 0 ? 0 : -1);
    const active = one(".view:not([hidden]) .active", root) || at_rest;
    const ends = all(".view:not([hidden]) :is(.current, .going)[data-edge]", root)
      .map((edge) => one(`[data-node="${edge.dataset.edge.split("->")[0]}"]`, root));
    size.follow(active, ...ends);
  }

  function say(now, told, asked) {
    const which = ten.indexOf(now) + 1;
    write(one(".count", panel), `Step ${now} of ${last} · ${told.kind}${which ? ` · question ${which} of ${ten.length}` : ""}`);
    write(one(".sentence", panel), asked ? told.question : told.sentence);
    const equations = asked ? told.equations.slice(0, 1) : told.equations;
    const shown = asked && told.kind !== "backward" ? "" : equations.join("");
    if (one(".equations", panel).dataset.shown !== `${now}${asked}${computed}`) {
      one(".equations", panel).innerHTML = shown; // made by this page's author, names escaped
      formulas(one(".equations", panel));
      one(".equations", panel).dataset.shown = `${now}${asked}${computed}`;
    }
    write(one(".sum", panel), asked ? "" : told.sum);
    write(one(".rule", panel), asked && told.kind !== "backward" ? "" : told.rule);
    write(one(".nudge", panel), asked ? "" : told.nudge);
    write(one(".aside", panel), asked ? "" : told.aside);
    write(one(".flag", panel), asked || !told.flag ? "" : `⚠ ${told.flag}`);
    one(".reveal", panel).hidden = !asked;
    const about_these = asked && !live?.changed(); // questions are about the numbers that were given
    answering.ask(now, about_these ? story.questions[now] : null);
    const why = asked && story.questions[now] && !about_these;
    write(one(".unasked", panel), why ? "A field for the answer is there for the first numbers only: Reset brings them back." : "");
  }

  // ---- All steps below each other, for paper -----------------------------------------------------

  const MOST_LISTED = 40;

  function list_all() {
    if (last > MOST_LISTED) return;
    one(".all", root).replaceChildren();
    for (const told of story.moments.map((_, moment) => told_at(moment))) {
      const item = one(".all", root).appendChild(document.createElement("li"));
      const words = (name, text) => {
        if (!text) return;
        const paragraph = item.appendChild(document.createElement("p"));
        paragraph.className = `listed-${name}`;
        paragraph.textContent = text;
      };
      words("sentence", told.sentence);
      words("nudge", told.nudge);
      const equations = item.appendChild(document.createElement("div"));
      equations.innerHTML = told.equations.join(""); // as above
      formulas(equations);
      for (const name of ["sum", "rule", "aside", "flag"]) words(name, told[name]);
    }
  }

  // ---- Being asked first ------------------------------------------------------------------------

  const quiz = () => one(".quiz", root).checked;
  const next = (now) => (ten.length ? ten.find((moment) => moment > now) ?? last : now + 1);

  // The same ten questions for a class: #quiz=1&seed=7
  function draw_ten(wanted) {
    ten = wanted === null ? [] : questions.drawn(10, Object.keys(story.questions).map(Number), Number(wanted) || 0);
    seed = wanted;
    answering.restart();
    if (wanted !== null && !ten.length) {
      write(one(".unasked", panel), "There are no questions with a field here: they need one result, at most 40 operations, and no folding.");
    }
    if (!ten.length) return undefined;
    one(".quiz", root).checked = true;
    revealed = false;
    return ten[0];
  }

  // Next reveals the answer first, and then asks for the one after it.
  function ahead(now) {
    if (!revealed) {
      revealed = true;
      return false;
    }
    revealed = now === last || !(quiz() && story.moments[next(now)].question);
    return true;
  }

  function leave() {
    revealed = true;
  }

  one(".reveal", panel).addEventListener("click", () => one(".next", root).click());
  one(".quiz", root).addEventListener("change", () => {
    if (!quiz()) draw_ten(null);
    steps.go();
  });

  function key(event) {
    const node = event.target.closest(".node");
    if (node && event.shiftKey && push(event.key, node)) return true;
    if (node && walk(event.key, node)) return true;
    if (event.key === "Escape") choose("");
    else return size.key(event);
    return true;
  }

  // ---- Choosing a node: its numbers, its paths ---------------------------------------------------

  const place_of = (id) => Number(id.slice(1));
  const name_of = (group) => group.dataset.node || group.dataset.box || group.dataset.shows;
  const stops = () => all(".view:not([hidden]) .node[role=button]", root);

  function choose(id) {
    const group = boxes.find((box) => name_of(box) === id);
    chosen = group ? id : "";
    const place = one(".chosen", panel);
    place.replaceChildren();
    for (const box of all(".node", root)) box.classList.toggle("chosen-node", id !== "" && box === group);
    trace([]);
    steps.remember();
    if (!group) return;
    const heading = place.appendChild(document.createElement("h2"));
    heading.textContent = group.dataset.name;
    const words = one("title", group).textContent.split("\ndata ")[0];
    if (words !== group.dataset.name) place.appendChild(document.createElement("p")).textContent = words;
    place.appendChild(document.createElement("p")).className = "numbers";
    place.appendChild(document.createElement("p")).className = "nudged";
    if (group.dataset.node && live?.is_leaf(place_of(id))) place.append(...field(place_of(id), group.dataset.name));
    const inside = id !== opened && all(".view[data-part]", root).find((view) => view.dataset.part === id);
    if (inside) {
      const open = place.appendChild(document.createElement("button"));
      open.type = "button";
      open.className = "open";
      open.textContent = "Look inside";
      open.addEventListener("click", () => look(id));
    }
    place.appendChild(document.createElement("div")).className = "ways";
    number();
  }

  // What the chosen node shows at this moment, for its box may be out of sight.
  function number() {
    const node = nodes.find(({ element }) => element.matches(".chosen-node"));
    if (!node) return;
    const [value, grad] = node.said;
    const updated = revealed && node.values.length > 1 && shown >= node.values[1][0];
    const old = updated ? ` (before the update ${written(node.values[0])})` : "";
    const to_old = updated ? "; the gradient and the slopes belong to the old value" : "";
    write(one(".numbers", panel), `value ${value}${old}, gradient ${grad}${to_old}`);
    const final = node.grads.length > 0 && shown >= node.grads.at(-1)[0] && revealed;
    const nudge = () => (live?.changed() && live.is_leaf(place_of(node.id)) ? live.nudge_of_leaf(place_of(node.id)) : story.nudges[chosen]);
    write(one(".nudged", panel), (final && nudge()) || "");
    approach(node, final);
    const ways = one(".ways", panel);
    ways.hidden = quiz() && shown < last; // they would answer what is asked later
    if (!story.paths[chosen] || ways.dataset.shown === String(computed)) return;
    ways.dataset.shown = String(computed);
    ways.replaceChildren();
    list(ways, live?.changed() ? live.paths(chosen) : story.paths[chosen]);
  }

  function list(place, paths) {
    const intro = place.appendChild(document.createElement("p"));
    if (!paths.ways.length) intro.textContent = "Many paths lead to it; its gradient is their sum:";
    else if (paths.ways.length > 1 || paths.rest) {
      intro.textContent = "These paths lead to it; its gradient is the sum of their products of slopes:";
    } else {
      intro.textContent = "One path leads to it; its gradient is the product of the slopes along it:";
    }
    const ways = place.appendChild(document.createElement("ol"));
    for (const path of paths.ways) {
      const item = ways.appendChild(document.createElement("li"));
      item.dataset.product = path.product;
      const way = item.appendChild(document.createElement("span"));
      way.className = "way";
      way.textContent = path.way;
      item.append(document.createElement("br"), `${path.slopes || "1"} = ${path.text}`);
      item.addEventListener("pointerenter", () => trace(path.nodes));
      item.addEventListener("pointerleave", () => trace([]));
    }
    const total = place.appendChild(document.createElement("p"));
    total.textContent = `${paths.rest ? `${paths.rest}. ` : ""}Sum: ${paths.total}, its gradient.`;
  }

  function trace(path) {
    root.classList.toggle("tracing", path.length > 0);
    const on_path = new Set(path);
    const steps = new Set(path.slice(1).map((id, place) => `${path[place]}->${id}`));
    for (const node of all(".node[data-node]", root)) {
      node.classList.toggle("traced", on_path.has(node.dataset.node));
    }
    for (const edge of all("[data-edge]", root)) {
      edge.classList.toggle("traced", steps.has(edge.dataset.edge));
    }
  }

  for (const group of all(".node[data-name]", root)) {
    set(group, "role", "button");
    set(group, "tabindex", "-1");
    group.addEventListener("click", () => choose(name_of(group)));
    group.addEventListener("dblclick", () => look(name_of(group)));
  }

  // The graph is one stop of the Tab key; inside it the arrow keys follow the edges.
  function walk(key, group) {
    const ends = all(".view:not([hidden]) [data-edge], .view:not([hidden]) [data-flow]", root).map((edge) =>
      (edge.dataset.edge || edge.dataset.flow).split("->"),
    );
    const here = group.dataset.box || group.dataset.node || group.dataset.shows;
    const order = stops();
    const place = order.indexOf(group);
    const next = {
      ArrowLeft: () => ends.find(([, head]) => head === here)?.[0],
      ArrowRight: () => ends.find(([tail]) => tail === here)?.[1],
      ArrowUp: () => order[place - 1] && name_of(order[place - 1]),
      ArrowDown: () => order[place + 1] && name_of(order[place + 1]),
    }[key];
    if (next) {
      const to = order.find((node) => name_of(node) === next());
      if (to) land(to).focus();
      return true;
    }
    if (key === "Enter") {
      if (chosen === here && one(".chosen .field", panel)) one(".chosen .field", panel).select();
      else if (chosen === here) look(here);
      else choose(name_of(group));
      return true;
    }
    return false;
  }

  function land(group) {
    for (const node of stops()) set(node, "tabindex", node === group ? "0" : "-1");
    return group;
  }

  // ---- Looking inside a part, and at all of it larger --------------------------------------------

  function look(part) {
    const views = all(".view", root);
    const view = views.find((candidate) => candidate.dataset.part === part);
    if (part && !view) return;
    opened = part;
    for (const candidate of views) candidate.hidden = candidate !== (view || views[0]);
    for (const [place, legend] of all(".legend", root).entries()) legend.hidden = views[place].hidden;
    one(".where", root).hidden = !part;
    write(one(".opened", root), view ? view.dataset.title : "");
    if (stops().length) land(stops()[0]);
    size.begin();
    choose(chosen);
    haunt();
  }

  const size = zooming(root, follow);

  one(".close", root).addEventListener("click", () => look(""));

  // ---- Changing numbers -------------------------------------------------------------------------

  const announce = () => {
    if (window.parent === window) return;
    const by_name = (get) => Object.fromEntries(live.leaves.map((place) => [name_at(place), get(live.graph[place])]));
    const changed = Object.fromEntries([...live.given.numbers].map(([place, value]) => [name_at(place), value]));
    const said = { numbers: changed, gradients: by_name((node) => node.grad), result: live.result() };
    window.parent.postMessage({ microgradlike: said }, "*");
  };

  // What a leaf is called in the address: its name, unless the address means something else by that.
  const RESERVED = ["step", "node", "view", "lr", "projector", "quiz", "seed"];
  function name_at(place) {
    const name = live.names[place];
    return RESERVED.includes(name) ? `v${place}` : name;
  }

  // All that was computed is shown: the numbers of the nodes, the arrows, the table, the words.
  function refresh() {
    computed += 1;
    if (live.changed() || dressed) live.compute();
    for (const node of nodes) {
      Object.assign(node, live.changed() ? live.changes(node.id) : story.nodes[node.id]);
      node.shown = null;
    }
    if (live.changed() || dressed) dress();
    one(".reset", panel).disabled = !live.changed();
    one(".rate", panel).placeholder = String(story.live.rate);
    render(shown);
    tell_result();
    announce();
  }

  // The picture with these numbers: the arrows, the outlines of what is not finite, the titles.
  function dress() {
    dressed = live.changed();
    root.classList.toggle("changed", dressed);
    edges.forEach(dress_edge);
    const origin = dressed ? live.origin() : null;
    for (const node of nodes) {
      if (!node.own) continue;
      const { data, grad } = live.graph[place_of(node.id)];
      const state = !dressed ? "" : Number.isFinite(data) && Number.isFinite(grad) ? "mended" : "broken";
      if (node.state !== state) {
        node.element.classList.remove("mended", "broken");
        if (state) node.element.classList.add(state);
        node.state = state;
      }
      set(node.element, "data-origin", (dressed ? origin === place_of(node.id) : node.origin) ? "" : null);
    }
    const results = story.live.results.map((place) => numbers.number(live.graph[place].data)).join(", ");
    for (const picture of pictures) {
      const label = dressed ? picture.label.replace(/(results? ).*$/, (_, word) => word + results) : picture.label;
      set(picture.svg, "aria-label", label);
      write(picture.title, label);
    }
    const heading_now = dressed ? live.heading() : heading.text;
    write(heading.element, heading_now);
    document.title = heading.title.replace(heading.text, () => heading_now);
    if (table.open) tabulate();
  }

  // The table, and the list of all steps: only where somebody looks.
  function tabulate() {
    for (const [place, row] of rows.entries()) {
      if (!live) continue;
      const { data, grad } = live.graph[place];
      const cells = dressed ? [numbers.number(data), numbers.number(grad)] : row.words;
      row.cells.forEach((cell, k) => write(cell, cells[k]));
    }
    list_all();
  }

  function dress_edge(edge) {
    const { group, steps, slope, news, largest, line, heads } = edge;
    if (!steps.length) return;
    const asked = ["stroke", "stroke-width", "stroke-dasharray", "fill"];
    edge.recorded ??= {
      parts: [line, ...heads].map((part) => [part, asked.map((name) => [name, part.getAttribute(name)])]),
      texts: [slope, news].filter(Boolean).map((text) => [text, text.textContent, text.getAttribute("fill")]),
      contribution: edge.contribution,
      slope: group.dataset.slope,
      title: one("title", group),
      words: one("title", group)?.textContent,
    };
    const { recorded } = edge;
    if (!dressed) {
      for (const [part, attributes] of recorded.parts) for (const [name, value] of attributes) set(part, name, value);
      for (const [text, words, fill] of recorded.texts) {
        write(text, words);
        set(text, "fill", fill);
      }
      edge.contribution = recorded.contribution;
      if (recorded.slope) set(group, "data-slope", recorded.slope);
      if (recorded.title) write(recorded.title, recorded.words);
      return;
    }
    const share = live.sum_over(steps);
    const finite = Number.isFinite(share);
    const thin = share === 0 && !news;
    const colour = thin ? numbers.border : numbers.hue(share);
    const width = share === 0 ? (thin ? 0.4 : 1) : numbers.width(share, largest);
    const dash = share === 0 ? "1,5" : finite && share < 0 ? "5,2" : null;
    for (const part of [line, ...heads]) {
      set(part, "stroke", colour);
      set(part, "stroke-width", String(Number(width.toFixed(2))));
    }
    set(line, "stroke-dasharray", dash);
    for (const head of heads) set(head, "fill", colour);
    edge.contribution = numbers.exact(share);
    if (recorded.slope) set(group, "data-slope", numbers.exact(live.slope(steps[0])));
    if (recorded.title) {
      write(recorded.title, recorded.words.replace(/contribution \S+,/, () => `contribution ${edge.contribution},`));
    }
    const room = Math.max(edge.length, 30);
    if (slope) write(slope, numbers.fitting(live.slope(steps[0]), room, 9, (v, digits) => `× ${numbers.number(v, digits)}`));
    if (!news) return;
    const with_sign = (v, digits) => (v === 0 ? "0" : `${story.live.back} ${numbers.signed(v, digits)}`);
    write(news, numbers.fitting(share, room, 11, with_sign));
    set(news, "fill", numbers.text_hue(share));
  }

  // What was there before the last change: small, below the new numbers.
  function haunt() {
    const known = ghosts && live.changed();
    for (const node of nodes) {
      if (!node.drawn || !(known || node.ghost)) continue;
      const place = place_of(node.id);
      const said = [];
      const updated = node.shown?.value !== node.values[0];
      if (known && node.shown?.value && !updated && node.shown.value[1] !== ghosts.values[place]) said.push(`was ${numbers.number(ghosts.values[place])}`);
      if (known && node.shown?.grad && latest(node.grads, last) === node.shown.grad && node.shown.grad[1] !== ghosts.grads[place]) {
        said.push(`grad was ${numbers.number(ghosts.grads[place])}`);
      }
      if (said.length && !node.ghost) node.ghost = ghost_of(node.element);
      if (node.ghost) write(node.ghost, revealed ? said.join(", ") : "");
    }
  }

  function ghost_of(element) {
    const outlines = all("ellipse, polygon:not(.value-ground, .grad-ground), path", element);
    const [round] = outlines.filter((outline) => outline.matches("ellipse"));
    const attribute = (name) => Number(round.getAttribute(name));
    const corners = outlines
      .map((outline) => outline.getAttribute("points") || outline.getAttribute("d") || "")
      .flatMap((places) => places.match(/-?[\d.]+/g)?.map(Number) || []);
    const [across, down] = [0, 1].map((odd) => corners.filter((_, k) => k % 2 === odd));
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    set(text, "class", "ghost");
    set(text, "text-anchor", "middle");
    set(text, "x", String(round ? attribute("cx") : (Math.min(...across) + Math.max(...across)) / 2));
    set(text, "y", String((round ? attribute("cy") + attribute("ry") : Math.max(...down)) + 8));
    return element.appendChild(text);
  }

  function remember_ghosts() {
    ghosts = { values: live.graph.map((node) => node.data), grads: live.graph.map((node) => node.grad) };
  }

  function tell_result() {
    const { results } = story.live;
    const now = results.map((place) => `${live.names[place]} is now ${numbers.number(live.graph[place].data)}`).join(", ");
    const was = ghosts && results.length === 1 ? `; it was ${numbers.number(ghosts.values[results[0]])}` : "";
    write(one(".outcome", panel), live.changed() ? `${now}${was}.` : "");
    const turned = live.turned();
    const list = one(".turned", panel);
    if (list.textContent === turned.map((told) => `⚠ ${told}`).join("")) return;
    list.replaceChildren(...turned.map((told) => {
      const item = document.createElement("li");
      item.textContent = `⚠ ${told}`;
      return item;
    }));
  }

  function give(place, value) {
    if (value === live.recorded(place)) live.given.numbers.delete(place);
    else live.given.numbers.set(place, value);
  }

  // What somebody typed, as a number that a change is made of; or a sentence beside the field.
  function typed(input, refusal, change) {
    const { value, refused } = numbers.read(input.value);
    write(refusal, refused || "");
    set(input, "aria-invalid", refused ? "true" : null);
    if (refused) return;
    remember_ghosts();
    change(value);
    refresh();
    steps.remember();
  }

  // The number of a chosen leaf, to be typed or dragged.
  function field(place, name) {
    const value = live.number_at(place);
    const label = document.createElement("label");
    const input = document.createElement("input");
    const slider = document.createElement("input");
    const refusal = document.createElement("p");
    const table = document.createElement("table");
    label.append(`${name} = `, input);
    label.className = "given";
    Object.assign(input, { type: "text", inputMode: "decimal", className: "field", value: in_field(value), size: 10, autocomplete: "off" });
    const step = step_of(place);
    const span = Math.max(20 * step, 2 * Math.abs(live.recorded(place)));
    const middle = live.recorded(place);
    const [low, high] = [Math.min(middle - span, value), Math.max(middle + span, value)];
    Object.assign(slider, { type: "range", className: "slider", min: String(low), max: String(high), step: "any", value: String(value) });
    set(slider, "aria-label", `${name}, dragged`);
    refusal.className = "refused";
    set(refusal, "role", "alert");
    table.className = "approach";
    const arrive = (found) => {
      give(place, found);
      Object.assign(slider, { min: Math.min(slider.min, found), max: Math.max(slider.max, found), value: found });
    };
    input.addEventListener("change", () => typed(input, refusal, arrive));
    input.addEventListener("keydown", (event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Escape") boxes.find((box) => name_of(box) === chosen)?.focus();
      if (!by) return;
      event.preventDefault();
      input.value = String(moved(live.number_at(place), by * step * (event.shiftKey ? 10 : 1), step));
      typed(input, refusal, arrive);
    });
    let dragging = false;
    slider.addEventListener("input", () => {
      if (!dragging) remember_ghosts();
      dragging = true;
      give(place, moved(Number(slider.value), 0, step / 10));
      input.value = in_field(live.number_at(place));
      write(refusal, "");
      refresh();
    });
    slider.addEventListener("change", () => {
      dragging = false;
      steps.remember();
    });
    return [label, slider, refusal, table];
  }

  // What a step downhill has left has more digits than a field has room for.
  const in_field = (value) => String(Number(value.toPrecision(6)));

  // A tenth of the size of a number: 0.1 for 2, 0.01 for -0.2.
  const step_of = (place) => 10 ** (Math.floor(Math.log10(Math.abs(live.recorded(place)) || 1)) - 1);
  const moved = (value, by, step) => Number((Math.round((value + by) / step) * step).toPrecision(12));

  // Shift with an arrow key moves the leaf that has the focus.
  function push(key, group) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[key];
    const place = group.dataset.node && place_of(group.dataset.node);
    if (!by || !live?.is_leaf(place)) return false;
    remember_ghosts();
    give(place, moved(live.number_at(place), by * step_of(place), step_of(place)));
    refresh();
    choose(group.dataset.node);
    return true;
  }

  // The nudge, smaller and smaller: its ratio comes near the slope.
  function approach(node, final) {
    const nudges = one(".approach", panel);
    if (!nudges || nudges.dataset.shown === `${computed}${final}`) return;
    nudges.dataset.shown = `${computed}${final}`;
    nudges.replaceChildren();
    if (!final) return;
    const row = (cells, tag) => {
      const line = nudges.appendChild(document.createElement("tr"));
      for (const cell of cells) line.appendChild(document.createElement(tag)).textContent = cell;
    };
    nudges.appendChild(document.createElement("caption")).textContent =
      `A nudge of ${node.element.dataset.name}, smaller and smaller: the ratio comes near the gradient, ${numbers.number(live.graph[place_of(node.id)].grad)}`;
    row(["nudge", `change of ${story.live.result}`, "ratio"], "th");
    for (const numbers_of_row of live.approach(place_of(node.id))) row(numbers_of_row.map((value) => numbers.number(value)), "td");
  }

  // One step of gradient descent: every number that learns moves against its gradient.
  function descend() {
    if (one(".rate", panel).matches("[aria-invalid]")) return one(".rate", panel).focus();
    remember_ghosts();
    const found = story.live.moved.map((place) => [place, live.downhill(place)]);
    for (const [place, value] of found) if (Number.isFinite(value)) give(place, value);
    refresh();
    choose(chosen);
  }

  function reset() {
    live.given.numbers.clear();
    live.given.rate = story.live.rate;
    ghosts = null;
    one(".rate", panel).value = String(live.given.rate);
    set(one(".rate", panel), "aria-invalid", null);
    write(one(".live .refused", panel), "");
    refresh();
    choose(chosen);
  }

  function numbers_in_address() {
    if (!live) return {};
    const rate = live.given.rate === story.live.rate ? {} : { lr: String(live.given.rate) };
    return { ...rate, ...Object.fromEntries([...live.given.numbers].map(([place, value]) => [name_at(place), String(value)])) };
  }

  function numbers_from(place) {
    if (!live) return;
    const before = JSON.stringify(numbers_in_address());
    live.given.numbers.clear();
    for (const leaf of live.leaves) {
      const { value } = numbers.read(place.get(name_at(leaf)) ?? "");
      if (value !== undefined) give(leaf, value);
    }
    const rate = numbers.read(place.get("lr") ?? "").value;
    live.given.rate = rate >= 0 ? rate : story.live.rate;
    one(".rate", panel).value = String(live.given.rate);
    if (before === JSON.stringify(numbers_in_address())) return;
    ghosts = null;
    refresh();
  }

  function offer_changes() {
    const { refused, chosen: by_condition } = story.live;
    one(".controls", panel).hidden = Boolean(refused);
    const too = by_condition?.length ? `; so does “where” in ${by_condition.join(", ")}` : "";
    const offer = "Choose a leaf to type or drag its number. An “if” of the program keeps the branch that it took when this was recorded";
    write(one(".offer", panel), refused || `${offer}${too}.`);
    if (refused) return;
    one(".descend", panel).addEventListener("click", descend);
    one(".reset", panel).addEventListener("click", reset);
    const [rate, refusal] = [one(".rate", panel), one(".live .refused", panel)];
    rate.addEventListener("change", () => {
      const wrong = Number(numbers.read(rate.value).value) < 0;
      set(rate, "aria-invalid", wrong ? "true" : null);
      if (wrong) write(refusal, "A learning rate is not negative: type a number such as 0.1.");
      else typed(rate, refusal, (value) => { live.given.rate = value; });
    });
  }

  // ---- Beginning --------------------------------------------------------------------------------

  function place() {
    return { ...(chosen && { node: chosen }), ...(opened && { view: opened }), ...numbers_in_address(), ...(ten.length && { quiz: "1", seed }) };
  }

  function restore(from) {
    numbers_from(from);
    look(from.get("view") || "");
    choose(from.get("node") || "");
    const first = draw_ten(from.get("quiz") ? from.get("seed") ?? "0" : null);
    return from.has("step") && first !== undefined ? Number(from.get("step")) : first;
  }

  table.open = false;
  table.addEventListener("toggle", tabulate);
  window.addEventListener("beforeprint", tabulate);
  offer_changes();
  list_all();
  const waits = () => !revealed;
  const steps = transport(root, { last, show, ahead, next, leave, waits, key, place, restore, worksheet: quiz });
  steps.recall();
}

for (const root of document.querySelectorAll(".stepper")) start(root);
