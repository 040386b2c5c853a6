/** An application of its own that uses the library, in a temporary folder: type-checked and run as its users do. */
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as TestPool from "./TestPool.ts"

export interface Ended {
  /** Null where it was killed. */
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Application {
  /** Type-checks all files with the strictness of this repository. */
  readonly check: Effect.Effect<Ended>
  /** Runs one of them with Node. */
  readonly run: (file: string, ...args: ReadonlyArray<string>) => Effect.Effect<Ended>
}

/** With these files, by name; `effect-mcp-pool` is this repository's source. */
export const make = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>
): Effect.fn.Return<Application, never, Scope.Scope> {
  const directory = yield* TestPool.temporaryDirectory
  const write = (name: string, text: string) => fs.writeFileSync(path.join(directory, name), text)
  const source = path.join(root, "src/index.ts")

  fs.mkdirSync(path.join(directory, "node_modules/effect-mcp-pool"), { recursive: true })
  fs.symlinkSync(path.join(root, "node_modules/effect"), path.join(directory, "node_modules/effect"))
  write("node_modules/effect-mcp-pool/package.json", JSON.stringify({ type: "module", exports: "./index.js" }))
  write("node_modules/effect-mcp-pool/index.js", `export * from ${JSON.stringify(source)}\n`)
  write("package.json", JSON.stringify({ type: "module" }))
  const compilerOptions = {
    paths: { "effect-mcp-pool": [source] },
    typeRoots: [path.join(root, "node_modules/@types")]
  }
  const include = Object.keys(files)
  write("tsconfig.json", JSON.stringify({ extends: path.join(root, "tsconfig.json"), compilerOptions, include }))
  for (const [name, text] of Object.entries(files)) write(name, text)

  const run = (file: string, ...args: ReadonlyArray<string>) =>
    Effect.callback<Ended>((resume) => {
      const child = execFile(process.execPath, [file, ...args], { cwd: directory }, (_error, out, err) =>
        resume(Effect.succeed({ code: child.exitCode, out, err }))
      )
      return Effect.sync(() => void child.kill("SIGKILL"))
    })
  return { check: run(path.join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.json"), run }
})

const root = path.resolve(import.meta.dirname, "../..")
