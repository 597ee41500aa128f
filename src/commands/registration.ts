/** `tidemark registration`: writes the file with which a homeserver pushes to Tidemark. */
import { writeFile } from "node:fs/promises";
import { Command, Option } from "commander";
import { newRegistration } from "../homeserver/registration.ts";
import { httpUrl, serverNames } from "./options.ts";
import { printDocument } from "./output.ts";

export function registrationCommand(): Command {
  return new Command("registration")
    .description("write the registration (YAML) with which a homeserver pushes to Tidemark")
    .addOption(
      new Option("--url <url>", "the URL of Tidemark (--http), as the homeserver reaches it, http://host:port")
        .env("TIDEMARK_URL")
        .argParser(httpUrl)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--server-name <name>", "the name of the homeserver; can be repeated")
        .env("TIDEMARK_SERVER_NAME")
        .argParser(serverNames)
        .makeOptionMandatory(),
    )
    .addOption(new Option("--id <id>", "the id of this registration on the homeserver").default("tidemark"))
    .addOption(
      new Option("--sender-localpart <localpart>", "the user that the homeserver creates for the registration").default(
        "tidemark",
      ),
    )
    .addOption(
      new Option("--least", "don't let Tidemark act as local users: it then reads none of their markers by itself"),
    )
    .addOption(new Option("--out <file>", "a new file, readable by its owner only (default: standard output)"))
    .action(async ({ url, serverName: serverNames, id, senderLocalpart, least, out }) => {
      const base = url.replace(/\/$/, "");
      const yaml = newRegistration({ id, url: base, serverNames, senderLocalpart, actsAsUsers: least !== true });
      if (out === undefined) printDocument(yaml);
      else await writeFile(out, yaml, { mode: 0o600, flag: "wx" });
    });
}
