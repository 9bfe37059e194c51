// The server's time. A PC's clock may be minutes off, and everything here is judged by the server's.

const SECOND = 1000; // what the Date header is rounded down to

// the offset lies between these two; every answer can only narrow that
let low = -Infinity;
let high = Infinity;

/** Learn from an answer's Date header, with this machine's time when the request left and when it was answered. */
export function learn(header, sent, received) {
  const server = Date.parse(header ?? "");
  if (Number.isNaN(server)) return;
  const least = server - received;
  const most = server + SECOND - sent;
  if (least > high || most < low) { low = least; high = most; return; } // this machine's clock was set
  low = Math.max(low, least);
  high = Math.min(high, most);
}

/** How far this machine's clock is behind the server's, in milliseconds; a second of doubt is not corrected. */
export const offset = () => (low > 0 ? low : high < 0 ? high : 0);

export const now = () => Date.now() + offset();
