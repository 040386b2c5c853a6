/** The built executable as people and hosts run it: real daemon, real servers, the SDK's own client. */
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { getDefaultEnvironment, StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect, Queue } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Processes from "./support/Processes.ts"

const root = path.resolve(import.meta.dirname, "..")
const bin = path.join(root, "dist/bin/bin.js")
const modules = path.join(root, "node_modules/@modelcontextprotocol")

interface Result {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** A home of its own, as the only thing that tells daemon and bridge where to meet. */
const home = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "mcp-pool-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

const run = (home: string, args: ReadonlyArray<string>, env: Record<string, string> = {}): Effect.Effect<Result> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [bin, ...args], {
      env: { PATH: process.env["PATH"] ?? "", HOME: home, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const out = collect(child)
    child.on("close", (code, signal) => resume(Effect.succeed({ code, signal, ...out() })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const collect = (child: ChildProcess): (() => { readonly stdout: string; readonly stderr: string }) => {
  let stdout = ""
  let stderr = ""
  child.stdout?.on("data", (chunk) => (stdout += String(chunk)))
  child.stderr?.on("data", (chunk) => (stderr += String(chunk)))
  return () => ({ stdout, stderr })
}

const exit = (child: ChildProcess): Effect.Effect<readonly [code: number | null, signal: string | null]> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      return resume(Effect.succeed([child.exitCode, child.signalCode] as const))
    }
    child.once("exit", (code, signal) => resume(Effect.succeed([code, signal] as const)))
  })

const reference = (name: string, ...args: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [path.join(modules, name, "dist/index.js"), ...args]
})

/** A running `serve`, whose servers have all run or failed once. */
const daemon = Effect.fnUntraced(function* (
  home: string,
  servers: unknown = {
    everything: reference("server-everything"),
    filesystem: reference("server-filesystem", home),
    memory: reference("server-memory")
  },
  wrap: (command: ReadonlyArray<string>) => ReadonlyArray<string> = (command) => command
) {
  const config = path.join(home, "mcp.json")
  fs.writeFileSync(config, JSON.stringify({ mcpServers: servers }))
  const [command, ...args] = wrap([process.execPath, bin, "serve", "--config", config]) as [string, ...Array<string>]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(command, args, {
        env: { PATH: process.env["PATH"] ?? "", HOME: home, XDG_RUNTIME_DIR: path.join(home, "xdg") },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return Effect.void
      child.kill("SIGTERM")
      return Effect.asVoid(exit(child))
    }
  )
  const out = collect(child)
  yield* Effect.callback<void>((resume) => {
    child.stderr?.on("data", () => {
      if (out().stderr.includes(" serves ")) resume(Effect.void)
    })
    child.once("exit", () => resume(Effect.die(new Error(`the daemon ended: ${out().stderr}`))))
  })
  const status = yield* run(home, ["status", "--json", "--wait", "20 s"])
  assert.strictEqual(status.code, 0, status.stderr)
  return { child, out, status: JSON.parse(status.stdout) as Status }
})

interface Status {
  readonly pid: number
  readonly runtimeDir: string
  readonly servers: ReadonlyArray<{
    readonly name: string
    readonly state: string
    readonly pid: number | null
    readonly socket: string
    readonly sessions: number
    readonly tools: number | null
  }>
}

/** The SDK's client over `mcp-pool connect`, with the environment that hosts give. */
const client = (home: string, server: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "test", version: "1" })
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [bin, "connect", server],
          env: { ...getDefaultEnvironment(), HOME: home },
          stderr: "pipe"
        })
      )
      return client
    }),
    (client) => Effect.promise(() => client.close())
  )

