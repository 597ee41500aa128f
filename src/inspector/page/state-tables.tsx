import type { StateAt } from "../../replay/history/inspect.ts";
import type { Seek } from "./scrubber.tsx";
import { TableHead } from "./table-head.tsx";
import { UserChoice } from "./user-choice.tsx";
import { markerName, number, shortId, shortUser } from "./words.ts";

interface UsersTableProps {
  readonly state: StateAt;
  readonly user: string | null;
  readonly onUser: (user: string | null) => void;
  readonly onWhy: (event: string, user: string) => void;
}

export function UsersTable({ state, user: selected, onUser, onWhy }: UsersTableProps) {
  return (
    <section class="card" aria-label="Unread">
      <h3>Unread at this point</h3>
      <div class="scroll">
        <table>
          <TableHead columns={["User", "Unread", "Oldest"]} />
          <tbody>
            {state.users.map(({ user, total, main, threads, oldest }) => (
              <tr key={user} class={user === selected ? "selected" : ""}>
                <th scope="row">
                  <UserChoice name={user} user={selected} onUser={onUser} class="link">
                    {shortUser(user)}
                  </UserChoice>
                </th>
                <td title={`main ${main}, threads ${threads}`}>
                  <strong>{number(total)}</strong>
                  {total > 0 && ` (main ${number(main)})`}
                </td>
                <td>
                  {oldest !== undefined && (
                    <button type="button" class="link" title={`why ${oldest}?`} onClick={() => onWhy(oldest, user)}>
                      {shortId(oldest)}
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {state.more.users > 0 && <p>and {number(state.more.users)} more users</p>}
    </section>
  );
}

type MarkersTableProps = Omit<UsersTableProps, "onUser">;

export function MarkersTable({ state, user, onWhy }: MarkersTableProps) {
  const markers = user === null ? state.markers : state.markers.filter((marker) => marker.user === user);
  return (
    <section class="card" aria-label="Markers">
      <h3>Markers at this point{user !== null && ` of ${shortUser(user)}`}</h3>
      <div class="scroll low">
        <table>
          <TableHead columns={["User", "Marker", "Event", "Order"]} />
          <tbody>
            {markers.map((marker) => (
              <tr key={`${marker.user} ${markerName(marker)}`}>
                <th scope="row" title={marker.user}>
                  {shortUser(marker.user)}
                </th>
                <td>{markerName(marker)}</td>
                <td>
                  <button
                    type="button"
                    class="link"
                    title={`why ${marker.event}?`}
                    onClick={() => onWhy(marker.event, marker.user)}
                  >
                    {shortId(marker.event)}
                  </button>
                </td>
                <td class="number">{marker.order}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function HeldTable({ state, onSeek }: { readonly state: StateAt; readonly onSeek: Seek }) {
  return (
    <section class="card" aria-label="Held receipts">
      <h3>Held at this point: {number(state.held.length + state.more.held)}</h3>
      {state.held.length > 0 && (
        <div class="scroll low">
          <table>
            <TableHead columns={["Position", "User", "Waits for"]} />
            <tbody>
              {state.held.map(({ position, user, event, ended }) => (
                <tr key={position}>
                  <td>
                    <button type="button" class="link" onClick={() => onSeek({ position })}>
                      {position}
                    </button>
                  </td>
                  <th scope="row" title={user}>
                    {shortUser(user)}
                  </th>
                  <td title={event}>
                    {shortId(event)}
                    {ended !== undefined && (
                      <>
                        {", "}
                        <button type="button" class="link" onClick={() => onSeek({ position: ended.position })}>
                          {ended.outcome} at {ended.position}
                        </button>
                      </>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
