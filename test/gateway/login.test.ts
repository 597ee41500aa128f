/** `/login` with the tokens of `--users`. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WRONG_SECRETS_MAX } from "../../src/limits.ts";
import { ALICE, BOB, errorOf, httpClient, startGateway } from "../support/gateway.ts";

const PASSWORD = "m.login.password";

const login = suite("login");

login("a token of the file is a password of its user, and the access token that comes of it", async () => {
  await using tidemark = await startGateway({ users: ["@dave:a.org"] });
  const nobody = httpClient(tidemark.url, "", "");
  assert.equal((await nobody.ask("GET", "/v3/login")).body, { flows: [{ type: PASSWORD }] });
  const wanted = { user_id: BOB, access_token: "bob-2", device_id: "B2", home_server: "a.org" };
  for (const who of [
    { identifier: { type: "m.id.user", user: "bob" } },
    { identifier: { type: "m.id.user", user: BOB } },
    { user: "bob" },
    { user: BOB, device_id: "other", initial_device_display_name: "a client" },
  ]) {
    for (const path of ["/v3/login", "/r0/login"]) {
      const { status, body } = await nobody.ask("POST", path, { type: PASSWORD, password: "bob-2", ...who });
      assert.equal([status, body], [200, wanted], JSON.stringify(who));
    }
  }
  const dave = await nobody.post("/v3/login", { type: PASSWORD, user: "dave", password: "@dave:a.org" });
  assert.match(dave.device_id, /^.{10}$/, "a device without an id in the file has one of its own");
  const client = httpClient(tidemark.url, dave.access_token, dave.user_id);
  assert.is((await client.get("/v3/account/whoami")).device_id, dave.device_id);
  assert.equal(await client.post("/v3/logout", {}), {});
  assert.is((await client.ask("POST", "/v3/logout/all")).status, 200);
  assert.is((await client.get("/v3/account/whoami")).user_id, "@dave:a.org", "the file still has the token");
});

login("what is wrong is refused, and after ten wrong passwords nothing is checked", async () => {
  await using tidemark = await startGateway();
  const nobody = httpClient(tidemark.url, "", "");
  const ask = async (body: object) => errorOf(await nobody.ask("POST", "/v3/login", body));
  assert.equal(await ask({ type: "m.login.token", token: "x" }), [400, "M_UNKNOWN"]);
  assert.equal(await ask({ type: PASSWORD, user: "bob" }), [400, "M_BAD_JSON"]);
  assert.equal(await ask({ type: PASSWORD, password: "bob-1" }), [400, "M_BAD_JSON"]);
  const phone = { type: "m.id.phone", country: "GB", phone: "1" };
  assert.equal(await ask({ type: PASSWORD, password: "bob-1", identifier: phone }), [400, "M_UNKNOWN"]);
  for (let i = 0; i < WRONG_SECRETS_MAX; i++) {
    const wrong = i % 2 ? { user: ALICE, password: "bob-1" } : { user: "bob", password: `${i}` };
    assert.equal(await ask({ type: PASSWORD, ...wrong }), [403, "M_FORBIDDEN"]);
  }
  assert.equal(await ask({ type: PASSWORD, user: "bob", password: "bob-1" }), [429, "M_LIMIT_EXCEEDED"]);
  assert.is((await tidemark.bob.get("/v3/account/whoami")).user_id, BOB, "whoever is logged in goes on");
});

login.run();
