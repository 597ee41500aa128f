/** Clients of the homeserver that act as its users, with the token of an application service, at one pace for all of them. */
import { setMaxListeners } from "node:events";
import type { UserId } from "../matrix/ids.ts";
import { HomeserverClient } from "./homeserver-client.ts";
import { Pace } from "./pace.ts";

interface UserClientsOptions {
  /** The base URL of the homeserver. */
  readonly homeserver: string;
  readonly asToken: string;
  /** Requests in a second, at most. */
  readonly perSecond: number;
}

export class UserClients {
  readonly #options: UserClientsOptions;
  readonly #pace: Pace;
  readonly #closing = new AbortController();

  constructor(options: UserClientsOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal); // As many as requests wait for their turn. Node warns of more than ten.
    this.#pace = new Pace(options.perSecond);
  }

  /** Default of `user`: the application service's own. */
  of(user?: UserId): HomeserverClient {
    const { homeserver: url, asToken: token } = this.#options;
    const { signal } = this.#closing;
    const beforeRequest = () => this.#pace.pass(signal);
    return new HomeserverClient({ url, token, signal, beforeRequest, ...(user !== undefined && { user }) });
  }

  /** Ends all requests. */
  close(): void {
    this.#closing.abort();
  }
}
