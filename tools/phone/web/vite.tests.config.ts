/** Builds the unit tests for node's own test runner, so that the page needs no runner of its own. */

import { readdirSync } from "node:fs";

import { defineConfig } from "vite";

const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts"));

export default defineConfig({
  publicDir: false,
  build: {
    ssr: true,
    outDir: process.env["INKAN_PHONE_UNITS"] ?? "dist-units",
    emptyOutDir: true,
    target: "node20",
    rolldownOptions: { input: Object.fromEntries(tests.map((name) => [name.slice(0, -3), `tests/${name}`])) },
  },
  ssr: { noExternal: true },
});
