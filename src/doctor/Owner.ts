/** Whose record of processes lies in the runtime directory. */
import { Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessTable from "../server/ProcessTable.ts"

export type Owner =
  | { readonly kind: "none" }
  /** The file is something else. */
  | { readonly kind: "unreadable" }
  | { readonly kind: "live" | "gone"; readonly pid: number }

/** The file that `ProcessRecord` writes. */
export const file = (runtimeDir: string): string => path.join(runtimeDir, "processes.json")

/** The daemon that wrote it, and whether that one still lives. */
export const find = Effect.fnUntraced(function* (runtimeDir: string): Effect.fn.Return<Owner> {
  const text = read(file(runtimeDir))
  if (text === undefined) return { kind: "none" }
  const record = decode(text)
  if (Option.isNone(record)) return { kind: "unreadable" }
  const { boot, born, pid } = record.value
  const births = yield* Effect.promise(() => ProcessTable.bornOf([pid]))
  const isLive = boot === (yield* ProcessTable.boot) && births.get(pid) === born
  return { kind: isLive ? "live" : "gone", pid }
})

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ pid: Schema.Int, born: Schema.Finite, boot: Schema.String }))
)

/** Undefined where there is none. */
const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ENOENT" ? undefined : ""
  }
}
