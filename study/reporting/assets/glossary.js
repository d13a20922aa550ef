// What a term means, beside it: while the pointer or the focus is on it, or after a tap.

const tip = element("div", {id: "tip", role: "tooltip", hidden: ""});
let explainedTerm = null;

function explain(term) {
  explainedTerm = term;
  tip.hidden = !term;
  if (!term) return;
  tip.textContent = byId(term.getAttribute("aria-describedby")).textContent;
  placeTip();
}

/** Under the term, or above it where there is no room; inside the window in any case. */
function placeTip() {
  if (!explainedTerm) return;
  const place = explainedTerm.getClientRects()[0], gap = 6, edge = 8;
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - edge);
  const below = place.bottom + gap + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(edge, left)}px`;
  tip.style.top = `${below ? place.bottom + gap : Math.max(edge, place.top - gap - tip.offsetHeight)}px`;
}

function watchTerms() {
  document.body.append(tip);
  for (const event of ["pointerover", "focusin", "click"]) {
    document.addEventListener(event, ({target}) => explain(target.closest("dfn[aria-describedby]")));
  }
  document.addEventListener("focusout", () => explain(null));
  document.addEventListener("keydown", ({key}) => { if (key === "Escape") explain(null); });
  addEventListener("scroll", placeTip, {passive: true});
}
