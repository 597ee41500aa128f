/**
 * The transitions of a machine, and those that the head comment of its file lists, as text that can be compared:
 *
 *     from ── INPUT [guard] / action ──▶ to
 *
 * In a comment, several states before the arrow share it, the line may be drawn as long as is needed, and an arrow to
 * the state that it comes from stays in it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AnyStateMachine, AnyStateNode } from "xstate";

const ROOT = join(import.meta.dirname, "../..");
const LINE = /^ \*\s+(?<from>\S.*?)\s*─+ (?<label>.+?) ─+▶ (?<to>\S+)$/;
const DONE = /^xstate\.(?<what>done|error)\.actor\.(?<id>.*)$/;

/** Transitions that the head comment of a file lists, sorted. */
export async function listedTransitions(path: string): Promise<string[]> {
  const text = await readFile(join(ROOT, path), "utf8");
  const head = text.slice(0, text.indexOf("*/"));
  const listed = head.split("\n").flatMap((line) => {
    const { from, label, to } = LINE.exec(line)?.groups ?? {};
    return from === undefined ? [] : from.split(", ").map((state) => `${state} ── ${label} ──▶ ${to}`);
  });
  return listed.sort();
}

/** The transitions of a table, each with what it runs by its input, sorted. */
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

/** The transitions that a machine defines, each at the state that defines it, sorted. */
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

/** What a result of an invoked actor is called by the actor's name. */
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
