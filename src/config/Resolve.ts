/** From one server's entry to what can be started: references, paths, environment, settings. */
import * as path from "node:path"
import * as url from "node:url"
import type * as Util from "node:util"
import { Effect, Option, Predicate, type Result } from "effect"
import { ServerConfigError } from "../PoolError.ts"
import * as Address from "./Address.ts"
import { poolNotes, type Source, unknownKeysNote } from "./ConfigFile.ts"
import { processEnvironment } from "./Environment.ts"
import { interpolate, type References } from "./Interpolation.ts"
import * as Jsonc from "./Jsonc.ts"
import { isVariableName, type Mistake, noVariableName } from "./PoolOptions.ts"
import * as Remote from "./Remote.ts"
import { explanation, runsPool } from "./SelfReference.ts"
import {
  type DecodedServerOptions,
  fingerprint,
  identity,
  type PoolSettings,
  poolSettings,
  remoteIdentity,
  ServerOptions,
  type ServerSpec
} from "./ServerSpec.ts"

/** Resolves one entry as it decoded. */
export const resolve = Effect.fnUntraced(function* (
  name: string,
  decoded: Result.Result<DecodedServerOptions, Mistake>,
  source: Source,
  references: References
): Effect.fn.Return<ServerSpec, ServerConfigError> {
  const mistake = (field: string, reason: string, variable: string | null = null) =>
    new ServerConfigError({ server: name, file: source.name, field, variable, reason })
  const text = (field: string, value: string) =>
    Effect.mapError(Effect.fromResult(interpolate(value, references)), (unresolved) =>
      mistake(field, unresolved.reason, Option.getOrNull(unresolved.variable))
    )
  const fields = <A, B>(
    field: string,
    values: Readonly<Record<string, A>>,
    each: (field: string, value: A) => Effect.Effect<B, ServerConfigError>
  ): Effect.Effect<Readonly<Record<string, B>>, ServerConfigError> =>
    Effect.forEach(Object.entries(values), ([key, value]) =>
      Effect.map(each(`${field}.${key}`, value), (done) => [key, done] as const)
    ).pipe(Effect.map((entries) => Object.fromEntries(entries)))
  /** All texts in a JSON value; its keys stay. */
  const texts = (field: string, value: unknown): Effect.Effect<unknown, ServerConfigError> => {
    if (Predicate.isString(value)) return text(field, value)
    if (Array.isArray(value)) return Effect.forEach(value, (item, index) => texts(`${field}.${index}`, item))
    return Predicate.isObject(value) ? fields(field, value, texts) : Effect.succeed(value)
  }
  const pathOf = (field: string, value: string) =>
    Effect.map(text(field, value), (relative) => path.resolve(source.directory, relative))

  const commandOf = Effect.fnUntraced(function* (options: DecodedServerOptions) {
    if (options.command === undefined) return yield* mistake("command", "is missing")
    const command = yield* text("command", options.command)
    if (command.trim() === "") return yield* mistake("command", "is empty")
    const args = yield* Effect.forEach(options.args ?? [], (argument, index) => text(`args.${index}`, argument))
    const cwd = path.resolve(references.workspaceFolder, yield* text("cwd", options.cwd ?? ""))

    const declared = new Map<string, string | null>()
    for (const [variable, value] of Object.entries(options.env ?? {})) {
      if (!isVariableName(variable)) return yield* mistake("env", noVariableName)
      declared.set(variable, value === null ? null : yield* text(`env.${variable}`, String(value)))
    }
    const envFile = options.envFile === undefined ? undefined : yield* pathOf("envFile", options.envFile)
    const file =
      envFile === undefined ? {} : yield* Effect.mapError(readEnvFile(envFile), (reason) => mistake("envFile", reason))
    const process = {
      command: command.includes("/") ? path.resolve(source.directory, command) : command,
      args,
      cwd,
      env: processEnvironment({
        host: references.variables,
        passEnv: [...(source.pool.passEnv ?? []), ...(options.pool?.passEnv ?? [])],
        file,
        declared
      })
    }
    if (runsPool(process)) return yield* mistake("command", explanation)
    return process
  })

  const options = yield* Effect.mapError(Effect.fromResult(decoded), ({ path, reason }) =>
    mistake(path.join("."), reason)
  )
  if (options.pool?.audit !== undefined)
    return yield* mistake("pool.audit", "belongs at the top: it is the whole pool's")
  const remote = hasProcess(options) ? null : yield* remoteOf(options, { mistake, text, fields })
  const process =
    remote === null ? yield* commandOf(options) : { command: "", args: [], cwd: references.workspaceFolder, env: {} }
  const { command, cwd } = process
  const settings = poolSettings(remote === null ? command : null, source.pool, options.pool)
  const pool = remote === null ? settings : { ...settings, ...ofNoProcess }
  const socket = pool.socket === undefined ? undefined : yield* pathOf("pool.socket", pool.socket)
  const roots =
    pool.roots === undefined
      ? undefined
      : yield* Effect.forEach(pool.roots, (root, index) =>
          Effect.map(text(`pool.roots.${index}`, root.uri), (uri) => ({
            ...root,
            uri: /^[a-z][a-z0-9+.-]*:/i.test(uri) ? uri : url.pathToFileURL(path.resolve(cwd, uri)).href
          }))
        )
  const mode = options.pool?.pin ?? source.pool.pin ?? "off"
  if (mode !== "off" && source.lockFile === null) {
    return yield* mistake("pool.pin", 'needs a file for what is accepted: give the pool a "lockFile"')
  }
  const pin =
    mode === "off" || source.lockFile === null
      ? undefined
      : { mode, file: source.lockFile, server: lockedName(name, source, pool) }
  const extraEnv = yield* fields("pool.extraEnv", pool.extraEnv, text)
  const sessionFile =
    pool.sessionFile === undefined
      ? undefined
      : {
          variable: pool.sessionFile.variable,
          content: JSON.stringify(yield* texts("pool.sessionFile.content", JSON.parse(pool.sessionFile.content)))
        }
  const own = remote === null ? identity(process) : remoteIdentity(remote)
  return {
    name,
    source: source.name,
    remote,
    ...process,
    identity: own,
    get fingerprint() {
      return fingerprint(own)
    },
    pool: { ...pool, pin, socket, roots, extraEnv, sessionFile }
  }
})

