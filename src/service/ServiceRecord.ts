/**
 * `<runtimeDir>/service.json`: how the service of a runtime directory is started and stopped, for `connect`, which starts
 * a daemon where none runs, and for `shutdown`. It is there while the service is installed.
 */
import { type Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as ServiceFile from "./ServiceFile.ts"

const Argv = Schema.NonEmptyArray(Schema.String)

/** Command lines that need nothing of the environment but HOME and PATH. */
export const ServiceRecord = Schema.Struct({
  /** Returns when the daemon's process is there; fails where the service cannot be started. */
  start: Argv,
  /** Has it stay away until it is started again. */
  stop: Argv,
  /** What whoever keeps it running calls it. */
  name: Schema.String
})
/** {@link ServiceRecord}, decoded. */
export interface ServiceRecord extends Schema.Schema.Type<typeof ServiceRecord> {}

/** Where it is. */
export const fileOf = (runtimeDir: string): string => path.join(runtimeDir, "service.json")

/** Undefined where there is none, none that can be understood, or none that is surely this user's. */
export const read = (runtimeDir: string): ServiceRecord | undefined => {
  try {
    if (RuntimeDir.foreign(fs.statSync(runtimeDir)) !== undefined) return undefined
    return Option.getOrUndefined(decode(JSON.parse(fs.readFileSync(fileOf(runtimeDir), "utf8"))))
  } catch {
    return undefined
  }
}

/** Makes the runtime directory where it is missing. */
export const write = (runtimeDir: string, record: ServiceRecord): Effect.Effect<void, ServiceFile.ServiceFileError> =>
  ServiceFile.write(fileOf(runtimeDir), `${JSON.stringify(record, undefined, 2)}\n`, 0o600)

/** Returns whether there was one. */
export const remove = (runtimeDir: string): Effect.Effect<boolean, ServiceFile.ServiceFileError> =>
  ServiceFile.remove(fileOf(runtimeDir))

const decode = Schema.decodeUnknownOption(ServiceRecord)
