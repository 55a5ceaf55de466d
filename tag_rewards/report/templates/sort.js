"use strict";
// Without a script all faces are there in a fixed order; with one they can be put into another,
// and some of them left out.
const number = (name) => (a, b) => a.dataset[name] - b.dataset[name];
const text = (name) => (a, b) => a.dataset[name].localeCompare(b.dataset[name], "en", { numeric: true });
const orders = {
  "order": number("order"),
  "iou-up": number("iou"),
  "iou-down": (a, b) => number("iou")(b, a),
  "wrong": number("right"),
  "label": text("label"),
  "id": text("id"),
};
for (const select of document.querySelectorAll("select[data-sorts]")) {
  const list = document.getElementById(select.dataset.sorts);
  const sort = () => {
    const cards = [...list.children];
    cards.sort((a, b) => orders[select.value](a, b) || number("order")(a, b));
    list.replaceChildren(...cards);
  };
  select.addEventListener("change", sort);
  select.closest("[hidden]").hidden = false;
  sort(); // browsers keep the choice over a reload
}
for (const select of document.querySelectorAll("select[data-shows]")) {
  const list = document.getElementById(select.dataset.shows);
  const show = () => {
    const [name, ...value] = select.value.split(" ");
    for (const card of list.children) {
      const has = name === "au" ? card.dataset.au.split(" ") : [card.dataset[name]];
      card.hidden = name !== "" && !has.includes(value.join(" "));
    }
  };
  select.addEventListener("change", show);
  show();
}
