/**
 * Authenticates requests to the inspector. The inspector shows private receipts, so it requires the admin token. A demo
 * may allow requests from this machine instead.
 *
 * A browser exchanges the token for a session cookie. Scripts can't read the cookie, other sites can't send it, and it
 * does not contain the token. Tools can send `Authorization: Bearer <token>`.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { isOverTls } from "../http/forwarded.ts";
import { WrongSecrets } from "../http/wrong-secrets.ts";

/** `"loopback"`: no token, but only requests from this machine. */
export type InspectAccess = { readonly adminToken: string } | "loopback";

const COOKIE = "tidemark_inspect";
const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/;
const LOOPBACK_ADDRESS = /^(?:::ffff:)?127\.|^::1$/;

export class Admission {
  readonly #access: InspectAccess;
  readonly #wrong = new WrongSecrets();

  constructor(access: InspectAccess) {
    this.#access = access;
  }

  /** Throws `M_LIMIT_EXCEEDED` after too many wrong tokens. */
  admits(request: FastifyRequest): boolean {
    if (this.#access === "loopback") {
      // The Host header is checked against DNS rebinding: another site could let its own name resolve to this machine.
      return (
        LOOPBACK_ADDRESS.test(request.socket.remoteAddress ?? "") && LOOPBACK_HOST.test(request.headers.host ?? "")
      );
    }
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (bearer !== undefined) return this.#isToken(bearer, request);
    const cookie = new RegExp(`(?:^|; )${COOKIE}=([0-9a-f]{64})(?:;|$)`).exec(request.headers.cookie ?? "")?.[1];
    return cookie !== undefined && same(cookie, this.#session());
  }

  /** Returns the session cookie if the token is correct. Throws `M_LIMIT_EXCEEDED` after too many wrong ones. */
  cookieFor(token: unknown, request: FastifyRequest): string | undefined {
    if (typeof token !== "string" || !this.#isToken(token, request)) return undefined;
    const secure = isOverTls(request) ? "; Secure" : "";
    return `${COOKIE}=${this.#session()}; Path=/inspect; HttpOnly; SameSite=Strict${secure}`;
  }

  #isToken(token: string, request: FastifyRequest): boolean {
    const access = this.#access;
    if (access === "loopback") return false;
    return this.#wrong.check(request, () => same(token, access.adminToken) || undefined) ?? false;
  }

  #session(): string {
    return this.#access === "loopback" ? "" : digest(this.#access.adminToken);
  }
}

function digest(text: string): string {
  return createHmac("sha256", "tidemark inspector session").update(text).digest("hex");
}

/** Compares in constant time. */
function same(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(digest(a)), Buffer.from(digest(b)));
}
