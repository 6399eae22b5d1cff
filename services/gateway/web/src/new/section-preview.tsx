import { useRef, useState } from "preact/hooks";
import { request } from "../api/client.ts";
import { ApiError, errorText } from "../api/errors.ts";
import { printable } from "../app/text.ts";
import { advice } from "../job/advice.ts";

const SIZE = 512;

interface PreviewProps {
  /** Of the tomogram, for people. */
  name: string;
  /** Where its slices are. */
  url: string;
  /** How many sections it has along z. */
  depth: number;
}

/** The sections of a tomogram along z, to look at before it is used. */
export function SectionPreview({ name, url, depth }: PreviewProps) {
  const [index, setIndex] = useState(depth >> 1);
  const [shown, setShown] = useState(index);
  const [problem, setProblem] = useState("");
  const loading = useRef(true);
  // While one image is on its way the slider may pass many others; then only the last one is asked for.
  const show = (wanted: number) => {
    if (loading.current || wanted === shown) return;
    loading.current = true;
    setShown(wanted);
  };
  const source = `${url}?size=${SIZE}&index=${shown}`;
  const loaded = () => {
    loading.current = false;
    setProblem("");
    show(index);
  };
  const failed = () => {
    loading.current = false;
    // An image does not tell why it is not there.
    request(source).then(
      () => setProblem("The section cannot be shown."),
      (error: unknown) => setProblem(error instanceof ApiError ? `${error.message} ${advice(error)}` : errorText(error)),
    );
  };
  return (
    <figure class="preview">
      <img src={source} alt={printable(`Section ${shown + 1} of ${name}`)} draggable={false} onLoad={loaded} onError={failed} />
      {problem && <p class="problem">{printable(problem)}</p>}
      <figcaption>
        <input
          type="range"
          min={0}
          max={depth - 1}
          value={index}
          aria-label={printable(`Section of ${name}`)}
          aria-valuetext={`${index + 1} of ${depth}`}
          onInput={({ currentTarget }) => {
            const wanted = Number(currentTarget.value);
            setIndex(wanted);
            show(wanted);
          }}
        />
        <span class="secondary">{`Section ${index + 1} of ${depth}`}</span>
      </figcaption>
    </figure>
  );
}

/** A button that shows and hides the sections of a tomogram. */
export function PreviewButton({ name, open, onToggle }: { name: string; open: boolean; onToggle: () => void }) {
  return (
    <button
      type="button"
      class="quiet preview-button"
      aria-expanded={open}
      aria-label={printable(`${open ? "Hide" : "Preview"} ${name}`)}
      onClick={onToggle}
    >
      {open ? "Hide" : "Preview"}
    </button>
  );
}
