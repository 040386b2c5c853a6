/**
 * One run of the command under test: the command, the kit's server that it starts, and clients of it. Ends with its scope,
 * and nothing of it is left then, whatever the command has left.
 */
import { type Duration, Effect, Schedule, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as net from "node:net"
import * as path from "node:path"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as KitClient from "./KitClient.ts"
import * as KitHttp from "./KitHttp.ts"
import * as KitServers from "./KitServers.ts"
import * as KitSocket from "./KitSocket.ts"
import { Broken, Waiting } from "./KitWaiting.ts"

/** Where the command under test has to do its work. */
export interface Place {
  /** Its own, empty. */
  readonly directory: string
  /** Where it has to listen, if at a Unix socket. */
  readonly socket: string
  /** Where it has to listen, if over HTTP, at `/mcp` of 127.0.0.1. */
  readonly port: number
  /** Program and arguments of the server that it has to share. */
  readonly server: ReadonlyArray<string>
}

/** What is tested. */
export interface Subject {
  readonly transport: "socket" | "http"
  /** Its command line for the shell, which must be one program's. */
  readonly command: (place: Place) => string
}

export interface World {
  readonly transport: Subject["transport"]
  readonly servers: KitServers.Servers
  /** Every client so far. */
  readonly all: ReadonlyArray<KitClient.Client>
  /** That many more initialised clients, one after the other. */
  readonly clients: (
    count: number,
    capabilities?: object
  ) => Effect.Effect<ReadonlyArray<KitClient.Client>, Broken, Scope.Scope>
  /** Asks for its end; fails where it does not come. */
  readonly stop: Effect.Effect<void, Broken>
  /** Returns when no connection is left; over HTTP that cannot be told. */
  readonly closed: Effect.Effect<unknown, Broken>
}

export interface WorldOptions {
  /** How long anything is waited for, once the command serves. */
  readonly patience: Duration.Input
}

export const make = Effect.fnUntraced(function* (
  subject: Subject,
  { patience }: WorldOptions
): Effect.fn.Return<World, Broken, Scope.Scope> {
  const directory = yield* TestPool.temporaryDirectory
  const waiting = new Waiting(patience)
  const control = path.join(directory, "kit")
  const servers = yield* KitServers.listen(control, waiting)
  const place: Place = {
    directory,
    socket: path.join(directory, "mcp.sock"),
    port: yield* freePort,
    server: [process.execPath, TestPool.fixture("kit.ts"), path.basename(directory), control]
  }
  const command = yield* launch(subject.command(place), waiting)
  yield* Effect.addFinalizer(() => killLeft(command.child, servers))

  const open =
    subject.transport === "socket" ? KitSocket.open(place.socket) : KitHttp.open(`http://127.0.0.1:${place.port}/mcp`)
  const all: Array<KitClient.Client> = []
  const client = Effect.fnUntraced(function* (capabilities: object) {
    const client = yield* KitClient.make(`client ${all.length}`, open, waiting)
    all.push(client)
    yield* client.request("initialize", {
      protocolVersion: "2025-11-25",
      capabilities,
      clientInfo: { name: client.name, version: "1.0.0" }
    })
    yield* client.notify("notifications/initialized")
    return client
  })

  yield* listening(subject, place, command)
  return {
    transport: subject.transport,
    servers,
    all,
    clients: (count, capabilities = KitClient.allCapabilities) =>
      Effect.forEach(Array.from({ length: count }), () => client(capabilities)),
    stop: Effect.suspend(() => {
      command.child.kill("SIGTERM")
      return Effect.timeoutOrElse(command.ended, {
        duration: stopPatience,
        orElse: () => Effect.fail(new Broken({ seen: `the command lives ${stopPatience} after SIGTERM` }))
      })
    }),
    closed: waiting.until("the end of every connection", () =>
      all.every((client) => client.channel.socket === null || client.isClosed()) ? true : undefined
    )
  } satisfies World as World
})

interface Command {
  readonly child: ChildProcess
  readonly ended: Effect.Effect<void>
  readonly lastWords: () => string
}

const launch = Effect.fnUntraced(function* (line: string, waiting: Waiting) {
  const child = yield* Effect.sync(() =>
    // In a group of its own, by which what it leaves can be ended.
    spawn("/bin/sh", ["-c", `exec ${line}`], { stdio: ["ignore", "pipe", "pipe"], detached: true })
  )
  let words = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => (words = (words + String(chunk)).slice(-2000)))
  }
  const end = new Promise<void>((resolve) => {
    const ended = () => {
      resolve()
      waiting.moved()
    }
    child.once("exit", ended).once("error", ended)
  })
  return { child, ended: Effect.promise(() => end), lastWords: () => words.trim() } satisfies Command as Command
})

/** Nobody tells when a foreign command listens: it is tried until it does. */
const listening = (subject: Subject, place: Place, command: Command): Effect.Effect<void, Broken> => {
  const options = subject.transport === "socket" ? { path: place.socket } : { host: "127.0.0.1", port: place.port }
  const attempt = Effect.callback<void, Broken>((resume) => {
    const socket = net.connect(options, () => resume(Effect.void))
    socket.on("error", (error) =>
      resume(Effect.fail(new Broken({ seen: `the command does not listen: ${error.message}` })))
    )
    return Effect.sync(() => socket.destroy())
  })
  const gaveUp = Effect.flatMap(command.ended, () =>
    Effect.fail(new Broken({ seen: `the command ended before it listened: ${command.lastWords()}` }))
  )
  return attempt.pipe(
    Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: startPatience }))),
    Effect.raceFirst(gaveUp)
  )
}

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Whatever of this run is alive. */
const killLeft = (child: ChildProcess, servers: KitServers.Servers): Effect.Effect<void> =>
  Effect.forEach([-(child.pid ?? 0), ...startedBy(servers)], (pid) =>
    Effect.ignore(Effect.try(() => pid !== 0 && process.kill(pid, "SIGKILL")))
  )

/** The pids of all servers, and of what those started. */
export const startedBy = (servers: KitServers.Servers): ReadonlyArray<number> => [
  ...servers.pids(),
  ...servers.seen().flatMap(({ child }) => (child === undefined ? [] : [child]))
]

/** Fails where one of them lives on. */
export const gone = (what: string, pids: ReadonlyArray<number>): Effect.Effect<void, Broken> =>
  Effect.forEach(pids, (pid) => Processes.gone(pid), { discard: true, concurrency: "unbounded" }).pipe(
    Effect.mapError(({ pids }) => new Broken({ seen: `${what} outlives the command: pid ${pids.join(", ")}` }))
  )

const startPatience = "30 seconds"
const stopPatience = "15 seconds"
