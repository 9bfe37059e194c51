// For whom the desk trades: the client, the wallet, and what is in it.

import { get } from "../api.js";
import { $, h, setText } from "../dom.js";
import { balance, usd } from "../format.js";
import { t } from "../i18n.js";
import { label } from "../labels.js";
import * as live from "../live.js";
import { complain } from "../toast.js";
import { clients, instrument, remember, state, tell, watch } from "./state.js";

const REVALUE_MS = 200;
let revaluing = 0;

const clientSelect = $("#client");
const walletSelect = $("#wallet");

async function chooseClient(client) {
  state.client = client;
  tell("client", client);
  if (!client) return;
  try {
    const answer = await get("/api/v1/wallets", { client_id: client.id, limit: 100 });
    state.wallets = answer.items;
  } catch (problem) {
    complain(problem, t("The wallets could not be loaded"));
    state.wallets = [];
  }
  walletSelect.replaceChildren(...state.wallets.map((wallet) =>
    h("option", { value: wallet.id }, wallet.status === "active" ? wallet.name : `${wallet.name} (${label(wallet.status).toLowerCase()})`)));
  const named = new URLSearchParams(location.search).get("wallet");
  const wallet = state.wallets.find((item) => item.id === named) ?? state.wallets.find((item) => item.is_default) ?? state.wallets[0];
  await chooseWallet(wallet ?? null);
}

async function chooseWallet(wallet) {
  state.wallet = wallet;
  state.balances = new Map();
  if (wallet) walletSelect.value = wallet.id;
  $("#desk-paused").hidden = !wallet || wallet.status === "active";
  $("#desk-nowallet").hidden = Boolean(wallet);
  remember();
  tell("wallet", wallet);
  await loadBalances();
}

async function loadBalances() {
  const wallet = state.wallet;
  if (!wallet) return;
  try {
    const answer = await get(`/api/v1/wallets/${wallet.id}/balances`);
    if (wallet !== state.wallet) return;
    for (const item of answer.balances) state.balances.set(item.asset, { available: item.available, held: item.held });
    setText($("#wallet-total"), usd(answer.total_usd));
    show();
  } catch (problem) {
    complain(problem, t("The balances could not be loaded"));
  }
}

function show() {
  const { base, quote } = instrument();
  const shown = (asset) => balance(state.balances.get(asset)?.available ?? "0", asset);
  setText($("#have-quote"), shown(quote));
  setText($("#have-base"), shown(base));
  tell("balances");
}

export async function start() {
  watch("symbol", show);
  live.on("wallet.balance", ({ data }) => {
    if (data.wallet_id !== state.wallet?.id) return;
    for (const [asset, change] of Object.entries(data.balances)) {
      state.balances.set(asset, { available: "0", held: "0", ...state.balances.get(asset), ...change });
    }
    show();
    clearTimeout(revaluing); // a fill changes several balances: their value is asked for once
    revaluing = setTimeout(loadBalances, REVALUE_MS);
  });
  for (const type of ["wallet.paused", "wallet.active", "wallet.suspended", "wallet.updated"]) {
    live.on(type, ({ data }) => {
      if (data.id !== state.wallet?.id) return;
      Object.assign(state.wallet, data);
      $("#desk-paused").hidden = data.status === "active";
    });
  }
  setInterval(loadBalances, 30_000); // the total in USD moves with the market
  walletSelect.addEventListener("change", () => chooseWallet(state.wallets.find((wallet) => wallet.id === walletSelect.value)));
  clientSelect?.addEventListener("change", () => chooseClient(clients.find((client) => client.id === clientSelect.value)));
  const named = new URLSearchParams(location.search).get("client");
  const client = clients.find((item) => item.code === named || item.id === named) ?? clients[0] ?? null;
  if (clientSelect && client) clientSelect.value = client.id;
  await chooseClient(client);
}
