// Tables that sort by a click on a column's head and keep their rows from one drawing to the next.

import { element, showText } from "./elements.js";

// columns: {name, text(row), value(row) to sort by, kind: class of the cells, open(row): what a click does, bar(row): 0 to 1}
export class Table {
  constructor(home, columns, { sortBy, key, empty, most = 50 }) {
    this.home = home;
    this.columns = columns;
    this.key = key;
    this.most = most;
    this.sortBy = sortBy;
    this.rows = new Map();
    this.empty = element("p", { class: "empty" }, empty);
    this.heads = columns.map((column) => this.head(column));
    this.body = element("tbody");
    this.table = element("table", {}, element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    home.append(this.empty, this.table);
    this.table.hidden = true;
  }

  head(column) {
    const kind = column.kind || null;
    if (!column.value) return element("th", { class: kind, scope: "col" }, column.name);
    const button = element("button", { type: "button", tabindex: 0, onclick: () => this.sort(column.name) }, column.name);
    return element("th", { class: kind, scope: "col" }, button);
  }

  sort(name) {
    this.sortBy = name;
    if (this.last) this.show(this.last);
  }

  show(data) {
    this.last = data;
    this.columns.forEach((column, index) => {
      if (column.name === this.sortBy) this.heads[index].setAttribute("aria-sort", "descending");
      else this.heads[index].removeAttribute("aria-sort");
    });
    const by = this.columns.find((column) => column.name === this.sortBy);
    const sorted = by ? [...data].sort((a, b) => compare(by.value(b), by.value(a))) : data;
    const shown = sorted.slice(0, this.most);
    this.empty.hidden = shown.length > 0;
    this.table.hidden = shown.length === 0;
    const keys = new Set();
    shown.forEach((item, index) => {
      const key = this.key(item);
      keys.add(key);
      const row = this.rows.get(key) || this.row(key);
      row.item = item;
      this.fill(row);
      if (this.body.children[index] !== row.node) this.body.insertBefore(row.node, this.body.children[index] || null);
    });
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) { row.node.remove(); this.rows.delete(key); }
    }
  }

  row(key) {
    const row = { item: null, texts: [], bars: [] };
    const cells = this.columns.map((column) => {
      const text = column.open ? element("button", { type: "button", class: "open", onclick: () => column.open(row.item) }) : element("span");
      const bar = column.bar ? element("div", { class: "bar", "aria-hidden": "true" }) : null;
      row.texts.push(text);
      row.bars.push(bar);
      return element("td", { class: column.kind || null }, text, bar);
    });
    row.node = element("tr", {}, ...cells);
    this.rows.set(key, row);
    return row;
  }

  fill(row) {
    this.columns.forEach((column, index) => {
      showText(row.texts[index], column.text(row.item));
      const tint = column.tint ? column.tint(row.item) : "";
      row.texts[index].className = [column.open ? "open" : "", tint].filter(Boolean).join(" ");
      if (row.bars[index]) {
        row.bars[index].style.width = `${Math.max(1, column.bar(row.item) * 100)}%`;
        row.bars[index].className = `bar ${tint}`;
      }
    });
  }
}

function compare(a, b) {
  if (typeof a === "string" || typeof b === "string") return String(a ?? "").localeCompare(String(b ?? ""));
  return (a ?? -1) - (b ?? -1);
}
