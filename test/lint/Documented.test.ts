import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "../..")
const configuration = JSON.parse(fs.readFileSync(path.join(root, ".oxlintrc.json"), "utf8")) as {
  readonly overrides: ReadonlyArray<{
    readonly files: ReadonlyArray<string>
    readonly rules: { readonly [rule: string]: string }
  }>
}

/** What the project's own lint says of a module of its own. */
const lint = (source: string) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "lint-"))
  try {
    const plugin = path.join(root, "test/lint/Documented.ts")
    fs.writeFileSync(path.join(directory, ".oxlintrc.json"), JSON.stringify({ ...configuration, jsPlugins: [plugin] }))
    fs.mkdirSync(path.join(directory, "src"))
    fs.writeFileSync(path.join(directory, "src/Module.ts"), source)
    const { output, status } = spawnSync(
      process.execPath,
      [path.join(root, "node_modules/oxlint/bin/oxlint"), "--deny-warnings", "src"],
      { cwd: directory, encoding: "utf8" }
    )
    const undocumented = output.join("").matchAll(/pool\(documented\): "(.*?)" has no documentation/g)
    return { status, undocumented: [...undocumented].map(([, name]) => name) }
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
}

describe("the lint rule pool/documented", () => {
  it("fails on each export without documentation, and on what nobody can guess within", () => {
    const { status, undocumented } = lint(`
      import { Context, Schema } from "effect"
      export const plain = 1
      // No documentation.
      export const commented = 1
      /* Neither. */
      export function run() {}
      export type Alias = string
      export interface Options {
        readonly name: string
        readonly timeout?: number | undefined
        readonly onEnd: () => void
        method(): void
      }
      export class Service extends Context.Service<Service, {
        readonly name: string
        /** Said. */
        readonly said: string
      }>()("id") {}
      export class Failed extends Schema.TaggedError<Failed>()("Failed", {
        server: Schema.String,
        after: Schema.NullOr(Schema.Finite)
      }) {}
      export const Status = Schema.Struct({ pid: Schema.Int })
    `)
    assert.strictEqual(status, 1)
    assert.deepStrictEqual(undocumented, [
      "plain",
      "commented",
      "run",
      "Alias",
      "Options",
      "Options.timeout",
      "Options.onEnd",
      "Options.method",
      "Service",
      "Service.name",
      "Failed",
      "Failed.after",
      "Status",
      "Status.pid"
    ])
  })

  it("passes what says what it is, and what is nobody else's", () => {
    const { status, undocumented } = lint(`
      import { Schema } from "effect"
      /** How many there are. */
      export const count = 1
      /** A state. */
      export const State = Schema.Literals(["on", "off"])
      export type State = typeof State.Type
      /** What is asked for. */
      export interface Options {
        readonly name: string
        /** Milliseconds. */
        readonly timeout: number
      }
      const hidden = count
      export { hidden as again }
      export * from "./Other.ts"
    `)
    assert.deepStrictEqual({ status, undocumented }, { status: 0, undocumented: [] })
  })

  it("holds for all that the library exports", () => {
    const globs = configuration.overrides.flatMap(({ files, rules }) => ("pool/documented" in rules ? files : []))
    const index = fs.readFileSync(path.join(root, "src/index.ts"), "utf8")
    const modules = [...index.matchAll(/from "\.\/(.*?)"/g)].map(([, file]) => `src/${file}`)
    assert.isNotEmpty(modules)
    for (const module of modules) {
      assert.isTrue(
        globs.some((glob) => path.matchesGlob(module, glob)),
        module
      )
    }
  })
})
