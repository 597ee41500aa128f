/**
 * JSON (RFC 8259) byte by byte: which state follows a state and a byte. So a text can be checked in pieces of any length, and
 * as fast as it can be read. Containers are the reader's part (`json-text.ts`): it remembers which are open.
 */

const SPACES = " \t\n\r";
const DIGITS = "0123456789";
const HEX = `${DIGITS}abcdefABCDEF`;

/** How a value begins. */
const BEGIN = {
  '"': "text",
  "-": "minus",
  "0": "zero",
  "123456789": "integer",
  t: "t",
  f: "f",
  n: "n",
  "{[": "open",
} as const;

/** A number has no end of its own: what follows is looked at again. */
const BEHIND_NUMBER = { [`${SPACES},]}`]: "behind" } as const;

/** Which characters lead to which state. No other character may come. Characters of a text are added below. */
const GRAMMAR = {
  value: { [SPACES]: "value", ...BEGIN },
  firstValue: { [SPACES]: "firstValue", ...BEGIN, "]": "close" },
  key: { [SPACES]: "key", '"': "keyText" },
  firstKey: { [SPACES]: "firstKey", '"': "keyText", "}": "close" },
  afterKey: { [SPACES]: "afterKey", ":": "value" },
  afterValue: { [SPACES]: "afterValue", ",": "comma", "]}": "close" },

  text: { '"': "end", "\\": "escape" },
  escape: { '"\\/bfnrt': "text", u: "hex1" },
  hex1: { [HEX]: "hex2" },
  hex2: { [HEX]: "hex3" },
  hex3: { [HEX]: "hex4" },
  hex4: { [HEX]: "text" },

  keyText: { '"': "afterKey", "\\": "keyEscape" },
  keyEscape: { '"\\/bfnrt': "keyText", u: "keyHex1" },
  keyHex1: { [HEX]: "keyHex2" },
  keyHex2: { [HEX]: "keyHex3" },
  keyHex3: { [HEX]: "keyHex4" },
  keyHex4: { [HEX]: "keyText" },

  minus: { "0": "zero", "123456789": "integer" },
  zero: { ".": "point", eE: "exponent", ...BEHIND_NUMBER },
  integer: { [DIGITS]: "integer", ".": "point", eE: "exponent", ...BEHIND_NUMBER },
  point: { [DIGITS]: "fraction" },
  fraction: { [DIGITS]: "fraction", eE: "exponent", ...BEHIND_NUMBER },
  exponent: { [DIGITS]: "power", "+-": "powerSign" },
  powerSign: { [DIGITS]: "power" },
  power: { [DIGITS]: "power", ...BEHIND_NUMBER },

  t: { r: "tr" },
  tr: { u: "tru" },
  tru: { e: "end" },
  f: { a: "fa" },
  fa: { l: "fal" },
  fal: { s: "fals" },
  fals: { e: "end" },
  n: { u: "nu" },
  nu: { l: "nul" },
  nul: { l: "end" },
} as const satisfies Record<string, Readonly<Record<string, string>>>;

/**
 * Not states, but what the reader has to do: open or close a container, go on behind a comma or a value, or look at the same
 * byte again behind a number.
 */
const ACTIONS = ["open", "close", "comma", "end", "behind"] as const;

type Name = keyof typeof GRAMMAR | (typeof ACTIONS)[number];

const NAMES: readonly string[] = ["fault", ...Object.keys(GRAMMAR), ...ACTIONS];

export function stateOf(name: Name): number {
  return NAMES.indexOf(name);
}

export const FAULT = 0;
/** Smaller ones are states, or the fault. */
export const FIRST_ACTION = stateOf("open");

const BYTES = 256;

/** The state or action that follows a state (× 256) and a byte. */
export const NEXT = new Uint8Array(FIRST_ACTION * BYTES);

for (const text of ["text", "keyText"] as const) {
  const state = stateOf(text) * BYTES;
  NEXT.fill(stateOf(text), state + 0x20, state + BYTES);
}
for (const [name, transitions] of Object.entries(GRAMMAR)) {
  for (const [characters, next] of Object.entries(transitions)) {
    for (const byte of Buffer.from(characters)) NEXT[stateOf(name as Name) * BYTES + byte] = stateOf(next);
  }
}

/** A text may end in these states if no container is open. */
export const NUMBERS: ReadonlySet<number> = new Set(
  (["zero", "integer", "fraction", "power"] as const).map((name) => stateOf(name)),
);
