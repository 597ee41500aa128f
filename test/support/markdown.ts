/** Reads the pages of the project: sections, tables, code blocks and links. */

const HEADING = /^(#{1,6}) (.*)$/gm;
const FENCE = /^```.*\n([\s\S]*?)^```$/gm;
const INLINE_CODE = /`[^`\n]*`/g;
const LINK = /!?\[[^\]]*\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)|^\[[^\]]+\]: (\S+)$/gm;

/** Returns the text without its code blocks, which have no headings or links. */
function prose(page: string): string {
  return page.replace(FENCE, "");
}

/** Returns the anchors of a page's headings, as GitHub makes them. */
export function anchorsIn(page: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, , heading] of prose(page).matchAll(HEADING)) {
    const anchor = anchorOf(heading!);
    let repeated = 0;
    while (anchors.has(repeated === 0 ? anchor : `${anchor}-${repeated}`)) repeated++;
    anchors.add(repeated === 0 ? anchor : `${anchor}-${repeated}`);
  }
  return anchors;
}

function anchorOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_ -]/gu, "")
    .replaceAll(" ", "-");
}

/** Returns the targets of a page's links, images and reference definitions. */
export function linksIn(page: string): string[] {
  return Array.from(
    prose(page).replace(INLINE_CODE, "").matchAll(LINK),
    ([, inline, reference]) => inline ?? reference!,
  );
}

/**
 * Returns the text under a heading, up to the next heading of its level or above. Throws if there is no such heading.
 */
export function sectionOf(page: string, heading: string): string {
  const lines = page.split("\n");
  const from = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === heading);
  if (from < 0) throw new Error(`no section is called "${heading}"`);
  const level = lines[from]!.indexOf(" ");
  const length = lines.slice(from + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(" ") <= level);
  return lines.slice(from + 1, length < 0 ? undefined : from + 1 + length).join("\n");
}

/** Returns the items of the lists in a text, each on one line. */
export function listItemsIn(text: string): string[] {
  return Array.from(text.matchAll(/^- (.*(?:\n {2}.*)*)$/gm), ([, item]) => item!.replace(/\n +/g, " "));
}

/** Returns the rows of the tables in a text, each as its cells. Heading rows are included. */
export function tableRowsIn(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^[|\s:-]+$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
}

function codeBlocksIn(text: string): string[] {
  return Array.from(text.matchAll(FENCE), ([, code]) => code!);
}

/** Returns the texts in backticks, in order. */
export function codeSpansIn(text: string): string[] {
  return Array.from(text.matchAll(INLINE_CODE), ([code]) => code.slice(1, -1));
}

/**
 * Returns the floors of the "Layout" section, from the lowest up: the paths of each line. A path that ends in a slash
 * is a folder.
 */
export function floorsIn(design: string): string[][] {
  const [list = ""] = codeBlocksIn(sectionOf(design, "Layout"));
  const lines = list.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.split(/ {2,}/)[0]!.split(" "));
}
