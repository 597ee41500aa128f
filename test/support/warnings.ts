/** Collects what Node warns of, such as a signal with very many listeners, until the end of the scope. */
export function warnings(): Disposable & { readonly found: readonly Error[] } {
  const found: Error[] = [];
  const collect = (warning: Error) => void found.push(warning);
  process.on("warning", collect);
  return { found, [Symbol.dispose]: () => void process.off("warning", collect) };
}
