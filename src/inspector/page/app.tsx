/**
 * The page: which source it looks at (the gateway, or a file), which room of it, and who may.
 *
 * What it shows is in its address after `#`, so that a link leads to the same point.
 */
import { useCallback, useEffect, useState } from "preact/hooks";
import { FileDrop } from "./file-drop.tsx";
import { hashOf, type Point, pointOf } from "./link.ts";
import { Login } from "./login.tsx";
import { GatewaySource, type Source, TokenNeeded } from "./page-source.ts";
import { RoomList } from "./room-list.tsx";
import { RoomView } from "./room-page.tsx";

type Admission = "asking" | "admitted" | "token needed" | "no gateway";

const GATEWAY = new GatewaySource();

export function App() {
  const [source, setSource] = useState<Source>(GATEWAY);
  const [admission, setAdmission] = useState<Admission>("asking");
  const [point, setPoint] = useState<Point>(() => pointOf(location.hash));

  const ask = useCallback(async () => {
    try {
      await GATEWAY.list("");
      setAdmission("admitted");
    } catch (error) {
      setAdmission(error instanceof TokenNeeded ? "token needed" : "no gateway");
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
      // Another room is another page; moving within one is not worth a step of the browser's history.
      if (hash === location.hash) return before;
      if (point.room === before.room) history.replaceState(null, "", hash);
      else history.pushState(null, "", hash);
      return point;
    });
  }, []);
  const open = useCallback(
    (file: Source | null) => {
      source.close();
      setSource(file ?? GATEWAY);
      go({ room: null, position: null, user: null, event: null });
    },
    [source, go],
  );

  const isFile = source !== GATEWAY;
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
        {!isFile && admission === "token needed" && <Login onAdmitted={() => void ask()} />}
        {!isFile && admission === "no gateway" && (
          <p class="notice">No gateway answers here. Drop an exported log on this page to replay it.</p>
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
