/** Validates messages with the JSON Schemas of docs/asyncapi.yaml and `ajv`, as a client in any language could. */
import { Ajv, type ValidateFunction } from "ajv";
import { decoded } from "../support/harness.ts";

interface Ref {
  readonly $ref: string;
}

interface Operation {
  readonly action: "send" | "receive";
  readonly channel: Ref;
  readonly messages: readonly Ref[];
  readonly reply?: { readonly messages: readonly Ref[] };
}

/** The part of the document that is read here. */
export interface Description {
  readonly channels: Readonly<Record<string, { readonly address: string | null }>>;
  readonly operations: Readonly<Record<string, Operation>>;
  readonly components: {
    readonly messages: Readonly<Record<string, { readonly payload: object; readonly examples: readonly Example[] }>>;
    readonly schemas: object;
  };
}

interface Example {
  readonly payload: unknown;
}

export class DescribedMessages {
  /** How many messages of each kind were seen. */
  readonly counts: Record<string, number> = {};
  readonly faults: string[] = [];
  readonly #description: Description;
  readonly #ajv: Ajv;
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #channels: readonly (readonly [name: string, address: RegExp])[];
  /** The messages that a reply may be, by its subject. */
  readonly #awaited = new Map<string, readonly string[]>();

  constructor(description: Description) {
    this.#description = description;
    this.#ajv = new Ajv({ strict: true, formats: { int64: true } });
    // References point into this key, which JSON Schema doesn't have.
    this.#ajv.addKeyword("components");
    this.#channels = Object.entries(description.channels).flatMap(([name, { address }]) =>
      address === null
        ? []
        : [[name, new RegExp(`^${address.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^.]+")}$`)] as const],
    );
  }

  /** Whether a message may have this payload. */
  accepts(message: string, payload: unknown): boolean {
    let validator = this.#validators.get(message);
    if (validator === undefined) {
      const { messages, schemas } = this.#description.components;
      validator = this.#ajv.compile({ ...messages[message]!.payload, components: { schemas } });
      this.#validators.set(message, validator);
    }
    return validator(payload);
  }

  /** Checks a message from the bus. Subjects that the description doesn't have are ignored. */
  see(subject: string, data: Uint8Array, reply: string | undefined): void {
    const awaited = this.#awaited.get(subject);
    if (awaited !== undefined) {
      this.#awaited.delete(subject);
      this.#judge(subject, awaited, data);
      return;
    }
    const channel = this.#channels.find(([, address]) => address.test(subject))?.[0];
    if (channel === undefined) return;
    const operations = Object.values(this.#description.operations).filter(
      ({ channel: { $ref } }) => named($ref) === channel,
    );
    const message = this.#judge(
      subject,
      operations.flatMap(({ messages }) => messages.map(({ $ref }) => named($ref))),
      data,
    );
    const operation = operations.find(({ messages }) => messages.some(({ $ref }) => named($ref) === message));
    if (reply && operation?.reply)
      this.#awaited.set(
        reply,
        operation.reply.messages.map(({ $ref }) => named($ref)),
      );
  }

  #judge(subject: string, messages: readonly string[], data: Uint8Array): string | undefined {
    const payload: unknown = decoded(data);
    const fitting = messages.filter((message) => this.accepts(message, payload));
    if (fitting.length !== 1) {
      const faults = messages.map(
        (message) => `${message}: ${this.#ajv.errorsText(this.#validators.get(message)?.errors)}`,
      );
      this.faults.push(`${subject} has ${JSON.stringify(payload).slice(0, 300)}: ${faults.join("; ")}`);
      return undefined;
    }
    const [message] = fitting;
    this.counts[message!] = (this.counts[message!] ?? 0) + 1;
    return message;
  }
}

/** The last part of a reference. */
function named(ref: string): string {
  return ref.slice(ref.lastIndexOf("/") + 1);
}
