/** Languages: which one, and texts with values put in. */

import { en } from "./en";
import { type Key, type Texts, ja } from "./ja";

export type { Key } from "./ja";
export type Language = "ja" | "en";
export const LANGUAGES: Readonly<Record<Language, Texts>> = { ja, en };

export type Parameters = Readonly<Record<string, string | number>>;

export function preferredLanguage(tags: readonly string[]): Language {
  const known = tags.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES);
  return (known as Language | undefined) ?? "en";
}

export function text(language: Language, key: Key, parameters: Parameters = {}): string {
  return LANGUAGES[language][key].replace(/\{(\w+)\}/g, (_, name: string) => String(parameters[name] ?? ""));
}

export function groupName(group: number): Key {
  return `group.${group}` as Key;
}

export function fieldName(id: number): Key {
  return `field.${id}` as Key;
}

/** A duration in at most one or two units; below an hour to the second, so that it can count down. */
export function duration(language: Language, seconds: number, units = 2): string {
  const say = (key: Key, parameters: Parameters): string => text(language, key, parameters);
  if (seconds < 60) {
    return say("time.seconds", { n: seconds });
  }
  if (seconds < 3_600) {
    return say("time.clock", { m: Math.floor(seconds / 60), s: String(seconds % 60).padStart(2, "0") });
  }
  const [large, small, size]: [Key, Key, number] =
    seconds < 86_400 ? ["time.hours", "time.minutes", 60] : ["time.days", "time.hours", 3_600];
  const whole = size === 60 ? 3_600 : 86_400;
  const rest = Math.floor((seconds % whole) / size);
  const first = say(large, { n: Math.floor(seconds / whole) });
  return rest && units > 1 ? `${first}${language === "en" ? " " : ""}${say(small, { n: rest })}` : first;
}
