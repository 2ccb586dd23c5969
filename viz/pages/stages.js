// Each part of a picture says from which stage to which it is seen, and which stage has found it.
function start(root) {
  const { stages } = JSON.parse(one(".story", root).textContent);
  const views = all(".view", root);
  const paths = all(".path", root);
  const passes = all(".passes > li", root);
  const parts = all("[data-seen]", root).map((group) => {
    const [first, last] = group.dataset.seen.split(" ").map(Number);
    const found = "new" in group.dataset ? Number(group.dataset.new) : -1;
    const pale = "pale" in group.dataset ? Number(group.dataset.pale) : Infinity;
    return { group, first, last, found, pale };
  });
  let shown = -1;

  function show(now) {
    const stage = now % stages;
    const path = (now - stage) / stages;
    for (const { group, first, last, found, pale } of parts) {
      group.classList.toggle("away", stage < first || stage > last);
      group.classList.toggle("new", stage === found);
      group.classList.toggle("pale", stage >= pale);
    }
    for (const [place, view] of views.entries()) view.hidden = place !== path;
    for (const [place, list] of paths.entries()) list.classList.toggle("now", place === path);
    for (const [place, item] of passes.entries()) {
      item.classList.toggle("now", place === now);
      set(one("button", item), "aria-current", place === now ? "step" : null);
    }
    const item = passes[now];
    const sentence = one(".sentence", item).textContent;
    write(one(".told .count", root), item.dataset.count);
    write(one(".told .sentence", root), sentence);
    write(one(".told .rule", root), one(".rule", item).textContent);
    if (path !== shown) size.begin();
    shown = path;
    return sentence;
  }

  const size = zooming(root, () => {});
  const steps = transport(root, { last: passes.length - 1, show, key: size.key });
  for (const button of all(".pass", root)) {
    button.addEventListener("click", () => {
      location.hash = `#step=${button.dataset.step}`;
    });
  }
  steps.recall();
}

for (const root of all(".stepper")) start(root);
