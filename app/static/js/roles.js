// Roles and scopes in the reader's words.

import { t } from "./i18n.js";

const ROLES = { master: t("Master"), trader: t("Trader"), operator: t("Operator"), middle_office: t("Middle office"), client: t("Client") };

export const role = (code) => ROLES[code] ?? code;
export const staffRoles = Object.keys(ROLES).filter((code) => code !== "client");
export const allRoles = Object.keys(ROLES);
