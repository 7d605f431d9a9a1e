"use strict";

const numberOf = (text) => {
  const match = /^[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?/i.exec(text);
  return match ? Number(match[0].replaceAll(",", "")) : null;
};

const textOf = (row, column) => row.cells[column].textContent.trim();

/* Rows by a column: by the first number of its cells where all that are known have one; what is not known comes last. */
function sorted(rows, column, direction) {
  const isKnown = (row) => !["", "-", "missing"].includes(textOf(row, column));
  const known = rows.filter(isKnown);
  const numeric = known.every((row) => numberOf(textOf(row, column)) !== null);
  const sign = direction === "descending" ? -1 : 1;
  known.sort((a, b) => {
    const [left, right] = [textOf(a, column), textOf(b, column)];
    return sign * (numeric ? numberOf(left) - numberOf(right) : left.localeCompare(right));
  });
  return [...known, ...rows.filter((row) => !isKnown(row))];
}

/* Each head becomes a button: highest first, lowest first, and the order of the file again. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.scope = "col";
    button.addEventListener("click", () => {
      const next = { descending: "ascending", ascending: null }[head.getAttribute("aria-sort")];
      const direction = next === undefined ? "descending" : next;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      if (direction) head.setAttribute("aria-sort", direction);
      body.append(...(direction ? sorted(original, column, direction) : original));
    });
  });
}

/* A picture opens at its own size, in a dialog that Escape, a click or its button closes. */
function makeEnlargeable(image, dialog) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "enlarge";
  button.setAttribute("aria-label", `Enlarge: ${image.alt}`);
  image.replaceWith(button);
  button.append(image);
  button.addEventListener("click", () => {
    dialog.querySelector("img")?.remove();
    dialog.append(image.cloneNode());
    dialog.showModal();
  });
}

const dialog = document.querySelector("dialog");
dialog.addEventListener("click", () => dialog.close());
document.querySelectorAll(".wide table").forEach(makeSortable);
document.querySelectorAll("img").forEach((image) => makeEnlargeable(image, dialog));
