import { useEffect, useRef, useState } from "preact/hooks";
import type { Job } from "../api/types.ts";

/** Rows that are only scrolled past ask for no image. */
const DWELL_MS = 150;
const SIZE = 112;

/** The middle section of a job's tomogram, with its mask once there is one. */
export function Thumbnail({ job }: { job: Job }) {
  const place = useRef<HTMLSpanElement>(null);
  const seen = useDwell(place);
  const { path, file_id: fileId, job_id: jobId } = job.volume;
  const mask = newestMask(job);
  return (
    <span class="thumbnail" ref={place} aria-hidden="true">
      {seen && (path || fileId || jobId) && <Slice key="tomogram" url={sliceUrl(job.job_id, "tomogram")} />}
      {seen && mask && <Slice key={mask} url={sliceUrl(job.job_id, mask)} />}
    </span>
  );
}

/** The middle section of a tomogram that can be read at an address. */
export function SliceThumbnail({ url }: { url: string }) {
  return (
    <span class="thumbnail" aria-hidden="true">
      <Slice url={`${url}/slice?size=${SIZE}`} />
    </span>
  );
}

function Slice({ url }: { url: string }) {
  const [broken, setBroken] = useState(false);
  if (broken) return null;
  return <img src={url} alt="" decoding="async" draggable={false} onError={() => setBroken(true)} />;
}

function sliceUrl(jobId: string, name: string): string {
  return `/v1/jobs/${encodeURIComponent(jobId)}/volumes/${encodeURIComponent(name)}/slice?size=${SIZE}`;
}

/** A corrected mask replaces the engine's. */
function newestMask(job: Job): string | undefined {
  const masks = job.artifacts.map(({ name }) => name).filter((name) => /^mask(_r\d+)?\.mrc$/.test(name));
  return masks.sort((one, other) => revision(one) - revision(other)).at(-1);
}

function revision(name: string): number {
  return Number(/_r(\d+)/.exec(name)?.[1] ?? 0);
}

function useDwell(place: { current: Element | null }): boolean {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (seen || !place.current) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new IntersectionObserver(([entry]) => {
      clearTimeout(timer);
      if (entry?.isIntersecting) timer = setTimeout(() => setSeen(true), DWELL_MS);
    });
    observer.observe(place.current);
    return () => {
      clearTimeout(timer);
      observer.disconnect();
    };
  }, [seen]);
  return seen;
}
