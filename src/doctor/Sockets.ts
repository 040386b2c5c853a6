/** Whether each server's socket can be where it should be, and who is there now. */
import { Effect, Predicate } from "effect"
import * as path from "node:path"
import type { ServerEntry } from "../config/PoolConfig.ts"
import * as SocketFile from "../listen/SocketFile.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import type { Daemon } from "./Daemon.ts"
import { cannotMake, look } from "./Files.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("sockets")

export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  readonly servers: ReadonlyArray<ServerEntry>
  readonly daemon: Daemon
  readonly commands: Shell.Commands
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, runtimeDir, servers } = options
  const findings: Array<Finding> = []
  const control = RuntimeDir.controlSocket(runtimeDir)
  if (isTooLong(control)) findings.push(problem(control, tooLong(control), shorter))
  const stale: Array<string> = []
  const owners = new Map<string, string>()
  for (const entry of servers) {
    const { name } = entry
    const own = Predicate.isTagged(entry, "Configured") ? entry.spec.pool.socket : undefined
    const file = own ?? RuntimeDir.serverSocket(runtimeDir, name)
    const other = owners.get(file)
    owners.set(file, name)
    const mend = own === undefined ? shorter : 'give it a shorter "pool.socket"'
    if (isTooLong(file)) findings.push(problem(name, tooLong(file), mend))
    else if (other !== undefined) {
      findings.push(problem(name, `${file} is the socket of ${other} too`, 'give it another "pool.socket"'))
    } else {
      const isServed =
        daemon.kind === "running" &&
        daemon.status.servers.some((server) => server.name === name && server.socket === file)
      const found = yield* isServed ? served(name, file, commands) : unserved(name, file, own !== undefined, daemon)
      if (found === undefined) stale.push(name)
      else findings.push(found)
    }
  }
  if (stale.length > 0) {
    const message = `an earlier daemon left its ${stale.length === 1 ? "socket" : "sockets"}: the next mcp-pool serve takes over`
    findings.push(warning(stale.join(", "), message, commands.serve))
  }
  return findings
})

const shorter = "give a shorter --runtime-dir, or set MCP_POOL_RUNTIME_DIR to one for all commands"

/** It is bound under another name first: a dot and the daemon's pid, of at most six characters. */
const isTooLong = (file: string): boolean =>
  Math.max(Buffer.byteLength(file), Buffer.byteLength(path.join(path.dirname(file), ".pid36"))) >
  RuntimeDir.maxSocketPath

const tooLong = (file: string): string =>
  `the path of its socket is too long by ${Math.max(1, Buffer.byteLength(file) - RuntimeDir.maxSocketPath)} bytes: ${file}`

/** Where the daemon says that it listens. */
const served = Effect.fnUntraced(function* (name: string, file: string, commands: Shell.Commands) {
  return (yield* SocketFile.isLive(file))
    ? ok(name, `the daemon listens at ${file}`)
    : problem(
        name,
        `the daemon's socket has been taken away: ${file}`,
        `${commands.pool("shutdown")} && ${commands.serve}`
      )
})

/** Where the next daemon is going to listen. Undefined for a stale socket, which it takes over. */
const unserved = Effect.fnUntraced(function* (name: string, file: string, isOwn: boolean, daemon: Daemon) {
  const there = look(file)
  if (there === undefined) {
    // The runtime directory is looked at elsewhere.
    const trouble = isOwn ? cannotMake(path.dirname(file)) : undefined
    return trouble === undefined ? ok(name, `${file} is free`) : problem(name, trouble.message, trouble.mend)
  }
  if (there.isSymbolicLink()) return problem(name, `a symbolic link is in the way: ${file}`, Shell.line("rm", file))
  if (!there.isSocket()) {
    return problem(name, `something that is no socket is in the way: ${file}`, Shell.line("mv", file, `${file}.old`))
  }
  if (!(yield* SocketFile.isLive(file))) return undefined
  // Most likely it is the daemon's, which does not tell.
  return daemon.kind === "strange"
    ? ok(name, `somebody listens at ${file}`)
    : problem(
        name,
        `another process listens at its socket: ${file}`,
        `end what ${Shell.line("lsof", file)} shows, or give the server another "pool.socket"`
      )
})
