// Moving averages and RSI over the chart's closes. Pixels, not money: plain numbers.

/** The mean of the last ``length`` closes, from the first bar that has so many behind it. */
export function sma(bars, length) {
  const points = [];
  let sum = 0;
  bars.forEach((bar, index) => {
    sum += bar.close;
    if (index >= length) sum -= bars[index - length].close;
    if (index >= length - 1) points.push({ time: bar.time, value: sum / length });
  });
  return points;
}

/** The exponential one; it begins with the mean of its first ``length`` closes. */
export function ema(bars, length) {
  const points = [];
  const weight = 2 / (length + 1);
  let value = 0;
  bars.forEach((bar, index) => {
    if (index < length) value += bar.close / length;
    else value += weight * (bar.close - value);
    if (index >= length - 1) points.push({ time: bar.time, value });
  });
  return points;
}

/** Wilder's relative strength index: 100 where only rises are behind a bar, 0 where only falls are, 50 where neither. */
export function rsi(bars, length) {
  const points = [];
  let gain = 0;
  let loss = 0;
  for (let index = 1; index < bars.length; index += 1) {
    const moved = bars[index].close - bars[index - 1].close;
    const up = Math.max(moved, 0);
    const down = Math.max(-moved, 0);
    if (index <= length) {
      gain += up / length;
      loss += down / length;
    } else {
      gain += (up - gain) / length;
      loss += (down - loss) / length;
    }
    if (index >= length) points.push({ time: bars[index].time, value: gain + loss ? (100 * gain) / (gain + loss) : 50 });
  }
  return points;
}
