/**
 * What servers were found to ask their clients, across restarts of the daemon: a file for each fingerprint, in a pool's
 * directory, for its owner alone. Where it cannot be read or written, it is learnt again.
 */
import { Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerSpec } from "../config/ServerSpec.ts"

/** One tool, prompt or resource that asks, or that may: it was in flight among others when a question came. */
export const Asker = Schema.Struct({
  /** `tools/call`, `prompts/get` or `resources/read`. */
  method: Schema.String,
  /** The tool's or prompt's name, the resource's URI. */
  name: Schema.String,
  isCertain: Schema.Boolean
})
export interface Asker extends Schema.Schema.Type<typeof Asker> {}

/** What is known of a server; `directory` is null where nothing is kept. */
export const read = (directory: string | null, spec: ServerSpec): ReadonlyArray<Asker> => {
  // To compute a fingerprint costs more than to start a server.
  if (directory === null || !fs.existsSync(path.join(directory, folder))) return []
  try {
    return Option.getOrElse(decode(JSON.parse(fs.readFileSync(fileOf(directory, spec), "utf8"))), () => [])
  } catch {
    return []
  }
}

/** Keeps it, in place of what was known before. */
export const write = (directory: string | null, spec: ServerSpec, askers: ReadonlyArray<Asker>): void => {
  if (directory === null) return
  const file = fileOf(directory, spec)
  try {
    fs.mkdirSync(path.join(directory, folder), { recursive: true, mode: 0o700 })
    fs.writeFileSync(`${file}.new`, JSON.stringify(askers), { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
  } catch {
    // It is learnt again.
  }
}

const fileOf = (directory: string, spec: ServerSpec): string => path.join(directory, folder, `${spec.fingerprint}.json`)

const decode = Schema.decodeUnknownOption(Schema.Array(Asker))
const folder = "askers"
