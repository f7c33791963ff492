// The admin's own script: copy buttons, the page one is on in view, names for parts that Django's scripts leave without.

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

// The list of pages shows the one that is open, however far down it stands.
const pages = document.getElementById("nav-sidebar");
const here = pages?.querySelector(".current-model");
if (here) pages.scrollTop = here.offsetTop - pages.clientHeight / 2;

// Fields in tables get their column's name; empty headings are none, signs with a label say that they are pictures.
function nameParts() {
  for (const cell of document.querySelectorAll('.inline-group .tabular td[class*="field-"], .inline-group .tabular td.delete')) {
    const name = [...cell.classList].find((each) => each.startsWith("field-"))?.slice(6);
    const head = name && cell.closest("table").querySelector(`th.column-${name}`);
    for (const field of cell.querySelectorAll("input:not([type=hidden]), select, textarea")) {
      if (!field.labels?.length && !field.hasAttribute("aria-label")) field.setAttribute("aria-label", head?.textContent.trim() || "Delete");
    }
  }
  for (const head of document.querySelectorAll(".inline-group th:empty")) head.replaceWith(document.createElement("td"));
  for (const sign of document.querySelectorAll("span.help-tooltip[aria-label]:not([role])")) sign.setAttribute("role", "img");
}

// Those scripts run when they like, and again for every row that is added.
nameParts();
new MutationObserver(nameParts).observe(document.body, { childList: true, subtree: true });
