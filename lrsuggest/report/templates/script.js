"use strict";
(() => {
  const all = (query, inside = document) => [...inside.querySelectorAll(query)];
  const form = document.getElementById("filter");
  document.documentElement.classList.add("js");

  // The address holds what is filtered and where the reader is: #kind=regression&at=task3
  const state = () => {
    const text = decodeURIComponent(location.hash.slice(1));
    return text.includes("=") ? Object.fromEntries(new URLSearchParams(text)) : { at: text };
  };
  const keep = (next) => {
    const full = Object.entries(next).filter(([, value]) => value);
    const plain = full.length === 1 && next.at ? next.at : new URLSearchParams(full).toString();
    history.replaceState(null, "", "#" + plain);
  };

  const unfold = (target) => {
    for (let each = target; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    target.scrollIntoView();
    const focus = target.querySelector(":scope > summary") || target;
    if (focus === target) focus.tabIndex = -1;
    focus.focus({ preventScroll: true });
  };

  const show = () => {
    const { kind = "", from = "" } = state();
    if (!form) return;
    form.kind.value = kind;
    form.from.value = from;
    for (const each of all("tr[data-kind], details[data-kind]")) {
      each.hidden = kind !== "" && each.dataset.kind !== kind;
    }
    for (const each of all("tr[data-from]")) {
      each.hidden = from !== "" && each.dataset.from !== from;
    }
    for (const head of all(".heat thead th[data-from]")) {
      const off = from !== "" && head.dataset.from !== from;
      for (const row of all(".heat tr")) row.cells[head.cellIndex].hidden = off;
    }
    // A kind has a ranking of its own.
    const kinds = document.getElementById("by-kind");
    if (kinds) {
      const own = all("[data-kind]", kinds).some((each) => each.dataset.kind === kind);
      all("#by-kind > div").forEach((each) => { each.hidden = own && each.dataset.kind !== kind; });
      document.getElementById("ranks").parentElement.hidden = own;
      if (own) kinds.open = true;
    }
  };

  const go = () => {
    show();
    const target = document.getElementById(state().at || "");
    if (target) unfold(target);
  };

  form?.addEventListener("change", () => {
    keep({ kind: form.kind.value, from: form.from.value });
    show();
  });
  window.addEventListener("hashchange", go);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    keep({ ...state(), at: link.getAttribute("href").slice(1) });
    go();
  });

  // Sorting: a button in every head, numbers as numbers, what has none last.
  const value = (cell) => {
    const text = cell.dataset.v || cell.textContent.trim().replace("−", "-");
    const found = parseFloat(text);
    return Number.isNaN(found) ? (cell.matches(".n") ? null : text) : found;
  };
  const compare = (a, b) => (typeof a === "string" || typeof b === "string"
    ? String(a).localeCompare(String(b)) : a - b);
  for (const head of all(".wide:not(.heat) thead th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const pairs = [...body.rows].map((row) => [value(row.cells[head.cellIndex]), row]);
      const [none, some] = [pairs.filter(([x]) => x === null), pairs.filter(([x]) => x !== null)];
      some.sort(([a], [b]) => (down ? -1 : 1) * compare(a, b));
      body.append(...[...some, ...none].map(([, row]) => row));
    });
  }

  // A contestant pointed at stands out in the profile, a column in the heat map.
  const light = (name) => {
    for (const line of all("[id^=profile-mark-]")) {
      line.classList.toggle("on", line.id === "profile-mark-" + name);
      line.closest("svg").classList.toggle("dim", name !== null);
    }
  };
  document.addEventListener("mouseover", (event) => {
    const row = event.target.closest("tr[data-c]");
    const known = row && document.getElementById("profile-mark-" + row.dataset.c);
    light(known ? row.dataset.c : null);
    const cell = event.target.closest(".heat tbody td");
    for (const each of all(".heat .col")) each.classList.remove("col");
    if (cell) for (const row of all(".heat tbody tr")) row.cells[cell.cellIndex].classList.add("col");
  });

  go();
  // The browser's own jump to the address takes the focus away again.
  window.addEventListener("load", () => setTimeout(go));
})();
