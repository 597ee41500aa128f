/** Receipts for other servers → the messages that carry them (DESIGN 4.4). */
import type { Consignment } from "../../actors/federation-lane.ts";
import { encode } from "../bus/codec.ts";
import { federationSubject } from "../bus/subjects.ts";
import { packEdus } from "../matrix/receipt-edu.ts";
import type { Message } from "./messages.ts";

const V = 1;

/** `tidemark.federation.<server>`: for every destination of a consignment the same EDUs. */
export function federationMessages(consignments: readonly Consignment[]): Message[] {
  const messages: Message[] = [];
  for (const { destinations, receipts } of consignments) {
    for (const { edu } of packEdus(receipts)) {
      for (const destination of destinations) {
        messages.push({ subject: federationSubject(destination), payload: encode({ v: V, destination, edu }) });
      }
    }
  }
  return messages;
}
