// Runs before the first paint, so that a chosen theme never flashes. Without a choice the system's own scheme holds.
{
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is refused: the system's scheme holds */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
