/** The fields of the unique information: one table, and the checks that the module makes too (R1). */

import type { FieldReason, Group } from "./protocol/messages";

export type Kind = "text" | "digits" | "code" | "number" | "url" | "certificate" | "secret";

export interface Field {
  readonly id: number;
  readonly kind: Kind;
  /** Characters or digits; of a number the number itself. */
  readonly least: number;
  readonly most: number;
  /** Sizes of the groups in which the digits are shown. */
  readonly digitGroups?: readonly number[];
  readonly unit?: string;
}

export const POSTAL_CODE = 0x12;
export const SITE_ID = 0x31;
export const CREDENTIAL_URL = 0x51;
export const CODE_DIGITS = 20;
const AREA_MAX = 10;

export const FIELDS = [
  { id: 0x11, kind: "text", least: 1, most: 40 },
  { id: POSTAL_CODE, kind: "digits", least: 7, most: 7, digitGroups: [3, 4] },
  { id: 0x13, kind: "text", least: 1, most: 100 },
  { id: 0x14, kind: "code", least: 1, most: 20 },
  { id: 0x21, kind: "secret", least: 64, most: 64 },
  { id: SITE_ID, kind: "digits", least: 22, most: 22, digitGroups: [2, 4, 4, 4, 4, 4] },
  { id: 0x41, kind: "number", least: 1, most: 999_999, unit: "W" },
  { id: 0x42, kind: "number", least: 1, most: 9_999_999, unit: "Wh" },
  { id: 0x43, kind: "number", least: 1, most: 9_999_999, unit: "Wh" },
  { id: CREDENTIAL_URL, kind: "url", least: 1, most: 100 },
  { id: 0x52, kind: "url", least: 1, most: 100 },
  { id: 0x53, kind: "certificate", least: 2, most: 2048 },
  { id: 0x54, kind: "certificate", least: 2, most: 2048 },
  { id: 0x55, kind: "secret", least: 32, most: 32 },
  { id: 0x56, kind: "certificate", least: 2, most: 2048 },
] as const satisfies readonly Field[];
export type FieldId = (typeof FIELDS)[number]["id"];

const BY_ID = new Map<number, Field>(FIELDS.map((field) => [field.id, field]));

export function fieldOf(id: number): Field | undefined {
  return BY_ID.get(id);
}

export function fieldsOf(group: Group): FieldId[] {
  return FIELDS.map(({ id }) => id).filter((id) => id >> 4 === group);
}

export type Checked = { readonly value: string } | { readonly reason: FieldReason };

class Reason extends Error {
  constructor(readonly reason: FieldReason) {
    super(reason);
  }
}

/** The text in the one form in which it is sent, or why it cannot be the field's. As firmware/unique_info.py. */
export function check(id: number, text: string): Checked {
  const field = BY_ID.get(id);
  try {
    if (!field) {
      throw new Reason("bad_character");
    }
    return { value: CHECKS[field.kind](text, field) };
  } catch (error) {
    if (error instanceof Reason) {
      return { reason: error.reason };
    }
    throw error;
  }
}

const CHECKS: Readonly<Record<Kind, (text: string, field: Field) => string>> = {
  text: checkText,
  digits: checkDigits,
  code: checkCode,
  number: checkNumber,
  url: checkUrl,
  certificate: (): never => {
    throw new Reason("bad_certificate");
  },
  secret: (): never => {
    throw new Reason("bad_character");
  },
};

// Controls, line and paragraph separators, changes of direction, surrogates, the byte order mark, no characters.
const BARRED = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x200e, 0x200f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
  [0xd800, 0xdfff],
  [0xfdd0, 0xfdef],
  [0xfeff, 0xfeff],
  [0xfffe, 0xffff],
] as const;

function checkText(text: string, field: Field): string {
  const value = trimmed(text);
  const characters = [...value];
  for (const character of characters) {
    const code = character.codePointAt(0)!;
    if (BARRED.some(([first, last]) => first <= code && code <= last)) {
      throw new Reason("bad_text");
    }
  }
  needLength(characters.length, field);
  return value;
}

function checkDigits(text: string, field: Field): string {
  let value = trimmed(text);
  if (field.id === POSTAL_CODE && value[3] === "-") {
    value = value.slice(0, 3) + value.slice(4);
  } else if (field.id === SITE_ID) {
    value = value.replaceAll("-", "").replaceAll(" ", "");
  }
  needDigits(value);
  needLength(value.length, field);
  const area = Number(value.slice(0, 2));
  if (field.id === SITE_ID && (area < 1 || area > AREA_MAX)) {
    throw new Reason("bad_area");
  }
  return value;
}

