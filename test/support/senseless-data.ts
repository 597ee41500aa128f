/** What other servers may write as the `data` of a receipt. None of it has a time. */
export const SENSELESS_DATA: Readonly<Record<string, unknown>> = {
  empty: {},
  null: null,
  array: [],
  text: "now",
  number: 7,
  "text as time": { ts: "1" },
  "null as time": { ts: null },
  "map as time": { ts: {} },
};
