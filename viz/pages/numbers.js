// Numbers as pages write and read them, and the colours and widths that show them: the rules of
// style.py, for what a page computes itself.
const numbers = (() => {
  const { widths: WIDTHS, ...PALETTE } = /* what style.py says */ {};

  // ---- Writing ------------------------------------------------------------------------------------

  // How many more digits than needed tell a tie from what lies beside one.
  const MORE = 25;

  // The digits without the last of them, rounded; from the middle to the even one.
  function rounded(digits, dropped) {
    const [kept, rest] = [digits.slice(0, -dropped), digits.slice(-dropped)];
    const middle = `5${"0".repeat(dropped - 1)}`;
    const up = rest > middle || (rest === middle && Number(kept.at(-1)) % 2 === 1);
    return (BigInt(kept) + (up ? 1n : 0n)).toString().padStart(kept.length, "0");
  }

  const without_zeros = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const with_point = (digits, place) => (place < digits.length ? `${digits.slice(0, place)}.${digits.slice(place)}` : digits);
  const minus = (text) => text.replaceAll("-", "−");

  // The first digits of a number that is not negative, and its power of ten.
  function leading(size, digits) {
    const [one_more, power] = size.toExponential(digits).split("e");
    const all = one_more.replace(".", "");
    const next = all.at(-1);
    let kept = all.slice(0, -1);
    if (next === "5") kept = rounded(size.toExponential(digits - 1 + MORE).split("e")[0].replace(".", ""), MORE); // perhaps a tie
    else if (next > "5") kept = String(Number(kept) + 1);
    return kept.length > digits ? [kept.slice(0, digits), Number(power) + 1] : [kept, Number(power)];
  }

  // So many significant digits.
  function in_short(value, digits = 4) {
    if (value !== value) return "NaN";
    const [sign, size] = [value < 0 ? "-" : "", Math.abs(value)];
    if (size === Infinity) return `${sign}inf`;
    const [kept, exponent] = leading(size, digits);
    if (exponent < -4 || exponent >= digits) return `${sign}${without_zeros(with_point(kept, 1))}e${exponent}`;
    if (exponent < 0) return `${sign}${without_zeros(`0.${"0".repeat(-1 - exponent)}${kept}`)}`;
    return `${sign}${without_zeros(with_point(kept, exponent + 1))}`;
  }

  // So many digits behind the point.
  function fixed(value, places) {
    const digits = Math.abs(value).toFixed(places + MORE).replace(".", "");
    const kept = rounded(digits, MORE);
    return minus(`${value < 0 ? "-" : ""}${with_point(kept, kept.length - places)}`);
  }

  const number = (value, digits) => minus(in_short(value, digits));
  const signed = (value, digits) => (value > 0 ? `+${number(value, digits)}` : number(value, digits));

  // How wide a number is printed, in Arial; and the number with as many digits as have room.
  const thousandths = (character) => WIDTHS[character] ?? 556;
  const printed = (text, size) => ([...text].reduce((sum, character) => sum + thousandths(character), 0) * size) / 1000;
  function fitting(value, room, size, write = number, whole = write(value, 4)) {
    if (room === Infinity || printed(whole, size) <= room) return whole;
    return [3, 2].map((digits) => write(value, digits)).find((text) => printed(text, size) <= room) ?? write(value, 1);
  }

  // Every digit that it takes to read the same number again, as Python's repr has them.
  function exact(value) {
    if (value !== value) return "nan";
    if (Math.abs(value) === Infinity) return value > 0 ? "inf" : "-inf";
    if (Object.is(value, -0)) return "-0.0";
    if (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
    const [mantissa, power] = value.toExponential().split("e");
    const exponent = Number(power);
    const digits = String(Math.abs(exponent)).padStart(2, "0");
    return value === 0 ? "0.0" : `${mantissa}e${exponent < 0 ? "-" : "+"}${digits}`;
  }

  // ---- Reading ------------------------------------------------------------------------------------

  const FRACTIONS = { "½": 1 / 2, "⅓": 1 / 3, "⅔": 2 / 3, "¼": 1 / 4, "¾": 3 / 4, "⅕": 1 / 5, "⅖": 2 / 5, "⅗": 3 / 5,
    "⅘": 4 / 5, "⅙": 1 / 6, "⅚": 5 / 6, "⅛": 1 / 8, "⅜": 3 / 8, "⅝": 5 / 8, "⅞": 7 / 8 };
  const [SIGN, DECIMAL] = [`[${Object.keys(FRACTIONS).join("")}]`, "(?:\\d+(?:[.,]\\d*)?|[.,]\\d+)(?:[eE][+-]?\\d+)?"];
  const SPELT = new RegExp(
    `^(?<sign>[+-]?)(?:(?<whole>\\d+)?(?<vulgar>${SIGN})` +
    `|(?:(?<mixed>\\d+) )?(?<top>${DECIMAL})/(?<bottom>[+-]?${DECIMAL})|(?<alone>${DECIMAL}))$`,
  );
  const decimal = (text = "0") => Number(text.replace(",", "."));

  // What somebody typed: {value}, or {refused}, a sentence. 0,5 and 1/2 and ½ are one number.
  function read(text) {
    const typed = text.trim();
    if (!typed) return { refused: "The field is empty: type a number, such as 0.5 or −2." };
    const spelt = typed.replace(/[−–—‐‑‒﹣－]/g, "-").split("=").at(-1).trim().replace(/\s+/g, " ")
      .replace(new RegExp(` ?([-+/]|${SIGN}) ?`, "g"), "$1");
    const found = spelt.match(SPELT)?.groups;
    if (!found) return { refused: `“${typed}” is no number: type one such as 0.5 or −2.` };
    const bottom = decimal(found.bottom ?? "1");
    if (bottom === 0) return { refused: `“${typed}” divides by 0: type a number such as 0.5 or −2.` };
    const size = found.vulgar ? decimal(found.whole) + FRACTIONS[found.vulgar]
      : decimal(found.mixed) + decimal(found.top ?? found.alone) / bottom;
    if (!(size < Infinity)) return { refused: `“${typed}” is too large: the largest number is about 1.8e308.` };
    return { value: found.sign === "-" ? -size : size };
  }

  // ---- Colours and widths -------------------------------------------------------------------------

  const { steps, on_step, surface, ink, muted, border, positive, negative, positive_text, negative_text } = PALETTE;

  function width(value, largest) {
    if (!(Math.abs(value) < Infinity)) return 6;
    return 1 + 5 * Math.sqrt(Math.min(Math.abs(value) / largest, 1));
  }

  // Which of the nine colours shows a value; only zero gets the one in the middle.
  function step(value, { largest, middle }) {
    if (value === 0) return 4;
    const share = Math.min(Math.asinh(Math.abs(value) / middle) / Math.asinh(largest / middle), 1);
    const size = Math.max(Math.round(4 * share), 1);
    return 4 + (value > 0 ? size : -size);
  }

  // The colours of the letters and of the ground on which a value is written.
  function paint(value, scale) {
    if (!(Math.abs(value) < Infinity)) return [surface, ink];
    return [on_step[step(value, scale)], steps[step(value, scale)]];
  }

  const by_sign = (value, plus, less) => (!(Math.abs(value) < Infinity) ? ink : value > 0 ? plus : value < 0 ? less : muted);
  const hue = (value) => by_sign(value, positive, negative);
  const text_hue = (value) => by_sign(value, positive_text, negative_text);

  return { in_short, fixed, number, signed, exact, fitting, read, width, paint, hue, text_hue, border };
})();
