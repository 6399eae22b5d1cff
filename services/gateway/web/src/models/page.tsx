import type { TrainedModel } from "../api/types.ts";
import { printable } from "../app/text.ts";
import { bytes, counted } from "../format/numbers.ts";
import { server } from "../server/info.ts";
import { AddModel } from "./add-model.tsx";
import { Licence } from "./licence.tsx";
import { isAdministrator, models, modelsProblem } from "./list.ts";
import { RemoveModel } from "./remove-model.tsx";

export function ModelsPage() {
  const known = models.value;
  return (
    <section class="models-page" aria-labelledby="models-title">
      <h2 id="models-title">Models</h2>
      {modelsProblem.value && <p class="message danger">{printable(modelsProblem.value)}</p>}
      {known === null && !modelsProblem.value && <p class="secondary">Loading …</p>}
      {isAdministrator.value && <AddModel />}
      {known?.length === 0 && (
        <div class="card empty" id="no-models">
          <p>No trained models yet.{!isAdministrator.value && " Ask whoever runs this server to add one."}</p>
        </div>
      )}
      <ul id="models" class="plain models">
        {known?.map((model) => (
          <ModelCard key={`${model.name} ${model.sha256}`} model={model} />
        ))}
      </ul>
    </section>
  );
}

function ModelCard({ model }: { model: TrainedModel }) {
  const title = model.title && model.title !== model.name ? model.title : "";
  return (
    <li class="card" data-model={model.name}>
      <h3>{printable(model.name)}</h3>
      {title && <p>{printable(title)}</p>}
      {model.summary && <p class="secondary">{printable(model.summary)}</p>}
      <dl class="facts">
        <Fact name="Engine">{printable(model.kind)}</Fact>
        <Fact name="Finds">{printable(labels(model))}</Fact>
        <Fact name="Voxel size">{voxelSize(model)}</Fact>
        <Fact name="Size">{bytes(model.size_bytes)}</Fact>
        <Fact name="Licence">
          <Licence model={model} />
        </Fact>
        <Fact name="Runs on">{printable(hosts(model))}</Fact>
        <Fact name="SHA-256">
          <code>{model.sha256}</code>
        </Fact>
        {model.citation && <Fact name="Cite">{printable(model.citation)}</Fact>}
      </dl>
      {isAdministrator.value && <RemoveModel name={model.name} />}
    </li>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function labels(model: TrainedModel): string {
  return Object.values(model.labels).join(", ");
}

function voxelSize({ voxel_size_A: size }: TrainedModel): string {
  if (size === null) return "Any";
  return `${[...new Set(size)].length === 1 ? size[0] : size.join(" × ")} Å`;
}

/** The machines of the workers that have the model. */
function hosts({ workers }: TrainedModel): string {
  if (workers.length === 0) return "No connected worker";
  const known = new Map(server.value?.workers.map(({ worker, host }) => [worker, host]));
  const machines = [...new Set(workers.map((worker) => known.get(worker) ?? worker))];
  return `${counted(workers.length, "worker")}: ${machines.join(", ")}`;
}
