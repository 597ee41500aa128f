/** A whole snapshot, page by page (docs/design.md#queries). */
import type { Answer, Asked } from "../bus/contract/questions.ts";

export type SnapshotQuestion = Omit<Asked<"snapshot">, "op">;

/**
 * The pages of a snapshot. The first has the timeline, and what is true of the room as of its `position`; later ones have more markers
 * and members, some of which may have changed since.
 */
export async function* snapshotPages(
  snapshot: (question: SnapshotQuestion) => Promise<Answer<"snapshot">>,
  question: SnapshotQuestion,
): AsyncGenerator<Answer<"snapshot">> {
  const first = await snapshot(question);
  yield first;
  let { markers_more: since, markers_after: after, members_more: membersAfter } = first;
  while (since !== undefined || membersAfter !== undefined) {
    const page = await snapshot({
      ...question,
      timeline_limit: 0,
      since: since ?? first.position,
      ...(after !== undefined && { markers_after: after }),
      members: membersAfter !== undefined,
      ...(membersAfter !== undefined && { members_after: membersAfter }),
    });
    yield page;
    membersAfter = page.members_more;
    // Beside members that are left, markers that moved meanwhile come as deltas as well.
    after = since === undefined ? undefined : page.markers_after;
    since = since === undefined ? undefined : page.markers_more;
  }
}
