/** Access tokens that a homeserver is asked about: what strangers can make the gateway do. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Whoami } from "../../src/gateway/whoami.ts";
import { MatrixError } from "../../src/http/matrix-error.ts";
import { UNKNOWN_TOKENS_MAX, WHOAMI_ASKED_MAX } from "../../src/limits.ts";
import { eventually } from "../support/harness.ts";

const IP = "192.0.2.1";
const ALICE = "@alice:a.org";

/** A homeserver whose answers a test decides, and what asks it. */
async function asking(listener: RequestListener, path = "") {
  const asked: { readonly url: string | undefined; readonly authorization: string | undefined }[] = [];
  const homeserver = createServer((request, response) => {
    asked.push({ url: request.url, authorization: request.headers.authorization });
    listener(request, response);
  }).listen(0, "127.0.0.1");
  await once(homeserver, "listening");
  const { port } = homeserver.address() as { port: number };
  const failures: string[] = [];
  const whoami = new Whoami({
    base: `http://127.0.0.1:${port}${path}`,
    onFailed: (error) => failures.push(String(error)),
  });
  return {
    asked,
    failures,
    lookup: async (token: string, ip = IP) => whoami.lookup(token, ip),
    /** Returns the error of a lookup. */
    refused: async (token: string, ip = IP): Promise<MatrixError> => {
      const error = await Promise.resolve(whoami.lookup(token, ip)).catch((reason: unknown) => reason);
      if (error instanceof MatrixError) return error;
      throw new Error("the lookup did not fail");
    },
    [Symbol.dispose]: () => {
      homeserver.closeAllConnections();
      homeserver.close();
    },
  };
}

/** Alice's token is `alice`, all others are unknown. */
const answer: RequestListener = ({ headers }, response) => {
  const isKnown = headers.authorization === "Bearer alice";
  response.writeHead(isKnown ? 200 : 401).end(JSON.stringify(isKnown ? { user_id: ALICE, device_id: "A" } : {}));
};

const whoami = suite("whoami");

whoami("a token that can stand in no header is unknown, and nobody is asked", async () => {
  using homeserver = await asking(answer);
  for (const token of ["a\r\nx: y", "a b", "", "a\u0000", "ä", "a\n"])
    assert.is(await homeserver.lookup(token), undefined);
  assert.equal(homeserver.asked, []);
  assert.equal(await homeserver.lookup("alice"), { user: ALICE, id: "A" });
  assert.is(homeserver.asked.length, 1);
});

whoami("the path of the base URL is kept", async () => {
  for (const path of ["/matrix/hs", "/matrix/hs/", "/matrix/hs/?x=1#y"]) {
    using homeserver = await asking(answer, path);
    assert.ok(await homeserver.lookup("alice"));
    assert.equal(homeserver.asked, [
      { url: "/matrix/hs/_matrix/client/v3/account/whoami", authorization: "Bearer alice" },
    ]);
  }
});

whoami("equal tokens share a question, and only so many are open", async () => {
  const open: (() => void)[] = [];
  using homeserver = await asking((request, response) => open.push(() => answer(request, response)));
  const equal = Array.from({ length: 5 }, () => homeserver.lookup("alice"));
  const others = Array.from({ length: WHOAMI_ASKED_MAX - 1 }, (_, i) => homeserver.lookup(`t${i}`));
  const refused = await Promise.all(Array.from({ length: 400 }, (_, i) => homeserver.refused(`u${i}`)));
  assert.equal([...new Set(refused.map(({ status }) => status))], [429]);
  assert.ok(refused.every(({ retryAfterMs }) => retryAfterMs !== undefined));
  await eventually(() => open.length === WHOAMI_ASKED_MAX, "the homeserver was asked");
  for (const finish of open) finish();
  assert.equal(new Set((await Promise.all(equal)).map((device) => device?.user)), new Set([ALICE]));
  await Promise.all(others);
  assert.is(homeserver.asked.length, WHOAMI_ASKED_MAX);
});

whoami(
  "an address that sends unknown tokens is slowed down, others are not, nor are tokens that are known",
  async () => {
    using homeserver = await asking(answer);
    await homeserver.lookup("alice");
    for (let i = 0; i < UNKNOWN_TOKENS_MAX; i++) assert.is(await homeserver.lookup(`t${i}`), undefined);
    assert.is((await homeserver.refused("another")).status, 429);
    assert.is(await homeserver.lookup("t0"), undefined);
    assert.ok(await homeserver.lookup("alice"));
    assert.is(await homeserver.lookup("another", "192.0.2.2"), undefined);
    assert.is(homeserver.asked.length, UNKNOWN_TOKENS_MAX + 2);
  },
);

whoami("a redirect is not followed, a large answer is not read, and clients get no details", async () => {
  const answers: Record<string, RequestListener> = {
    redirect: (_, response) => response.writeHead(307, { location: "http://127.0.0.1:1/stolen" }).end(),
    large: (_, response) => {
      const chunk = Buffer.alloc(1_000_000, " ");
      const write = () => response.write(chunk, (error) => error ?? write());
      write();
    },
    broken: (_, response) => response.writeHead(200).end("{"),
    nobody: (_, response) => response.writeHead(200).end("{}"),
    failing: (_, response) => response.writeHead(500).end('{"user_id":"@alice:a.org"}'),
    gone: (request) => request.socket.destroy(),
  };
  using homeserver = await asking((request, response) => {
    answers[request.headers.authorization!.slice("Bearer ".length)]!(request, response);
  });
  for (const token of Object.keys(answers)) {
    const before = process.memoryUsage().arrayBuffers;
    const { status, message } = await homeserver.refused(token);
    assert.equal([status, message], [503, "The homeserver could not check the access token"], token);
    assert.ok(process.memoryUsage().arrayBuffers - before < 20_000_000);
  }
  assert.is(homeserver.asked.length, Object.keys(answers).length);
  assert.is(homeserver.failures.length, Object.keys(answers).length);
});

whoami.run();
