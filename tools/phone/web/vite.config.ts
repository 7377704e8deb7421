/** Builds the page into build/phone, and its service worker with the list of what was built. */

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";

import { type Plugin, defineConfig } from "vite";

const WORKER = "worker.js";

/** Our own worker instead of vite-plugin-pwa: sixty lines, where Workbox brings three hundred packages. */
function serviceWorker(): Plugin {
  return {
    name: "inkan-service-worker",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const digest = createHash("sha256");
        const files = ["./"];
        for (const [name, file] of Object.entries(bundle).sort(([one], [other]) => (one < other ? -1 : 1))) {
          digest.update(name).update(file.type === "chunk" ? file.code : file.source);
          if (name !== WORKER && name !== "index.html") {
            files.push(name);
          }
        }
        for (const name of readdirSync("public").sort()) {
          digest.update(name).update(readFileSync(`public/${name}`));
          files.push(name);
        }
        const worker = bundle[WORKER];
        if (worker?.type !== "chunk") {
          this.error("no service worker was built");
        }
        const version = digest.digest("hex").slice(0, 16);
        worker.code = `const FILES = ${JSON.stringify(files)};\nconst VERSION = "${version}";\n${worker.code}`;
      },
    },
  };
}

export default defineConfig({
  base: "./",
  build: {
    outDir: process.env["INKAN_PHONE_OUT"] ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: { index: "index.html", worker: "src/worker.ts" },
      output: { entryFileNames: ({ name }) => (name === "worker" ? WORKER : "assets/[name]-[hash].js") },
    },
  },
  plugins: [serviceWorker()],
});
