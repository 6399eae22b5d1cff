import { fileUrl } from "../api/client.ts";
import { printable } from "../app/text.ts";
import { SliceThumbnail } from "../jobs/thumbnail.tsx";
import { UploadProgress } from "../upload/progress.tsx";
import { uploads } from "../upload/queue.ts";
import { type Volume, removeVolume } from "./draft.ts";

export function VolumeRow({ volume }: { volume: Volume }) {
  const queued = volume.uploadKey === null ? undefined : uploads.value.find(({ key }) => key === volume.uploadKey);
  const preview = previewOf(volume);
  return (
    <li class="volume" aria-invalid={volume.problem !== ""} tabIndex={volume.problem ? -1 : undefined}>
      {preview && <SliceThumbnail url={preview} />}
      <div class="volume-head">
        <span class="volume-name">{printable(volume.label)}</span>
        <span class="secondary">{printable(volume.details)}</span>
        <button
          type="button"
          class="quiet"
          aria-label={`Remove ${printable(volume.label)}`}
          onClick={() => removeVolume(volume.key)}
        >
          Remove
        </button>
      </div>
      {queued && <UploadProgress queued={queued} />}
      {volume.problem && <p class="problem">{printable(volume.problem)}</p>}
    </li>
  );
}

/** Where the tomogram can be read before there is a job. */
function previewOf({ source, preview }: Volume): string | undefined {
  return source && "file_id" in source ? fileUrl(source.file_id) : preview;
}
