// What a term means, beside it: while the pointer or the focus is on it, or after a tap.

const tip = element("div", {id: "tip", role: "tooltip", hidden: ""});

function explain(term) {
  tip.textContent = byId(term.getAttribute("aria-describedby")).textContent;
  tip.hidden = false;
  const place = term.getClientRects()[0], gap = 6, edge = 8;
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - edge);
  const below = place.bottom + gap + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(edge, left)}px`;
  tip.style.top = `${below ? place.bottom + gap : Math.max(edge, place.top - gap - tip.offsetHeight)}px`;
}

function watchTerms() {
  const hide = () => { tip.hidden = true; };
  document.body.append(tip);
  for (const event of ["pointerover", "focusin", "click"]) {
    document.addEventListener(event, ({target}) => {
      const term = target.closest("dfn[aria-describedby]");
      if (term) explain(term); else if (event !== "focusin") hide();
    });
  }
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", ({key}) => { if (key === "Escape") hide(); });
  addEventListener("scroll", hide, {passive: true});
}
