/** What `ps` shows of this process: its command line, which everybody on the machine can read, without the secrets in it. */
import { withoutPassword } from "../bus/client/broker-url.ts";

/** Options whose value is a secret as a whole. */
const SECRETS: ReadonlySet<string> = new Set(["--admin-token", "--token"]);

/** Returns the arguments without secrets, or undefined if there is none in them. */
export function withoutSecrets(args: readonly string[]): string[] | undefined {
  const shown = args.map((arg, i) => {
    const [, option = "", value = ""] = /^(--[a-z-]+)=(.*)$/s.exec(arg) ?? [];
    if (option !== "") return `${option}=${shownValue(option, value)}`;
    return shownValue(args[i - 1] ?? "", arg);
  });
  return shown.some((arg, i) => arg !== args[i]) ? shown : undefined;
}

function shownValue(option: string, value: string): string {
  if (SECRETS.has(option)) return "***";
  return option === "--nats" ? withoutPassword(value) : value;
}
