"use strict";
(() => {
  const form = document.querySelector("form"), main = document.querySelector("main");
  const cards = [...main.children];
  const wanted = new URLSearchParams(location.hash.slice(1));
  const value = (card, key) => card.dataset[key] ?? "";
  const compare = (key) => (a, b) => {
    const [first, second] = [value(a, key), value(b, key)];
    if (key === "name" || key === "state") return first.localeCompare(second, undefined, { numeric: true });
    // The largest and the newest first; cards without a number last.
    return (second === "" ? -Infinity : +second) - (first === "" ? -Infinity : +first) || 0;
  };
  const apply = () => {
    const { sort, state, text } = Object.fromEntries(new FormData(form));
    main.replaceChildren(...[...cards].sort(compare(sort)));
    const words = text.toLowerCase();
    let shown = 0;
    for (const card of cards) {
      card.hidden = (state !== "" && card.dataset.state !== state) || !card.dataset.name.toLowerCase().includes(words);
      shown += !card.hidden;
    }
    document.querySelector("output").value = shown === cards.length ? "" : `${shown} of ${cards.length} shown`;
    history.replaceState(null, "", `#${new URLSearchParams({ sort, state, text })}`);
  };
  // Without tomograms there is nothing to sort.
  if (form) {
    for (const name of ["sort", "state", "text"]) if (wanted.has(name)) form.elements[name].value = wanted.get(name);
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }
  const refresh = Number(document.body.dataset.refresh);
  if (refresh) setInterval(() => { if (!document.hidden && document.activeElement?.name !== "text") location.reload(); }, refresh * 1000);
})();
