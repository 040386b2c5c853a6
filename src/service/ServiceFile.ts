/** The file in which a service is described: written as a whole, and known again where somebody has edited it. */
import { Effect, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { digest } from "./Description.ts"

/** A file of the service cannot be read, written or removed. */
export class ServiceFileError extends Schema.TaggedError<ServiceFileError>()("ServiceFileError", {
  file: Schema.String,
  /** The system's own words. */
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

/** What is at its place. */
export type Found =
  | { readonly kind: "none" }
  | {
      readonly kind: "found"
      readonly text: string
      /** Whether it is not, letter by letter, what some `mcp-pool service install` wrote. */
      readonly isEdited: boolean
    }

/** Reads it. */
export const read = (file: string): Effect.Effect<Found, ServiceFileError> =>
  attempt(file, (): Found => {
    if (fs.lstatSync(file, { throwIfNoEntry: false }) === undefined) return { kind: "none" }
    const text = fs.readFileSync(file, "utf8")
    return { kind: "found", text, isEdited: !isWhole(text) }
  })

/** A text with the line that tells an edit, a comment, behind the line that it is given after. */
export const stamped = (text: string, options: { readonly after: RegExp; readonly comment: Comment }): string =>
  text.replace(options.after, (line) => `${line}\n${options.comment(`${stampWords} ${sum(text)}`)}`)

/** How a format writes a comment. */
export type Comment = (text: string) => string

const stampWords = "Edits are told by this sum of the other lines:"
const stamp = new RegExp(`^.*${stampWords} ([0-9a-f]{16})\\b.*\\n`, "m")

const isWhole = (text: string): boolean => {
  const found = stamp.exec(text)
  return found !== null && sum(text.replace(stamp, "")) === found[1]
}

const sum = (text: string): string => digest(text, 16)

/** Writes it whole or not at all; a symbolic link stays one. */
export const write = (file: string, text: string, mode: number): Effect.Effect<void, ServiceFileError> =>
  attempt(file, () => {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    const target = fs.existsSync(file) ? fs.realpathSync(file) : file
    const fresh = `${target}.new`
    fs.rmSync(fresh, { force: true })
    fs.writeFileSync(fresh, text, { mode, flag: "wx" })
    // Whatever the umask is.
    fs.chmodSync(fresh, mode)
    fs.renameSync(fresh, target)
  })

/** Puts it aside, under the name that is returned. */
export const keep = (file: string): Effect.Effect<string, ServiceFileError> =>
  attempt(file, () => {
    const aside = `${file}.edited`
    fs.copyFileSync(file, aside)
    return aside
  })

/** Returns whether there was one. */
export const remove = (file: string): Effect.Effect<boolean, ServiceFileError> =>
  attempt(file, () => {
    const isThere = fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined
    fs.rmSync(file, { force: true })
    return isThere
  })

const attempt = <A>(file: string, act: () => A): Effect.Effect<A, ServiceFileError> =>
  Effect.try({ try: act, catch: (cause) => new ServiceFileError({ file, reason: (cause as Error).message }) })
