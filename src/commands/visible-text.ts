/**
 * Text that a terminal shows and doesn't obey. Ids, types, names and error texts come from strangers: an escape sequence in one
 * could set the window's title, hide or move lines, or type into the shell.
 */

/** Control characters (C0, DEL, C1), controls of the direction of writing, and line separators. */
const CONTROLS = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;
const CONTROLS_IN_LINES = /[^\P{Cc}\n]|[\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

const hex = (char: string) => char.charCodeAt(0).toString(16);
const escaped = (char: string) => `\\u{${hex(char)}}`;

/** One line: control characters are shown as escapes, `\u{1b}`; a line break too. */
export function visibleLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** The same for a text of several lines. */
export function visibleLines(text: string): string {
  return text.replace(CONTROLS_IN_LINES, escaped);
}

/** A line of JSON with the same value, in which control characters are JSON's own escapes. `JSON.stringify` leaves some. */
export function visibleJson(line: string): string {
  return line.replace(CONTROLS_IN_LINES, (char) => `\\u${hex(char).padStart(4, "0")}`);
}
