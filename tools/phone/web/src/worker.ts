/** The service worker: keeps the page's files, so that it opens without a network. Nothing else is ever kept. */

declare const self: ServiceWorkerGlobalScope;
/** Put in by the build: the files of this version, and its name. */
declare const FILES: readonly string[];
declare const VERSION: string;

const PREFIX = "inkan-phone-";
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => {
  const fill = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
    await self.skipWaiting();
  };
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => {
  const tidy = async (): Promise<void> => {
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== CACHE) {
        await caches.delete(name);
      }
    }
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const scope = new URL(self.registration.scope);
  if (event.request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) {
    return;
  }
  const answer = async (): Promise<Response> => {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(event.request, { ignoreSearch: event.request.mode === "navigate" });
    return kept ?? fetch(event.request);
  };
  event.respondWith(answer());
});

export {};