describe("mcp-pool", () => {
  it.live("runs three servers once and shares them over connect, call and a raw socket", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const { child, status } = yield* daemon(directory)
      assert.deepStrictEqual(
        status.servers.map(({ name, state }) => [name, state]),
        [
          ["everything", "running"],
          ["filesystem", "running"],
          ["memory", "running"]
        ]
      )
      // The daemon's XDG_RUNTIME_DIR is not where a host's bridge would look.
      assert.strictEqual(status.runtimeDir, path.join(directory, ".local/state/mcp-pool"))

      const clients = yield* Effect.all([client(directory, "everything"), client(directory, "everything")])
      const answers = yield* Effect.promise(() =>
        Promise.all(clients.map((it, i) => it.callTool({ name: "echo", arguments: { message: `hi ${i}` } })))
      )
      assert.deepStrictEqual(
        answers.map((answer) => (answer.content as ReadonlyArray<{ readonly text: string }>)[0]?.text),
        ["Echo: hi 0", "Echo: hi 1"]
      )
      const during = yield* run(directory, ["status", "--json"])
      const everything = (JSON.parse(during.stdout) as Status).servers[0]
      assert.strictEqual(everything?.sessions, 2)
      assert.strictEqual(everything?.pid, status.servers[0]?.pid)

      const call = yield* run(directory, ["call", "everything", "echo", "--args", '{"message":"hi"}'])
      assert.deepStrictEqual([call.code, call.stdout], [0, "Echo: hi\n"], call.stderr)

      const socket = net.connect(status.servers[0]!.socket)
      socket.end(
        '{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"echo","arguments":{"message":"é"}}}\n'
      )
      const raw = yield* Effect.promise(() => socket.toArray())
      assert.include(Buffer.concat(raw).toString(), '"text":"Echo: é"')

      child.kill("SIGTERM")
      assert.deepStrictEqual(yield* exit(child), [0, null])
      for (const { pid } of status.servers) assert.isFalse(yield* Processes.isAlive(pid!))
      assert.isFalse(fs.existsSync(status.servers[0]!.socket))
    })
  )

  it.live("refuses a second daemon on the same runtime directory before it starts anything", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const { out } = yield* daemon(directory)
      const second = yield* run(directory, ["serve", "--config", path.join(directory, "mcp.json")])
      assert.strictEqual(second.code, 1)
      assert.include(second.stderr, "another daemon serves")
      assert.notInclude(second.stderr, "starting")
      assert.notInclude(out().stderr, "stopping")
    })
  )

  it.live("ends at once on a second signal and still leaves no process", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const stubborn = {
        command: process.execPath,
        args: [path.join(root, "test/fixtures/bad.ts"), directory, "stubborn"],
        pool: { stop: { stdin: "60 s", term: "60 s" } }
      }
      const { child, status } = yield* daemon(directory, { stubborn })
      const pid = status.servers[0]!.pid!
      child.kill("SIGTERM")
      yield* Effect.callback<void>((resume) => {
        child.stderr?.on("data", (chunk) => String(chunk).includes("stopping") && resume(Effect.void))
      })
      child.kill("SIGTERM")
      const [code] = yield* exit(child)
      assert.strictEqual(code, 143)
      yield* Processes.gone(pid)
    })
  )

  it.live("goes on after SIGHUP where it was started with it ignored, and stops cleanly on it elsewhere", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const ignoring = yield* daemon(directory, {}, (command) => ["bash", "-c", 'nohup "$@"', "bash", ...command])
      ignoring.child.kill("SIGHUP")
      const status = yield* run(directory, ["status", "--json"])
      assert.strictEqual(status.code, 0)
      ignoring.child.kill("SIGTERM")
      assert.deepStrictEqual(yield* exit(ignoring.child), [0, null])
      const hearing = yield* daemon(directory, { memory: reference("server-memory") })
      hearing.child.kill("SIGHUP")
      assert.deepStrictEqual(yield* exit(hearing.child), [0, null])
      assert.isFalse(yield* Processes.isAlive(hearing.status.servers[0]!.pid!))
    })
  )

  it.live("stops on shutdown, which returns when the daemon is gone", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const { child } = yield* daemon(directory, { memory: reference("server-memory") })
      const shutdown = yield* run(directory, ["shutdown"])
      assert.strictEqual(shutdown.code, 0, shutdown.stderr)
      assert.deepStrictEqual(yield* exit(child), [0, null])
      const status = yield* run(directory, ["status"])
      assert.strictEqual(status.code, 3)
      assert.include(status.stderr, "mcp-pool serve")
    })
  )

  it.live("lets four daemons that start at once find one winner", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const config = path.join(directory, "mcp.json")
      fs.writeFileSync(config, '{"mcpServers":{}}')
      const ended = yield* Queue.unbounded<Result>()
      yield* Effect.forEach(
        [1, 2, 3, 4],
        () =>
          Effect.forkScoped(
            Effect.flatMap(run(directory, ["serve", "--config", config]), (it) => Queue.offer(ended, it))
          ),
        { discard: true }
      )
      const losers = yield* Queue.takeN(ended, 3)
      for (const loser of losers) {
        assert.strictEqual(loser.code, 1)
        assert.include(loser.stderr, "another daemon serves")
      }
      assert.strictEqual((yield* run(directory, ["shutdown"])).code, 0)
      assert.strictEqual((yield* Queue.take(ended)).code, 0)
    })
  )
})
