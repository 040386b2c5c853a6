/** Which process of a server a request goes to. Pure. */
import type { Member } from "./Member.ts"
import type { Multiplexer } from "./Multiplexer.ts"
import type { Peer } from "./Peer.ts"
import type { Replica } from "./Replica.ts"
import type { Tasks } from "./Tasks.ts"
import { type Client, makesCalls } from "./Upstream.ts"

export interface Place {
  readonly replica: Replica
  readonly process: Multiplexer
}

/** It has a process, or one is coming. */
export const isUsable = ({ unavailable }: Replica): boolean => unavailable === null

/** Another process is on its way there. */
const isStarting = (replica: Replica): boolean =>
  isUsable(replica) && !replica.isAsleep && (replica.current === null || replica.isRenewing)

/** A list belongs to the process that gives it page by page: it is always asked at home. */
export const atHome = (home: Replica): Place | null =>
  home.current === null ? null : { replica: home, process: home.current }

/** A request that never asked goes home; elsewhere only while somebody else may be asked there. */
export const ordinary = (member: Member, home: Replica, replicas: ReadonlyArray<Replica>): Place | null => {
  const { current } = home
  if (current === null) return null
  const isFree = ({ calls, isFull }: Multiplexer) => (calls.laneOwner === null || calls.laneOwner === member) && !isFull
  if (current.calls.laneOwner === null || isFree(current)) return { replica: home, process: current }
  return places(replicas).find(({ process }) => isFree(process)) ?? { replica: home, process: current }
}

/**
 * Where a request runs that may ask: alone against all other sessions. Where the member has a lane, unless others wait for
 * their turn; else where nobody else is and nobody else will come, in a place that is started if need be; else, or where that
 * takes long, where nobody else is now; and where there can be no such place, where no other lane is. Null where it has to
 * wait.
 */
export const lane = (options: {
  readonly member: Member
  readonly home: Replica
  readonly replicas: ReadonlyArray<Replica>
  /** The process that asks this member something: its handler may wait for what the member does now. */
  readonly asker: Peer | null
  readonly areOthersWaiting: boolean
  /** No other session is there. */
  readonly isAlone: boolean
  /** How long it has waited for that, in milliseconds: in the end it goes among others, where it may not be asked. */
  readonly waited: number
  readonly tasks: Tasks
}): Place | { readonly wanted: Replica } | null => {
  const { areOthersWaiting, asker, home, isAlone, member, replicas, tasks, waited } = options
  const asking = asker === null ? null : placeOf(asker, replicas)
  if (asking !== null) return asking
  const ready = places([home, ...replicas.filter((replica) => replica !== home)])
  const own = ready.find(({ process }) => process.calls.laneOwner === member)
  if (own !== undefined) return areOthersWaiting ? null : own
  const free = ready.filter(({ process }) => process.calls.laneOwner === null && !process.isFull)
  const empty = free.filter(({ process }) => process.calls.areOnlyOf(member) && tasks.areOnlyOf(process, member))
  const isAnother = ({ id, role }: Client) => id !== member.client?.id && makesCalls(role)
  const quiet = empty.find(({ replica }) => isAlone || ![...replica.clients].some(isAnother))
  if (quiet !== undefined) return quiet
  const isComing = replicas.some(isStarting)
  if (isComing && waited <= patience) return null
  const wanted = isComing ? undefined : replicas.find((replica) => replica.isIdle)
  if (wanted !== undefined) return { wanted }
  return empty[0] ?? (waited > (isComing ? patienceForStart : patience) ? (free[0] ?? null) : null)
}

/** Where a process is, also one that drains; null where it has ended. */
export const placeOf = (peer: Peer, replicas: ReadonlyArray<Replica>): Place | null => {
  for (const replica of replicas) {
    const process = replica.all().find((process) => process === peer)
    if (process !== undefined) return { replica, process }
  }
  return null
}

/** How long what asks waits for a process without other sessions' requests, and for one that starts; milliseconds. */
const patience = 1000
const patienceForStart = 10_000

const places = (replicas: ReadonlyArray<Replica>): ReadonlyArray<Place> =>
  replicas.flatMap((replica) => (replica.current === null ? [] : [{ replica, process: replica.current }]))
