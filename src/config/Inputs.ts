/**
 * The values for `${input:id}` that a person keeps beside a configuration file, since a daemon cannot ask for them:
 * `mcp-pool.inputs.json`, an object of strings that only its owner may read.
 */
import { statSync } from "node:fs"
import * as path from "node:path"
import { Effect, Option, Result } from "effect"
import * as Jsonc from "./Jsonc.ts"

/** The environment's `MCP_POOL_INPUT_<ID>` wins over these. */
export interface Inputs {
  /** Where they are read from; none for an application's own servers. */
  readonly file: Option.Option<string>
  /** The values by id, or why there are none, in words. */
  readonly values: Result.Result<ReadonlyMap<string, string>, string>
}

/** No file. */
export const none: Inputs = { file: Option.none(), values: Result.succeed(new Map()) }

/** Reads `mcp-pool.inputs.json` in a directory. Never fails: only a server that needs an input can be wrong. */
export const read = Effect.fnUntraced(function* (directory: string): Effect.fn.Return<Inputs> {
  const file = path.join(directory, "mcp-pool.inputs.json")
  return { file: Option.some(file), values: yield* Effect.result(values(file)) }
})

const values = Effect.fnUntraced(function* (file: string): Effect.fn.Return<ReadonlyMap<string, string>, string> {
  const stats = yield* Effect.try({
    try: () => statSync(file, { throwIfNoEntry: false }),
    catch: () => `${file}: cannot be read`
  })
  const found = new Map<string, string>()
  if (stats === undefined) return found
  if ((stats.mode & 0o077) !== 0) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, "0")
    return yield* Effect.fail(`${file} has mode ${mode}: others may read it, run chmod 600`)
  }
  const text = yield* Effect.mapError(Jsonc.readText(file), (reason) => `${file}: ${reason}`)
  const root = yield* Effect.mapError(Effect.fromResult(Jsonc.parse(file, text)), (error) => error.message)
  if (root.type !== "object") return yield* Effect.fail(`${file}: expected an object, found ${Jsonc.kind(root)}`)
  for (const [id, node] of Jsonc.properties(root)) {
    if (node.type !== "string")
      return yield* Effect.fail(`${file}: "${id}" should be a string, found ${Jsonc.kind(node)}`)
    found.set(id, String(node.value))
  }
  return found
})
