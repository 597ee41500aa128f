/**
 * The contract of the bus as an AsyncAPI 3.0 document, for authors in any language. It is written from Tidemark's side: it
 * receives requests and questions, and sends replies and what it publishes.
 *
 * Everything in it comes from the declarations in `src/bus/contract/`; only what workers say among themselves is left out.
 */
import * as z from "zod";
import manifest from "../../package.json" with { type: "json" };
import { DELTA_HEADERS_EXAMPLE } from "../../src/bus/contract/delta-headers.ts";
import { INSTANCE_EXAMPLE, instanceReport } from "../../src/bus/contract/instance.ts";
import { MESSAGES } from "../../src/bus/contract/messages.ts";
import { QUESTIONS } from "../../src/bus/contract/questions.ts";
import { accepted, appended, eduReply, refusal } from "../../src/bus/contract/replies.ts";
import { REQUESTS } from "../../src/bus/contract/requests.ts";
import { type Address, querySubject, statusSubject } from "../../src/bus/contract/subjects.ts";
import { ENTRIES_PER_RECORD_MAX, REQUEST_BYTES_MAX } from "../../src/limits.ts";
import { type JsonObject, jsonSchemaOf } from "./json-schema.ts";

const DESCRIPTION = `Tidemark gives the events of Matrix rooms a permanent order (MSC4033), and keeps read receipts as positions in it.
A homeserver sends it events and receipts; front-ends and federation senders read what it publishes. docs/bus.md says the same in prose.

**Subjects.** A room, user or server name is one token of a subject: every byte of its UTF-8 outside \`A–Z a–z 0–9 ! # $ : _ = / + ~ -\`
is percent-encoded with upper-case hex, so \`!tide:example.org\` is \`!tide:example%2Eorg\`. Write \`*\` for a token that you don't know.

**Payloads** are MessagePack: plain maps with string keys, no extension types, integers as integers. A request or a question may also be
JSON, recognised by its first byte, and is answered in JSON. A request has at most ${REQUEST_BYTES_MAX} bytes and ${ENTRIES_PER_RECORD_MAX} items.
Accept keys that you don't know. Everything published has \`v: 1\`: ignore a message with another \`v\`.

**Requests** use the request-reply of NATS: the reply comes to the reply subject of the request. \`ok: true\` comes once the log has stored
all of it. Without an answer, or after \`M_UNKNOWN\`, send the same again: that changes nothing that was stored.

**Streams.** \`tidemark.client.<partition>.>\` and \`tidemark.user.<partition>.>\` are kept for 24 hours in the JetStream stream
\`TIDEMARK_DELTAS_<partition>\`, federation for 24 hours in \`TIDEMARK_FEDERATION_<shard>\`, rejections for 7 days in \`TIDEMARK_REJECTED\`.

**Reading deltas.** Keep the \`position\` of the last message of each subject and room. Drop a message whose \`position\` you have already. If its
\`previous\` is greater than what you have, you missed something: ask for a snapshot. Otherwise apply it, and move a marker only forward.
\`fully_read\` may move back: take it if the \`position\` of its message or snapshot is not smaller than that of the one that you have.`;

const PARAMETERS = {
  partition: "The number of a partition. Which rooms are in it follows from their ids; readers write `*`.",
  room: "A room id, as a token.",
  user: "A user id, as a token.",
  shard: "The number of a shard. It follows from the server's name; readers write `*`.",
  server: "A server name, as a token.",
  about: "A room id, or for `rooms` a user id, as a token.",
};

interface Declared {
  readonly title: string;
  readonly summary: string;
  readonly payload: z.ZodType;
  readonly examples: readonly unknown[];
  readonly headers?: { readonly schema: z.ZodType; readonly example: unknown } | undefined;
}

/** Gathers what stands under `components`, and refers to it. */
class Components {
  readonly schemas: JsonObject = {};
  readonly messages: JsonObject = {};

