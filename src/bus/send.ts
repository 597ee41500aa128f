import type { MsgHdrs } from "nats";
import { reasonOf } from "../errors.ts";
import { PUBLISH_RETRY_MS_MAX, PUBLISH_RETRY_MS_MIN } from "../limits.ts";
import type { AckedPublisher } from "./acked-publisher.ts";
import type { Subject } from "./subjects.ts";

interface Outgoing {
  readonly subject: Subject;
  readonly payload: Uint8Array;
}

interface SendOptions {
  readonly headers?: MsgHdrs;
  /** Whether it is to be given up. */
  readonly closed: () => boolean;
  /** Told of how many messages are about to be sent again, and why. */
  readonly again: (messages: number, reason: string) => void;
}

/** Sends messages again and again, the pause doubling, until the streams have acknowledged all of them. */
export async function sendAll(
  acked: Pick<AckedPublisher, "publish">,
  messages: readonly Outgoing[],
  { headers, closed, again }: SendOptions,
): Promise<void> {
  let left = messages;
  for (let pause = PUBLISH_RETRY_MS_MIN; left.length > 0; pause = Math.min(pause * 2, PUBLISH_RETRY_MS_MAX)) {
    const results = await Promise.allSettled(
      left.map(({ subject, payload }) => acked.publish(subject, payload, headers)),
    );
    const failure = results.find((result) => result.status === "rejected");
    if (failure === undefined) return;
    left = left.filter((_, i) => results[i]?.status === "rejected");
    if (closed()) return;
    again(left.length, reasonOf(failure.reason));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
