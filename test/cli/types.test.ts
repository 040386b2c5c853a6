import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as path from "node:path"
import { print } from "../../src/codegen/ToolModule.ts"
import type { ToolStatus } from "../../src/PoolStatus.ts"
import { hostile } from "../codegen/Hostile.ts"
import { shapes } from "../codegen/Shapes.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as Application from "../support/Application.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as TestPool from "../support/TestPool.ts"
import { command } from "./CommandLine.ts"

const tool = (server: string, name: string): ToolStatus => ({
  server,
  name,
  title: null,
  description: null,
  inputSchema: { type: "object" }
})

const modules = path.resolve(import.meta.dirname, "../../node_modules/@modelcontextprotocol")

/** One of the reference servers; its command line has the marker as a condition that nothing asks for. */
const reference = (marker: string, name: string, ...args: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [`--conditions=${marker}`, path.join(modules, name, "dist/index.js"), ...args]
})

/** Calls that fit, by their types too, and calls that do not. */
const use = `
import { Effect } from "effect"
import { McpProxy } from "effect-mcp-pool"
import * as evil from "./hostile.ts"
import * as shapes from "./shapes.ts"
import { everything, filesystem, memory } from "./tools.ts"

const [runtimeDir = "", folder = "", samples = ""] = process.argv.slice(2)

/** Tools that give their arguments back as their results. */
const mirrored = Effect.gen(function* () {
  const tools: Readonly<Record<string, (args: never) => Effect.Effect<unknown, unknown, McpProxy.McpProxy>>> = shapes.s
  return yield* Effect.forEach(JSON.parse(samples) as ReadonlyArray<[string, never]>, ([name, sample]) =>
    Effect.match(tools[name]!(sample), { onSuccess: (result) => result, onFailure: String })
  )
}).pipe(
  Effect.provide(
    McpProxy.layerTest({
      servers: {
        s: {
          tools: Object.fromEntries(
            Object.keys(shapes.s).map((name) => [
              name,
              { execute: (args) => Effect.succeed({ content: [], structuredContent: args }) }
            ])
          )
        }
      }
    })
  )
)

const program = Effect.gen(function* () {
  const echo = yield* everything.echo({ message: "hi" })
  const weather: { readonly temperature: number; readonly conditions: string; readonly humidity: number } =
    yield* everything.getStructuredContent({ location: "New York" })
  const image = yield* everything.getTinyImage()
  const ada = { name: "Ada", entityType: "person", observations: ["wrote the first program"] }
  const { entities } = yield* memory.createEntities({ entities: [ada] })
  const graph = yield* memory.readGraph()
  const path = folder + "/a.txt"
  yield* filesystem.writeFile({ path, content: "one\\ntwo\\nthree" })
  const { content }: { readonly content: string } = yield* filesystem.readTextFile({ path, head: 2 })
  const failed = yield* Effect.flip(filesystem.readTextFile({ path: folder + "/none.txt" }))
  const refused = yield* Effect.flip(everything.getResourceLinks({ count: 11 }))
  return {
    echo: echo.content,
    temperature: typeof weather.temperature,
    image: image.content.map(({ type }) => type),
    entities,
    names: graph.entities.map(({ name }) => name),
    content,
    failed: failed._tag,
    refused: refused.message,
    mirrored: yield* mirrored,
    isPwned: "pwned" in globalThis,
    hostile: Object.entries(evil).flatMap(([name, group]) => (name.includes("_Arguments_") ? [] : Object.keys(group))).length
  }
})

/** What must not compile. */
export const wrong = [
  // @ts-expect-error an argument is missing
  everything.echo(),
  // @ts-expect-error it has another name
  everything.echo({ mesage: "hi" }),
  // @ts-expect-error there is no such city
  everything.getStructuredContent({ location: "Paris" }),
  // @ts-expect-error it takes none
  everything.getTinyImage({ size: 1 }),
  // @ts-expect-error it is a number
  filesystem.readTextFile({ path: "a", head: "2" }),
  // @ts-expect-error the result has no such property
  Effect.map(memory.readGraph(), ({ nodes }) => nodes)
]

const result = await Effect.runPromise(Effect.provide(program, McpProxy.layerSocket({ runtimeDir })))
process.stdout.write(JSON.stringify(result))
`

