// Charts can be read by pointer, touch and arrow keys: a native range lies over the plot, the words come from the day's <title>.
// One set of listeners serves every chart, also those that htmx puts in later.
{
  const parts = (range) => {
    const chart = range.closest(".chart");
    return { output: chart.querySelector("output"), columns: chart.querySelectorAll(".chart-hits rect") };
  };

  const show = (range) => {
    const { output, columns } = parts(range);
    if (!columns.length) return;
    const column = columns[Math.min(Number(range.value), columns.length - 1)];
    const svg = column.ownerSVGElement;
    let cursor = svg.querySelector(".chart-cursor");
    if (!cursor) {
      cursor = svg.insertBefore(document.createElementNS(svg.namespaceURI, "line"), column.parentNode);
      cursor.setAttribute("class", "chart-cursor");
      output.dataset.rest = output.textContent;
    }
    const x = `${parseFloat(column.getAttribute("x")) + parseFloat(column.getAttribute("width")) / 2}%`;
    const top = Number(column.getAttribute("y"));
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("y1", top);
    cursor.setAttribute("y2", top + Number(column.getAttribute("height")));
    const words = column.textContent.trim();
    output.textContent = words;
    range.setAttribute("aria-valuetext", words);
  };

  const rest = (range) => {
    const { output } = parts(range);
    const cursor = range.closest(".chart").querySelector(".chart-cursor");
    if (!cursor) return;
    cursor.remove();
    const [, day, words] = /^(\w{3} \d+ \w{3}) (.*)$/.exec(output.dataset.rest) ?? [null, "", output.dataset.rest];
    const bold = document.createElement("b");
    bold.textContent = day;
    output.replaceChildren(...(day ? [bold, " "] : []), words);
  };

  const wake = (root) => {
    for (const range of root.querySelectorAll?.(".chart-scrub[hidden]") ?? []) {
      const { columns } = parts(range);
      if (!columns.length) continue;
      range.hidden = false;
      range.setAttribute("aria-valuetext", columns[columns.length - 1].textContent.trim());
    }
  };

  const isScrub = (event) => event.target.matches?.(".chart-scrub");
  document.addEventListener("input", (event) => { if (isScrub(event)) show(event.target); });
  document.addEventListener("pointermove", (event) => {
    if (!isScrub(event)) return;
    const box = event.target.getBoundingClientRect();
    event.target.value = Math.floor(((event.clientX - box.left) / box.width) * (Number(event.target.max) + 1));
    show(event.target);
  });
  document.addEventListener("pointerout", (event) => { if (isScrub(event) && event.pointerType === "mouse") rest(event.target); });
  document.addEventListener("focusout", (event) => { if (isScrub(event)) rest(event.target); });

  // A part that replaces itself keeps the day that is being read, and the focus on it.
  let reading = [];
  document.addEventListener("htmx:beforeSwap", () => {
    reading = [...document.querySelectorAll(".chart[id] .chart-scrub")]
      .map((range) => {
        const chart = range.closest(".chart");
        return { id: chart.id, value: range.value, focused: range === document.activeElement, shown: !!chart.querySelector(".chart-cursor") };
      })
      .filter(({ focused, shown }) => focused || shown);
  });
  document.addEventListener("htmx:afterSwap", () => {
    wake(document);
    for (const { id, value, focused, shown } of reading) {
      const range = document.getElementById(id)?.querySelector(".chart-scrub");
      if (!range || range.hidden) continue;
      range.value = value;
      if (shown) show(range);
      if (focused) range.focus({ preventScroll: true });
    }
    reading = [];
  });
  wake(document);
}
