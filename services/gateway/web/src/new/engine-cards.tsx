import type { EngineInfo } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { counted } from "../format/numbers.ts";
import { server } from "../server/info.ts";
import { engine, engineName, offered, refused } from "./draft.ts";

/** Names that are not spelt like words. */
const SPELLING: Readonly<Record<string, string>> = {
  membrain: "MemBrain-seg",
  nnunet: "nnU-Net",
  onnx: "ONNX",
  torchscript: "TorchScript",
};

const PICKS_WORDS = { particles: "Coordinates", filaments: "Centrelines" } as const;

export function EngineCards() {
  const card = (info: EngineInfo) => <EngineCard key={info.name} info={info} chosen={info.name === engine.value?.name} />;
  const missing = offered.value.filter(({ available }) => !available);
  return (
    <section class="step" aria-labelledby="engines-title">
      <h3 id="engines-title">What to find</h3>
      {server.value === null && <p class="secondary">Loading …</p>}
      {server.value?.engines.length === 0 && (
        <p class="message warn">
          No worker is connected, so there is no engine to choose. Tell whoever runs this server.
        </p>
      )}
      <div class="engines" id="engines" role="radiogroup" aria-labelledby="engines-title">
        {offered.value.filter(({ available }) => available).map(card)}
      </div>
      {missing.length > 0 && (
        <details id="missing-engines" class="missing-engines" open={missing.length === offered.value.length}>
          <summary>{`${counted(missing.length, "more engine")} that this server does not have`}</summary>
          <ul class="plain engines">
            {missing.map((info) => (
              <li key={info.name} class="engine" data-available={false}>
                <span class="engine-name">{printable(titleOf(info.name))}</span>
                <span class="engine-summary">{printable(info.summary)}</span>
                <span class="secondary">{printable(info.reason)}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function EngineCard({ info, chosen }: { info: EngineInfo; chosen: boolean }) {
  const tags = [
    info.default && "Default",
    info.picks && PICKS_WORDS[info.picks],
    !info.needs_volume && "No tomogram needed",
  ];
  return (
    <label class="engine" data-chosen={chosen}>
      <input
        type="radio"
        name="engine"
        value={info.name}
        checked={chosen}
        onChange={() => {
          engineName.value = info.name;
          refused.value = null;
        }}
      />
      <span class="engine-name">{printable(titleOf(info.name))}</span>
      <span class="engine-summary">{printable(info.summary)}</span>
      <span class="tags">
        {tags.filter(Boolean).map((tag) => (
          <span key={String(tag)} class="tag">
            {tag}
          </span>
        ))}
      </span>
    </label>
  );
}

function titleOf(name: string): string {
  return SPELLING[name] ?? name.charAt(0).toUpperCase() + name.slice(1);
}
