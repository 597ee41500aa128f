/** Colours of the chart: custom properties of the style sheet, for the light and the dark scheme. */

const USER_COLOURS = 8;

/** Returns the custom property with the colour of the nth user. */
export function colourOf(index: number): string {
  return `--line-${index % USER_COLOURS}`;
}

export function colour(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}
