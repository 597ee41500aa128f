/** The value of `--nats`: `nats://user:password@host:port`, several separated by commas. `tls://` requires TLS. */

export interface BrokerUrl {
  readonly servers: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly encrypted: boolean;
}

const PART = /^(?:(\w+):\/\/)?(?:([^@:/]*)(?::([^@/]*))?@)?(.*)$/;

/** All servers of a cluster have the same users, so the first credentials are used for all. */
export function parseBrokerUrl(url: string): BrokerUrl {
  const servers: string[] = [];
  let credentials: Pick<BrokerUrl, "user" | "password"> = { user: undefined, password: undefined };
  let encrypted = false;
  for (const part of url.split(",")) {
    const [, scheme = "nats", user, password, host = ""] = PART.exec(part.trim())!;
    servers.push(host.replace(/\/$/, ""));
    encrypted ||= scheme === "tls";
    if (user !== undefined && credentials.user === undefined) {
      credentials = {
        user: decodeURIComponent(user),
        password: password === undefined ? undefined : decodeURIComponent(password),
      };
    }
  }
  return { servers, ...credentials, encrypted };
}

/** For what others may read: messages, and the line that says that a process is ready. The user stays. */
export function withoutPassword(url: string): string {
  return url
    .split(",")
    .map((part) => part.replace(/^(\s*(?:\w+:\/\/)?[^@:/]*):.*@/, "$1@"))
    .join(",");
}