/**
 * The name of a server in its lock file: as the configuration file has it, so that the lock file holds wherever the project
 * is; with the project's directory only where that is what tells apart servers of one file.
 */
const lockedName = (name: string, source: Source, { sharing }: PoolSettings): string => {
  const address = Address.parse(name)
  if (address === undefined) return name
  return sharing.perProject === true || source.name.startsWith(`${address.directory}/`) ? address.server : name
}

/** What there is to say about an entry beside its mistakes. */
export const notes = (entry: unknown): ReadonlyArray<string> => {
  if (!Predicate.isObject(entry)) return []
  const unknown = Object.keys(entry).filter((key) => !Object.hasOwn(ServerOptions.fields, key) && !hostKeys.has(key))
  return [
    ...unknownKeysNote(unknown),
    ...(entry["timeout"] === undefined
      ? []
      : ['"timeout" is ignored, since its unit differs between hosts: see "pool.requestTimeout"']),
    ...ignoredNote(entry),
    ...poolNotes(entry["pool"])
  ]
}

/** What is for a process alone, in the entry of a server that has none. */
const ignoredNote = (entry: Readonly<Record<string, unknown>>): ReadonlyArray<string> => {
  const { pool } = entry
  const [of, ignored] = hasProcess(entry)
    ? ["command", ["url", "headers"].filter((key) => entry[key] !== undefined)]
    : [
        "url",
        [
          ...["command", "args", "env", "envFile", "cwd"].filter((key) => entry[key] !== undefined),
          ...["passEnv", "extraEnv", "sessionFile", "maxMemory"].flatMap((key) =>
            Predicate.isObject(pool) && pool[key as never] !== undefined ? [`pool.${key}`] : []
          )
        ]
      ]
  return ignored.length === 0 ? [] : [`ignored, since the server has a ${of}: ${ignored.join(", ")}`]
}

/** What hosts write into an entry for themselves. */
const hostKeys: ReadonlySet<string> = new Set([
  "$schema",
  "alwaysAllow",
  "autoApprove",
  "description",
  "dev",
  "gallery",
  "headersHelper",
  "inputs",
  "oauth",
  "sandbox",
  "sandboxEnabled",
  "tools",
  "trust",
  "version"
])

/** Whether an entry's command is run; otherwise it has a url. */
export const hasProcess = ({ command, type, url }: { readonly [K in "command" | "type" | "url"]?: unknown }): boolean =>
  type === undefined ? command !== undefined || url === undefined : type === "stdio"

/** Where it runs, with all references replaced. */
const remoteOf = Effect.fnUntraced(function* (
  { headers, type, url }: DecodedServerOptions,
  { fields, mistake, text }: Reading
): Effect.fn.Return<Remote.Remote, ServerConfigError> {
  if (type === "sse") return yield* mistake("type", viaMcpRemote)
  if (url === undefined) return yield* mistake("url", "is missing")
  const made = Remote.make(yield* text("url", url), yield* fields("headers", headers ?? {}, text))
  return yield* Effect.mapError(Effect.fromResult(made), ({ field, reason }) => mistake(field, reason))
})

/** What only a process can have. */
const ofNoProcess = { maxMemory: undefined, extraEnv: {}, sessionFile: undefined }

/** How one entry is read. */
interface Reading {
  readonly mistake: (field: string, reason: string) => ServerConfigError
  readonly text: (field: string, value: string) => Effect.Effect<string, ServerConfigError>
  readonly fields: <A, B>(
    field: string,
    values: Readonly<Record<string, A>>,
    each: (field: string, value: A) => Effect.Effect<B, ServerConfigError>
  ) => Effect.Effect<Readonly<Record<string, B>>, ServerConfigError>
}

const viaMcpRemote =
  'is the deprecated HTTP+SSE transport: ask the server for streamable HTTP ("http"), or have mcp-remote speak to it: ' +
  '"command": "npx", "args": ["-y", "mcp-remote", its url, "--transport", "sse-only"]'

const readEnvFile = (file: string): Effect.Effect<Readonly<Record<string, string>>, string> =>
  Jsonc.readText(file).pipe(
    Effect.mapError((reason) => `${file}: ${reason}`),
    Effect.flatMap((text) =>
      text.includes("\0") ? Effect.fail(`${file}: contains a NUL character`) : Effect.succeed(parseEnv(text))
    )
  )

const parseEnv = (text: string): Record<string, string> => {
  // Not imported: few have such a file, and the module namespace costs two milliseconds of every start.
  const util: typeof Util = process.getBuiltinModule("node:util")
  const variables = Object.entries(util.parseEnv(text))
  return Object.fromEntries(variables.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}
