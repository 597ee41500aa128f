/** Push rules: the default ones, read-only. Clients get them in their first `/sync`, too. */
import type { FastifyInstance } from "fastify";
import { notFound } from "../http/matrix-error.ts";
import type { UserId } from "../matrix/ids.ts";
import type { Api } from "./api.ts";
import { defaultRules, type Rule } from "./push-rules.ts";

const PATH = "/_matrix/client/v3/pushrules";

export function pushRuleRoutes(app: FastifyInstance, api: Api): void {
  for (const path of [PATH, `${PATH}/`]) {
    app.get(path, async (request) => ({ global: defaultRules(api.device(request).user) }));
  }
  for (const path of [`${PATH}/global`, `${PATH}/global/`]) {
    app.get(path, async (request) => defaultRules(api.device(request).user));
  }
  const ruleOf = (user: UserId, { kind, rule }: { kind: string; rule: string }) => {
    const rules: Readonly<Record<string, readonly Rule[]>> = defaultRules(user);
    const found = Object.hasOwn(rules, kind) ? rules[kind]!.find(({ rule_id: id }) => id === rule) : undefined;
    if (found === undefined) throw notFound("No such push rule");
    return found;
  };
  app.get<{ Params: { kind: string; rule: string } }>(`${PATH}/global/:kind/:rule`, async (request) =>
    ruleOf(api.device(request).user, request.params),
  );
  for (const field of ["actions", "enabled"] as const) {
    app.get<{ Params: { kind: string; rule: string } }>(`${PATH}/global/:kind/:rule/${field}`, async (request) => ({
      [field]: ruleOf(api.device(request).user, request.params)[field],
    }));
  }
}
