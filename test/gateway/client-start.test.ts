/** What clients ask when they start, and what they send that Tidemark doesn't keep. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, CAROL, enc, errorOf, startGateway } from "../support/gateway.ts";
import type { Body } from "../support/harness.ts";

const clientStart = suite("client start");

clientStart("push rules are the default ones of the specification, with the user's own name", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  const { global } = await bob.get("/v3/pushrules/");
  const ids = (kind: string) => global[kind].map(({ rule_id: id }: Body) => id.replace(".m.rule.", ""));
  assert.equal(ids("override"), [
    "master",
    "suppress_notices",
    "invite_for_me",
    "member_event",
    "is_user_mention",
    "contains_display_name",
    "is_room_mention",
    "roomnotif",
    "tombstone",
    "reaction",
    "room.server_acl",
    "suppress_edits",
  ]);
  assert.equal(ids("content"), ["contains_user_name"]);
  assert.equal(ids("underride"), ["call", "encrypted_room_one_to_one", "room_one_to_one", "message", "encrypted"]);
  assert.equal([global.room, global.sender], [[], []]);
  assert.is(global.content[0].pattern, "bob");
  assert.is(global.override[2].conditions[2].pattern, BOB);
  assert.equal(await bob.get("/v3/pushrules/global/"), global);
  const master = "/v3/pushrules/global/override/.m.rule.master";
  assert.equal(await bob.get(master), global.override[0]);
  assert.equal(await bob.get(`${master}/enabled`), { enabled: false });
  assert.equal(errorOf(await bob.ask("GET", "/v3/pushrules/global/toString/x")), [404, "M_NOT_FOUND"]);
  assert.equal(errorOf(await bob.ask("PUT", `${master}/enabled`, { enabled: true })), [404, "M_UNRECOGNIZED"]);
});

clientStart("encryption is announced as off, and answered as absent", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  const wellKnown = async (headers: Record<string, string> = {}) => {
    const response = await fetch(`${tidemark.url}/.well-known/matrix/client`, { headers });
    assert.is(response.headers.get("access-control-allow-origin"), "*");
    return (await response.json()) as Body;
  };
  assert.equal(await wellKnown(), {
    "m.homeserver": { base_url: tidemark.url },
    "io.element.e2ee": { default: false, force_disable: true },
  });
  const { base_url: behindTls } = (await wellKnown({ "x-forwarded-proto": "https" }))["m.homeserver"];
  assert.is(behindTls, tidemark.url.replace("http:", "https:"));

  const keys = { "signed_curve25519:A": {}, "signed_curve25519:B": {}, "other:A": {} };
  for (const path of ["/v3/keys/upload", "/r0/keys/upload/B1"]) {
    const counts = (await bob.post(path, { one_time_keys: keys })).one_time_key_counts;
    assert.equal(counts, { signed_curve25519: 2, other: 1 }, "a client is told that its keys are there");
  }
  assert.equal((await bob.post("/v3/keys/upload", {})).one_time_key_counts, { signed_curve25519: 0 });
  assert.equal(await bob.post("/v3/keys/query", { device_keys: { [ALICE]: [] } }), {
    device_keys: { [ALICE]: {} },
    failures: {},
  });
  assert.equal(await bob.post("/v3/keys/claim", {}), { one_time_keys: {}, failures: {} });
  assert.equal(await bob.get("/v3/keys/changes?from=a&to=b"), { changed: [], left: [] });
  assert.equal(errorOf(await bob.ask("GET", "/v3/room_keys/version")), [404, "M_NOT_FOUND"]);
  assert.equal(await bob.put("/v3/sendToDevice/m.room.encrypted/1", { messages: {} }), {});
});

clientStart(
  "typing and presence are taken, account data is refused, and nobody else's account is touched",
  async () => {
    await using tidemark = await startGateway();
    const { alice, bob } = tidemark;
    const room = enc(await tidemark.room(bob));
    assert.equal(await bob.put(`/v3/rooms/${room}/typing/${enc(BOB)}`, { typing: true, timeout: 1 }), {});
    assert.equal(await bob.put(`/v3/presence/${enc(BOB)}/status`, { presence: "online" }), {});
    assert.equal(await bob.get(`/v3/presence/${enc(CAROL)}/status`), { presence: "offline" });
    assert.equal(await bob.get(`/v3/user/${enc(BOB)}/rooms/${room}/tags`), { tags: {} });
    const tag = `/v3/user/${enc(BOB)}/rooms/${room}/tags/m.favourite`;
    for (const client of [alice, bob]) {
      assert.equal(errorOf(await client.ask("PUT", tag, { order: 1 })), [403, "M_FORBIDDEN"]);
    }
    for (const path of [
      `/v3/user/${enc(BOB)}/account_data/m.direct`,
      `/v3/user/${enc(BOB)}/rooms/${room}/account_data/m.tag`,
    ]) {
      assert.equal(errorOf(await bob.ask("GET", path)), [404, "M_NOT_FOUND"], path);
      assert.equal(errorOf(await bob.ask("PUT", path, {})), [403, "M_FORBIDDEN"], path);
      assert.equal(errorOf(await alice.ask("GET", path)), [403, "M_FORBIDDEN"], path);
    }
    for (const path of [`/v3/rooms/${room}/typing/${enc(BOB)}`, `/v3/presence/${enc(BOB)}/status`]) {
      assert.equal(errorOf(await alice.ask("PUT", path, {})), [403, "M_FORBIDDEN"], path);
    }
    assert.equal(errorOf(await alice.ask("PUT", `/v3/rooms/${room}/typing/${enc(ALICE)}`, {})), [403, "M_FORBIDDEN"]);
  },
);

clientStart("the device that asks is the only one that is listed", async () => {
  await using tidemark = await startGateway();
  const { bob, bob2 } = tidemark;
  const [first, second] = [await bob.get("/v3/devices"), await bob2.get("/v3/devices")];
  assert.equal([first.devices.length, second.devices.length], [1, 1]);
  const { device_id: id } = first.devices[0];
  assert.is.not(id, second.devices[0].device_id);
  assert.equal(await bob.get(`/v3/devices/${id}`), { device_id: id });
  assert.equal(errorOf(await bob2.ask("GET", `/v3/devices/${id}`)), [404, "M_NOT_FOUND"]);
});

clientStart("calls, other networks and media are answered as what isn't there", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  assert.equal(await bob.get("/v3/voip/turnServer"), {});
  assert.equal(await bob.get("/v3/thirdparty/protocols"), {});
  assert.equal(await bob.get("/v1/media/config"), { "m.upload.size": 0 });
  assert.is((await bob.get("/v3/capabilities")).capabilities["m.set_displayname"].enabled, false);
});

clientStart.run();
