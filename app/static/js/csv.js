// CSV for spreadsheets: cells that a spreadsheet would run as a formula are defused.

const RISKY = /^[=+\-@\t\r]/;
const PLAIN = /^-?\d+(\.\d+)?$/;

function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (RISKY.test(text) && !PLAIN.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, header, rows) {
  const lines = [header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", lines, "\r\n"], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
