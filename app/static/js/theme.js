// Runs before the first paint, so that nobody sees the wrong theme flash by.
(function () {
  const root = document.documentElement;
  let theme = root.dataset.themeChoice;
  try { theme = theme || localStorage.getItem("theme"); } catch { /* storage may be closed to us */ }
  theme = theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.setAttribute("data-bs-theme", theme);
})();
