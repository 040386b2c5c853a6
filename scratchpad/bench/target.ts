/**
 * The processes that are measured. Each daemon has a directory of its own under one temporary directory; `endAll` ends
 * whatever still runs and removes the directory.
 */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process"
import { once } from "node:events"
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { build } from "rolldown"
import { Client } from "./Client.ts"
import * as proc from "./proc.ts"

const temporary = mkdtempSync(join(tmpdir(), "bench-"))
const pool = resolve(import.meta.dirname, "../../dist/bin/bin.js")
const floor = join(temporary, "floor.mjs")
const echoServer = join(temporary, "echo-server.mjs")
const running = new Set<ChildProcess>()
let daemons = 0

/** Builds floor and server to plain JavaScript, as the pool is, so that no start pays for stripping types. */
export const prepare = () =>
  build({
    input: ["floor.ts", "echo-server.ts"].map((file) => join(import.meta.dirname, file)),
    platform: "node",
    logLevel: "warn",
    output: { dir: temporary, entryFileNames: "[name].mjs", chunkFileNames: "[name].mjs" }
  })

export class Daemon {
  readonly pid: number
  readonly #directory: string
  readonly #process: ChildProcess
  readonly #sockets: ReadonlyArray<string>

  constructor(directory: string, args: ReadonlyArray<string>, sockets: ReadonlyArray<string>) {
    const log = openSync(join(directory, "log"), "a")
    this.#process = run(args, ["ignore", log, log])
    closeSync(log)
    this.pid = this.#process.pid!
    this.#directory = directory
    this.#sockets = sockets
  }

  /** Waits until every server has answered a call. */
  async ready(): Promise<this> {
    const deadline = performance.now() + 20_000
    for (const socket of this.#sockets) {
      for (let failure = await tryCall(socket); failure !== undefined; failure = await tryCall(socket)) {
        if (!running.has(this.#process) || performance.now() > deadline) {
          const log = readFileSync(join(this.#directory, "log"), "utf8")
          throw new Error(`The daemon does not answer. Its log:\n${log}`, { cause: failure })
        }
        await sleep(3)
      }
    }
    return this
  }

  /** One more client of the first server. */
  open(): Promise<Client> {
    return Client.open(this.#sockets[0]!)
  }

  async openMany(count: number): Promise<Array<Client>> {
    const clients: Array<Client> = []
    while (clients.length < count) {
      const batch = Math.min(50, count - clients.length)
      clients.push(...(await Promise.all(Array.from({ length: batch }, () => this.open()))))
    }
    return clients
  }

  /** The command that bridges stdio to the first server, where this daemon is the pool. */
  bridge(): ChildProcess {
    return run([pool, "connect", "e0", "--runtime-dir", this.#directory], ["pipe", "pipe", "inherit"])
  }

  servers(): Array<number> {
    return proc.descendants(this.pid).filter(isServer)
  }

  /** CPU time of the daemon and its helpers so far, in milliseconds: that of the servers is not in it. */
  cpu(): number {
    const helpers = proc.descendants(this.pid).filter((pid) => !isServer(pid))
    return [this.pid, ...helpers].reduce((sum, pid) => sum + proc.cpu(pid), 0)
  }

  stop(): Promise<void> {
    return end(this.#process)
  }

  /** Ends the daemon that `connect` has started in this one's place, and every server of it. */
  async shutdown(): Promise<void> {
    await exited(run([pool, "shutdown", "--runtime-dir", this.#directory], ["ignore", "ignore", "inherit"]))
  }
}

/** The floor of one server with so many tools. */
export const startFloor = (tools = 2): Daemon => {
  const directory = makeDirectory()
  const socket = join(directory, "floor.sock")
  return new Daemon(directory, [floor, socket, process.execPath, echoServer, "e0", String(tools)], [socket])
}

/** Starts the pool with servers of so many tools that differ in an argument, so that none share a process. */
export const startPool = (servers = 1, tools = 2): Daemon => {
  const directory = makeDirectory()
  const names = Array.from({ length: servers }, (_, index) => `e${index}`)
  const entries = names.map((name) => [name, { command: process.execPath, args: [echoServer, name, String(tools)] }])
  const config = join(directory, "mcp.json")
  writeFileSync(config, JSON.stringify({ mcpServers: Object.fromEntries(entries) }))
  const sockets = names.map((name) => join(directory, "servers", name, "mcp.sock"))
  return new Daemon(directory, [pool, "serve", "--config", config, "--runtime-dir", directory], sockets)
}

/** Ends a process; a daemon ends its servers, and a server ends with its stdin. */
export const end = async (child: ChildProcess): Promise<void> => {
  if (!running.has(child)) return
  const ended = exited(child)
  child.kill("SIGTERM")
  const overdue = setTimeout(() => child.kill("SIGKILL"), 10_000)
  await ended
  clearTimeout(overdue)
}

const exited = (child: ChildProcess) => once(child, "exit")

export const endAll = () => Promise.all([...running].map(end))

export const removeTemporary = (): void => rmSync(temporary, { recursive: true, force: true })

const run = (args: ReadonlyArray<string>, stdio: StdioOptions): ChildProcess => {
  const env = { PATH: process.env["PATH"], HOME: temporary }
  const child = spawn(process.execPath, args, { cwd: temporary, env, stdio })
  running.add(child)
  child.once("exit", () => running.delete(child))
  return child
}

const makeDirectory = (): string => {
  const directory = join(temporary, String(daemons++))
  mkdirSync(directory, { mode: 0o700 })
  return directory
}

const tryCall = async (socket: string): Promise<unknown> => {
  try {
    const client = await Client.open(socket)
    await client.echo("ready").finally(() => client.close())
    return undefined
  } catch (error) {
    return error
  }
}

const isServer = (pid: number): boolean => proc.command(pid)[1] === echoServer
