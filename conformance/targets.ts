/** What serves the fixture at a URL: one entry each. A target is started anew for each row of the table. */
import { Data, Effect, Schedule, type Scope } from "effect"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { type Era, serve } from "../test/fixtures/conformance/http.ts"
import * as Program from "./program.ts"

/** A server of the fixture, as it is started over stdio, with a marker that its processes carry. */
export interface Fixture {
  readonly era: Era
  readonly args: ReadonlyArray<string>
  readonly marker: string
}

/** A target that is up. */
export interface Serving {
  readonly url: string
  /** Of the program that serves it; undefined where that is this process. */
  readonly pid?: number
}

/** Something that serves the fixture. */
export interface Target {
  readonly name: string
  /** Whether the run fails where it fails. */
  readonly mustPass: boolean
  /** It has to do with one process of the fixture, however many suites run. */
  readonly hasOneProcess?: true
  /** `directory` is empty and its own. */
  readonly start: (fixture: Fixture, directory: string) => Effect.Effect<Serving, NotServing, Scope.Scope>
}

/** A target that does not come up. */
export class NotServing extends Data.TaggedError("NotServing")<{ readonly message: string }> {}

const root = path.resolve(import.meta.dirname, "..")
const executable = path.join(root, "dist/bin/bin.js")
const peer = path.join(import.meta.dirname, "node_modules/mcp-proxy/dist/bin/mcp-proxy.mjs")

/** The fixture by itself over HTTP, with the SDK's own transport: what fails here, no gateway can pass. */
const reference: Target = {
  name: "fixture alone",
  mustPass: true,
  start: ({ era }) =>
    Effect.acquireRelease(
      Effect.promise(() => serve(era)),
      ({ close }) => Effect.promise(close)
    )
}

/** The peer, as it comes from the registry. It has to be told that its server may be of 2026-07-28. */
const mcpProxy: Target = {
  name: "mcp-proxy",
  mustPass: false,
  start: Effect.fnUntraced(function* ({ args }) {
    const port = yield* freePort
    const listen = ["--host", "127.0.0.1", "--port", String(port), "--server", "stream", "--upstreamProtocol", "auto"]
    const { ended, pid } = yield* Program.launch([peer, ...listen, "--", process.execPath, ...args])
    yield* upOr(ended, isListening(port))
    return { url: `http://127.0.0.1:${port}/mcp`, pid }
  })
}

/** The pool's gateway with these settings of its server. The suites cannot send a token. */
const pool = (settings: object): Target["start"] =>
  Effect.fnUntraced(function* ({ args }, directory) {
    const config = path.join(directory, "mcp.json")
    // The path of a socket is short, and a suite's name is not.
    const runtimeDir = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "pool-"))),
      (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
    )
    const mcpServers = { conformance: { command: process.execPath, args, pool: settings } }
    fs.writeFileSync(config, JSON.stringify({ mcpServers }))
    const serve = ["serve", "--http", "127.0.0.1:0", "--http-auth", "none", "--config", config]
    const { ended, pid } = yield* Program.launch([executable, ...serve, "--runtime-dir", runtimeDir])
    const url = yield* upOr(ended, gatewayOf(runtimeDir))
    return { url: new URL("/servers/conformance/mcp", url).href, pid }
  })

/** One process for everybody. A new daemon has not seen yet what asks, so it is told that anything may. */
const oneProcess: Target = {
  name: "mcp-pool",
  mustPass: true,
  hasOneProcess: true,
  start: pool({ sharing: { replicas: 1 }, questions: "lane" })
}

/** As it comes: what asks gets processes of its own, and what was never seen to ask may be refused when it first does. */
const asItComes: Target = { name: "mcp-pool as it comes", mustPass: false, start: pool({}) }

/** All of them, in the order of the table. */
export const targets: ReadonlyArray<Target> = [reference, mcpProxy, oneProcess, asItComes]

class NotYet extends Data.TaggedError("NotYet") {}

/** Tries until it is up, unless it ends before that. */
const upOr = <A>(ended: Effect.Effect<Program.Ended>, isUp: Effect.Effect<A, NotYet>): Effect.Effect<A, NotServing> =>
  isUp.pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("20 seconds"),
    Effect.raceFirst(Effect.flatMap(ended, (ended) => Effect.fail(new Program.EndedEarly(ended)))),
    Effect.mapError((error) => new NotServing({ message: reasonOf(error) }))
  )

const reasonOf = (error: { readonly _tag: string; readonly message: string }): string =>
  /unknown flag --http/.test(error.message)
    ? "the gateway is not there yet: mcp-pool serve has no --http"
    : error._tag === "EndedEarly"
      ? error.message
      : "it did not listen within 20 seconds"

const isListening = (port: number): Effect.Effect<void, NotYet> =>
  Effect.callback<void, NotYet>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.on("connect", () => resume(Effect.void))
    socket.on("error", () => resume(Effect.fail(new NotYet())))
    return Effect.sync(() => socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: "1 second", orElse: () => Effect.fail(new NotYet()) }))

/** Where the daemon says that it serves HTTP, once its server has run. */
const gatewayOf = (runtimeDir: string): Effect.Effect<string, NotYet> =>
  Program.run([executable, "status", "--json", "--wait", "15 seconds", "--runtime-dir", runtimeDir]).pipe(
    Effect.flatMap(({ code, out }) => {
      const url =
        code === 0 ? (JSON.parse(out) as { readonly http?: { readonly url?: string } | null }).http?.url : null
      return typeof url === "string" ? Effect.succeed(url) : Effect.fail(new NotYet())
    })
  )

/** Free a moment ago. */
const freePort: Effect.Effect<number> = Effect.promise(async () => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, "close")
  return port
})
