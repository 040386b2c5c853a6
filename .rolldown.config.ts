/**
 * Bundles the executable: starting one file costs a tenth of starting a thousand, and one a few milliseconds less than
 * thirty. `connect` and `serve`, which are waited for, are a file each that shares nothing with the rest.
 */
import { defineConfig } from "rolldown"

const output = { dir: "dist/bin", format: "esm", minify: true, chunkFileNames: "[name].js" } as const
const options = { platform: "node", resolve: { mainFields: ["module", "main"] } } as const
/** A file of its own: the name of an entry in `src/cli`, to the rest another file beside it. */
const alone = ["connect", "serveMain"]
const nameOf = (id: string) => alone.find((name) => id.endsWith(`/${name}.ts`))

export default defineConfig([
  {
    ...options,
    input: "src/bin.ts",
    plugins: [
      {
        name: "alone",
        resolveId: (id) => (nameOf(id) === undefined ? undefined : { id: `./${nameOf(id)}.js`, external: true })
      }
    ],
    output: { ...output, cleanDir: true }
  },
  ...alone.map((name) => ({
    ...options,
    input: `src/cli/${name}.ts`,
    output: { ...output, codeSplitting: false }
  }))
])
