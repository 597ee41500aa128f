/**
 * The transitions of a machine, and those that the head comment of its file lists, as text for comparison:
 *
 *     from ── INPUT [guard] / action ──▶ to
 *
 * In a comment, several states may share one arrow, separated by commas. The arrow may have any length. An arrow from a
 * state to itself means that the state is not left.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AnyStateMachine, AnyStateNode } from "xstate";

const ROOT = join(import.meta.dirname, "../..");
const LINE = /^ \*\s+(?<from>\S.*?)\s*─+ (?<label>.+?) ─+▶ (?<to>\S+)$/;
const DONE = /^xstate\.(?<what>done|error)\.actor\.(?<id>.*)$/;

/** Returns the transitions that the head comment of a file lists, sorted. */
export async function listedTransitions(path: string): Promise<string[]> {
  const text = await readFile(join(ROOT, path), "utf8");
  const head = text.slice(0, text.indexOf("*/"));
  const listed = head.split("\n").flatMap((line) => {
    const { from, label, to } = LINE.exec(line)?.groups ?? {};
    return from === undefined ? [] : from.split(", ").map((state) => `${state} ── ${label} ──▶ ${to}`);
  });
  return listed.sort();
}

/** Returns the transitions of a table, sorted. `effects`: what each input runs. */
export function tabledTransitions(
  table: Readonly<Record<string, Readonly<Record<string, string>>>>,
  effects: Readonly<Record<string, string>>,
): string[] {
  return Object.entries(table)
    .flatMap(([from, row]) =>
      Object.entries(row).map(([input, to]) => {
        const effect = effects[input] === undefined ? "" : ` / ${effects[input]}`;
        return `${from} ── ${input}${effect} ──▶ ${to}`;
      }),
    )
    .sort();
}

/** Returns the transitions that a machine defines, each at the state that defines it, sorted. */
export function definedTransitions(machine: AnyStateMachine): string[] {
  const found: string[] = [];
  const visit = (node: AnyStateNode) => {
    for (const [type, transitions] of node.transitions) {
      for (const { guard, actions, target } of transitions) {
        const condition = guard === undefined ? "" : ` [${nameOf(guard)}]`;
        const effects = actions.length === 0 ? "" : ` / ${actions.map(nameOf).join(", ")}`;
        const to = target === undefined ? node : entered(target[0]!);
        found.push(`${pathOf(node)} ── ${inputOf(node, type)}${condition}${effects} ──▶ ${pathOf(to)}`);
      }
    }
    for (const child of Object.values(node.states)) visit(child);
  };
  visit(machine.root);
  return found.sort();
}

/** Names the result of an invoked actor by the name of the actor. */
function inputOf(node: AnyStateNode, type: string): string {
  const { what, id } = DONE.exec(type)?.groups ?? {};
  const invoked = node.invoke.find((each) => each.id === id);
  return invoked === undefined ? type : `${invoked.src} ${what}`;
}

function entered(node: AnyStateNode): AnyStateNode {
  return node.type === "compound" ? entered(node.initial.target[0]!) : node;
}

function pathOf({ path }: AnyStateNode): string {
  return path.join(".");
}

function nameOf(named: unknown): string {
  const isNamed = typeof named === "object" && named !== null && "type" in named;
  return String(isNamed ? named.type : named);
}
