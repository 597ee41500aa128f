/**
 * All processes of a deployment, whatever their roles, as they answer one question: `tidemark.status`. Only workers may write to the
 * bucket of heartbeats, and a gateway is in another account; but whoever is asked may answer. So nothing is stored, and a
 * process that is gone, or away from its broker, is not among the answers.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Bus, inboxOf } from "./client/connection.ts";
import { publish } from "./client/gathered-writes.ts";
import { type LastingSubscription, subscribe } from "./client/subscribe.ts";
import { encodeAs, encodingOf } from "./contract/codec.ts";
import { decodeInstance, type InstanceReport } from "./contract/instance.ts";
import { isInbox, statusSubject } from "./contract/subjects.ts";

/** Answers for this process until it is unsubscribed. */
export function answerForInstance(nc: Bus, report: () => Omit<InstanceReport, "v">): LastingSubscription {
  return subscribe(nc, statusSubject(), {
    onMessage: ({ reply, data }) => {
      if (isInbox(reply)) publish(nc, reply, encodeAs({ v: 1, ...report() }, encodingOf(data)));
    },
  });
}

/** Asks all processes, and returns the answers that came within the time, by name. Throws when the question can't be sent. */
export async function askInstances(nc: Bus, waitMs: number): Promise<InstanceReport[]> {
  const found = new Map<string, InstanceReport>();
  const inbox = inboxOf(nc);
  const answers = nc.subscribe(inbox, {
    callback: (error, message) => {
      const report = error === null ? decodeInstance(message.data) : undefined;
      if (report !== undefined) found.set(report.instance, report);
    },
  });
  try {
    nc.publish(statusSubject(), "{}", { reply: inbox });
    await nc.flush();
    await delay(waitMs);
  } finally {
    answers.unsubscribe();
  }
  return [...found.values()].sort((a, b) => (a.instance < b.instance ? -1 : 1));
}
