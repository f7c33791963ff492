// Tables of forms: a button adds a row, a new row can be taken away again. The last row of a table is what new ones copy.

function numbered(row, prefix, number) {
  const place = new RegExp(`${prefix}-(\\d+|__prefix__)`);
  for (const part of [row, ...row.querySelectorAll("*")]) {
    for (const name of ["id", "name", "for", "list", "aria-describedby"]) {
      const value = part.getAttribute(name);
      if (value) part.setAttribute(name, value.replace(place, `${prefix}-${number}`));
    }
  }
}

for (const group of document.querySelectorAll(".js-inline-admin-formset")) {
  const { prefix, addText, deleteText } = JSON.parse(group.dataset.inlineFormset).options;
  const total = document.getElementById(`id_${prefix}-TOTAL_FORMS`), most = document.getElementById(`id_${prefix}-MAX_NUM_FORMS`);
  const pattern = document.getElementById(`${prefix}-empty`);
  if (!pattern) continue;
  const line = document.createElement("tr"), cell = line.insertCell(), add = document.createElement("button");
  line.className = "add-row";
  cell.colSpan = pattern.cells.length;
  add.type = "button";
  add.className = "addlink";
  add.textContent = addText;
  cell.append(add);
  pattern.after(line);

  const isFull = () => most.value !== "" && Number(total.value) >= Number(most.value);
  const show = () => { line.hidden = isFull(); };
  add.addEventListener("click", () => {
    const row = pattern.cloneNode(true);
    row.classList.remove("empty-form");
    row.id = `${prefix}-${total.value}`;
    numbered(row, prefix, total.value);
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "inline-deletelink";
    remove.textContent = deleteText;
    remove.addEventListener("click", () => {
      row.remove();
      total.value = Number(total.value) - 1;
      // Rows that are stored stand before the new ones and keep their numbers.
      const stored = group.querySelectorAll("tr.has_original").length;
      [...group.querySelectorAll("tr.form-row:not(.has_original, .empty-form)")].forEach((each, index) => numbered(each, prefix, stored + index));
      show();
      add.focus();
    });
    row.cells[row.cells.length - 1].append(remove);
    pattern.before(row);
    total.value = Number(total.value) + 1;
    row.dispatchEvent(new CustomEvent("formset:added", { bubbles: true, detail: { formsetName: prefix } }));
    show();
    row.querySelector("input:not([type=hidden], [hidden]), select:not([hidden]), textarea")?.focus();
  });
  show();
}
