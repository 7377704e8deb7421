/** Starts the page: which carriers there are, the service worker, the first screen. */

import "./style.css";

import { App } from "./app";
import { choose } from "./screens/choose";
import { RelayTransport } from "./transports/relay";

const RELAY_KEY = "relay";
const TOKEN = /^#relay=([0-9a-f]{32})$/;

/** The relay's token is taken out of the address at once: not in the history, not in a bookmark. */
function relayToken(): string | null {
  const token = TOKEN.exec(location.hash)?.[1];
  if (token) {
    sessionStorage.setItem(RELAY_KEY, token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(RELAY_KEY);
}

function radioUrl(): string | null {
  if (location.hash !== "#radio") {
    return null;
  }
  const url = new URL("radio", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url.href;
}

// Another link was opened in this tab.
addEventListener("hashchange", () => location.reload());

const radio = radioUrl();
const token = relayToken();
const app = new App(document.getElementById("app")!, {
  radioUrl: radio,
  relay: token === null ? null : new RelayTransport(location.origin, token),
});
app.show(choose(app));

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  // Where the browser takes no worker, as from an origin that it does not trust, the page works all the same, online.
  navigator.serviceWorker.register("worker.js").catch(() => undefined);
}
