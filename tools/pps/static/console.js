"use strict";
// Without this file everything works but for two comforts: pages that follow the fleet, and a lifetime that shows
// what the chosen channel gives.

const REFRESH_MS = 2500;

function busy(region) {
  return region.contains(document.activeElement) && document.activeElement.tagName !== "A";
}

// The header says that nobody is at work: a page left open does not keep its session alive.
async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html", "x-inkan-live": "1" } });
  if (answer.redirected || answer.status === 401) {
    location.reload();
    return;
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const newer = fresh.getElementById(region.id);
    if (newer && newer.innerHTML !== region.innerHTML && !busy(region)) {
      region.replaceChildren(...newer.childNodes);
    }
  }
}

async function follow() {
  for (;;) {
    await new Promise((done) => setTimeout(done, REFRESH_MS));
    try {
      await refresh();
    } catch {
      // The server is away for a moment; the next round tries again.
    }
  }
}

if (document.querySelector("main [data-live]")) follow();

const form = document.getElementById("issue-form");
if (form) {
  const show = () => {
    const channel = form.elements.channel.value;
    const [count, unit] = form.elements.lifetime.dataset[channel].split(" ");
    form.elements.lifetime.placeholder = count;
    if (!form.elements.lifetime.value) form.elements.lifetime_unit.value = unit;
  };
  form.addEventListener("change", (event) => {
    if (event.target.name === "channel") show();
  });
  show();
}
