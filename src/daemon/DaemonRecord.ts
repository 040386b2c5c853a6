/**
 * What a daemon leaves behind for the next one in its runtime directory: with which configuration it was started, and its
 * PATH, and where it served HTTP. A host starts `connect` with little of the user's environment, and the daemon that `connect`
 * then starts must find the same servers, and be found where it was. Nothing secret: no other variable, no value of a
 * configuration, and no token.
 */
import { Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { HttpOptions } from "../http/HttpOptions.ts"

/** The record. */
export interface DaemonRecord {
  /** Absolute paths; empty for the file that is read where none is named. */
  readonly configFiles: ReadonlyArray<string>
  /** A mistake in one server is a mistake in all. */
  readonly strict: boolean
  /** The files are watched. */
  readonly watchConfig: boolean
  /** Null where it was not told to serve HTTP. A port of 0 was any: here stands the one that it got. */
  readonly http: HttpOptions | null
  /** Directories of programs, with colons between. */
  readonly path: string
}

/** Where it is. */
export const file = (runtimeDir: string): string => path.join(runtimeDir, "daemon.json")

/** Writes it, for this user alone and as a whole or not at all; a failure is logged, since the daemon serves without. */
export const write = (runtimeDir: string, record: DaemonRecord): Effect.Effect<void> =>
  Effect.try({
    try: () => {
      const target = file(runtimeDir)
      const temporary = `${target}.${process.pid}`
      fs.rmSync(temporary, { force: true })
      fs.writeFileSync(temporary, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flag: "wx" })
      fs.renameSync(temporary, target)
    },
    catch: (cause) => (cause as Error).message
  }).pipe(Effect.catch((reason) => Effect.logWarning(`${file(runtimeDir)} cannot be written: ${reason}`)))

/** Reads it; one that is missing or that nobody can read is none. */
export const read = (runtimeDir: string): Effect.Effect<Option.Option<DaemonRecord>> =>
  Effect.try({
    try: () => fs.readFileSync(file(runtimeDir), "utf8"),
    catch: (cause) => cause as NodeJS.ErrnoException
  }).pipe(
    Effect.map(decode),
    Effect.tap((record) =>
      Option.isNone(record)
        ? Effect.logWarning(`${file(runtimeDir)} is no daemon's record: it is not used`)
        : Effect.void
    ),
    Effect.catch((error) =>
      Effect.as(
        error.code === "ENOENT"
          ? Effect.void
          : Effect.logWarning(`${file(runtimeDir)} cannot be read: ${error.message}`),
        Option.none()
      )
    )
  )

/**
 * The PATH of a daemon in the background: its own where that has all the recorded directories, else the recorded one and
 * then what is its own alone.
 */
export const richerPath = (own: string, recorded: string): string => {
  const [mine, theirs] = [directories(own), directories(recorded)]
  if (theirs.every((directory) => mine.includes(directory))) return own
  return [...theirs, ...mine.filter((directory) => !theirs.includes(directory))].join(path.delimiter)
}

const directories = (list: string): ReadonlyArray<string> =>
  list.split(path.delimiter).filter((directory) => directory !== "")

const Http = Schema.Struct({
  address: Schema.Struct({
    host: Schema.NonEmptyString,
    port: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))
  }),
  auth: Schema.Literals(["token", "none"]),
  allowedHosts: Schema.Array(Schema.String),
  idle: Schema.Finite.check(Schema.isGreaterThan(0)),
  waits: Schema.optionalKey(Schema.Boolean)
})

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      configFiles: Schema.Array(Schema.String.check(Schema.makeFilter((file) => path.isAbsolute(file)))),
      strict: Schema.Boolean,
      watchConfig: Schema.Boolean,
      // Daemons of before say nothing of it.
      http: Schema.NullOr(Http).pipe(Schema.withDecodingDefaultKey(Effect.succeed(null))),
      path: Schema.String
    })
  )
)
