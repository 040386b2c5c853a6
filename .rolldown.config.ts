/**
 * Bundles the executable: starting one file costs a tenth of starting a thousand. `connect` is a file of its own that shares
 * none with the rest: each further one would cost every host's every connection 60 kB.
 */
import { defineConfig } from "rolldown"

const output = { dir: "dist/bin", format: "esm", minify: true, chunkFileNames: "[name].js" } as const
const options = { platform: "node", resolve: { mainFields: ["module", "main"] } } as const

export default defineConfig([
  {
    ...options,
    input: "src/bin.ts",
    plugins: [
      {
        name: "connect",
        resolveId: (id) => (id.endsWith("/connect.ts") ? { id: "./connect.js", external: true } : undefined)
      }
    ],
    output: { ...output, cleanDir: true }
  },
  { ...options, input: "src/cli/connect.ts", output: { ...output, codeSplitting: false } }
])
