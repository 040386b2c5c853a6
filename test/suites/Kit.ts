/**
 * The multiplexer kit: what must hold for whatever shares one stdio MCP server among several clients, over a Unix socket or
 * streamable HTTP of 2025-11-25, run against any command that does so. Each invariant has a run of the command of its own.
 */
import { type Duration, Effect } from "effect"
import * as KitAnswers from "./KitAnswers.ts"
import * as KitEndings from "./KitEndings.ts"
import { type Invariant, settle } from "./KitInvariant.ts"
import * as KitNotices from "./KitNotices.ts"
import * as KitQuestions from "./KitQuestions.ts"
import * as KitTasks from "./KitTasks.ts"
import type { Broken } from "./KitWaiting.ts"
import * as KitWorld from "./KitWorld.ts"

export const invariants: ReadonlyArray<Invariant> = [
  ...KitAnswers.invariants,
  ...KitNotices.invariants,
  ...KitQuestions.invariants,
  ...KitTasks.invariants,
  ...KitEndings.invariants
]

export interface Verdict {
  readonly invariant: Invariant
  /** Over a transport, or with a command, without what it is about, it is not exercised. */
  readonly outcome: "holds" | "broken" | "not exercised"
  /** What was seen against it. */
  readonly seen: ReadonlyArray<string>
}

export interface Options {
  /** How long anything is waited for, before it counts as lost. */
  readonly patience?: Duration.Input
  /** The names of those to exercise; all unless given. */
  readonly only?: ReadonlyArray<string>
  /** Invariants that are exercised at once. */
  readonly concurrency?: number
  readonly onVerdict?: (verdict: Verdict) => void
}

/** Fails where the command serves not even one client alone. */
export const run = Effect.fnUntraced(function* (
  subject: KitWorld.Subject,
  { concurrency = 4, only, onVerdict, patience = "5 seconds" }: Options = {}
): Effect.fn.Return<ReadonlyArray<Verdict>, Broken> {
  yield* Effect.scoped(
    Effect.gen(function* () {
      const world = yield* KitWorld.make(subject, { patience })
      yield* settle(world, yield* world.clients(1))
    })
  )
  return yield* Effect.forEach(
    only === undefined ? invariants : invariants.filter(({ name }) => only.includes(name)),
    (invariant) =>
      Effect.tap(exercise(subject, invariant, patience), (verdict) => Effect.sync(() => onVerdict?.(verdict))),
    { concurrency }
  )
})

const exercise = (
  subject: KitWorld.Subject,
  invariant: Invariant,
  patience: Duration.Input
): Effect.Effect<Verdict> => {
  const verdict = (outcome: Verdict["outcome"], seen: ReadonlyArray<string>): Verdict => ({ invariant, outcome, seen })
  if (invariant.only !== undefined && invariant.only !== subject.transport) {
    return Effect.succeed(verdict("not exercised", []))
  }
  return Effect.gen(function* () {
    const world = yield* KitWorld.make(subject, { patience })
    const judge = yield* invariant.exercise(world)
    if (judge === null) return verdict("not exercised", [])
    // What is still on its way comes before the end. How the command ends is for the invariants of ends.
    yield* Effect.ignore(world.stop)
    yield* Effect.ignore(world.servers.gone)
    yield* Effect.ignore(world.closed)
    const noise = world.all.flatMap(({ name, noise }) =>
      noise().map((text) => `${name} got what is no message: ${text}`)
    )
    const seen = [...judge(), ...noise]
    return verdict(seen.length === 0 ? "holds" : "broken", seen)
  }).pipe(
    Effect.scoped,
    Effect.catchTag("Broken", ({ seen }) => Effect.succeed(verdict("broken", [seen])))
  )
}

/** The subject of a command line with `{server}`, and `{socket}` or `{port}`, in it. */
export const fromCommand = (line: string): KitWorld.Subject => ({
  transport: line.includes("{socket}") ? "socket" : "http",
  command: ({ port, server, socket }) =>
    line
      .replaceAll("{server}", server.map(quoted).join(" "))
      .replaceAll("{socket}", quoted(socket))
      .replaceAll("{port}", String(port))
})

/** A word for the shell; plain where it can be, so that it may also stand between quotation marks. */
export const quoted = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
