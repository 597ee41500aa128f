/**
 * Globs of `*` and `?` for host names, compiled once.
 *
 *     evil.org         a name     one lookup for all of them
 *     *  *.evil.org    a suffix   one lookup per character of the host, for all of them
 *     ev?l.*  *a*b     a glob     one step per character of the glob and 32 characters of the host
 *
 * A glob is matched by sets of bits, one per place in the host: those up to which the glob may have matched so far. So there is
 * no backtracking, whatever the pattern is. Patterns come from other servers, which is why this is no regular expression.
 *
 * A pattern that needs more characters than a host may have matches nothing, and is left out.
 */
/** The longest host: an identifier has no more characters. */
const HOST_CHARS_MAX = 255;

const WORD_BITS = 32;
const STARS = /\*+/g;
const WILDCARD = /[*?]/;

export class HostPatterns {
  /** Whether there were more than `charsMax` characters of patterns, so that some are left out. */
  readonly isCut: boolean = false;
  /** Lookups, and words of bits that globs were matched with, since it was made: what the matching has cost. */
  steps = 0;
  readonly #names = new Set<string>();
  readonly #suffixes = new Set<string>();
  readonly #globs: string[] = [];

  /** `charsMax`: characters of patterns that are kept. */
  constructor(patterns: Iterable<string>, charsMax: number) {
    let chars = 0;
    for (const given of patterns) {
      const pattern = given.replace(STARS, "*");
      if (pattern.replaceAll("*", "").length > HOST_CHARS_MAX) continue;
      chars += pattern.length;
      if (chars > charsMax) {
        this.isCut = true;
        return;
      }
      if (!WILDCARD.test(pattern)) this.#names.add(pattern);
      else if (pattern.startsWith("*") && !WILDCARD.test(pattern.slice(1))) this.#suffixes.add(pattern.slice(1));
      else this.#globs.push(pattern);
    }
  }

  /** Whether a pattern matches the whole host. */
  match(host: string): boolean {
    this.steps++;
    if (this.#names.has(host)) return true;
    if (this.#suffixes.size > 0) {
      this.steps += host.length + 1;
      for (let from = host.length; from >= 0; from--) if (this.#suffixes.has(host.slice(from))) return true;
    }
    if (this.#globs.length === 0) return false;
    const places = new Places(host);
    const matched = this.#globs.some((glob) => places.match(glob));
    this.steps += places.steps;
    return matched;
  }
}

/** A set of places in a host: bit `i` stands for the place before its character `i`. */
class Places {
  steps = 0;
  readonly #length: number;
  /** For each character of the host, the places before it. */
  readonly #before = new Map<string, Uint32Array>();
  readonly #everywhere: Uint32Array;
  readonly #reached: Uint32Array;

  constructor(host: string) {
    const words = Math.ceil((host.length + 1) / WORD_BITS);
    this.#length = host.length;
    this.#reached = new Uint32Array(words);
    this.#everywhere = new Uint32Array(words);
    for (let i = 0; i < host.length; i++) {
      const before = this.#before.get(host[i]!) ?? new Uint32Array(words);
      this.#before.set(host[i]!, before);
      add(before, i);
      add(this.#everywhere, i);
    }
  }

  match(glob: string): boolean {
    const reached = this.#reached.fill(0);
    add(reached, 0);
    for (const char of glob) {
      this.steps += reached.length;
      if (char === "*") this.#fill();
      else if (!this.#advance(char === "?" ? this.#everywhere : this.#before.get(char))) return false;
    }
    return (reached[this.#length >>> 5]! & (1 << (this.#length & 31))) !== 0;
  }

  /** `*`: every place from the first one on. Places beyond the host's end do no harm: nothing advances from them. */
  #fill(): void {
    const reached = this.#reached;
    const first = reached.findIndex((word) => word !== 0);
    const lowest = reached[first]! & -reached[first]!;
    reached[first] = -lowest;
    reached.fill(0xffffffff, first + 1);
  }

  /** One character: from each place that it may follow to the next. Returns whether there is any. */
  #advance(before: Uint32Array | undefined): boolean {
    if (before === undefined) return false;
    const reached = this.#reached;
    let carry = 0;
    let any = 0;
    for (let i = 0; i < reached.length; i++) {
      const word = reached[i]! & before[i]!;
      reached[i] = (word << 1) | carry;
      carry = word >>> 31;
      any |= word;
    }
    return any !== 0;
  }
}

function add(places: Uint32Array, place: number): void {
  places[place >>> 5]! |= 1 << (place & 31);
}
