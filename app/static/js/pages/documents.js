// A client's own documents.

import { documents } from "../documents.js";
import { $ } from "../dom.js";
import * as live from "../live.js";

const root = $("#documents");
await documents(root, { client: root.dataset.client, edit: root.dataset.edit === "true" });
live.on("reset", () => location.reload());
live.start();
root.dataset.ready = "true";
