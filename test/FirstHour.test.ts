/**
 * What a host sees of the first hour and of the day after: an SDK's client over the executable's `connect`, with a home of
 * its own, and no daemon to begin with.
 */
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { CallToolResultSchema, ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js"
import { Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { DaemonStatus } from "../src/control/ControlApi.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"

const bin = fileURLToPath(new URL("../dist/bin/bin.js", import.meta.url))
const script = (server: string): string =>
  fileURLToPath(new URL(`../node_modules/@modelcontextprotocol/server-${server}/dist/index.js`, import.meta.url))

interface Home {
  readonly directory: string
  readonly configFile: string
  /** Runs `mcp-pool` to its end; fails with what it said where its exit code is not 0. */
  readonly pool: (...args: ReadonlyArray<string>) => Effect.Effect<string>
  readonly status: Effect.Effect<DaemonStatus>
}

/** A home with servers in the pool's own file; nothing that has it as its home is left when the scope closes. */
const home = Effect.fnUntraced(function* (
  servers: Readonly<Record<string, object>>
): Effect.fn.Return<Home, never, Scope.Scope> {
  const directory = yield* TestPool.temporaryDirectory
  yield* Effect.addFinalizer(() =>
    Processes.killAll({ HOME: directory }).pipe(
      Effect.flatMap((pids) => Effect.forEach(pids, Processes.gone)),
      Effect.orDie
    )
  )
  const configFile = path.join(directory, ".config/mcp-pool/config.json")
  fs.mkdirSync(path.dirname(configFile), { recursive: true })
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: servers }))
  const pool = (...args: ReadonlyArray<string>) =>
    Effect.callback<string>((resume) => {
      execFile(process.execPath, [bin, ...args], { env: environment(directory), cwd: "/" }, (error, out, err) =>
        resume(error === null ? Effect.succeed(out) : Effect.die(new Error(`${args.join(" ")}: ${err}${out}`)))
      )
    })
  return {
    directory,
    configFile,
    pool,
    // The cast: `--json` prints what the schema says, which the tests of the command hold it to.
    status: Effect.map(pool("status", "--json"), (text) => JSON.parse(text) as DaemonStatus)
  }
})

/** All that some hosts give. */
const environment = (directory: string) => ({ HOME: directory, PATH: process.env["PATH"] ?? "" })

interface Host {
  readonly client: Client
  /** How often the client has seen its connection closed. */
  readonly closed: () => number
  readonly toolsChanged: () => number
}

/** A host that knows only commands. */
const connect = (home: Home, server: string, ...args: ReadonlyArray<string>): Effect.Effect<Host, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "host", version: "1" })
      let closed = 0
      let toolsChanged = 0
      client.onclose = () => closed++
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => void toolsChanged++)
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [bin, "connect", server, ...args],
          env: environment(home.directory),
          cwd: "/",
          stderr: "pipe"
        })
      )
      return { client, closed: () => closed, toolsChanged: () => toolsChanged }
    }),
    ({ client }) => Effect.promise(() => client.close())
  )

const echo = ({ client }: Host, message: string) =>
  Effect.promise(() => client.callTool({ name: "echo", arguments: { message } })).pipe(
    Effect.map((result) => CallToolResultSchema.parse(result).content[0]),
    Effect.tap((content) => Effect.sync(() => assert.deepInclude(content, { text: `Echo: ${message}` })))
  )

/** A call that goes on for a while, and is known to have reached the server. */
const longCall = ({ client }: Host) =>
  Effect.callback<Promise<{ readonly code: unknown } | "answered">>((resume) => {
    const outcome: Promise<{ readonly code: unknown } | "answered"> = client
      .callTool({ name: "trigger-long-running-operation", arguments: { duration: 1, steps: 20 } }, undefined, {
        onprogress: () => resume(Effect.succeed(outcome))
      })
      .then(
        () => "answered",
        (error: { readonly code?: unknown }) => ({ code: error.code })
      )
  })

const servers = (env: object = {}) => ({
  everything: { command: process.execPath, args: [script("everything")], env },
  memory: { command: process.execPath, args: [script("memory")], env }
})

describe("the first hour, and the day after", () => {
  it.live(
    "a client over connect lives through no daemon, its kill, a handover and a reload",
    () =>
      Effect.gen(function* () {
        const machine = yield* home(servers())
        const host = yield* connect(machine, "everything")
        // Its lists are always the same, and it never says that they have changed.
        const other = yield* connect(machine, "memory")
        yield* echo(host, "no daemon")
        yield* Effect.promise(() => other.client.listTools())
        const first = yield* machine.status

        const killed = yield* longCall(host)
        process.kill(first.pid, "SIGKILL")
        assert.deepStrictEqual(yield* Effect.promise(() => killed), { code: outcomeUnknown })
        yield* echo(host, "killed")
        const second = yield* machine.status
        assert.notStrictEqual(second.pid, first.pid)

        const drained = yield* longCall(host)
        yield* machine.pool("shutdown", "--handover")
        assert.strictEqual(yield* Effect.promise(() => drained), "answered")
        yield* echo(host, "handed over")
        const third = yield* machine.status
        assert.notStrictEqual(third.pid, second.pid)

        const rotated = yield* longCall(host)
        fs.writeFileSync(machine.configFile, JSON.stringify({ mcpServers: servers({ CHANGED: "1" }) }))
        yield* machine.pool("reload")
        yield* echo(host, "reloaded")
        assert.strictEqual(yield* Effect.promise(() => rotated), "answered")
        const fourth = yield* machine.status
        assert.strictEqual(fourth.pid, third.pid)
        assert.notStrictEqual(fourth.servers[0]?.pid, third.servers[0]?.pid)
        assert.notStrictEqual(fourth.servers[0]?.fingerprint, third.servers[0]?.fingerprint)

        yield* Effect.promise(() => other.client.listTools())
        assert.deepStrictEqual([host.closed(), other.closed(), other.toolsChanged()], [0, 0, 0])
      }),
    60_000
  )

  it.live(
    "ten connects at once start one daemon, and all have their sessions",
    () =>
      Effect.gen(function* () {
        const machine = yield* home(servers())
        const hosts = yield* Effect.all(
          Array.from({ length: 10 }, () => connect(machine, "everything")),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(hosts, (host, i) => echo(host, `host ${i}`), { concurrency: "unbounded" })
        const {
          pid,
          servers: [server]
        } = yield* machine.status
        assert.deepInclude(server, { name: "everything", state: "running", sessions: 10 })
        const all = yield* Processes.withMarker({ HOME: machine.directory })
        const daemons = all.filter((it) => fs.readFileSync(`/proc/${it}/cmdline`, "latin1").includes("\0serve\0"))
        assert.deepStrictEqual(daemons, [pid])
      }),
    60_000
  )
})

/** `OutcomeUnknown` on the wire. */
const outcomeUnknown = 31002
