/**
 * Starts the daemon in the background, where nobody else is about to: the file `waking` is the turn of the one that does. The
 * daemon outlives it.
 */
import type { ChildProcess } from "node:child_process"
import { join } from "node:path"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as Turn from "../Turn.ts"

export class Waking {
  readonly #runtimeDir: string
  readonly #onFailure: (message: string, wasEnded: boolean) => void
  readonly #command: ReadonlyArray<string>
  #hasTurn = false
  #child: ChildProcess | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(options: {
    readonly runtimeDir: string
    /** What runs the daemon until it ends. */
    readonly command: ReadonlyArray<string>
    /**
     * Called where a daemon could not be started, or ended before it was there: with what it said last, and whether somebody
     * else ended it.
     */
    readonly onFailure: (message: string, wasEnded: boolean) => void
  }) {
    this.#runtimeDir = options.runtimeDir
    this.#command = options.command
    this.#onFailure = options.onFailure
  }

  /** Starts one, unless one is about to come. Throws where the directory cannot be written to, or by others, too. */
  wake(): void {
    if (this.#hasTurn) return
    fs().mkdirSync(this.#runtimeDir, { recursive: true, mode: 0o700 })
    const foreign = RuntimeDir.foreign(fs().statSync(this.#runtimeDir))
    if (foreign !== undefined) throw new Error(foreign)
    this.#hasTurn = Turn.take(this.#turn)
    if (!this.#hasTurn) return
    const service = serviceOf(this.#runtimeDir)
    const spawn = () => {
      if (!this.#hasTurn || this.#child !== null) return
      try {
        this.#spawn()
      } catch (cause) {
        this.release()
        this.#onFailure(`the daemon could not be started: ${(cause as Error).message}`, false)
      }
    }
    if (service === undefined) return spawn()
    // The service manager's own start command; a daemon that it started shows at the socket.
    const started = childProcess().spawn(service[0]!, service.slice(1), { cwd: "/", stdio: "ignore" })
    started.unref()
    started.once("error", spawn)
    started.once("exit", (code) => (code === 0 ? undefined : spawn()))
    this.#timer = setTimeout(spawn, servicePatience)
  }

  /** A daemon is there, or none will be: others may try. */
  release(): void {
    clearTimeout(this.#timer)
    this.#child = null
    if (!this.#hasTurn) return
    this.#hasTurn = false
    Turn.giveBack(this.#turn)
  }

  get #turn(): string {
    return RuntimeDir.wakingTurn(this.#runtimeDir)
  }

  #spawn(): void {
    const path = join(this.#runtimeDir, "daemon.log")
    const log = fs().openSync(path, "a", 0o600)
    const from = fs().fstatSync(log).size
    const child = childProcess().spawn(this.#command[0]!, this.#command.slice(1), {
      cwd: "/",
      detached: true,
      stdio: ["ignore", log, log]
    })
    fs().closeSync(log)
    child.unref()
    this.#child = child
    const failed = (how: string, wasEnded: boolean) => {
      if (this.#child !== child) return
      const said = lastLine(path, from)
      this.release()
      this.#onFailure(said === "" ? how : `${how}: ${said}`, wasEnded)
    }
    child.once("error", (error) => failed(`the daemon could not be started: ${error.message}`, false))
    child.once("exit", (code, signal) =>
      failed(`the daemon ended at its start (${signal ?? `code ${code}`})`, signal !== null || code === 0)
    )
  }
}

const fs = () => process.getBuiltinModule("node:fs")
const childProcess = () => process.getBuiltinModule("node:child_process")

/** The command that starts the daemon where a service manager keeps it. */
const serviceOf = (runtimeDir: string): ReadonlyArray<string> | undefined => {
  try {
    const { start } = JSON.parse(fs().readFileSync(join(runtimeDir, "service.json"), "utf8"))
    const isCommand = Array.isArray(start) && start.length > 0 && start.every((it) => typeof it === "string")
    return isCommand ? start : undefined
  } catch {
    return undefined
  }
}

/** What was said last, from an offset on, in one line of printable text. */
const lastLine = (path: string, from: number): string => {
  try {
    const bytes = fs().readFileSync(path)
    const lines = bytes.toString("utf8", Math.max(from, bytes.length - 64 * 1024)).split("\n")
    const line = lines.findLast((it) => it.trim() !== "") ?? ""
    return messageIn(line)
      .replace(/^mcp-pool: /, "")
      .replace(/[^\x20-\x7e\u00a1-\uffff]+/g, " ")
      .slice(0, 500)
  } catch {
    return ""
  }
}

/** The daemon logs in JSON. */
const messageIn = (line: string): string => {
  try {
    const { message } = JSON.parse(line)
    return typeof message === "string" ? message : line
  } catch {
    return line
  }
}

/** Milliseconds. */
const servicePatience = 10_000
