/** `tidemark registration`: writes what a homeserver needs to push to Tidemark. */
import { writeFile } from "node:fs/promises";
import { Command, Option } from "commander";
import { newRegistration } from "../homeserver/registration.ts";
import { httpUrl, serverNames } from "./options.ts";

export function registrationCommand(): Command {
  return new Command("registration")
    .description("write the registration (YAML) that makes a homeserver push to Tidemark's gateway")
    .addOption(
      new Option("--url <url>", "where the homeserver reaches the gateway, http://host:port")
        .env("TIDEMARK_URL")
        .argParser(httpUrl)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--server-name <name>", "the homeserver's name; may be given again")
        .env("TIDEMARK_SERVER_NAME")
        .argParser(serverNames)
        .makeOptionMandatory(),
    )
    .addOption(new Option("--id <id>", "tells the homeserver's registrations apart").default("tidemark"))
    .addOption(
      new Option("--sender-localpart <localpart>", "the user that the homeserver makes for it").default("tidemark"),
    )
    .addOption(new Option("--out <file>", "a new file, readable by its owner only; standard output without"))
    .action(async ({ url, serverName, id, senderLocalpart, out }) => {
      const yaml = newRegistration({ id, url: url.replace(/\/$/, ""), serverNames: serverName, senderLocalpart });
      if (out === undefined) process.stdout.write(yaml);
      else await writeFile(out, yaml, { mode: 0o600, flag: "wx" });
    });
}
