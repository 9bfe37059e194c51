// The trading desk: brings its parts together.

import * as live from "../live.js";
import * as account from "./account.js";
import * as chart from "./chart.js";
import * as executions from "./executions.js";
import * as hotkeys from "./hotkeys.js";
import * as market from "./market.js";
import * as orders from "./orders.js";
import * as pick from "./pick.js";
import * as positions from "./positions.js";
import * as resting from "./resting.js";
import { instruments, setSymbol, tell } from "./state.js";
import * as ticket from "./ticket.js";
import * as views from "./views.js";

chart.start();
ticket.start();
positions.start();
orders.start();
resting.start();
pick.start();
executions.start();
hotkeys.start();
views.start();
const wanted = new URLSearchParams(location.search).get("symbol") ?? localStorage.getItem("symbol");
const chosen = instruments.find((item) => item.symbol === wanted) ?? instruments[0];
const known = market.start();
if (chosen) setSymbol(chosen.symbol);
live.start();
let lost = false;
live.on("reset", () => tell("resync"));
live.onState((state) => {
  if (state === "connected" && lost) chart.load(); // quotes are not replayed
  lost = state === "reconnecting";
});
await Promise.allSettled([known, account.start()]);
document.getElementById("desk").dataset.ready = "true";
