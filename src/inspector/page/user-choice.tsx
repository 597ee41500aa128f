import type { ComponentChildren } from "preact";

interface UserChoiceProps {
  readonly name: string;
  /** The user that is chosen. */
  readonly user: string | null;
  readonly onUser: (user: string | null) => void;
  readonly class: "link" | "plain";
  readonly children: ComponentChildren;
}

/** A button that chooses a user, and a second time nobody. */
export function UserChoice({ name, user, onUser, class: look, children }: UserChoiceProps) {
  const chosen = name === user;
  return (
    <button type="button" class={look} title={name} aria-pressed={chosen} onClick={() => onUser(chosen ? null : name)}>
      {children}
    </button>
  );
}
