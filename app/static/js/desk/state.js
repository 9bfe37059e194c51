// What the desk is looking at, and who wants to know when that changes.

const page = document.getElementById("desk");

export const instruments = JSON.parse(page.dataset.instruments);
export const clients = JSON.parse(page.dataset.clients);
export const mayTrade = page.dataset.trade === "true";
const bySymbol = new Map(instruments.map((instrument) => [instrument.symbol, instrument]));

export const state = { client: null, wallet: null, wallets: [], symbol: null, quotes: new Map(), balances: new Map() };
const watchers = new Map();

export const instrument = (symbol = state.symbol) => bySymbol.get(symbol) ?? instruments[0];
export const quote = (symbol = state.symbol) => state.quotes.get(symbol);

/** ``topic``: client, wallet, symbol, quote, balances, positions, orders. */
export function watch(topic, watcher) {
  if (!watchers.has(topic)) watchers.set(topic, []);
  watchers.get(topic).push(watcher);
}

export function tell(topic, value) {
  for (const watcher of watchers.get(topic) ?? []) watcher(value);
}

export function setSymbol(symbol) {
  if (!bySymbol.has(symbol) || symbol === state.symbol) return;
  state.symbol = symbol;
  localStorage.setItem("symbol", symbol);
  remember();
  tell("symbol", symbol);
}

/** Client, wallet and symbol stay in the address, so that a desk can be bookmarked and sent. */
export function remember() {
  const search = new URLSearchParams({ symbol: state.symbol ?? "" });
  if (clients.length > 1 && state.client) search.set("client", state.client.code);
  if (state.wallets.length > 1 && state.wallet) search.set("wallet", state.wallet.id);
  history.replaceState(null, "", `?${search}`);
}
