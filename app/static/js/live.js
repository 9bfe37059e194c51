// One socket per page: events of the API's stream, in order, without gaps or doubles, and quotes.

import { io } from "../vendor/socket.io-client/socket.io.esm.min.js";

const REMEMBERED = 2000;
const RETRY_MS = 2000;
const handlers = new Map();
const watchers = new Set();
const seen = new Set();
const symbols = new Set();

let cursor = Number(document.body.dataset.cursor || -1); // what this page was drawn from; -1: not known
let catching = false;
let waiting = [];
let overflowed = false;
let attempt = 0;
let socket = null;
let state = "connecting";

/**
 * Call ``handler(event)`` for a type ("order.filled"), a family ("order.*"), "quote", "position.sample", or
 * "reset": too much was missed, load everything again.
 */
export function on(type, handler) {
  if (!handlers.has(type)) handlers.set(type, new Set());
  handlers.get(type).add(handler);
  return () => handlers.get(type).delete(handler);
}

/** Told the connection's state: connecting, connected, reconnecting. */
export function onState(watcher) {
  watchers.add(watcher);
  watcher(state);
}

function setState(next) {
  state = next;
  for (const watcher of watchers) watcher(state);
}

function dispatch(type, event) {
  const family = `${type.split(".")[0]}.*`;
  for (const name of [type, family]) {
    for (const handler of handlers.get(name) ?? []) {
      try { handler(event); } catch (error) { console.error("live", type, error); }
    }
  }
}

function take(event) {
  if (seen.has(event.id)) return;
  seen.add(event.id);
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  cursor = Math.max(cursor, Number(event.cursor));
  dispatch(event.type, event);
}

/**
 * What was missed while there was no connection, before what comes in now. Until that has succeeded nothing is
 * released: an event from behind a gap would move the cursor over what lies in it.
 */
async function catchUp() {
  attempt += 1;
  const mine = attempt;
  catching = true;
  try {
    if (cursor >= 0) await fetchMissed(() => mine === attempt);
  } catch {
    setTimeout(() => mine === attempt && socket.connected && catchUp(), RETRY_MS);
    return;
  }
  if (mine !== attempt) return; // another connection is catching up
  if (overflowed) {
    overflowed = false;
    catchUp();
    return;
  }
  catching = false;
  const held = waiting;
  waiting = [];
  held.forEach(take);
  setState("connected");
}

async function fetchMissed(isCurrent) {
  const missed = await socket.timeout(10_000).emitWithAck("resume", { after: cursor });
  if (missed.error) throw new Error(missed.error.code);
  if (!isCurrent()) return;
  missed.events.forEach(take);
  cursor = missed.cursor;
  if (missed.reset) dispatch("reset", {});
}

/** Kept for later; too much is dropped, and asked for once more. */
function hold(event) {
  if (waiting.length >= REMEMBERED) {
    waiting = [];
    overflowed = true;
  }
  waiting.push(event);
}

/** Ask for the live quotes of symbols, now and after every reconnect. */
export function subscribe(wanted) {
  const fresh = wanted.filter((symbol) => !symbols.has(symbol));
  fresh.forEach((symbol) => symbols.add(symbol));
  if (fresh.length && socket?.connected) socket.emit("subscribe", { symbols: fresh });
}

export function start() {
  if (socket || !document.body.dataset.user) return;
  socket = io({ transports: ["websocket", "polling"], reconnectionDelay: 500, reconnectionDelayMax: 5000 });
  socket.on("connect", () => {
    if (symbols.size) socket.emit("subscribe", { symbols: [...symbols] });
    catchUp();
  });
  socket.on("disconnect", (reason) => {
    catching = true; // until the next connection has caught up
    setState("reconnecting");
    if (reason === "io server disconnect") setTimeout(() => socket.connect(), 2000);
  });
  socket.on("connect_error", () => {
    setState("reconnecting");
    if (!socket.active) setTimeout(() => socket.connect(), 3000); // refused, not unreachable: nobody else tries again
  });
  socket.on("ready", (ready) => { if (cursor < 0) cursor = ready.cursor; });
  socket.onAny((type, event) => {
    if (type === "ready") return;
    if (type === "ORDER_UPDATE" || type === "ORDER_REJECT") return; // the same events under their older names
    if (event?.cursor === undefined || event.cursor === null) dispatch(type, event);
    else if (catching) hold(event);
    else take(event);
  });
}

/** Cut the connection as a network would; it comes back by itself. */
export function drop() {
  socket.io.engine.close();
}
