/**
 * The default push rules (Matrix specification, "Predefined Rules"). Clients decide by them what to notify of. The gateway's own
 * counts don't depend on them (F13).
 */
import { localpartOf, type UserId } from "../matrix/ids.ts";

type Condition = Readonly<Record<string, string | boolean>>;
type Action = string | Readonly<Record<string, string>>;

export interface Rule {
  readonly rule_id: string;
  readonly default: true;
  readonly enabled: boolean;
  readonly actions: readonly Action[];
  readonly conditions?: readonly Condition[];
  readonly pattern?: string;
}

type RuleKind = "override" | "content" | "room" | "sender" | "underride";
type Ruleset = Readonly<Record<RuleKind, readonly Rule[]>>;

const NOTIFY: readonly Action[] = ["notify"];
const SOUND: readonly Action[] = ["notify", { set_tweak: "sound", value: "default" }];
const RING: readonly Action[] = ["notify", { set_tweak: "sound", value: "ring" }];
const HIGHLIGHT: readonly Action[] = ["notify", { set_tweak: "highlight" }];
const LOUD: readonly Action[] = [...SOUND, { set_tweak: "highlight" }];
const SILENT: readonly Action[] = [];

const match = (key: string, pattern: string): Condition => ({ kind: "event_match", key, pattern });
const is = (key: string, value: string | boolean): Condition => ({ kind: "event_property_is", key, value });
const MAY_NOTIFY_ROOM: Condition = { kind: "sender_notification_permission", key: "room" };
const TWO_MEMBERS: Condition = { kind: "room_member_count", is: "2" };

function rule(name: string, actions: readonly Action[], ...conditions: Condition[]): Rule {
  return { rule_id: `.m.rule.${name}`, default: true, enabled: true, conditions, actions };
}

export function defaultRules(user: UserId): Ruleset {
  const mention: Condition = { kind: "event_property_contains", key: "content.m\\.mentions.user_ids", value: user };
  return {
    override: [
      { ...rule("master", SILENT), enabled: false },
      rule("suppress_notices", SILENT, match("content.msgtype", "m.notice")),
      rule(
        "invite_for_me",
        SOUND,
        match("type", "m.room.member"),
        match("content.membership", "invite"),
        match("state_key", user),
      ),
      rule("member_event", SILENT, match("type", "m.room.member")),
      rule("is_user_mention", LOUD, mention),
      rule("contains_display_name", LOUD, { kind: "contains_display_name" }),
      rule("is_room_mention", HIGHLIGHT, is("content.m\\.mentions.room", true), MAY_NOTIFY_ROOM),
      rule("roomnotif", HIGHLIGHT, match("content.body", "@room"), MAY_NOTIFY_ROOM),
      rule("tombstone", HIGHLIGHT, match("type", "m.room.tombstone"), match("state_key", "")),
      rule("reaction", SILENT, match("type", "m.reaction")),
      rule("room.server_acl", SILENT, match("type", "m.room.server_acl"), match("state_key", "")),
      rule("suppress_edits", SILENT, is("content.m\\.relates_to.rel_type", "m.replace")),
    ],
    content: [
      {
        rule_id: ".m.rule.contains_user_name",
        default: true,
        enabled: true,
        pattern: localpartOf(user),
        actions: LOUD,
      },
    ],
    room: [],
    sender: [],
    underride: [
      rule("call", RING, match("type", "m.call.invite")),
      rule("encrypted_room_one_to_one", SOUND, TWO_MEMBERS, match("type", "m.room.encrypted")),
      rule("room_one_to_one", SOUND, TWO_MEMBERS, match("type", "m.room.message")),
      rule("message", NOTIFY, match("type", "m.room.message")),
      rule("encrypted", NOTIFY, match("type", "m.room.encrypted")),
    ],
  };
}
