// Fields that choose one of many rows: what is typed is looked up, and the browser's own list offers what was found.

const PAUSE = 150; // ms between the last letter and the question

function enhance(select) {
  const input = document.createElement("input"), list = document.createElement("datalist");
  const keys = new Map(); // of the rows that were found, by their names
  list.id = `${select.id}_found`;
  input.id = `${select.id}_search`;
  input.type = "text";
  input.className = "vTextField";
  input.autocomplete = "off";
  input.setAttribute("list", list.id);
  input.value = select.value ? select.selectedOptions[0].text.trim() : "";
  for (const name of ["aria-label", "aria-describedby", "aria-invalid"]) {
    if (select.hasAttribute(name)) input.setAttribute(name, select.getAttribute(name));
  }
  for (const label of [...select.labels]) label.htmlFor = input.id;
  select.hidden = true;
  select.after(input, list);

  let turn = 0;
  function choose() {
    const key = keys.get(input.value.trim());
    select.replaceChildren(key ? new Option(input.value, key, true, true) : new Option("", "", true, true));
  }
  async function look() {
    const mine = ++turn;
    const about = { term: input.value, app_label: select.dataset.appLabel, model_name: select.dataset.modelName, field_name: select.dataset.fieldName };
    const answer = await fetch(`${select.getAttribute("data-ajax--url")}?${new URLSearchParams(about)}`);
    if (!answer.ok || mine !== turn) return;
    const { results } = await answer.json();
    for (const row of results) keys.set(row.text, row.id);
    list.replaceChildren(...results.map((row) => new Option("", row.text)));
    if (input.value && !select.value) choose();
  }
  let waiting = 0;
  input.addEventListener("input", () => {
    choose();
    clearTimeout(waiting);
    waiting = setTimeout(look, PAUSE);
  });
  input.addEventListener("focus", look, { once: true });
}

function enhanceAll(root) {
  for (const select of root.querySelectorAll("select.admin-autocomplete")) {
    if (!select.hidden && !select.name.includes("__prefix__")) enhance(select);
  }
}

enhanceAll(document);
document.addEventListener("formset:added", (event) => enhanceAll(event.target));