function checkCode(text: string, field: Field): string {
  const value = trimmed(text).replace(/[a-z]/g, (letter) => letter.toUpperCase());
  if (!/^[0-9A-Z-]*$/.test(value)) {
    throw new Reason("bad_character");
  }
  needLength(value.length, field);
  return value;
}

function checkNumber(text: string, field: Field): string {
  const value = trimmed(text);
  if (!value) {
    throw new Reason("empty");
  }
  needDigits(value);
  const number = Number(value);
  if (value.length > 10 || number < field.least || number > field.most) {
    throw new Reason("out_of_range");
  }
  return String(number);
}

const LABEL = /^(?!-)[0-9a-z-]{1,63}(?<!-)$/;

function checkUrl(text: string, field: Field): string {
  const given = trimmed(text);
  needLength([...given].length, field);
  const match = /^https:\/\/([^:]*)(?::(.*))?$/s.exec(lowered(given).replace(/\/$/, ""));
  const labels = match?.[1]?.split(".") ?? [];
  const port = match?.[2];
  if (!match || !labels.every((label) => LABEL.test(label)) || (port !== undefined && !isNumber(port, 1, 65_535))) {
    throw new Reason("bad_url");
  }
  // No top-level domain begins with a digit: an IPv4 address.
  if (/^\d/.test(labels.at(-1)!) && !(labels.length === 4 && labels.every((label) => isNumber(label, 0, 255)))) {
    throw new Reason("bad_url");
  }
  return port === undefined || port === "443" ? `https://${match[1]}` : `https://${match[1]}:${port}`;
}

/** What a user types as host of an enrolment: host[:port], in the form in which it is sent; null if it is none. */
export function checkHost(text: string): string | null {
  const checked = check(CREDENTIAL_URL, `https://${trimmed(text)}`);
  return "value" in checked ? checked.value.slice("https://".length) : null;
}

/** Why 20 digits are no enrolment code; null if they may be one. */
export function codeFault(code: string): "empty" | "not_digits" | "too_short" | "too_long" | "luhn" | null {
  if (!code) {
    return "empty";
  }
  if (!/^[0-9]*$/.test(code)) {
    return "not_digits";
  }
  if (code.length !== CODE_DIGITS) {
    return code.length < CODE_DIGITS ? "too_short" : "too_long";
  }
  return luhnHolds(code) ? null : "luhn";
}

/** Whether the last digit is the check digit of the others (ISO/IEC 7812-1, Annex B). */
function luhnHolds(digits: string): boolean {
  let total = 0;
  [...digits].reverse().forEach((digit, place) => {
    const value = Number(digit) * (1 + (place % 2));
    total += value > 9 ? value - 9 : value;
  });
  return total % 10 === 0;
}

/** Full-width digits, letters and dashes as the narrow ones: what a Japanese keyboard types into a number. */
export function narrow(text: string): string {
  return text
    .replace(/[！-～]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
    .replace(/[‐‑–—−ー]/g, "-")
    .replaceAll("　", " ");
}

function trimmed(text: string): string {
  return text.replace(/^[ \u3000]+|[ \u3000]+$/g, "");
}

function lowered(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function needLength(size: number, field: Field): void {
  if (!size) {
    throw new Reason("empty");
  }
  if (size < field.least) {
    throw new Reason("too_short");
  }
  if (size > field.most) {
    throw new Reason("too_long");
  }
}

function needDigits(value: string): void {
  if (!/^[0-9]*$/.test(value)) {
    throw new Reason("not_digits");
  }
}

/** Whether it is the one way to write a number of the range in ASCII digits. */
function isNumber(text: string, least: number, most: number): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) >= least && Number(text) <= most;
}

/** A value as it is shown; "" stays "". */
export function shown(id: number, value: string): string {
  const field = BY_ID.get(id);
  if (!value || !field) {
    return value;
  }
  if (id === POSTAL_CODE) {
    return `〒${value.slice(0, 3)}-${value.slice(3)}`;
  }
  if (field.digitGroups) {
    return inGroups(value, field.digitGroups);
  }
  if (field.kind === "number") {
    return `${value.replace(/\B(?=(?:\d{3})+$)/g, ",")} ${field.unit}`;
  }
  return field.kind === "certificate" ? `SHA-256 ${inGroups(value.replace(/^.*:/, ""), [4, 4, 4, 4])}` : value;
}

export function inGroups(text: string, sizes: readonly number[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at < text.length) {
      parts.push(text.slice(at, at + size));
    }
    at += size;
  }
  if (at < text.length) {
    parts.push(text.slice(at));
  }
  return parts.join(" ");
}
