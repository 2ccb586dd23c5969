// Each record of the training says how wide its arrows are, and what its neurons show.
function start(root) {
  const { frames } = JSON.parse(one(".story", root).textContent);
  const network = network_in(root);

  function show(now) {
    const frame = frames[now];
    network.show(frame);
    network.tell(
      (place, words) => `${words}${frame.weights[place][1]}`,
      (place, name) => {
        const [sum, shown, delta] = frame.neurons[place];
        const numbers = [sum, shown && `output ${shown}`, delta].filter(Boolean).join(", ");
        return [name, numbers].filter(Boolean).join("\n");
      },
    );
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
  }, true);
  size.begin();
  transport(root, { last: frames.length - 1, show, key: size.key }).recall();
}

for (const root of all(".stepper")) start(root);
