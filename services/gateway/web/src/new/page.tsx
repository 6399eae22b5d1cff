export function NewJob() {
  return (
    <section class="card narrow" aria-labelledby="new-title">
      <h2 id="new-title">New job</h2>
      <p>Submit a job from the command line:</p>
      <p><code>{`cryomamba segment t1.mrc --server ${location.origin}`}</code></p>
    </section>
  );
}
