/** The ways in which hosts spell an entry. Pure. */
import { Predicate, Result } from "effect"
import type { Variables } from "../config/Interpolation.ts"
import { decodeServer, type ServerOptions } from "../config/ServerSpec.ts"
import type { Entry, Reading, Run, Shape } from "./Host.ts"
import { convert, type Dialect } from "./References.ts"

/** `command`, `args`, `env`, as most hosts have it. */
export const plain = (options: {
  readonly dialect: Dialect
  /** What stands first in a new entry. */
  readonly head?: Entry
  /** Keys that tie a server to its host, each with the reason. */
  readonly ties?: Readonly<Record<string, string>>
}): Shape => ({
  read: (entry, variables) =>
    read(entry, variables, options, {
      command: entry["command"],
      args: entry["args"],
      env: entry["env"],
      cwd: entry["cwd"],
      envFile: entry["envFile"],
      pool: entry["pool"]
    }),
  run: (entry) => plainRun(entry),
  rewrite: (_, { args, command }) => [
    ["command", command],
    ["args", args],
    ...["env", "cwd", "envFile", "pool"].map((key) => [key, undefined] as const)
  ],
  fresh: ({ args, command }) => ({ ...options.head, command, args })
})

/** Codex: values are texts, and `env_vars` names variables that are passed on. */
export const codex: Shape = {
  ...plain({ dialect: "literal" }),
  read: (entry, variables) => {
    if (entry["experimental_environment"] !== undefined) return kept("runs in another environment of Codex's")
    const passed = entry["env_vars"] ?? []
    if (!Array.isArray(passed)) return kept('"env_vars" is no list')
    const names = passed.map((item: unknown) => (Predicate.isObject(item) ? item["name"] : item))
    const isLocal = passed.every((item: unknown) => !Predicate.isObject(item) || item["source"] !== "remote")
    if (!isLocal || !names.every(Predicate.isString)) return kept('has "env_vars" that are not of this machine')
    return read(
      entry,
      variables,
      { dialect: "literal" },
      {
        command: entry["command"],
        args: entry["args"],
        env: entry["env"],
        cwd: entry["cwd"],
        pool: names.length === 0 ? undefined : { passEnv: names }
      }
    )
  },
  rewrite: (_, { args, command }) => [
    ["command", command],
    ["args", args],
    ...["env", "env_vars", "cwd"].map((key) => [key, undefined] as const)
  ]
}

/** opencode: the command and its arguments are one list. */
export const opencode: Shape = {
  read: (entry, variables) => {
    const { command } = entry
    if (command !== undefined && !Array.isArray(command)) return kept('"command" is no list')
    const [first, ...args]: ReadonlyArray<unknown> = command ?? []
    return read(
      entry,
      variables,
      { dialect: "opencode" },
      {
        command: first,
        args,
        env: entry["environment"],
        cwd: entry["cwd"]
      }
    )
  },
  run: ({ command }) => (Array.isArray(command) ? runOf(command[0], command.slice(1)) : undefined),
  rewrite: (_, { args, command }) => [
    ["command", [command, ...args]],
    ["environment", undefined],
    ["cwd", undefined]
  ],
  fresh: ({ args, command }) => ({ type: "local", command: [command, ...args], enabled: true })
}

/** Zed: as most, and `command` may be an object of all three. */
export const zed: Shape = {
  read: (entry, variables) => {
    if (entry["source"] === "extension" || (entry["command"] === undefined && entry["settings"] !== undefined)) {
      return kept("belongs to an extension of Zed's")
    }
    if (entry["remote"] === true) return kept("runs on another machine")
    const { command } = entry
    const parts = Predicate.isObject(command) ? { ...command, command: command["path"] } : entry
    return read(
      entry,
      variables,
      { dialect: "literal" },
      {
        command: parts["command"],
        args: parts["args"],
        env: parts["env"]
      }
    )
  },
  run: (entry) => {
    const { command } = entry
    return Predicate.isObject(command) ? runOf(command["path"], command["args"]) : plainRun(entry)
  },
  rewrite: (entry, { args, command }) =>
    Predicate.isObject(entry["command"])
      ? [["command", { path: command, args }]]
      : [
          ["command", command],
          ["args", args],
          ["env", undefined]
        ],
  fresh: ({ args, command }) => ({ source: "custom", command, args })
}

const plainRun = ({ args, command }: Entry): Run | undefined => runOf(command, args)

const runOf = (command: unknown, args: unknown): Run | undefined => {
  if (!Predicate.isString(command)) return undefined
  return { command, args: Array.isArray(args) ? args.filter(Predicate.isString) : [] }
}

const kept = (reason: string): Reading => ({ _tag: "Kept", reason })

const read = (
  entry: Entry,
  variables: Variables,
  { dialect, ties = {} }: { readonly dialect: Dialect; readonly ties?: Readonly<Record<string, string>> },
  fields: Readonly<Record<string, unknown>>
): Reading => {
  if (["url", "httpUrl", "serverUrl"].some((key) => entry[key] !== undefined)) return kept(hasUrl)
  const type = entry["type"] ?? "stdio"
  if (type !== "stdio" && type !== "local") return kept(`is of type ${JSON.stringify(type)}`)
  if (entry["disabled"] === true || entry["enabled"] === false) return kept("is disabled")
  const tie = Object.keys(ties).find((key) => entry[key] !== undefined && entry[key] !== false)
  if (tie !== undefined) return kept(ties[tie]!)
  if (fields["command"] === undefined || fields["command"] === "") return kept("has no command")
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && !isEmpty(value))
  const converted: Record<string, unknown> = {}
  for (const [key, value] of given) {
    const text = key === "pool" ? Result.succeed(value) : texts(value, dialect, variables)
    if (Result.isFailure(text)) return kept(text.failure)
    converted[key] = text.success
  }
  const decoded = decodeServer(converted)
  if (Result.isFailure(decoded)) return kept(`"${decoded.failure.path.join(".")}" ${decoded.failure.reason}`)
  // The cast: it decodes, and nothing but what the schema has was put in.
  return { _tag: "Server", options: converted as ServerOptions }
}

/** The pool could ask it, but is not signed in as its host may be. */
export const hasUrl = "has a url, where its host may be signed in: to share it, write it into the pool's own file"

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : Predicate.isObject(value) && Object.keys(value).length === 0

/** All texts in a value. */
const texts = (value: unknown, dialect: Dialect, variables: Variables): Result.Result<unknown, string> => {
  if (Predicate.isString(value)) return convert(value, dialect, variables)
  if (Array.isArray(value)) return Result.all(value.map((item) => texts(item, dialect, variables)))
  if (!Predicate.isObject(value)) return Result.succeed(value)
  return Result.all(
    Object.entries(value).map(([key, item]) =>
      Result.map(texts(item, dialect, variables), (text) => [key, text] as const)
    )
  ).pipe(Result.map((entries) => Object.fromEntries(entries)))
}
