/**
 * `/login` with the tokens of a file (Matrix specification, "Login"): the password of a user is one of their tokens, and
 * the answer gives it back as the access token. Nothing is created, so nothing ends with `/logout`.
 */
import type { FastifyInstance } from "fastify";
import { badJson, forbidden, MatrixError } from "../http/matrix-error.ts";
import { WrongSecrets } from "../http/wrong-secrets.ts";
import { localpartOf, serverOf } from "../matrix/ids.ts";
import { bodyOf } from "./api.ts";
import { type Device, digestOf } from "./device.ts";

const LOGIN = "/_matrix/client/v3/login";
const LOGOUT = "/_matrix/client/v3/logout";
const PASSWORD = "m.login.password";

export function loginRoutes(app: FastifyInstance, devices: ReadonlyMap<string, Device>): void {
  const wrong = new WrongSecrets();

  app.get(LOGIN, async () => ({ flows: [{ type: PASSWORD }] }));

  app.post(LOGIN, async (request) => {
    const { type, password, ...body } = bodyOf(request);
    if (type !== PASSWORD) throw new MatrixError(400, "M_UNKNOWN", "Only m.login.password is possible");
    if (typeof password !== "string") throw badJson("password: must be a string");
    const name = nameIn(body);
    const device = wrong.check(request, () => {
      const found = devices.get(digestOf(password));
      return found !== undefined && (name === found.user || name === localpartOf(found.user)) ? found : undefined;
    });
    if (device === undefined) throw forbidden("Wrong user or password");
    const { user, id } = device;
    return { user_id: user, access_token: password, device_id: id, home_server: serverOf(user) };
  });
}

/** For clients with a token. Those of the file stay valid as long as they are in it. */
export function logoutRoutes(app: FastifyInstance): void {
  for (const path of [LOGOUT, `${LOGOUT}/all`]) app.post(path, async () => ({}));
}

/** Returns the user that wants to log in: a user id or its localpart. */
function nameIn({ identifier, user }: Record<string, unknown>): string {
  const { type = "m.id.user", user: identified } = (identifier ?? {}) as { type?: unknown; user?: unknown };
  if (type !== "m.id.user") throw new MatrixError(400, "M_UNKNOWN", "Only m.id.user is possible");
  // Before identifiers, the field was `user`.
  const name = identified ?? user;
  if (typeof name !== "string") throw badJson("identifier: must name a user");
  return name;
}
