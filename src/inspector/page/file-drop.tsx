import { useEffect, useState } from "preact/hooks";
import { FileSource, type Source } from "./page-source.ts";

/** Opens an exported log that is dropped on the page, or selected. */
export function FileDrop({ onOpen }: { readonly onOpen: (source: Source) => void }) {
  const [progress, setProgress] = useState<number | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [over, setOver] = useState(false);

  const open = async (file: File | null | undefined) => {
    if (file == null) return;
    setError(null);
    setProgress(0);
    try {
      onOpen(await FileSource.open(file, setProgress));
    } catch (reason) {
      setError(`${file.name}, ${reason instanceof Error ? reason.message : String(reason)}`);
    }
    setProgress(null);
  };
  useEffect(() => {
    const drag = (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      void open(event.dataTransfer?.files[0]);
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  });
  return (
    <div class="file">
      <label class="button">
        Open a log file
        <input
          type="file"
          accept=".log,.gz,.ndjson,.jsonl"
          onChange={(event) => void open(event.currentTarget.files?.[0])}
        />
      </label>
      {progress !== null && <progress value={progress} aria-label="reading the file" />}
      {error !== null && <p role="alert">{error}</p>}
      {over && <div class="over">Drop the log to replay it in this browser</div>}
    </div>
  );
}
