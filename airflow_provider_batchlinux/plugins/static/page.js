// Progressive: the page works without it. It follows Airflow's theme, counts the age of what is shown, and opens
// pages of Airflow in Airflow itself when this page is in a frame of it.
"use strict";

function follow() {
  let theme = null;
  try { theme = window.localStorage.getItem("theme"); } catch { /* storage is off */ }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

function openInAirflow(event) {
  const link = event.target.closest("a[data-airflow]");
  if (!link || window.parent === window || event.defaultPrevented) return;
  try {
    window.parent.history.pushState(null, "", link.href);
    window.parent.dispatchEvent(new PopStateEvent("popstate", { state: null }));
    event.preventDefault();
  } catch { /* the frame of another site: the link opens here */ }
}

function written(seconds) {
  if (seconds < 60) return `${seconds} s old`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s old`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min old`;
}

follow();
window.addEventListener("storage", follow);
document.addEventListener("click", openInAirflow);
const loaded = Date.now();
window.setInterval(() => {
  for (const shown of document.querySelectorAll("[data-age]")) {
    shown.textContent = written(Number(shown.dataset.age) + Math.floor((Date.now() - loaded) / 1000));
  }
}, 1000);
if (window.parent !== window) document.documentElement.classList.add("framed");