describe("mcp-pool types", () => {
  it.live(
    "prints a module that type-checks and makes real calls of every reference server, and nothing of a server runs",
    () =>
      Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        const folder = yield* TestPool.temporaryDirectory
        const daemon = yield* DaemonProcess.launch(runtimeDir, ({ marker }) => ({
          everything: reference(marker, "server-everything"),
          filesystem: reference(marker, "server-filesystem", folder),
          memory: {
            ...reference(marker, "server-memory"),
            env: { MEMORY_FILE_PATH: path.join(folder, "memory.json") }
          }
        }))
        yield* daemon.ready
        const printed = yield* command(runtimeDir, "types")
        assert.deepStrictEqual({ code: printed.code, err: printed.err }, { code: 0, err: "" })
        assert.strictEqual((yield* command(runtimeDir, "types")).out, printed.out)
        assert.notInclude(printed.out, "Not checked")

        const tools = JSON.parse((yield* command(runtimeDir, "tools", "--json")).out) as ReadonlyArray<ToolStatus>
        assert.strictEqual(printed.out.split("McpProxy.tool(").length - 1, tools.length)
        assert.isAbove(tools.length, 30)

        const application = yield* Application.make({
          "tools.ts": printed.out,
          "hostile.ts": print(hostile),
          "shapes.ts": print(
            shapes.map(({ name, schema }) => ({ ...tool("s", name), inputSchema: schema, outputSchema: schema }))
          ),
          "use.ts": use
        })
        const samples = shapes.flatMap(({ name, samples }) => samples.map((sample) => [name, sample] as const))
        const [checked, ran] = yield* Effect.all(
          [application.check, application.run("use.ts", runtimeDir, folder, JSON.stringify(samples))],
          {
            concurrency: 2
          }
        )
        assert.deepStrictEqual(checked, { code: 0, out: "", err: "" })
        assert.strictEqual(ran.code, 0, ran.err)
        assert.deepStrictEqual(JSON.parse(ran.out), {
          echo: [{ type: "text", text: "Echo: hi" }],
          temperature: "number",
          image: ["text", "image", "text"],
          entities: [{ name: "Ada", entityType: "person", observations: ["wrote the first program"] }],
          names: ["Ada"],
          content: "one\ntwo",
          failed: "ToolFailed",
          refused:
            "the arguments of everything__get-resource-links do not fit its schema: /count expected a value less than or equal to 10",
          mirrored: samples.map(([, sample]) => sample),
          isPwned: false,
          hostile: hostile.length
        })
      }),
    60_000
  )

  it.live("prints the tools of the servers that are named, in the order of the configuration", () =>
    Effect.gen(function* () {
      const servers = ["git", "time", "web"].map((name) => Harness.server(name))
      const tools = [tool("git", "log"), tool("time", "now"), tool("web", "get")]
      const { runtimeDir } = yield* Harness.serve({ servers, tools })
      const { code, out } = yield* command(runtimeDir, "types", "web", "git", "web")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(out.match(/^export const \w+/gm), ["export const git", "export const web"])
    })
  )

  it.live("leaves out servers whose tools are not known, unless they are named or are all, with exit code 4", () =>
    Effect.gen(function* () {
      const stopped = Harness.server("git", { state: "stopped", pid: null, tools: null })
      const some = yield* Harness.serve({ servers: [stopped, Harness.server("time")], tools: [tool("time", "now")] })
      const all = yield* command(some.runtimeDir, "types")
      assert.deepStrictEqual(
        { code: all.code, err: all.err },
        { code: 0, err: "mcp-pool: left out: git is stopped; its tools are not known" }
      )
      assert.include(all.out, "export const time")
      const none = yield* Harness.serve({ servers: [stopped] })
      for (const outcome of [
        yield* command(some.runtimeDir, "types", "time", "git"),
        yield* command(none.runtimeDir, "types")
      ]) {
        assert.deepStrictEqual(outcome, { code: 4, out: "", err: "mcp-pool: git is stopped; its tools are not known" })
      }
    })
  )
})
