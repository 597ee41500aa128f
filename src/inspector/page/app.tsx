/**
 * The page: selects the source (the server or a file) and the room, and asks for the admin token.
 *
 * The state of the page is in its address after `#`, so that it can be shared as a link.
 */
import { useCallback, useEffect, useState } from "preact/hooks";
import { FileDrop } from "./file-drop.tsx";
import { hashOf, type Point, pointOf } from "./link.ts";
import { Login } from "./login.tsx";
import { LiveSource, type Source, TokenRequired } from "./page-source.ts";
import { RoomList } from "./room-list.tsx";
import { RoomView } from "./room-page.tsx";

type Admission = "pending" | "admitted" | "token required" | "no server";

const LIVE = new LiveSource();

export function App() {
  const [source, setSource] = useState<Source>(LIVE);
  const [admission, setAdmission] = useState<Admission>("pending");
  const [point, setPoint] = useState<Point>(() => pointOf(location.hash));

  const ask = useCallback(async () => {
    try {
      await LIVE.list("");
      setAdmission("admitted");
    } catch (error) {
      setAdmission(error instanceof TokenRequired ? "token required" : "no server");
    }
  }, []);
  useEffect(() => {
    void ask();
    const follow = () => setPoint(pointOf(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, [ask]);

  const go = useCallback((change: Partial<Point>) => {
    setPoint((before) => {
      const point = { ...before, ...change };
      const hash = hashOf(point);
      // Only opening another room adds a step to the browser's history.
      if (hash === location.hash) return before;
      if (point.room === before.room) history.replaceState(null, "", hash);
      else history.pushState(null, "", hash);
      return point;
    });
  }, []);
  const open = useCallback(
    (file: Source | null) => {
      source.close();
      setSource(file ?? LIVE);
      go({ room: null, position: null, user: null, event: null });
    },
    [source, go],
  );

  const isFile = source !== LIVE;
  return (
    <>
      <header class="top">
        <h1>
          <button
            type="button"
            class="plain"
            onClick={() => go({ room: null, position: null, user: null, event: null })}
          >
            Tidemark inspector
          </button>
        </h1>
        <p class="source">
          {isFile ? (
            <>
              {source.name}, replayed in this browser{" "}
              <button type="button" onClick={() => open(null)}>
                Close file
              </button>
            </>
          ) : (
            "live, read-only"
          )}
        </p>
        <FileDrop onOpen={open} />
      </header>
      <main>
        {!isFile && admission === "token required" && <Login onAdmitted={() => void ask()} />}
        {!isFile && admission === "no server" && (
          <p class="notice">No server answers here. Drop an exported log on this page to replay it.</p>
        )}
        {(isFile || admission === "admitted") &&
          (point.room === null ? (
            <RoomList key={source.name} source={source} onOpen={(room) => go({ room, position: null })} />
          ) : (
            <RoomView key={`${source.name} ${point.room}`} source={source} room={point.room} point={point} go={go} />
          ))}
      </main>
    </>
  );
}
