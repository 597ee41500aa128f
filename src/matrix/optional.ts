/** Optional fields of what comes from outside: `null` stands for absent, as some homeservers and libraries write it. */

type WithoutNulls<Value> = { [Key in keyof Value]: Exclude<Value[Key], null> };

/** Removes the keys whose value is `null` or `undefined`. Changes the object. */
export function withoutNulls<Value extends object>(value: Value): WithoutNulls<Value> {
  for (const key in value) if (value[key] === null || value[key] === undefined) delete value[key];
  return value as WithoutNulls<Value>;
}