  message(id: string, { title, summary, payload, examples, headers }: Declared): void {
    this.messages[id] = {
      name: id,
      title,
      summary,
      ...(headers !== undefined && { headers: this.#schema(headers.schema) }),
      payload: this.#schema(payload),
      examples: examples.map((example) => ({
        ...(headers !== undefined && { headers: plain(headers.example) }),
        payload: plain(example),
      })),
    };
  }

  #schema(payload: z.ZodType): JsonObject {
    const { schema, definitions } = jsonSchemaOf(payload, "#/components/schemas/");
    Object.assign(this.schemas, definitions);
    return schema;
  }
}

export function asyncApiDocument(): JsonObject {
  const components = new Components();
  const channels: JsonObject = {};
  const operations: JsonObject = {};
  const replies = new Set<string>();

  const channel = (id: string, address: Address, title: string, messages: readonly string[]) => {
    const parameters = Array.from(address.text.matchAll(/\{(\w+)\}/g), ([, name]) => name!);
    channels[id] = {
      address: address.text,
      title,
      parameters: Object.fromEntries(parameters.map((name) => [name, ref(`components/parameters/${name}`)])),
      messages: refsTo(messages),
    };
  };
  const reply = (...messages: readonly string[]) => {
    for (const message of messages) replies.add(message);
    return {
      address: { location: "$message.header#/reply", description: "The reply subject of the request (its inbox)." },
      channel: ref("channels/replies"),
      messages: messages.map((message) => ref(`channels/replies/messages/${message}`)),
    };
  };

  components.message("stored", {
    title: "Stored",
    summary: "The log has all items of the request.",
    payload: accepted(appended),
    examples: [{ ok: true, positions: [17_408, 17_409] }],
  });
  components.message("eduStored", {
    title: "EDU stored",
    summary: "The log has the items of the EDU that were accepted.",
    payload: accepted(eduReply),
    examples: [{ ok: true, accepted: 2, rejected: [] }],
  });
  components.message("refusal", {
    title: "Refusal",
    summary: "Nothing of the request was stored, or the question has no answer.",
    payload: refusal,
    examples: [{ ok: false, errcode: "M_INVALID_PARAM", error: "user_id: must be a user id", index: 3 }],
  });

  for (const [kind, { subject, body, summary, errors, examples }] of Object.entries(REQUESTS)) {
    const message = `${kind}Request`;
    components.message(message, { title: `Request: ${kind}`, summary, payload: body, examples });
    channel(`${kind}Requests`, subject, `Requests: ${kind}`, [message]);
    operations[`receive${titled(kind)}`] = {
      action: "receive",
      summary,
      description: refusals(errors),
      channel: ref(`channels/${kind}Requests`),
      messages: [ref(`channels/${kind}Requests/messages/${message}`)],
      reply: reply(kind === "edu" ? "eduStored" : "stored", "refusal"),
    };
  }

  const asked: string[] = [];
  for (const [op, { question, answer, summary, errors, examples }] of Object.entries(QUESTIONS)) {
    const ids = { question: `${op}Question`, answer: `${op}Answer` };
    asked.push(ids.question);
    components.message(ids.question, {
      title: `Question: ${op}`,
      summary,
      payload: question,
      examples: [examples.question],
    });
    components.message(ids.answer, {
      title: `Answer: ${op}`,
      summary,
      payload: accepted<z.ZodRawShape>(answer),
      examples: [{ ok: true, ...examples.answer }],
    });
    operations[`answer${titled(op)}`] = {
      action: "receive",
      summary,
      description: refusals(errors),
      channel: ref("channels/questions"),
      messages: [ref(`channels/questions/messages/${ids.question}`)],
      reply: reply(ids.answer, "refusal"),
    };
  }
  channel("questions", querySubject, "Questions about a room, or about a user", asked);

  components.message("statusQuestion", {
    title: "Question to all processes",
    summary: "Which processes run, and what is wrong at them.",
    payload: z.object({}),
    examples: [{}],
  });
  components.message("instance", {
    title: "A process",
    summary: "What a process says of itself. Each process answers.",
    payload: instanceReport,
    examples: [INSTANCE_EXAMPLE],
  });
  channel("status", statusSubject, "A question to all processes, of an operator", ["statusQuestion"]);
  operations.answerStatus = {
    action: "receive",
    summary: "Which processes run, and what is wrong at them.",
    channel: ref("channels/status"),
    messages: [ref("channels/status/messages/statusQuestion")],
    reply: reply("instance"),
  };

  const { published: _, ...outside } = MESSAGES;
  for (const [kind, { subject, schema, summary, example, ...more }] of Object.entries(outside)) {
    const headers = "headers" in more ? { schema: more.headers, example: DELTA_HEADERS_EXAMPLE } : undefined;
    components.message(kind, { title: `Published: ${kind}`, summary, payload: schema, examples: [example], headers });
    channel(kind, subject, `Published: ${kind}`, [kind]);
    operations[`publish${titled(kind)}`] = {
      action: "send",
      summary,
      channel: ref(`channels/${kind}`),
      messages: [ref(`channels/${kind}/messages/${kind}`)],
    };
  }
  channels.replies = {
    address: null,
    title: "Replies, on the reply subject of the request",
    messages: refsTo([...replies]),
  };

  return {
    asyncapi: "3.0.0",
    info: {
      title: "Tidemark",
      version: manifest.version,
      description: DESCRIPTION,
      license: { name: manifest.license },
    },
    defaultContentType: "application/msgpack",
    servers: { broker: { host: "127.0.0.1:4222", protocol: "nats", description: "Any NATS server with JetStream." } },
    channels,
    operations,
    components: {
      parameters: Object.fromEntries(Object.entries(PARAMETERS).map(([name, description]) => [name, { description }])),
      messages: components.messages,
      schemas: sorted(components.schemas),
    },
  };
}

function ref(path: string): JsonObject {
  return { $ref: `#/${path}` };
}

function refsTo(messages: readonly string[]): JsonObject {
  return Object.fromEntries(messages.map((message) => [message, ref(`components/messages/${message}`)]));
}

function refusals(errors: readonly string[]): string {
  return `Refused with ${new Intl.ListFormat("en-GB", { type: "disjunction" }).format(errors)}.`;
}

function titled(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sorted(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function plain(value: unknown): JsonObject {
  return JSON.parse(JSON.stringify(value));
}
