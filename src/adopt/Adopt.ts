/** Moves servers from the hosts' files into the pool's own, and back. The command line shows what this finds and does. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DateTime, Effect, Result } from "effect"
import * as PoolConfig from "../config/PoolConfig.ts"
import type { Program } from "../hosts/Connect.ts"
import type { Host, Where } from "../hosts/Host.ts"
import { hosts } from "../hosts/Hosts.ts"
import { ServerNotFound } from "../PoolError.ts"
import * as Files from "./Files.ts"
import * as Find from "./Find.ts"
import * as Plan from "./Plan.ts"
import { putBack } from "./PutBack.ts"

export interface Options {
  readonly where: Where
  readonly program: Program
  readonly hosts: ReadonlyArray<Host>
  /** Absolute paths of projects' directories. */
  readonly projects: ReadonlyArray<string>
  /** Names of servers; empty: all. */
  readonly only: ReadonlyArray<string>
}

/** What is there, and what adopt would do. */
export interface Prepared extends Plan.Plan {
  readonly unread: ReadonlyArray<Find.Unread>
  readonly found: ReadonlyArray<Find.Found>
  /** The pool's own file. */
  readonly poolFile: string
  readonly writes: ReadonlyArray<Files.Write>
}

/** Reads and decides; changes nothing. */
export const prepare = Effect.fnUntraced(function* (options: Options) {
  const { files, unread } = yield* Find.find(options)
  const names = files.flatMap(({ entries }) => entries.map(({ name }) => name))
  const missing = options.only.find((name) => !names.includes(name))
  if (missing !== undefined) return yield* new ServerNotFound({ server: missing, names: [...new Set(names)] })

  const poolFile = poolFileOf(options.where.home)
  const isThere = fs.existsSync(poolFile)
  // A file that the daemon could not read would leave every host without its servers.
  if (isThere && fs.statSync(poolFile).size > 0) yield* PoolConfig.loadFiles([poolFile])
  const target = isThere ? fs.realpathSync(poolFile) : poolFile
  const before = isThere ? fs.readFileSync(target) : null
  const pool = { file: poolFile, text: before === null ? null : before.toString("utf8") }
  const plan = yield* Effect.fromResult(Plan.make({ found: files, only: options.only, program: options.program, pool }))

  const own: ReadonlyArray<Files.Write> =
    plan.poolText === null
      ? []
      : // It gets the secrets of files that only their owner may read.
        [
          {
            file: target,
            before,
            after: Buffer.from(plan.poolText),
            mode: isThere ? fs.statSync(target).mode & 0o700 : 0o600
          }
        ]
  const rewritten = plan.files.map(({ after, found }): Files.Write => ({
    file: found.target,
    before: found.bytes,
    after: Buffer.from(after),
    mode: found.mode,
    entries: {
      host: found.host.id,
      moved: plan.servers
        .flatMap(({ entries }) => entries.filter((moved) => moved.found === found))
        .map(({ entry: { path }, run: { args, command } }) => ({ path, command, args }))
    }
  }))
  // First what the entries connect to.
  return { ...plan, unread, found: files, poolFile, writes: [...own, ...rewritten] } satisfies Prepared
})

/** Writes it all, or nothing; the directory that holds the copies. */
export const apply = Effect.fnUntraced(function* ({ poolFile, writes }: Prepared) {
  const at = DateTime.formatIso(yield* DateTime.now)
  return yield* Files.write(writes, { at, directory: copiesOf(poolFile) })
})

/** Puts back what the last {@link apply} replaced; `"entries"`: of files that have changed since, the entries alone. */
export const undo = ({
  home,
  ifChanged
}: {
  readonly home: string
  readonly ifChanged: "refuse" | "overwrite" | "entries"
}) =>
  Files.undo({
    directory: copiesOf(poolFileOf(home)),
    ifChanged: ifChanged === "entries" ? entriesAlone : ifChanged
  })

const entriesAlone: Exclude<Files.IfChanged, string> = ({ before, entries, file, now }) => {
  const host = hosts.find(({ id }) => id === entries?.host)
  // The pool's own file: what somebody has written there since may need the rest.
  if (host === undefined || entries === undefined) return Result.succeed(null)
  const texts = { before: before.toString("utf8"), now: now.toString("utf8") }
  return Result.map(putBack({ host, file, moved: entries.moved, ...texts }), (text) => Buffer.from(text))
}

/** Beside the pool's own file: a runtime directory may go, and is another with another flag. */
const copiesOf = (poolFile: string): string => path.join(path.dirname(poolFile), "adopt")

const poolFileOf = (home: string): string => path.join(home, ".config/mcp-pool/config.json")
