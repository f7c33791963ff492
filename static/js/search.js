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

  let turn = 0, last = { text: input.value, key: select.value };
  function set({ text, key }) {
    last = { text, key };
    select.replaceChildren(new Option(text, key, true, true));
  }
  function choose() {
    const text = input.value.trim();
    if (!text || keys.has(text)) set({ text, key: keys.get(text) ?? "" });
  }
  async function look() {
    const mine = ++turn;
    const about = { term: input.value, app_label: select.dataset.appLabel, model_name: select.dataset.modelName, field_name: select.dataset.fieldName };
    const answer = await fetch(`${select.getAttribute("data-ajax--url")}?${new URLSearchParams(about)}`);
    if (!answer.ok || mine !== turn) return;
    const { results } = await answer.json();
    for (const row of results) keys.set(row.text, row.id);
    list.replaceChildren(...results.map((row) => new Option("", row.text)));
    choose();
  }
  let waiting = 0;
  input.addEventListener("input", () => {
    choose();
    clearTimeout(waiting);
    waiting = setTimeout(look, PAUSE);
  });
  // Words that name no row change nothing: what was chosen before stands there again.
  input.addEventListener("change", () => { choose(); input.value = last.text; });
  input.addEventListener("focus", look, { once: true });
}

function enhanceAll(root) {
  for (const select of root.querySelectorAll("select.admin-autocomplete")) {
    if (!select.hidden && !select.name.includes("__prefix__")) enhance(select);
  }
}

enhanceAll(document);
document.addEventListener("formset:added", (event) => enhanceAll(event.target));
