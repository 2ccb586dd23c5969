"use strict";

// The engine once more, for pages: the values of a graph, and its gradients. The operator table is
// written into it by javascript.py; this file says what the names in its formulas mean.

const engine = (() => {
  // ---- The functions that formulas name ---------------------------------------------------------

  const { abs, exp, expm1, log, log1p, log2, log10, sqrt, cbrt, sin, cos, tan, asin, acos, atan, atan2,
    sinh, cosh, tanh, asinh, acosh, atanh, floor, ceil, trunc } = Math;

  // x ** y as C and Python have it: 1 to any power is 1, and so is -1 to an infinite one.
  const power = (x, y) => (x === 1 || (x === -1 && abs(y) === Infinity) ? 1 : x ** y);
  const exp2 = (x) => 2 ** x;
  const divide = (x, y) => x / y;
  const with_sign = (x, of) => (of < 0 || Object.is(of, -0) ? -abs(x) : abs(x));

  // The remainder has the sign of the divisor.
  const remainder = (x, y) => {
    const rest = x % y;
    if (rest === 0) return with_sign(0, y);
    return rest < 0 === y < 0 ? rest : rest + y;
  };
  const floor_divide = (x, y) => {
    if (y === 0) return x / y;
    const rest = x % y;
    const wholes = (x - rest) / y - (rest !== 0 && rest < 0 !== y < 0 ? 1 : 0);
    if (wholes === 0) return with_sign(0, x / y);
    const below = floor(wholes);
    return wholes - below > 0.5 ? below + 1 : below;
  };

  const hypot = (x, y) => {
    const [large, small] = [abs(x), abs(y)].sort((a, b) => b - a);
    if (abs(x) === Infinity || abs(y) === Infinity) return Infinity; // even beside NaN
    if (!(large > 0) || small === 0) return large + small;
    // Squares neither overflow nor vanish.
    const scale = 2 ** floor(log2(large));
    const [a, b] = [large / scale, small / scale];
    return scale * sqrt(a * a + b * b);
  };

  const sigmoid = (x) => (x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)));
  const softplus = (x) => (x === x ? maximum(x, 0) + log1p(exp(-abs(x))) : NaN);
  const logaddexp = (x, y) => {
    if (x === y) return x + Math.LN2;
    return x === x ? maximum(x, y) + log1p(exp(-abs(x - y))) : NaN;
  };
  const maximum = (x, y) => (x >= y ? x : y > x ? y : NaN);
  const minimum = (x, y) => (x <= y ? x : y < x ? y : NaN);
  const sign = (x) => (x > 0 ? 1 : x < 0 ? -1 : x);

  // To the nearest whole number, and from the middle to the even one.
  const rint = (x) => {
    const below = floor(x);
    const up = x - below > 0.5 || (x - below === 0.5 && below % 2 !== 0);
    return with_sign(up ? below + 1 : below, x);
  };

  // To so many digits. The float is a fraction of whole numbers, and those are exact.
  const round_to = (x, y) => {
    if (!(abs(y) < Infinity)) return y === Infinity ? x : y === -Infinity ? 0 * x : NaN;
    if (!(abs(x) < Infinity) || x === 0) return x;
    const digits = BigInt(trunc(maximum(-400, minimum(y, 1100))));
    let [mantissa, halvings] = [abs(x), 0n];
    while (!Number.isInteger(mantissa)) [mantissa, halvings] = [mantissa * 2, halvings + 1n];
    const above = BigInt(mantissa) * 10n ** (digits > 0n ? digits : 0n);
    const below = 2n ** halvings * 10n ** (digits < 0n ? -digits : 0n);
    const [whole, twice] = [above / below, 2n * (above % below)];
    const up = twice > below || (twice === below && whole % 2n === 1n) ? 1n : 0n;
    return with_sign(Number(`${whole + up}e${-digits}`), x);
  };

  // exp(-x * x), whose exponent is exact in two parts: the first has half of the digits of x.
  const bell = (x) => {
    const near = Math.fround(x);
    return abs(x) < 30 ? exp(-near * near) * exp((near - x) * (near + x)) : x === x ? 0 : NaN;
  };

  // The error function: near zero by the series of DLMF 7.6.2, whose terms are all of one sign; far
  // out its complement by the continued fraction of DLMF 7.9.1, from the last term to the first.
  const NEAR = 1.25;
  const erf = (x) => {
    if (!(abs(x) < NEAR)) return x === x ? sign(x) * (1 - erfc(abs(x))) : NaN;
    let [term, sum] = [x, x];
    for (let n = 1; abs(term) > 1e-18 * abs(sum); n += 1) {
      term *= (x * x) / (n + 0.5);
      sum += term;
    }
    return (2 / sqrt(Math.PI)) * bell(x) * sum;
  };
  const erfc = (x) => {
    if (x < NEAR || x !== x) return x < -NEAR ? 2 - erfc(-x) : 1 - erf(x);
    let fraction = 0;
    for (let n = 200; n > 0; n -= 1) fraction = n / 2 / (x + fraction);
    return bell(x) / (sqrt(Math.PI) * (x + fraction));
  };

  const OPERATORS = /* the operator table */ {};

  // ---- The two passes ---------------------------------------------------------------------------

  // A graph is a list of nodes, each after its operands: {op, data, x, y}. An operand is the place
  // of a node, or [number]; a leaf has the operator "".
  const read = (rows) => rows.map((row) => ({
    ...row,
    data: Number(row.data),
    ...(Array.isArray(row.x) && { x: [Number(row.x[0])] }),
    ...(Array.isArray(row.y) && { y: [Number(row.y[0])] }),
  }));

  const is_place = (operand) => typeof operand === "number";
  const value_of = (graph, operand) => (is_place(operand) ? graph[operand].data : operand?.[0]);

  // Computes the number of each operation anew. What a page cannot compute keeps its number.
  function forward(graph) {
    for (const node of graph) {
      const operator = OPERATORS[node.op];
      if (operator) node.data = operator.value(value_of(graph, node.x), value_of(graph, node.y));
    }
  }

  // Computes the gradient of each node, from the last one back, and on each arrow the local slope
  // and the share of the gradient that it carries: node.slopes and node.shares, by operand; and
  // whether it lets anything pass at all: node.passes.
  // A node that nothing has reached has no gradient, and sends nothing.
  function backward(graph, seeds) {
    for (const node of graph) {
      Object.assign(node, { grad: 0, reached: false, slopes: [], shares: [], passes: [] });
    }
    for (const [place, seed] of seeds) receive(graph[place], seed);
    for (const node of [...graph].reverse()) {
      const operator = OPERATORS[node.op];
      if (!operator) continue;
      const operands = [node.x, node.y];
      const given = given_to(graph, node);
      for (const [side, slope] of operator.slopes.entries()) {
        if (!is_place(operands[side])) continue;
        const passes = operator.passes[side](...given);
        node.slopes[side] = slope(...given);
        node.passes[side] = passes;
        node.shares[side] = node.reached && passes ? node.slopes[side] * node.grad : 0;
        if (node.reached && passes) receive(graph[operands[side]], node.shares[side]);
      }
    }
  }

  // What the formulas of a node are given: its operands, its number, and what each side of a tie gets.
  function given_to(graph, node) {
    const [x, y] = [value_of(graph, node.x), value_of(graph, node.y)];
    return [x, y, node.data, is_place(node.x) && is_place(node.y) ? 0.5 : 0];
  }

  function receive(node, share) {
    node.grad += share;
    node.reached = true;
  }

  return { OPERATORS, read, forward, backward, given_to };
})();
