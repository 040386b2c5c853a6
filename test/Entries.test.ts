import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "..")

/** What a process prints that runs a script in the package. */
const printedBy = (script: string): unknown =>
  JSON.parse(execFileSync(process.execPath, ["--input-type=module", "--eval", script], { cwd: root, encoding: "utf8" }))

/** The files that a process loads for an entry of the package. */
const loadedBy = (entry: string): ReadonlyArray<string> =>
  printedBy(`
    import { registerHooks } from "node:module"
    const urls = []
    registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
    await import("${entry}")
    console.log(JSON.stringify(urls))
  `) as ReadonlyArray<string>

const matching = (urls: ReadonlyArray<string>, part: string) => urls.filter((url) => url.includes(part))

describe("what an application imports", () => {
  for (const entry of [`${root}/src/index.ts`, "effect-mcp-pool"]) {
    it(`of ${path.relative(root, entry)} brings no SDK, no ajv and nothing for models`, () => {
      const urls = loadedBy(entry)
      assert.isNotEmpty(matching(urls, "/McpPool."))
      for (const part of ["@modelcontextprotocol", "/ajv/", "/effect/dist/ai/", "/McpToolkit."]) {
        assert.deepStrictEqual(matching(urls, part), [], part)
      }
    })
  }

  it("for models is an entry of its own, on the same services", () => {
    const found = printedBy(`
      import { McpProxy } from "effect-mcp-pool"
      import { toolkit } from "effect-mcp-pool/ai"
      import { Effect } from "effect"
      const tools = Effect.map(toolkit(), ({ tools }) => Object.keys(tools))
      const test = { servers: { one: { tools: { echo: { execute: () => Effect.never } } } } }
      console.log(JSON.stringify(await Effect.runPromise(Effect.provide(tools, McpProxy.layerTest(test)))))
    `)
    assert.deepStrictEqual(found, ["one__echo"])
  })
})
