/**
 * The places of a server: in which one a session has its home, which of them get a process, and which has been of no use
 * for so long that its process ends. Plain synchronous code.
 */
import * as Placing from "./Placing.ts"
import type { Questions } from "./Questions.ts"
import type { Replica } from "./Replica.ts"
import type { Tasks } from "./Tasks.ts"

/** What a place needs: a process, none any more, none until it is used again, or another one than it has. */
export type Wish = "start" | "stop" | "sleep" | "renew"

export interface PlacesOptions {
  /** Places that sessions have their homes in, and all there may be: the others are for what asks, one at a time. */
  readonly replicas: { readonly min: number; readonly max: number; readonly homes: number }
  /** How long a process lives that nobody uses, in milliseconds; null for as long as it likes. */
  readonly idleStop: number | null
  readonly onWanted: (replica: Replica, what: Wish) => void
  readonly questions: Questions
  readonly tasks: Tasks
}

export class Places {
  readonly all: ReadonlyArray<Replica>
  readonly #options: PlacesOptions

  constructor(options: PlacesOptions, make: (index: number) => Replica) {
    this.#options = options
    this.all = Array.from({ length: options.replicas.max }, (_, index) => make(index))
  }

  /** Whether any process of it ends for want of use. */
  get areWatched(): boolean {
    const { idleStop, replicas } = this.#options
    return idleStop !== null || replicas.max > replicas.min
  }

  /** A new session has its home where the fewest are, or in a new place while there may be more. */
  homeForNew(): Replica {
    const homes = this.all.slice(0, this.#options.replicas.homes)
    const open = homes.filter((replica, index) => index === 0 || Placing.isUsable(replica))
    const best = open.reduce((best, replica) => (replica.clients.size < best.clients.size ? replica : best))
    const next = homes.find((replica) => !open.includes(replica))
    if (best.clients.size === 0 || next === undefined || !Placing.isUsable(homes[0]!)) return best
    this.want(next, "start")
    return next
  }

  want(replica: Replica, what: Wish): void {
    if (what === "start") replica.expect()
    if (what === "stop") replica.isWanted = false
    if (what !== "sleep") replica.usedAt = Date.now()
    this.#options.onWanted(replica, what)
  }

  /** Something waits for its process. */
  wake(replica: Replica): void {
    if (replica.isAsleep) this.want(replica, "start")
  }

  /** Whether nobody has used its process for so long that it is to sleep. */
  isIdle(replica: Replica, now: number): boolean {
    const { idleStop } = this.#options
    return idleStop !== null && !this.#isUsed(replica) && now - lastUseOf(replica) >= idleStop
  }

  /**
   * Has processes replaced that are in the way, and ends those that nobody uses; says in how many milliseconds there is
   * more to do. `now` is in milliseconds since the epoch.
   */
  sweep(now: number, areLanesAwaited: boolean): number {
    let next = Infinity
    for (const [index, replica] of this.all.entries()) {
      if (replica.current === null) continue
      this.#renew(replica, now, areLanesAwaited)
      const end = this.#endOf(replica, index)
      if (end !== null) next = Math.min(next, this.#endUnused(replica, end, now))
    }
    return next
  }

  #renew(replica: Replica, now: number, areLanesAwaited: boolean): void {
    const { calls } = replica.current!
    // Nobody can be asked beside what was cancelled: where something waits to be alone, it has to go.
    const isInTheWay = calls.isTainted || (areLanesAwaited && calls.haveAbandoned)
    if (!isInTheWay || replica.isRenewing || now < replica.renewableAt) return
    replica.isRenewing = true
    this.want(replica, "renew")
  }

  /** What becomes of its process after so many milliseconds without use; null where it stays. */
  #endOf(replica: Replica, index: number): { readonly what: Wish; readonly after: number } | null {
    const { idleStop, replicas } = this.#options
    const isExtra = index >= replicas.min && replica.clients.size === 0
    if (isExtra) return { what: "stop", after: Math.min(idleTime, idleStop ?? Infinity) }
    return idleStop === null ? null : { what: "sleep", after: idleStop }
  }

  #endUnused(replica: Replica, { after, what }: { readonly what: Wish; readonly after: number }, now: number): number {
    const look = Math.min(after, lookInterval)
    if (this.#isUsed(replica)) {
      replica.wasUsed = true
      return look
    }
    // It may have been used until just now.
    if (replica.wasUsed) replica.usedAt = now
    replica.wasUsed = false
    const left = lastUseOf(replica) + after - now
    if (left > 0) return left
    this.want(replica, what)
    return look
  }

  #isUsed(replica: Replica): boolean {
    const { questions, tasks } = this.#options
    return (
      replica.isRenewing ||
      replica.subscriptions.areWanted ||
      replica
        .all()
        .some((process) => process.calls.ofClients() > 0 || tasks.hasLive(process) || questions.waits(process))
    )
  }
}

const lastUseOf = ({ current, usedAt }: Replica): number => Math.max(usedAt, current?.answeredAt ?? 0)

/** How long a process that was started for more sessions, or for what asks, stays without use; milliseconds. */
const idleTime = 5 * 60_000
/** How often it is looked whether a process is still in use, in milliseconds. */
const lookInterval = 60_000
