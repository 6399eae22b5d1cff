// Builds the page into the gateway's package, or into the folder given; the same sources give the same bytes.

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = resolve(process.argv[2] ?? join(HERE, "../cryomamba_gateway/web"));
// Every entry is a file of its own: "main" is the page, others are loaded when they are needed.
const ENTRIES = { main: "src/main.tsx", surfaces: "src/viewer/surfaces.ts", page: "src/styles/page.css" };
const NOTICE = "/*! CryoMamba, BSD-3-Clause. Bundled libraries: see /web/notices.txt */";

await mkdir(TARGET, { recursive: true });
const { metafile } = await build({
  absWorkingDir: HERE,
  entryPoints: ENTRIES,
  outdir: TARGET,
  bundle: true,
  minify: true,
  metafile: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  external: ["/web/*"],
  banner: { js: NOTICE, css: NOTICE },
  legalComments: "none",
  logLevel: "warning",
});
await cp(join(HERE, "index.html"), join(TARGET, "index.html"));
await cp(join(HERE, "docs.html"), join(TARGET, "docs.html"));
await cp(join(HERE, "docs.js"), join(TARGET, "docs.js"));
// Swagger UI comes built; bundled again it would be no smaller.
const SWAGGER = join(HERE, "node_modules/swagger-ui-dist");
for (const [from, to] of [["swagger-ui-bundle.js", "swagger.js"], ["swagger-ui.css", "swagger.css"]]) {
  const text = await readFile(join(SWAGGER, from), "utf8");
  // Source maps are not part of the package.
  await writeFile(join(TARGET, to), text.replace(/\n?(?:\/\/|\/\*)# sourceMappingURL=.*\s*$/, "\n"));
}
const inBundle = await readFile(join(SWAGGER, "swagger-ui-bundle.js.LICENSE.txt"), "utf8");
const listed = await notices([...Object.keys(metafile.inputs), "node_modules/swagger-ui-dist/"]);
await writeFile(join(TARGET, "notices.txt"), `${listed}\nswagger-ui-dist contains:\n\n${inBundle.trim()}\n`);

/** Return the licences of the packages whose files are in the bundle. */
async function notices(inputs) {
  const found = inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  const packages = [...new Set(found)].filter(Boolean).sort();
  const texts = packages.map(async (name) => {
    const folder = join(HERE, "node_modules", name);
    const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    return `${name} ${version}\n\n${(await readFile(join(folder, "LICENSE"), "utf8")).trim()}\n`;
  });
  const intro = "The scripts of this page contain these libraries, each under its licence.\n";
  return [intro, ...(await Promise.all(texts))].join(`\n${"-".repeat(80)}\n\n`);
}
