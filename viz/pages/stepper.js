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
  const edges = all("[data-at]", root).map((group) => ({
    group,
    at: Number(group.dataset.at),
    slope: one(".slope", group),
    known: story.nodes[group.dataset.edge?.split("->")[1]]?.values[0][0] || 0, // no slope before
    contribution: group.dataset.contribution,
  }));
  const remarks = all("[data-known]", root).map((words) => ({ words, known: Number(words.dataset.known) }));
  const boxes = all(".node[data-node], .node[data-box]", root);

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
    for (const { group, at, slope, known, contribution } of edges) {
      const crossed = now >= at && !(asked && now === at);
      if (slope) set(slope, "visibility", now < known ? "hidden" : null);
      group.classList.toggle("waiting", !crossed);
      group.classList.toggle("current", now === at && crossed);
      set(group, "data-contribution", now >= at ? contribution : null);
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
    size.follow(one(".view:not([hidden]) .active", root) || at_rest);
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
    write(one(".flag", root), asked || !told.flag ? "" : `⚠ ${told.flag}`);
    one(".reveal", root).hidden = !asked;
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
  one(".quiz", root).addEventListener("change", () => {
    if (!quiz()) steps.go();
  });

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
    if (node) write(one(".numbers", root), `value ${node.value.textContent}, gradient ${node.grad.textContent}`);
  }

  function list(place, paths) {
    const intro = place.appendChild(document.createElement("p"));
    if (!paths.ways.length) intro.textContent = "The error reaches it on many paths; its gradient is their sum:";
    else if (paths.ways.length > 1 || paths.rest) {
      intro.textContent = "The error reaches it on these paths; its gradient is their sum:";
    } else {
      intro.textContent = "The error reaches it on one path; its gradient is the product of the slopes:";
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
  const waits = () => !revealed;
  const steps = transport(root, { last, show, ahead, leave, waits, key, place, restore, worksheet: quiz });
  steps.recall();
}

for (const root of document.querySelectorAll(".stepper")) start(root);
