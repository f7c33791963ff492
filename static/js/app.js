// Headroom's own script: dialogs, toasts, polling, theme. Pages can be read, and forms sent, without it. No dependencies but htmx.
//
// What the server may say in HX-Trigger (django-htmx: trigger_client_event):
//   drawer:close                        close the drawer (and what stands on it)
//   popup:close                         close the confirmation or the restricted pop-up
//   toast {"message": "...", "tone": "ok"}  say what just happened; tones: ok, alert, limit, info
//   focus:on {"selector": "..."}        move the keyboard's focus there
//   usage:changed                       cards listening with hx-trigger="usage:changed from:body" fetch themselves again

const drawer = document.getElementById("drawer");
const popup = document.getElementById("popup");

// ---- Dialogs: htmx puts a frame into #drawer or #popup; the dialog opens, keeps the focus, and gives it back.

const openers = new Map();

function open(dialog) {
  if (dialog.open || !dialog.innerHTML.trim()) return;
  openers.set(dialog, document.activeElement);
  const title = dialog.querySelector("h2[id]");
  if (title) dialog.setAttribute("aria-labelledby", title.id);
  const text = dialog.querySelector("[data-describes]");
  if (text) dialog.setAttribute("aria-describedby", text.id);
  dialog.showModal();
}

function giveFocusBack(dialog) {
  const opener = openers.get(dialog);
  openers.delete(dialog);
  // A card that fetched itself again is a new element with the same id.
  const target = opener?.isConnected ? opener : opener?.id && document.getElementById(opener.id);
  if (target) target.focus({ preventScroll: true });
}

for (const dialog of [drawer, popup]) {
  if (!dialog) continue;
  // Events of parts inside (a price that was fetched again) bubble too: only the dialog's own count.
  dialog.addEventListener("htmx:afterSwap", (event) => { if (event.target === dialog) open(dialog); });
  dialog.addEventListener("htmx:afterSettle", (event) => {
    if (event.target === dialog) dialog.querySelector('[aria-invalid="true"]')?.focus();
  });
  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    // First what stands on it: beside an open dialog nothing can have the focus.
    if (dialog === drawer && popup?.open) popup.close();
    giveFocusBack(dialog);
  });
  // Only a press that also began on the backdrop closes: a selection dragged out of a field must not.
  let pressed = false;
  dialog.addEventListener("pointerdown", (event) => { pressed = event.target === dialog; });
  dialog.addEventListener("click", (event) => {
    if ((event.target === dialog && pressed) || event.target.closest("[data-close]")) {
      event.preventDefault();
      dialog.close();
    }
  });
}

// The browser's back button closes an open drawer instead of leaving the page.
if (drawer) {
  new MutationObserver(() => {
    if (drawer.open && history.state?.drawer !== true) history.pushState({ drawer: true }, "");
    else if (!drawer.open && history.state?.drawer === true) history.back();
  }).observe(drawer, { attributes: true, attributeFilter: ["open"] });
  addEventListener("popstate", () => { if (drawer.open && history.state?.drawer !== true) drawer.close(); });
}

document.body.addEventListener("drawer:close", () => drawer?.close());
document.body.addEventListener("focus:on", (event) => document.querySelector(event.detail.selector)?.focus());
document.body.addEventListener("popup:close", () => popup?.close());

// ---- Controls that are readable but not usable ask the server for the reason (spec 1.3): data-restricted="<url>".

function explain(control) {
  htmx.ajax("GET", control.closest("[data-restricted]").dataset.restricted, { target: "#popup", swap: "innerHTML" });
}
document.addEventListener("click", (event) => {
  const control = event.target.closest?.('[data-restricted] [aria-disabled="true"], [data-restricted][aria-disabled="true"]');
  if (!control) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  explain(control);
}, true);
document.addEventListener("beforeinput", (event) => {
  const field = event.target.closest?.('[data-restricted] [aria-disabled="true"]');
  if (!field) return;
  event.preventDefault();
  explain(field);
}, true);

// A refusal (403) is a pop-up wherever it was asked for; anything else that is refused is said in words.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status !== 403) return;
  if (xhr.responseText.includes('id="dialog-title"')) {
    event.detail.target = popup;
    event.detail.swapOverride = "innerHTML";
  } else {
    event.detail.shouldSwap = false;
    toast({ message: "That is not allowed any more. Reload the page and try again.", tone: "alert" });
  }
});

// With DEBUG on, django-htmx shows refusals as whole pages; ours are pop-ups there too.
document.body.addEventListener("htmx:beforeOnLoad", (event) => { if (event.detail.xhr.status === 403) event.stopPropagation(); });

// ---- One click is one request: the pressed button waits visibly, a second press does nothing.

