/** The processes of the kit's server, whoever started them: what they have seen, and orders to them. Lives as long as its scope. */
import { Effect, type Scope } from "effect"
import * as net from "node:net"
import * as KitLines from "./KitLines.ts"
import type { Broken, Waiting } from "./KitWaiting.ts"

/** What one has seen, in the order in which it has. */
export interface Seen {
  /** `begun`, `call`, `cancelled`, `answered` (its question), `ended` (the call), `spawned`, `stubborn`, `garbage`, `gone`, or the method of any other message. */
  readonly what: string
  readonly pid: number
  /** Of a call; null where a cancellation met none. */
  readonly label?: string | null
  readonly tool?: string
  /** What the call's question was answered with. */
  readonly answer?: unknown
  readonly error?: unknown
  /** The pid of what it spawned. */
  readonly child?: number
}

/** See `fixtures/kit.ts`. */
export interface Order {
  readonly do: string
  readonly count?: number
  readonly uri?: string
}

export interface Servers {
  readonly seen: () => ReadonlyArray<Seen>
  /** What `find` finds in it, now or when it has come. */
  readonly until: <A>(waitedFor: string, find: (seen: ReadonlyArray<Seen>) => A | undefined) => Effect.Effect<A, Broken>
  /** Returns when the calls with these labels are at a server. */
  readonly called: (...labels: ReadonlyArray<string>) => Effect.Effect<void, Broken>
  /** Gives the process that has a call, now or when it has, an order that concerns it. */
  readonly tell: (label: string, order: Order) => Effect.Effect<void, Broken>
  /** Gives it to all that are known: see `settle`. */
  readonly tellAll: (order: Order) => Effect.Effect<void>
  /** Lets held calls go on. */
  readonly release: (...labels: ReadonlyArray<string>) => Effect.Effect<void, Broken>
  /** All processes that were ever there. */
  readonly pids: () => ReadonlyArray<number>
  /** Returns when none is there any more, and all that they have seen is known. */
  readonly gone: Effect.Effect<unknown, Broken>
}

/** Listens at a path for them. */
export const listen = Effect.fnUntraced(function* (
  path: string,
  waiting: Waiting
): Effect.fn.Return<Servers, never, Scope.Scope> {
  const seen: Array<Seen> = []
  const sockets = new Map<number, net.Socket>()
  const see = (it: Seen) => {
    seen.push(it)
    waiting.moved()
  }
  const accept = (socket: net.Socket) => {
    let pid = 0
    socket.on("error", () => {})
    KitLines.read(socket, (line) => {
      const it = JSON.parse(line) as Seen
      pid = it.pid
      sockets.set(pid, socket)
      see(it)
    })
    socket.on("close", () => {
      if (sockets.delete(pid)) see({ what: "gone", pid })
    })
  }
  yield* Effect.acquireRelease(
    Effect.callback<net.Server>((resume) => {
      const server = net.createServer(accept)
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets.values()) socket.destroy()
      })
  )

  const say = (pid: number, order: object) => void sockets.get(pid)?.write(`${JSON.stringify(order)}\n`)
  const homeOf = (label: string) => seen.findLast((it) => it.what === "call" && it.label === label)?.pid
  const until: Servers["until"] = (waitedFor, find) => waiting.until(waitedFor, () => find(seen))
  const home = (label: string) => until(`call ${label} at the server`, () => homeOf(label))
  const tell: Servers["tell"] = (label, order) => Effect.map(home(label), (pid) => say(pid, { ...order, label }))
  return {
    seen: () => seen,
    until,
    called: (...labels) => Effect.forEach(labels, home, { discard: true }),
    tell,
    tellAll: (order) =>
      Effect.sync(() => {
        for (const pid of sockets.keys()) say(pid, order)
      }),
    release: (...labels) => Effect.forEach(labels, (label) => tell(label, { do: "release" }), { discard: true }),
    pids: () => [...new Set(seen.map((it) => it.pid))],
    gone: until("the end of every server", () => (sockets.size === 0 ? true : undefined))
  }
})
