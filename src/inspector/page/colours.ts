/** Colours of the chart. They are custom properties of the style sheet, which has them for light and for dark. */

const USER_COLOURS = 8;

/** The custom property of a user's colour: the same wherever the user appears. */
export function colourOf(user: string): string {
  let hash = 0;
  for (const char of user) hash = (Math.imul(hash, 31) + char.codePointAt(0)!) >>> 0;
  return `--line-${hash % USER_COLOURS}`;
}

export function colour(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}