document.body.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  const button = requestConfig?.triggeringEvent?.submitter ?? (elt.matches("button, .btn") ? elt : null);
  if (button?.matches(".btn")) button.setAttribute("aria-busy", "true");
});
for (const name of ["htmx:afterRequest", "htmx:sendAbort"]) {
  document.body.addEventListener(name, () => {
    for (const button of document.querySelectorAll('.btn[aria-busy="true"]')) button.removeAttribute("aria-busy");
  });
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  else if (!form.matches("[hx-post], [hx-get], [hx-put]") && form.method === "post") form.dataset.sent = "1";
});
addEventListener("pageshow", () => { for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent; });

// ---- Toasts: a polite live region; they stay while the pointer or the focus is on them.

const toasts = document.getElementById("toasts");

function toast({ message, tone = "ok" }) {
  const model = document.getElementById("toast");
  if (!toasts || !model || !message) return;
  const item = model.content.firstElementChild.cloneNode(true);
  item.querySelector("span").textContent = message;
  for (const icon of item.querySelectorAll("[data-tone]")) if (icon.dataset.tone !== tone) icon.remove();
  item.classList.add(`toast-${tone}`);
  toasts.append(item);
  expire(item);
}
function expire(item) {
  setTimeout(() => (item.matches(":hover, :focus-within") ? expire(item) : item.remove()), 8000);
}
toasts?.addEventListener("click", (event) => { if (event.target.closest("[data-dismiss]")) event.target.closest(".toast").remove(); });
for (const item of toasts?.children ?? []) expire(item);
document.body.addEventListener("toast", (event) => toast(event.detail));

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.body.addEventListener(name, (event) => {
    if (!event.detail.elt.matches("[data-poll]")) toast({ message: "No connection. Nothing was changed. Try again in a moment.", tone: "alert" });
  });
}
document.body.addEventListener("htmx:responseError", (event) => {
  const { elt, xhr } = event.detail;
  if (elt.matches("[data-poll]")) return;
  if (xhr.status === 429) toast({ message: "Too many requests. Try again in a moment.", tone: "alert" });
  else if (xhr.status >= 500) toast({ message: "Something went wrong on our side. Nothing was changed.", tone: "alert" });
  else toast({ message: "That is not possible any more. Reload the page and try again.", tone: "alert" });
});

// ---- Polling: data-poll="30" with hx-trigger="poll"; it rests while the page is hidden, or a dialog or a tip is open.

function poll(all) {
  if (document.hidden || document.querySelector("dialog[open], .tip-text:popover-open")) return;
  for (const element of document.querySelectorAll("[data-poll]")) {
    const due = Number(element.dataset.polled ?? started) + Number(element.dataset.poll) * 1000;
    if (!all && Date.now() < due) continue;
    element.dataset.polled = Date.now();
    htmx.trigger(element, "poll");
  }
}
const started = Date.now();
setInterval(poll, 1000);
document.addEventListener("visibilitychange", () => poll());

// A part that replaces itself keeps its open tables and the focus, before anything is painted: nothing jumps. htmx
// itself gives the focus back to elements with an id; the others are found by their place in the nearest one that has.
let unfolded = [];
let held = null;
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  unfolded = [...(part?.querySelectorAll?.("details[open][id]") ?? [])].map((item) => item.id);
  const focused = document.activeElement;
  const owner = part?.contains?.(focused) && !focused.id ? focused.closest("[id]") : null;
  held = owner && { id: owner.id, tag: focused.tagName, at: [...owner.querySelectorAll(focused.tagName)].indexOf(focused) };
});
document.body.addEventListener("htmx:afterSwap", () => {
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  if (held) document.getElementById(held.id)?.querySelectorAll(held.tag)[held.at]?.focus({ preventScroll: true });
  unfolded = [];
  held = null;
});

// ---- Long menus can be searched: what does not hold the words goes away, Enter follows the first that is left.

for (const field of document.querySelectorAll(".menu-find")) {
  const links = () => [...field.parentElement.querySelectorAll("a:not([hidden])")];
  const sieve = () => {
    const words = field.value.trim().toLowerCase();
    let title = null;
    for (const item of field.parentElement.querySelectorAll(".menu-title, a")) {
      if (item.matches(".menu-title")) {
        title = item;
        title.hidden = true;
        continue;
      }
      item.hidden = !`${title?.textContent} ${item.textContent}`.toLowerCase().includes(words);
      if (title && !item.hidden) title.hidden = false;
    }
  };
  field.hidden = false;
  field.addEventListener("input", sieve);
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") links()[0]?.click(); });
  field.parentElement.addEventListener("toggle", (event) => {
    if (event.newState === "closed") { field.value = ""; sieve(); }
  });
}

// ---- Theme: system, light or dark, kept on this device.

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "system";
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme));
  }
}
document.addEventListener("click", (event) => {
  const theme = event.target.closest?.("[data-set-theme]")?.dataset.setTheme;
  if (!theme) return;
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try { theme === "system" ? localStorage.removeItem("theme") : localStorage.setItem("theme", theme); } catch { /* kept for this page only */ }
  showTheme();
});
for (const part of document.querySelectorAll("[data-theme-choice]")) part.hidden = false;
showTheme();
