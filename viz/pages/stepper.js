// One page, one story. A moment is shown by asking each node and each edge what it looks like then,
// so that every way of getting to a moment ends with the same page.
function start(root) {
  const story = JSON.parse(one(".story", root).textContent);
  const last = story.moments.length - 1;
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
    ...story.nodes[element.dataset.node || element.dataset.shows],
  }));
  const edges = all("[data-ahead]", root).map((group) => ({
    group,
    ahead: Number(group.dataset.ahead),
    at: group.dataset.at === undefined ? Infinity : Number(group.dataset.at), // never to a constant
    slope: one(".slope", group),
    known: story.nodes[group.dataset.edge?.split("->")[1]]?.values[0][0] || 0, // no slope before
    contribution: group.dataset.contribution,
  }));
  for (const { group } of edges) {
    if (group.dataset.at === undefined) continue;
    for (const part of all("path, polygon", group)) part.classList.add("sent");
    group.append(forward(group));
  }
  const remarks = all("[data-known]", root).map((words) => ({ words, known: Number(words.dataset.known) }));
  const boxes = all(".node[data-node], .node[data-box]", root);

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

  function show(now) {
    const asked = !revealed;
    const told = story.moments[now];
    shown = now;
    for (const node of nodes) {
      const value = latest(node.values, now);
      const grad = latest(node.grads, now);
      if (value === node.shown?.value && grad === node.shown?.grad && !node.shown?.asked) continue;
      node.shown = { value, grad, asked };
      if (node.own) {
        set(node.element, "data-value", value === null ? null : value[1]);
        set(node.element, "data-grad", grad === null ? null : grad[1]);
      }
      if (!node.drawn) continue;
      const hides = (change) => asked && change !== null && change[0] === now && now > 0;
      write(node.value, value === null ? not_yet : hides(value) ? "?" : value[2]);
      write(node.grad, grad === null ? not_yet : hides(grad) ? "?" : grad[2]);
      const painted = grad !== null && !hides(grad);
      set(node.grad, "fill", painted ? grad[3] : muted);
      set(node.ground, "fill", painted ? grad[4] : surface);
      const numbers = `data ${node.value.textContent}, grad ${node.grad.textContent}`;
      write(node.title, `${node.words}\n${numbers}`);
      const { name, kind } = node.element.dataset;
      set(node.element, "aria-label", `${name}, ${kind}, ${numbers}`);
    }
    for (const edge of edges) {
      const { group, ahead, at, slope, known, contribution } = edge;
      const crossed = now >= at && !(asked && now === at);
      if (slope) set(slope, "visibility", now < known || (quiz() && !crossed) ? "hidden" : null);
      if (contribution) set(group, "data-contribution", now >= at ? contribution : null);
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
    for (const { words, known } of remarks) {
      set(words, "visibility", now < known || (asked && now === known) ? "hidden" : null);
    }
    for (const box of boxes) {
      box.classList.toggle("active", (box.dataset.box || box.dataset.node) === told.active);
    }
    follow();
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
    write(one(".count", root), `Step ${now} of ${last} · ${told.kind}`);
    write(one(".sentence", root), asked ? told.question : told.sentence);
    const equations = asked ? told.equations.slice(0, 1) : told.equations;
    const shown = asked && told.kind !== "backward" ? "" : equations.join("");
    if (one(".equations", root).dataset.shown !== `${now}${asked}`) {
      one(".equations", root).innerHTML = shown; // made by this page's author, names escaped
      one(".equations", root).dataset.shown = `${now}${asked}`;
    }
    write(one(".sum", root), asked ? "" : told.sum);
    write(one(".rule", root), asked && told.kind !== "backward" ? "" : told.rule);
    write(one(".nudge", root), asked ? "" : told.nudge);
    write(one(".aside", root), asked ? "" : told.aside);
    write(one(".flag", root), asked || !told.flag ? "" : `⚠ ${told.flag}`);
    one(".reveal", root).hidden = !asked;
  }

  // ---- All steps below each other, for paper -----------------------------------------------------

  const MOST_LISTED = 40;

  function list_all() {
    if (last > MOST_LISTED) return;
    for (const told of story.moments) {
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
      for (const name of ["sum", "rule", "aside", "flag"]) words(name, told[name]);
    }
  }

  // ---- Being asked first ------------------------------------------------------------------------

  const quiz = () => one(".quiz", root).checked;

  // Next reveals the answer first, and then asks for the one after it.
  function ahead(now) {
    if (!revealed) {
      revealed = true;
      return false;
    }
    revealed = now === last || !(quiz() && story.moments[now + 1].question);
    return true;
  }

  function leave() {
    revealed = true;
  }

  one(".reveal", root).addEventListener("click", () => one(".next", root).click());
  one(".quiz", root).addEventListener("change", () => steps.go());

  function key(event) {
    const node = event.target.closest(".node");
    if (node && walk(event.key, node)) return true;
    if (event.key === "Escape") choose("");
    else return size.key(event);
    return true;
  }

  // ---- Choosing a node: its numbers, its paths ---------------------------------------------------

  const name_of = (group) => group.dataset.node || group.dataset.box || group.dataset.shows;
  const stops = () => all(".view:not([hidden]) .node[role=button]", root);

  function choose(id) {
    const group = boxes.find((box) => name_of(box) === id);
    chosen = group ? id : "";
    const place = one(".chosen", root);
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
    number();
    const inside = id !== opened && all(".view[data-part]", root).find((view) => view.dataset.part === id);
    if (inside) {
      const open = place.appendChild(document.createElement("button"));
      open.type = "button";
      open.className = "open";
      open.textContent = "Look inside";
      open.addEventListener("click", () => look(id));
    }
    if (story.paths[id]) list(place, story.paths[id]);
  }

  // What the chosen node shows at this moment, for its box may be out of sight.
  function number() {
    const node = nodes.find(({ element }) => element.matches(".chosen-node"));
    if (!node) return;
    const [value, grad] = [node.value.textContent, node.grad.textContent];
    const updated = revealed && node.values.length > 1 && shown >= node.values[1][0];
    const old = updated ? ` (before the update ${node.values[0][2]})` : "";
    const to_old = updated ? "; the gradient and the slopes belong to the old value" : "";
    write(one(".numbers", root), `value ${value}${old}, gradient ${grad}${to_old}`);
    const final = node.grads.length > 0 && shown >= node.grads.at(-1)[0] && revealed;
    write(one(".nudged", root), (final && story.nudges[chosen]) || "");
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
      if (chosen === here) look(here);
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
  }

  const size = zooming(root, follow);

  one(".close", root).addEventListener("click", () => look(""));

  // ---- Beginning --------------------------------------------------------------------------------

  function place() {
    return { ...(chosen && { node: chosen }), ...(opened && { view: opened }) };
  }

  function restore(from) {
    look(from.get("view") || "");
    choose(from.get("node") || "");
  }

  one(".table", root).open = false;
  list_all();
  const waits = () => !revealed;
  const steps = transport(root, { last, show, ahead, leave, waits, key, place, restore, worksheet: quiz });
  steps.recall();
}

for (const root of document.querySelectorAll(".stepper")) start(root);
