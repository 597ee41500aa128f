import fc from "fast-check";

/** `fc.assert` for a property that is not asynchronous. Prints the seed when it fails. */
export function check<T>(property: fc.IProperty<T>, parameters?: fc.Parameters<T>): void {
  void fc.assert(property, parameters);
}
