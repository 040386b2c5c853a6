/** How many processes the servers are, and how much memory they take: as the hosts start them, and through the pool. */
import { Effect, Result } from "effect"
import { interpolate, type References, type Variables } from "../config/Interpolation.ts"
import type { ServerOptions } from "../config/ServerSpec.ts"
import * as ControlClient from "../control/ControlClient.ts"
import * as Processes from "./Processes.ts"
import type { Moved, Server } from "./Plan.ts"
import * as Sessions from "./Sessions.ts"

/** Processes and their memory in bytes, together. */
export interface Usage {
  readonly processes: number
  readonly memory: number
}

/** One server as hosts have started it. */
export interface Before extends Usage {
  /** How often; each of them may be several processes. */
  readonly copies: number
}

/** Looks for what hosts have started of these definitions, in their order. */
export const before = Effect.fnUntraced(function* (
  definitions: ReadonlyArray<ServerOptions>,
  references: References
): Effect.fn.Return<ReadonlyArray<Before>> {
  const all = yield* Processes.list
  const counted = new Set<number>()
  return yield* Effect.forEach(definitions, ({ args = [], command = "" }) => {
    const text = (word: string) => Result.getOrElse(interpolate(word, references), () => word)
    // What has the same command under two names is counted once.
    const copies = Processes.copies(text(command), args.map(text), all).filter((pid) => !counted.has(pid))
    const pids = copies.flatMap((pid) => Processes.tree(pid, all))
    for (const pid of pids) counted.add(pid)
    return Effect.map(Processes.memoryOf(pids), (memory) => ({
      copies: copies.length,
      processes: pids.length,
      memory
    }))
  })
})

/** One entry that was run. */
export interface Tried {
  readonly server: Server
  readonly moved: Moved
  /** In words; null where it answers. */
  readonly trouble: string | null
}

/** What the same sessions take through the pool. */
export interface After {
  readonly sessions: number
  /** Null where no daemon runs. */
  readonly usage: (Usage & { readonly servers: number }) | null
  /** Each entry once. */
  readonly tried: ReadonlyArray<Tried>
}

/**
 * Runs the entries as their hosts would, each once and as often as there were copies of its server, and measures while
 * all are open: their bridges, the daemon, and the processes of these servers.
 */
export const after = Effect.fnUntraced(function* (options: {
  readonly servers: ReadonlyArray<{ readonly server: Server; readonly copies: number }>
  readonly runtimeDir: string
  readonly home: string
  /** What the hosts' processes have, and a daemon that they start. */
  readonly env: Variables
}): Effect.fn.Return<After> {
  const wanted = options.servers.flatMap(({ copies, server }) =>
    Array.from({ length: Math.max(copies, server.entries.length) }, (_, i) => {
      const moved = server.entries[i % server.entries.length]!
      return { server, moved, isFirst: i < server.entries.length }
    })
  )
  return yield* Effect.gen(function* () {
    const opened = yield* Effect.forEach(
      wanted,
      ({ moved: { entry, run } }) => Sessions.open(run, { cwd: entry.project ?? options.home, env: options.env }),
      { concurrency: atOnce }
    )
    const tried = wanted.flatMap(({ isFirst, moved, server }, i) =>
      isFirst ? [{ server, moved, trouble: opened[i]!.trouble }] : []
    )
    const bridges = opened.flatMap(({ pid }) => (pid === null ? [] : [pid]))
    const names = new Set(options.servers.map(({ server: { name, project } }) => addressOf(name, project)))
    const usage = yield* Effect.option(usageOf(options.runtimeDir, names, bridges))
    return {
      sessions: opened.filter(({ trouble }) => trouble === null).length,
      usage: usage._tag === "Some" ? usage.value : null,
      tried
    }
  }).pipe(Effect.scoped)
})

/** Has a daemon that runs read its configuration again; one that is too old for that goes on with what it has. */
export const reload = ({ runtimeDir }: { readonly runtimeDir: string }): Effect.Effect<void> =>
  ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ reload }) => reload),
    Effect.scoped,
    Effect.ignore
  )

/** Bridges that are started at a time. */
const atOnce = 8

const addressOf = (name: string, project: string | null): string => (project === null ? name : `${name}@${project}`)

const usageOf = Effect.fnUntraced(function* (
  runtimeDir: string,
  names: ReadonlySet<string>,
  bridges: ReadonlyArray<number>
) {
  const control = yield* ControlClient.make({ runtimeDir })
  // One whose lists are known would start with the first call only, and what it takes then is the question.
  const sleeping = (yield* control.status).servers.filter(({ name, state }) => names.has(name) && state === "stopped")
  yield* Effect.forEach(sleeping, ({ name }) => Effect.ignore(control.start(name)), { concurrency: "unbounded" })
  const { pid, servers } = yield* control.status
  const all = yield* Processes.list
  const own = new Set(servers.filter(({ name }) => names.has(name)).flatMap(leaders))
  const others = servers.flatMap(leaders).filter((pid) => !own.has(pid))
  const foreign = new Set(others.flatMap((pid) => Processes.tree(pid, all)))
  const daemon = Processes.tree(pid, all).filter((pid) => !foreign.has(pid))
  const pids = [...new Set([...daemon, ...bridges.flatMap((pid) => Processes.tree(pid, all))])]
  return { processes: pids.length, servers: own.size, memory: yield* Processes.memoryOf(pids) }
}, Effect.scoped)

const leaders = ({ processes }: { readonly processes: ReadonlyArray<{ readonly pid: number | null }> }) =>
  processes.flatMap(({ pid }) => pid ?? [])
