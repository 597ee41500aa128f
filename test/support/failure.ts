import * as assert from "uvu/assert";

/** The message of the error that a promise rejects with. Fails when it resolves. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, Error, "expected a rejection");
  return (error as Error).message;
}
