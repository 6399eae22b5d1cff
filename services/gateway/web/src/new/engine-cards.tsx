import type { EngineInfo } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { server } from "../server/info.ts";
import { engine, engineName, offered, refused } from "./draft.ts";

const PICKS_WORDS = { particles: "Coordinates", filaments: "Centrelines" } as const;

export function EngineCards() {
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
        {offered.value.map((info) => (
          <EngineCard key={info.name} info={info} chosen={info.name === engine.value?.name} />
        ))}
      </div>
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
    <label class="engine" data-chosen={chosen} data-available={info.available}>
      <input
        type="radio"
        name="engine"
        value={info.name}
        checked={chosen}
        disabled={!info.available}
        onChange={() => {
          engineName.value = info.name;
          refused.value = null;
        }}
      />
      <span class="engine-name">{printable(capitalized(info.name))}</span>
      <span class="engine-summary">{printable(info.summary)}</span>
      {info.available ? (
        <span class="tags">
          {tags.filter(Boolean).map((tag) => (
            <span key={String(tag)} class="tag">
              {tag}
            </span>
          ))}
        </span>
      ) : (
        <span class="problem">{printable(`Not available on this server: ${info.reason}`)}</span>
      )}
    </label>
  );
}

function capitalized(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
