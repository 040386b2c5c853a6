/**
 * Bundles the executable: starting one file costs a tenth of starting a thousand, and one a few milliseconds less than
 * thirty. `connect` and `serve`, which are waited for, are a file each that shares nothing with the rest: each further one
 * would cost every host's every connection 60 kB as well. What most processes of `connect` never do is in files that they
 * never read.
 */
import { defineConfig } from "rolldown"

const output = { dir: "dist/bin", format: "esm", minify: true, chunkFileNames: "[name].js" } as const
const options = { platform: "node", resolve: { mainFields: ["module", "main"] } } as const
/** Files of their own, by the names that they have beside the rest. */
const alone = {
  connect: "src/cli/connect.ts",
  serveMain: "src/cli/serveMain.ts",
  waking: "src/connect/Waking.ts",
  refusal: "src/connect/Refusal.ts"
}
const nameOf = (id: string) =>
  Object.entries(alone).find(([, file]) => id.endsWith(file.slice(file.lastIndexOf("/"))))?.[0]
const plugins = [
  {
    name: "alone",
    resolveId: (id: string, importer: string | undefined) =>
      importer === undefined || nameOf(id) === undefined ? undefined : { id: `./${nameOf(id)}.js`, external: true }
  }
]

export default defineConfig([
  { ...options, plugins, input: "src/bin.ts", output: { ...output, cleanDir: true } },
  ...Object.entries(alone).map(([name, file]) => ({
    ...options,
    plugins,
    input: { [name]: file },
    output: { ...output, codeSplitting: false }
  }))
])
