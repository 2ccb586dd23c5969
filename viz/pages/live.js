// The numbers of a page of steps, computed anew: for other leaves, and for another learning rate.
// It tells what Python told, in the same form: the values and gradients of each node, the words of a
// moment, nudges and paths. Sentences are Python's, with slots for their numbers.
function recomputing(story) {
  const { live } = story;
  const { words, limits } = live;
  const graph = engine.read(live.graph);
  const operators = engine.OPERATORS;
  const is_place = (operand) => typeof operand === "number";
  const places = graph.map((_, place) => place);
  const names = places.map((place) => live.names[place] ?? `v${place}`);
  const leaves = places.filter((place) => graph[place].op === "");
  const recorded = graph.map((node) => node.data);
  const given = { numbers: new Map(), rate: live.rate };

  // The steps of the sweep in their order: who sends, and which operand receives.
  const steps = [...places].reverse().flatMap((node) =>
    [graph[node].x, graph[node].y].flatMap((parent, side) => (is_place(parent) ? [{ node, side, parent }] : [])),
  );
  const running = { before: [], after: [], arrived: [] };
  let updated = recorded;
  let told = { flags: [], origin: null };

  const changed = () => given.numbers.size > 0 || given.rate !== live.rate;
  const number_at = (place) => given.numbers.get(place) ?? recorded[place];
  const result_of = () => live.results.map((place) => graph[place].data).reduceRight((sum, value) => value + sum);

  // ---- Computing ------------------------------------------------------------------------------

  // The values for these leaves, and nothing else: what was computed before stays as it was.
  function values_for(number_of) {
    const kept = graph.map((node) => node.data);
    for (const place of leaves) graph[place].data = number_of(place);
    engine.forward(graph);
    const found = graph.map((node) => node.data);
    const result = result_of();
    for (const place of places) graph[place].data = kept[place];
    return { found, result };
  }

  const downhill = (place) => graph[place].data - given.rate * graph[place].grad;

  function compute() {
    for (const place of leaves) graph[place].data = number_at(place);
    engine.forward(graph);
    engine.backward(graph, live.results.map((place) => [place, 1]));
    const sums = graph.map(() => 0);
    const arrived = graph.map(() => 0);
    for (const place of live.results) sums[place] = 1;
    for (const [count, { node, side, parent }] of steps.entries()) {
      const share = graph[node].shares[side];
      running.before[count] = sums[parent];
      running.after[count] = sums[parent] += share;
      running.arrived[count] = arrived[parent] += share;
    }
    const moved = new Set(live.moved);
    updated = live.updates ? values_for((place) => (moved.has(place) ? downhill(place) : graph[place].data)).found : [];
    told = { flags: flags(), origin: origin() };
  }

  const quantities = {
    value: (place) => graph[place].data,
    grad: (place) => graph[place].grad,
    slope: (count) => graph[steps[count].node].slopes[steps[count].side],
    share: (count) => graph[steps[count].node].shares[steps[count].side],
    before: (count) => running.before[count],
    after: (count) => running.after[count],
    updated: (place) => updated[place],
    rate: () => given.rate,
    total: () => result_of(),
    new_total: () => live.results.map((place) => updated[place]).reduceRight((sum, value) => value + sum),
  };

  // ---- Flags: where a number breaks, and where a gradient is lost ----------------------------------

  function origin() {
    const broken = graph.findIndex((node) => !Number.isFinite(node.data));
    if (broken >= 0) return broken;
    const step = steps.find(({ node }, count) =>
      Number.isFinite(graph[node].grad + running.before[count]) && !Number.isFinite(running.after[count]),
    );
    return step ? step.node : null;
  }

  function birth(place) {
    const { data } = graph[place];
    if (Number.isFinite(data)) return "";
    const number = numbers.number(data);
    if (place === told.origin) return filled(words.births.origin, number);
    const operands = engine.given_to(graph, graph[place]).slice(0, 2).filter((operand) => operand !== undefined);
    if (operands.every(Number.isFinite)) return filled(words.births.another, number);
    const was_a_number = !operands.some(Number.isNaN);
    return Number.isNaN(data) && was_a_number ? words.births.turned : "";
  }

  function median(sorted) {
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  function flags() {
    const found = graph.map(() => []);
    for (const [count, { node }] of steps.entries()) {
      const slope = quantities.slope(count);
      if (limits.flattening.includes(graph[node].op) && Math.abs(slope) < limits.flat) {
        found[node].push(slope === 0 ? "dead" : "saturated");
      }
    }
    const sizes = graph.map((node) => Math.abs(node.grad)).filter((size) => size > 0 && size < Infinity).sort((a, b) => a - b);
    if (!sizes.length) return found;
    const many = Math.max(median(sizes), 1);
    for (const place of places) {
      const size = Math.abs(graph[place].grad);
      if (size > 0 && size < limits.vanished) found[place].push("vanished");
      else if (size > limits.exploding * many && size < Infinity) found[place].push("exploding");
    }
    return found;
  }

  // The kink or jump that an operation has where it is: its value and slope on both sides of there.
  function break_at({ node, parent, side }) {
    const { op, x, y } = graph[node];
    const [a, b, out, tie] = engine.given_to(graph, graph[node]);
    const all = [a, b ?? 0, out, graph[node].slopes[side]];
    if (!limits.breaking.includes(op) || !all.every(Number.isFinite)) return "";
    const here = graph[parent].data;
    const beside = (sign, moved) => {
      const near = here + sign * (here === 0 ? 2 ** -1000 : Math.abs(here) * 2 ** -50);
      const operands = [moved[0] ? near : a, moved[1] ? near : b];
      const value = operators[op].value(...operands);
      const slopes = operators[op].slopes.map((slope, of) => (moved[of] ? slope(...operands, value, tie) : 0));
      const slope = slopes.reduce((sum, slope) => sum + slope);
      return [value, Math.abs(slope) < 1e-300 ? 0 : slope]; // as small as the step: 0 where it ends
    };
    const sides = (moved) => [beside(-1, moved), beside(1, moved)];
    // In x * x both operands move; but x**x has no value below 0, where one can still move alone.
    let [[low, below], [high, above]] = sides([x === parent, y === parent]);
    if (Number.isNaN(low + high)) [[low, below], [high, above]] = sides([side === 0, side === 1]);
    const differ = (one, other) => Math.abs(one - other) > 1e-7 * Math.max(Math.min(Math.abs(one), Math.abs(other)), 1e-7);
    if (differ(low, high)) return words.jump;
    return differ(below, above) ? filled(words.kink, numbers.in_short(below), numbers.in_short(above)) : "";
  }

  // ---- Writing ------------------------------------------------------------------------------------

  // Words with {} or {name} in them; what fills them is not looked at again.
  function filled(text, ...fields) {
    const queue = [...fields];
    return text.replace(/\{(\w*)\}/g, (_, name) => (name ? fields[0][name] : queue.shift()));
  }

  const counted = (count, noun) => `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;

  // A number in MathML, as typeset.py writes it: a negative zero as one where it is a value, or a term.
  function math(value, has_zeros) {
    if (value < 0 || (Object.is(value, -0) && has_zeros)) {
      return `<mo form="prefix">−</mo>${math(Math.abs(value), false)}`;
    }
    const text = numbers.in_short(value);
    if (text === "inf") return "<mi>∞</mi>";
    const [mantissa, exponent] = text.split("e");
    if (!exponent) return `<mn>${text}</mn>`;
    return `<mn>${mantissa}</mn><mo>·</mo><msup><mn>10</mn><mrow>${math(Number(exponent), false)}</mrow></msup>`;
  }

  const parentheses = (text) => `<mrow><mo>(</mo>${text}<mo>)</mo></mrow>`;
  const is_negative = (text) => text.startsWith("<mo");
  const writing = {
    number: (value) => numbers.number(value),
    signed: (value) => numbers.signed(value),
    term: (value) => (value < 0 ? `(${numbers.number(value)})` : numbers.number(value)),
    words: (value) => value,
    math,
    added: (value, has_zeros) => {
      const text = math(value, has_zeros);
      return is_negative(text) ? parentheses(text) : text;
    },
    factor: (value, has_zeros) => {
      const text = math(value, has_zeros);
      return is_negative(text) || text.includes("<mo>·") ? parentheses(text) : text;
    },
  };

  // A text with its slots filled; more gives what only this text asks for.
  function write_in(text, more = {}, terms = false) {
    return text.replace(/\x02(\w+) (\w+) ?(\d*)\x03/g, (_, how, name, place) => {
      const value = name in more ? more[name] : quantities[name](Number(place));
      return writing[how](value, terms || name === "value");
    });
  }

  // An equation without sides that repeat the one before.
  function equation(text) {
    const [, begin, sides, end] = write_in(text).match(/^(<math[^>]*><mrow>)(.*)(<\/mrow><\/math>)$/);
    const parts = sides.split("<mo>=</mo>");
    return `${begin}${parts.filter((part, place) => part !== parts[place - 1]).join("<mo>=</mo>")}${end}`;
  }

  // ---- The moments ----------------------------------------------------------------------------

  function moment(count) {
    const template = live.moments[count];
    if (!template) return story.moments[count];
    const made = { ...story.moments[count] };
    if (template.sends) return { ...made, sentence: sent_by_part(template) };
    if (made.kind === "update") return { ...made, ...update(template) };
    made.sentence = write_in(template.sentence);
    if (template.step !== undefined) return { ...made, ...sent(template) };
    if (template.equations) made.equations = template.equations[0].map(equation);
    if (template.node !== undefined) made.flag = birth(template.node);
    return made;
  }

  const near = (a, b) => a === b || Math.abs(a - b) <= Math.max(1e-9 * Math.max(Math.abs(a), Math.abs(b)), 1e-300);

  function sent(template) {
    const step = steps[template.step];
    const node = graph[step.node];
    const branch = operators[node.op].branches?.[step.side](...engine.given_to(graph, node)) ?? 0;
    const whole = near(running.arrived[template.step], running.after[template.step]);
    const [listed, added] = template.sum;
    const earlier = running.before[template.step] !== 0;
    const found = told.flags[step.node].map((flag) => filled(words.flags[flag], names[step.node]));
    if (step.node === told.origin) found.push(words.first);
    const broken = break_at(step);
    if (broken) found.push(filled(words.break, names[step.node], broken));
    return {
      equations: [...template.equations[branch].map(equation), ...(whole ? template.sum_of.map((text) => write_in(text, {}, true)) : [])],
      sum: whole && listed ? write_in(listed) : earlier ? write_in(added) : "",
      aside: template.step === first_added() ? write_in(template.aside) : "",
      nudge: live.results.includes(step.node) ? nudge_of_operand(step) : "",
      flag: found.join("; "),
    };
  }

  // The first step at which adding makes a difference: the page says so once.
  const first_added = () => running.before.findIndex((before, count) => before !== 0 && !Number.isNaN(running.after[count]));

  const sum_over = (counts) => counts.reduce((sum, count) => sum + quantities.share(count), 0);

  function sent_by_part({ part, sends }) {
    const shares = sends.map(([counts, title]) => ({ share: sum_over(counts), title }))
      .sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
    const texts = shares.slice(0, limits.sent).map(({ share, title }) => filled(words.share, numbers.signed(share), title));
    if (shares.length > limits.sent) texts.push(filled(words.more, shares.length - limits.sent));
    const what = !shares.length ? words.alone
      : shares.some(({ share }) => share !== 0) ? filled(words.sends, texts.join(", ")) : words.nothing;
    return `${part} ${what}.`;
  }

  function update(template) {
    const lost = live.moved.filter((place) => Number.isNaN(graph[place].grad)).length;
    const moved = live.moved.filter((place) => {
      const found = downhill(place);
      return found !== graph[place].data && !Number.isNaN(found);
    }).length;
    const what = live.moved_is_called;
    const happened = filled(words.moved, moved ? counted(moved, what) : `no ${what}`)
      + (lost ? filled(words.lost, counted(lost, what)) : "");
    const more = { happened, rose: quantities.new_total() > result_of() ? words.rose : "" };
    return Object.fromEntries(Object.entries(template).map(([name, text]) => [name, write_in(text, more)]));
  }

  // ---- Nudges and paths -----------------------------------------------------------------------

  function nudge(text, called, again, old, slope) {
    for (const by of limits.nudges) {
      const change = again(by) - old;
      if (!change || !(Math.abs(change / by - slope) <= limits.near * Math.abs(slope))) continue;
      let places = Math.max(2, 2 - Math.floor(Math.log10(Math.abs(change))));
      let [before, after] = [old, old + change].map((value) => numbers.fixed(value, places));
      for (; before.endsWith("0") && after.endsWith("0") && places > 2; places -= 1) {
        [before, after] = [before.slice(0, -1), after.slice(0, -1)];
      }
      const ratio = [numbers.number(change, 3), "÷", numbers.number(by), "=", numbers.number(change / by, 3)];
      return filled(text, { ...called, by: numbers.number(by), before, after, quotient: ratio.join("\u00a0") });
    }
    return "";
  }

  function nudge_of_operand({ node, side, parent }) {
    const { op, x, y, data, slopes } = graph[node];
    if (x === y) return "";
    const [a, b] = engine.given_to(graph, graph[node]);
    const again = (by) => operators[op].value(x === parent ? a + by : a, y === parent ? b + by : b);
    return nudge(words.of_operand, { moved: names[parent], result: names[node] }, again, data, slopes[side]);
  }

  const nudged = (leaf, by) =>
    values_for((place) => graph[place].data + (place === leaf ? by : 0)).result;

  function nudge_of_leaf(leaf) {
    const called = { moved: names[leaf], result: live.result };
    return nudge(words.of_leaf, called, (by) => nudged(leaf, by), result_of(), graph[leaf].grad);
  }

  // What becomes of the ratio if the nudge gets smaller.
  function approach(leaf) {
    return [1, 0.1, 0.01, 0.001].map((by) => {
      const change = nudged(leaf, by) - result_of();
      return [by, change, change / by];
    });
  }

  function paths(id) {
    const found = story.paths[id];
    const place_of = (name) => Number(name.slice(1));
    const ways = found.ways.map((way) => {
      const hops = way.sides.map((side, hop) => ({ node: graph[place_of(way.nodes[hop + 1])], side }));
      const open = hops.every(({ node, side }) => node.passes[side]);
      const product = open ? hops.reduce((sum, { node, side }) => sum * node.slopes[side], 1) : 0;
      return {
        ...way,
        size: Number.isNaN(product) ? Infinity : Math.abs(product),
        slopes: hops.map(({ node, side }) => writing.term(node.slopes[side])).join(" × "),
        product: numbers.exact(product),
        value: product,
        text: numbers.number(product),
      };
    }).sort((a, b) => b.size - a.size);
    const { grad } = graph[place_of(id)];
    const remainder = grad - ways.reduce((sum, { value }) => sum + value, 0);
    const rest = found.rest.replace(/(together ).*/, (_, text) => text + numbers.number(remainder));
    return { ways, rest, total: numbers.number(grad) };
  }

  // ---- Decisions ------------------------------------------------------------------------------

  const compared = engine.read(story.decisions.graph);
  const COMPARISONS = {
    lt: (a, b) => a < b, le: (a, b) => a <= b, gt: (a, b) => a > b, ge: (a, b) => a >= b,
    eq: (a, b) => a === b, ne: (a, b) => a !== b,
  };

  // What to say of each comparison of the program that comes out otherwise by now.
  function turned() {
    for (const [row, place] of story.decisions.shared) compared[row].data = graph[place].data;
    engine.forward(compared);
    const side = (of) => (is_place(of) ? compared[of].data : Number(of[0]));
    return story.decisions.asked
      .filter(({ left, right, comparison, held }) => COMPARISONS[comparison](side(left), side(right)) !== held)
      .map(({ told }) => told);
  }

  // ---- For the page -----------------------------------------------------------------------------

  // When the number and the gradient of a node change, and to what: [moment, number].
  function changes(id) {
    const place = Number(id.slice(1));
    const { values, grads } = story.nodes[id];
    const found = { values: [[values[0][0], graph[place].data]], grads: [] };
    if (live.updates && updated[place] !== graph[place].data) {
      found.values.push([story.moments.length - 1, updated[place]]);
    }
    let sum = live.results.includes(place) ? 1 : 0;
    for (const [k, counts] of (live.arrivals[id] || []).entries()) {
      sum += sum_over(counts);
      const last = k === live.arrivals[id].length - 1;
      found.grads.push([grads[k][0], last ? graph[place].grad : sum]);
    }
    return found;
  }

  compute();
  return {
    given, graph, leaves, changed, turned, number_at, compute, moment, changes, nudge_of_leaf, approach, paths, sum_over, downhill,
    slope: quantities.slope,
    flags: (place) => [...told.flags[place], birth(place)],
    origin: () => told.origin,
    heading: () => write_in(live.heading),
    result: result_of,
    names,
    is_leaf: (place) => graph[place]?.op === "",
    recorded: (place) => recorded[place],
  };
}
