"use strict";
// One pair at a time. A rater's answers are kept under the names of study and rater in this
// browser, at every choice, and leave it only as the file that the rater saves.
const part = (id) => document.getElementById(id);
const study = document.documentElement.dataset.study;
const pairs = [...document.querySelectorAll(".pair")];
const names = pairs.map((pair) => pair.dataset.item);
const buttons = [...document.querySelectorAll("[data-choice]")];
const choices = buttons.map((button) => button.dataset.choice);
let rater = "";
let answers = {};
let at = 0;

const kept = (what) => {
  try {
    return JSON.parse(localStorage.getItem(`tag-rewards ${study} ${what}`));
  } catch {
    return null;
  }
};
const keep = (what, value) => {
  try {
    localStorage.setItem(`tag-rewards ${study} ${what}`, JSON.stringify(value));
  } catch {
    part("unkept").hidden = false;
  }
};
const open = () => names.filter((name) => !(name in answers));

function only(id) {
  for (const name of ["start", "pairs", "end"]) part(name).hidden = name !== id;
}

function show(index) {
  at = index;
  only("pairs");
  pairs.forEach((pair, number) => (pair.hidden = number !== at));
  for (const button of buttons) {
    button.setAttribute("aria-pressed", answers[names[at]] === button.dataset.choice);
  }
  const done = names.length - open().length;
  part("progress").textContent = `Pair ${at + 1} of ${names.length}, ${done} answered`;
  part("bar").value = done;
  part("back").disabled = at === 0;
  scrollTo(0, 0);
  pairs[at].focus({ preventScroll: true });
}

function end() {
  only("end");
  const left = open().length;
  part("ended").textContent = left
    ? `${names.length - left} of ${names.length} pairs are answered`
    : `Thank you: all ${names.length} pairs are answered`;
  part("more").hidden = !left;
  part("text").value = file();
  scrollTo(0, 0);
  part("ended").focus();
}

function choose(choice) {
  answers[names[at]] = choice;
  keep(`answers of ${rater}`, answers);
  const left = open();
  if (!left.length) return end();
  const later = left.find((name) => names.indexOf(name) > at);
  show(names.indexOf(later ?? left[0]));
}

function file() {
  const given = names.filter((name) => name in answers).map((name) => [name, answers[name]]);
  const ratings = { version: 1, study, rater, judge: false, answers: Object.fromEntries(given) };
  return JSON.stringify(ratings, null, 1);
}

part("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = part("rater").value.trim();
  if (!rater) return;
  keep("rater", rater);
  const known = Object.entries(kept(`answers of ${rater}`) ?? {});
  answers = Object.fromEntries(
    known.filter(([name, choice]) => names.includes(name) && choices.includes(choice)),
  );
  const left = open();
  if (left.length) show(names.indexOf(left[0]));
  else end();
});
for (const button of buttons) {
  button.addEventListener("click", () => choose(button.dataset.choice));
}
part("back").addEventListener("click", () => show(at - 1));
part("stop").addEventListener("click", end);
part("more").addEventListener("click", () => show(names.indexOf(open()[0])));
part("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
  link.download = `ratings-${rater.replace(/[^\p{L}\p{N}-]+/gu, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});
addEventListener("keydown", (event) => {
  if (part("pairs").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const choice = { 1: "first", 0: "tie", 2: "second" }[event.key];
  if (choice) choose(choice);
  else if (event.key.toLowerCase() === "b" && at > 0) show(at - 1);
});
part("rater").value = kept("rater") ?? "";
