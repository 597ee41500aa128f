/** Colours of the chart. They are custom properties of the style sheet, which has them for light and for dark. */

const USER_COLOURS = 8;

/** The custom property of the colour of the nth user of a room. */
export function colourOf(index: number): string {
  return `--line-${index % USER_COLOURS}`;
}

export function colour(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}
