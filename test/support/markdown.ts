/** What the tests read in the project's pages: sections, tables, code blocks and links. */

const HEADING = /^(#{1,6}) (.*)$/gm;
const FENCE = /^```.*\n([\s\S]*?)^```$/gm;
const INLINE_CODE = /`[^`\n]*`/g;
const LINK = /!?\[[^\]]*\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)|^\[[^\]]+\]: (\S+)$/gm;

/** The text without its code blocks, in which nothing is a heading or a link. */
function prose(page: string): string {
  return page.replace(FENCE, "");
}

/** The anchors of a page's headings, as GitHub makes them. */
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

/** Targets of a page's links, images and reference definitions. */
export function linksIn(page: string): string[] {
  return Array.from(
    prose(page).replace(INLINE_CODE, "").matchAll(LINK),
    ([, inline, reference]) => inline ?? reference!,
  );
}

/** What stands under a heading, up to the next one of its level or above. Throws when there is no such heading. */
export function sectionOf(page: string, heading: string): string {
  const lines = page.split("\n");
  const from = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, "") === heading);
  if (from < 0) throw new Error(`no section is called "${heading}"`);
  const level = lines[from]!.indexOf(" ");
  const length = lines.slice(from + 1).findIndex((line) => /^#+ /.test(line) && line.indexOf(" ") <= level);
  return lines.slice(from + 1, length < 0 ? undefined : from + 1 + length).join("\n");
}

/** The items of the lists in a text, each on one line. */
export function listItemsIn(text: string): string[] {
  return Array.from(text.matchAll(/^- (.*(?:\n {2}.*)*)$/gm), ([, item]) => item!.replace(/\n +/g, " "));
}

/** The rows of the tables in a text, heading rows included, each as its cells. */
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

/** What stands in backticks, in order. */
export function codeSpansIn(text: string): string[] {
  return Array.from(text.matchAll(INLINE_CODE), ([code]) => code.slice(1, -1));
}

/**
 * The floors of the "Layout" section: each line's paths, from the lowest floor up. A path that ends in a slash is a
 * folder.
 */
export function floorsIn(design: string): string[][] {
  const [list = ""] = codeBlocksIn(sectionOf(design, "Layout"));
  const lines = list.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.split(/ {2,}/)[0]!.split(" "));
}
