/** The fields' checks against the firmware's, and how values are shown. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { check, checkHost, codeFault, narrow, shown } from "../src/fields";
import { LANGUAGES, duration, preferredLanguage } from "../src/i18n";
import { vectors } from "./shared";

test("every value is judged as the firmware judges it, with the same reason (R1)", () => {
  assert.ok(vectors.fields.length > 1000);
  const reasons = new Set<string>();
  for (const [id, text, expected] of vectors.fields) {
    assert.deepEqual(check(id, text), expected, JSON.stringify([id, text]));
    reasons.add(expected.reason ?? "fits");
  }
  const all = [
    "fits",
    "empty",
    "too_long",
    "too_short",
    "not_digits",
    "bad_area",
    "bad_certificate",
    "bad_character",
    "out_of_range",
    "bad_url",
    "bad_text",
  ];
  assert.deepEqual([...reasons].sort(), all.sort());
});

test("what is shown is in groups", () => {
  assert.equal(shown(0x12, "1234567"), "〒123-4567");
  assert.equal(shown(0x31, "0123456789012345678901"), "01 2345 6789 0123 4567 8901");
  assert.equal(shown(0x41, "1234567"), "1,234,567 W");
  assert.equal(shown(0x42, "999"), "999 Wh");
  assert.equal(shown(0x53, "sha256:0123456789abcdef"), "SHA-256 0123 4567 89ab cdef");
  assert.equal(shown(0x11, ""), "");
});

test("a code needs twenty digits and its check digit, a host needs to be one", () => {
  assert.equal(codeFault("12345678901234567897"), "luhn");
  const fit = [..."0123456789"]
    .map((digit) => `1234567890123456789${digit}`)
    .filter((code) => codeFault(code) === null);
  assert.equal(fit.length, 1);
  assert.equal(codeFault(""), "empty");
  assert.equal(codeFault("1".repeat(19)), "too_short");
  assert.equal(codeFault("1".repeat(21)), "too_long");
  assert.equal(codeFault("1234567890123456789x"), "not_digits");
  assert.equal(checkHost(" PPS.example.jp:443 "), "pps.example.jp");
  assert.equal(checkHost("pps.example.jp:8443"), "pps.example.jp:8443");
  for (const host of ["", "pps_example", "https://pps.example.jp", "pps.example.jp/x", "1.2.3", "pps.example.jp:0"]) {
    assert.equal(checkHost(host), null, host);
  }
});

test("what a Japanese keyboard types into a number is made narrow", () => {
  assert.equal(narrow("１２３－４５６７　ＡＢ"), "123-4567 AB");
});

test("both languages have the same placeholders in every text", () => {
  const holes = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort();
  for (const [key, text] of Object.entries(LANGUAGES.ja)) {
    assert.deepEqual(holes(LANGUAGES.en[key as keyof typeof LANGUAGES.en]), holes(text), key);
    assert.ok(text.trim());
  }
});

test("the browser's first known language is taken, English where it has none", () => {
  assert.equal(preferredLanguage(["fr", "ja-JP", "en"]), "ja");
  assert.equal(preferredLanguage(["en-GB"]), "en");
  assert.equal(preferredLanguage(["de"]), "en");
});

test("durations are rounded to what matters", () => {
  assert.equal(duration("en", 59), "59 s");
  assert.equal(duration("en", 61), "1:01");
  assert.equal(duration("ja", 86_399), "23時間59分");
  assert.equal(duration("ja", 86_400 * 2 + 3_600), "2日1時間");
  assert.equal(duration("en", 7_200), "2 h");
  assert.equal(duration("en", 86_399, 1), "23 h");
});
