/**
 * What servers were found to ask their clients, across restarts of the daemon: a file for each fingerprint, in a pool's
 * directory. Where it cannot be read or written, it is learnt again.
 */
import { Option, Schema } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import * as KnownFile from "./KnownFile.ts"

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
export const read = (directory: string | null, spec: ServerSpec): ReadonlyArray<Asker> =>
  Option.getOrElse(decode(KnownFile.read({ ...folder, directory }, spec)), () => [])

/** Keeps it, in place of what was known before. */
export const write = (directory: string | null, spec: ServerSpec, askers: ReadonlyArray<Asker>): void =>
  KnownFile.write({ ...folder, directory }, spec, askers)

const decode = Schema.decodeUnknownOption(Schema.Array(Asker))
/** Of 4,096 names, and URIs may be long. */
const folder = { name: "askers", maxSize: 8 * 1024 * 1024 }
