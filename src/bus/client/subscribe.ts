/**
 * A subscription that lasts. When the broker refuses one, the client library drops it for good. A broker does that to running
 * processes, too, when its configuration is loaded again with an error in it; the process would go on, and hear nothing. So a
 * refused subscription is made again and again, until it is taken.
 */
import type { Bus, BusMessage, BusSubscription } from "./connection.ts";

const RESUBSCRIBE_MS = 2_000;

export interface LastingSubscription {
  unsubscribe(): void;
  /** Unsubscribes. Resolves when everything that the broker had sent has been handed over. */
  drain(): Promise<void>;
}

interface SubscribeOptions {
  /** Only one subscriber of the queue group gets a message. */
  readonly queue?: string;
  /** Must not throw. */
  readonly onMessage: (message: BusMessage) => void;
}

export function subscribe(nc: Bus, subject: string, { queue, onMessage }: SubscribeOptions): LastingSubscription {
  let subscription: BusSubscription | undefined;
  let timer: NodeJS.Timeout | undefined;
  const make = () => {
    if (nc.isClosed()) return;
    subscription = nc.subscribe(subject, {
      ...(queue !== undefined && { queue }),
      callback: (error, message) => {
        if (error === null) onMessage(message);
        else refused();
      },
    });
  };
  const refused = () => {
    subscription = undefined;
    clearTimeout(timer);
    timer = setTimeout(make, RESUBSCRIBE_MS).unref();
  };
  make();
  return {
    unsubscribe: () => {
      clearTimeout(timer);
      subscription?.unsubscribe();
    },
    drain: async () => {
      clearTimeout(timer);
      await subscription?.drain();
    },
  };
}
