/** A line has more characters than allowed. */
export class LineTooLongError extends Error {
  constructor(charsMax: number) {
    super(`a line has more than ${charsMax} characters`);
    this.name = "LineTooLongError";
  }
}

/** Splits text into lines. Throws `LineTooLongError` for a line of more than `charsMax` characters. */
export async function* linesOf(pieces: AsyncIterable<string>, charsMax: number): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of pieces) {
    rest += piece;
    let begin = 0;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", begin)) {
      yield rest.slice(begin, end);
      begin = end + 1;
    }
    rest = rest.slice(begin);
    if (rest.length > charsMax) throw new LineTooLongError(charsMax);
  }
  if (rest !== "") yield rest;
}
