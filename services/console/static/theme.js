// Before anything is drawn, so that no page flashes in the wrong colours.
try {
  const chosen = localStorage.getItem("fliq-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* no storage: as the system says */ }
