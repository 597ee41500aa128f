/**
 * Who may look. The page shows private receipts, so its data is for whoever has the admin token, or, where a demo
 * says so, for whoever sits at this machine.
 *
 * A browser gives the token once and gets a session cookie: scripts can't read it, other sites can't send it, and it
 * does not hold the token itself. Tools may send `Authorization: Bearer <token>`.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";

/** `"loopback"`: without a token, for requests from this machine to this machine. */
export type InspectAccess = { readonly adminToken: string } | "loopback";

const COOKIE = "tidemark_inspect";
const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;
const LOOPBACK_ADDRESS = /^(?:::ffff:)?127\.|^::1$/;

export class Admission {
  readonly #access: InspectAccess;

  constructor(access: InspectAccess) {
    this.#access = access;
  }

  admits(request: FastifyRequest): boolean {
    if (this.#access === "loopback") {
      // The name that was asked for, too: a foreign page may have its own name resolve to this machine.
      return (
        LOOPBACK_ADDRESS.test(request.socket.remoteAddress ?? "") && LOOPBACK_HOST.test(request.headers.host ?? "")
      );
    }
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (bearer !== undefined) return this.#isToken(bearer);
    const cookie = new RegExp(`(?:^|; )${COOKIE}=([0-9a-f]{64})(?:;|$)`).exec(request.headers.cookie ?? "")?.[1];
    return cookie !== undefined && same(cookie, this.#session());
  }

  /** The cookie for whoever has the token; undefined for anybody else. */
  cookieFor(token: unknown, secure: boolean): string | undefined {
    if (typeof token !== "string" || !this.#isToken(token)) return undefined;
    return `${COOKIE}=${this.#session()}; Path=/inspect; HttpOnly; SameSite=Strict${secure ? "; Secure" : ""}`;
  }

  #isToken(token: string): boolean {
    return this.#access !== "loopback" && same(token, this.#access.adminToken);
  }

  #session(): string {
    return this.#access === "loopback" ? "" : digest(this.#access.adminToken);
  }
}

function digest(text: string): string {
  return createHmac("sha256", "tidemark inspector session").update(text).digest("hex");
}

/** Takes equally long wherever they differ. */
function same(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(digest(a)), Buffer.from(digest(b)));
}
