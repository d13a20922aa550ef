// A page of a study that runs loads itself again, and is then as its reader had left it: where they were, what they had chosen,
// typed, sorted and unfolded.

const RELOAD_MS = 30000;
const titleOf = details => details.querySelector("summary").textContent.replace(/\d+/g, "");   // how many may have changed
const controls = () => [...document.querySelectorAll("select[id], input[id]")];

function keepState() {
  const sorting = document.querySelector("th[aria-sort$=ending]");
  history.replaceState({top: scrollY, panel: byId("panel").scrollTop, focus: document.activeElement.id,
    chosen: controls().map(each => [each.id, each.value]),
    sorted: sorting && [sorting.textContent, sorting.getAttribute("aria-sort")],
    unfolded: [...document.querySelectorAll("details[open]")].map(titleOf)}, "");
}

function restoreState({top, panel, focus, chosen, sorted, unfolded}) {
  for (const [id, value] of chosen) {
    const control = byId(id);
    if (!control || control.value === value) continue;
    control.value = value;
    control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", {bubbles: true}));
  }
  const title = sorted && [...document.querySelectorAll("th[aria-sort]")].find(each => each.textContent === sorted[0]);
  for (let click = 0; title && click < 2 && title.getAttribute("aria-sort") !== sorted[1]; click++) title.firstChild.click();
  for (const details of document.querySelectorAll("details")) details.open ||= unfolded.includes(titleOf(details));
  byId(focus)?.focus({preventScroll: true});
  byId("panel").scrollTop = panel;
  scrollTo({top, behavior: "instant"});
}

function keepUpToDate() {
  if (!("live" in document.body.dataset)) return;
  history.scrollRestoration = "manual";
  if (history.state?.chosen) restoreState(history.state);
  addEventListener("pagehide", keepState);
  setTimeout(() => { keepState(); location.reload(); }, RELOAD_MS);
}
