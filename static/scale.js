// The arithmetic under a chart: scales, ticks, thinning and smoothing. No DOM.

export function linearScale([d0, d1], [r0, r1]) {
  const slope = (r1 - r0) / (d1 - d0 || 1);
  return (value) => r0 + (value - d0) * slope;
}

export function logScale([d0, d1], range) {
  const inner = linearScale([Math.log10(d0), Math.log10(d1)], range);
  return (value) => inner(Math.log10(value));
}

/** Multiples of 1, 2 or 5 times a power of ten within [min, max], about `wanted` of them. */
export function niceTicks([min, max], wanted, smallest = 0) {
  const raw = (max - min || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 5, 10].find((candidate) => raw <= candidate * power * 1.001) ?? 10;
  const step = Math.max(factor * power, smallest);
  const ticks = [];
  // Counting in whole steps: adding up would let 0.1 + 0.2 drift into the labels.
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i += 1) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

export function logTicks([min, max], wanted) {
  const decades = Math.log10(max / min);
  // Within less than a decade powers of ten say nothing, and round numbers do.
  if (decades < 1) return niceTicks([min, max], wanted);
  const factors = decades < 2.5 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power += 1) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= min * 0.999 && tick <= max * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

/** Widens [min, max] outwards to tick marks, so that no line touches the frame. */
export function niceDomain([min, max], wanted) {
  if (min === max) return [min - Math.abs(min || 1) * 0.1, max + Math.abs(max || 1) * 0.1];
  const ticks = niceTicks([min, max], wanted);
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : max - min;
  return [Math.floor(min / step + 1e-9) * step, Math.ceil(max / step - 1e-9) * step];
}

/**
 * Indices of at most about `limit` points that draw the same picture as all of them: of every stretch the first,
 * the lowest and the highest. So a single spike among 10,000 points is still seen.
 */
export function thin(ys, limit) {
  if (ys.length <= limit) return ys.map((_, index) => index);
  const stretches = Math.max(1, Math.floor(limit / 3));
  const kept = [];
  for (let stretch = 0; stretch < stretches; stretch += 1) {
    const from = Math.floor((stretch * ys.length) / stretches);
    const to = Math.floor(((stretch + 1) * ys.length) / stretches);
    let low = from;
    let high = from;
    for (let i = from; i < to; i += 1) {
      if (ys[i] === null) continue;
      if (ys[low] === null || ys[i] < ys[low]) low = i;
      if (ys[high] === null || ys[i] > ys[high]) high = i;
    }
    kept.push(...[...new Set([from, low, high])].sort((a, b) => a - b));
  }
  if (kept.at(-1) !== ys.length - 1) kept.push(ys.length - 1);
  return kept;
}

/**
 * Exponential moving average, forwards and then backwards: one direction alone would draw every fall later than it was.
 * A longer run is smoothed over more points.
 */
export function smooth(ys) {
  const weight = 1 - 1 / Math.min(50, Math.max(2.5, ys.length / 100));
  return averaged(averaged(ys, weight).reverse(), weight).reverse();
}

function averaged(ys, weight) {
  let sum = 0;
  let norm = 0;
  return ys.map((y) => {
    if (y === null) return null;
    sum = weight * sum + (1 - weight) * y;
    // Divided out, so that the start is not pulled towards zero.
    norm = weight * norm + (1 - weight);
    return sum / norm;
  });
}

/** Index of the value nearest to `x` in ascending `xs`, or -1. */
export function nearest(xs, x) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && (low === xs.length || x - xs[low - 1] < xs[low] - x)) return low - 1;
  return low < xs.length ? low : -1;
}

/** The value below which the fraction `q` of `values` lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(q * (sorted.length - 1))];
}
