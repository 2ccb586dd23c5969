// Questions with a field for the answer: a wrong one is told which mistake leads to it, then come
// hints. Nothing leaves the page. A question: {asked, answer, tolerance, key, hints, wrong}, where
// the wrong answers have a tolerance and a sentence each.
const questions = (() => {
  // What is to be said of what was typed: {right, understood, sentence}.
  function mark(text, question) {
    const { value, refused } = numbers.read(text);
    if (refused) return { right: false, understood: false, sentence: refused };
    const is = ({ answer, tolerance }) => Math.abs(value - answer) <= tolerance;
    if (is(question)) return { right: true, understood: true, sentence: `Right: ${question.key}.` };
    const known = question.wrong.find(is);
    const sentence = known ? `${known.shown}: ${known.sentence}` : `${numbers.number(value)} is not it.`;
    return { right: false, understood: true, sentence };
  }

  // Some of so many places in their order: the same ones for all who have the same seed.
  function drawn(count, places, seed) {
    const left = [...places];
    const found = [];
    let state = seed >>> 0;
    while (left.length && found.length < count) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // of Numerical Recipes, section 7.1
      found.push(...left.splice(Math.floor((state / 2 ** 32) * left.length), 1));
    }
    return found.sort((a, b) => a - b);
  }

  return { mark, drawn };
})();

// The field, in its place; right() is called when the answer is right. What is asked has a key, and
// only the first answer to it counts.
function questioner(place, right) {
  const [form, said, hints, score] = [".answer", ".mark", ".hints", ".score"].map((name) => one(name, place));
  const input = one("input", form);
  const first = new Map();
  let now = { key: null };

  function ask(key, question) {
    place.hidden = !question && first.size === 0; // the score stays
    form.hidden = !question;
    if (key === now.key) return;
    now = { key, question, tries: 0 };
    input.value = "";
    set(input, "aria-invalid", null);
    write(said, "");
    hints.replaceChildren();
    if (question) write(one(".asked", form), `${question.asked} =`);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { right: is_right, understood, sentence } = questions.mark(input.value, now.question);
    write(said, sentence);
    set(input, "aria-invalid", is_right ? null : "true");
    input.select();
    if (!understood) return;
    if (!first.has(now.key)) first.set(now.key, is_right);
    const good = [...first.values()].filter(Boolean).length;
    write(score, `${good} of ${first.size} right at the first try`);
    const hint = now.question.hints[now.tries];
    now.tries += 1;
    if (is_right) right();
    else if (hint) hints.appendChild(document.createElement("li")).textContent = hint;
  });

  function restart() {
    first.clear();
    write(score, "");
  }

  return { ask, restart };
}
