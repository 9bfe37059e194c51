// Texts that scripts show. English is the key; other languages come from a catalog made of the same .po files.

export const language = document.documentElement.lang || "en";
export const locale = { es: "es-PE", en: "en-US" }[language] ?? "en-US";

const catalog = language === "en" ? {} : (await import(`./catalog/${language}.js`)).default;

/** t("%(n)s orders", {n: 3}) */
export function t(text, values = {}) {
  return (catalog[text] ?? text).replace(/%\((\w+)\)s/g, (whole, name) => (name in values ? values[name] : whole));
}
