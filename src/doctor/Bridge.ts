/** `mcp-pool connect` as a host runs it: with the entry that `mcp-pool config` prints, and next to no environment. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { homedir } from "node:os"
import type { Daemon } from "./Daemon.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("connect")

/** What a host is told to run. */
export interface Entry {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

export const check = Effect.fnUntraced(function* (options: {
  readonly daemon: Daemon
  /** Names that are looked at: of the configuration and of the daemon. */
  readonly servers: ReadonlyArray<string>
  readonly entryOf: (server: string) => Entry
  readonly commands: Shell.Commands
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, entryOf, servers } = options
  if (daemon.kind === "strange") return []
  const running =
    daemon.kind === "running" ? daemon.status.servers.filter(({ state }) => state === "running") : undefined
  const server =
    running === undefined ? (servers[0] ?? "any") : running.find(({ name }) => servers.includes(name))?.name
  if (server === undefined) return [warning("connect", "not tried: no server runs", commands.pool("status"))]
  const usual = entryOf(server)
  const entry = running === undefined ? withoutStart(usual) : usual
  const outcome = yield* run(entry)
  const findings = running === undefined ? withoutDaemon(server, entry, outcome) : withDaemon(server, entry, outcome)
  const isCached = entry.args[0]?.includes("/_npx/") === true
  return isCached
    ? [...findings, warning("connect", "its script is in npx's cache, which npm clears", install)]
    : findings
})

/** What is only looked at starts no daemon. */
const withoutStart = ({ args, command }: Entry): Entry => ({
  command,
  args: args.flatMap((arg, i) => (arg === "connect" && i === 1 ? [arg, "--no-start"] : [arg]))
})

const install = "npm i -g effect-mcp-pool, then write the hosts' entries anew: mcp-pool config"

const withDaemon = (server: string, entry: Entry, outcome: Outcome): ReadonlyArray<Finding> => {
  const { answer, code, error, millis } = outcome
  const isAnswered = answer !== undefined && isResult(answer)
  if (isAnswered && code === 0) return [ok(server, `a host's connect ${server} is answered within ${millis} ms`)]
  const what = isAnswered
    ? `was answered, but ended with ${ending(outcome)}`
    : answer !== undefined
      ? `was answered with an error, and ended with ${ending(outcome)}`
      : `was not answered, and ended with ${ending(outcome)}`
  return [problem(server, [`a host's connect ${server} ${what}`, ...lines(error)].join("\n"), byHand(entry))]
}

const withoutDaemon = (server: string, entry: Entry, outcome: Outcome): ReadonlyArray<Finding> => {
  const said = lines(outcome.error).join(" ")
  if (outcome.code === noDaemon && said !== "") {
    return [ok(server, `without a daemon connect --no-start ends with code ${noDaemon} and says so`)]
  }
  return [
    problem(
      server,
      [
        `without a daemon connect --no-start should end with code ${noDaemon}, and ended with ${ending(outcome)}`,
        ...lines(outcome.error)
      ].join("\n"),
      byHand(entry)
    )
  ]
}

const noDaemon = 3

const byHand = ({ args, command }: Entry): string =>
  `see for yourself: ${Shell.line("env", "-i", ...Object.entries(environment()).map(([name, value]) => `${name}=${value}`), command, ...args)}`

interface Outcome {
  /** The first line on stdout. */
  readonly answer: string | undefined
  readonly error: string
  /** Null where it did not start, or had to be killed. */
  readonly code: number | null
  readonly hasTimedOut: boolean
  /** Until the answer, or until the end. */
  readonly millis: number
}

const ending = ({ code, hasTimedOut }: Outcome): string =>
  hasTimedOut ? `nothing after ${patience / 1000} s` : code === null ? "no exit code" : `code ${code}`

/** All that some hosts give. */
const environment = (): Readonly<Record<string, string>> => ({ HOME: homedir(), PATH: "/usr/bin:/bin" })

/** Asks once, and leaves as soon as there is an answer. Killed where it does not end. */
const run = ({ args, command }: Entry): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const child = spawn(command, args, { cwd: "/", env: environment(), stdio: ["pipe", "pipe", "pipe"] })
    const begin = performance.now()
    let out = ""
    let error = ""
    let answeredAt: number | undefined
    let hasTimedOut = false
    const kill = () => void child.kill("SIGKILL")
    const timer = setTimeout(() => {
      hasTimedOut = true
      kill()
    }, patience)
    const done = (code: number | null) => {
      clearTimeout(timer)
      const millis = Math.round((answeredAt ?? performance.now()) - begin)
      const answer = answeredAt === undefined ? undefined : out.split("\n", 1)[0]
      resume(Effect.succeed({ answer, error, code, hasTimedOut, millis }))
    }
    child.on("error", (cause) => {
      error += cause.message
      if (child.pid === undefined) done(null)
    })
    child.on("close", done)
    child.stdin.on("error", () => {})
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (out.length < maxOutput) out += chunk
      if (answeredAt !== undefined || !out.includes("\n")) return
      answeredAt = performance.now()
      child.stdin.end()
    })
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      if (error.length < maxOutput) error += chunk
    })
    child.stdin.write(request)
    return Effect.callback<void>((resume) => {
      clearTimeout(timer)
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      kill()
    })
  })

const isResult = (answer: string): boolean => {
  try {
    const message: unknown = JSON.parse(answer)
    return typeof message === "object" && message !== null && "result" in message
  } catch {
    return false
  }
}

const lines = (text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-maxLines)

const request = `${JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "mcp-pool doctor", version: "0" }
  }
})}\n`

/** Milliseconds. */
const patience = 5000
/** Characters. */
const maxOutput = 1024 * 1024
const maxLines = 5
