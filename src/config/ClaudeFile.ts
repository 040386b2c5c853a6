/**
 * What `~/.claude.json` says of a project's servers. Claude Code keeps all its state in that file, which may be megabytes
 * and changes all the time: only what it says of servers is looked at, and not again before the file has changed.
 */
import { statSync } from "node:fs"
import * as path from "node:path"
import { Effect, Predicate, Result } from "effect"
import type { ConfigFileError } from "../PoolError.ts"
import * as BoundedFile from "./BoundedFile.ts"
import * as ConfigFile from "./ConfigFile.ts"
import { HostEnvironment } from "./Environment.ts"
import * as Jsonc from "./Jsonc.ts"
import { userHome } from "./PoolConfig.ts"

/** The file, and what was read of it last. */
export interface ClaudeFile {
  readonly file: string
  /** The servers of the project that is known by one of the paths; undefined where it has none. */
  readonly read: (spellings: ReadonlyArray<string>) => Effect.Effect<ConfigFile.Source | undefined, ConfigFileError>
}

/** The file of the user whose home directory the environment tells. */
export const make: Effect.Effect<ClaudeFile> = Effect.map(HostEnvironment, (variables) => {
  const file = path.join(userHome(variables), ".claude.json")
  let state = ""
  /** The servers of each project that has some, as JSON text. */
  let sections: ReadonlyMap<string, string> = new Map()

  const refresh = Effect.gen(function* () {
    const now = stateOf(file)
    if (now === state && now !== "") return
    const text = yield* Effect.mapError(Effect.fromResult(BoundedFile.read(file, maxBytes)), (reason) =>
      Jsonc.errorOf(file, reason)
    )
    sections = text === undefined ? new Map() : yield* sectionsOf(file, text)
    state = now
  })
  return {
    file,
    read: Effect.fnUntraced(function* (spellings) {
      yield* refresh
      const found = spellings.find((spelling) => sections.has(spelling))
      if (found === undefined) return undefined
      // The place of a mistake would be one in this piece.
      return yield* Effect.mapError(
        Effect.fromResult(ConfigFile.decode(file, `{"mcpServers":${sections.get(found)}}`)),
        ({ reason }) => Jsonc.errorOf(file, `projects[${JSON.stringify(found)}]: ${reason}`)
      )
    })
  }
})

const sectionsOf = Effect.fnUntraced(function* (file: string, text: string) {
  // The quick way first: the parser that knows places takes a second for some megabytes.
  const quick: Result.Result<unknown, unknown> = Result.try(() => JSON.parse(text))
  const root = Result.isSuccess(quick)
    ? quick.success
    : yield* Effect.fromResult(Result.map(Jsonc.parse(file, text), Jsonc.value))
  const sections = new Map<string, string>()
  const projects = Predicate.hasProperty(root, "projects") ? root.projects : undefined
  if (!Predicate.isObject(projects)) return sections
  for (const [directory, project] of Object.entries(projects)) {
    if (!Predicate.hasProperty(project, "mcpServers") || isEmpty(project.mcpServers)) continue
    const section = Result.try(() => JSON.stringify(project.mcpServers))
    // What is nested too deep to be written is so for the one project alone.
    sections.set(
      directory,
      Result.getOrElse(section, () => "[]")
    )
  }
  return sections
})

const isEmpty = (servers: unknown): boolean => Predicate.isObject(servers) && Object.keys(servers).length === 0

/** Another text for another content of the file; empty for none. */
const stateOf = (file: string): string =>
  Result.match(
    Result.try(() => statSync(file, { bigint: true })),
    { onFailure: () => "", onSuccess: ({ ino, mtimeNs, size }) => `${ino} ${mtimeNs} ${size}` }
  )

const maxBytes = 256 * 1024 * 1024
