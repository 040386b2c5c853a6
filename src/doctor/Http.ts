/** Whether HTTP is served where it is meant to be, to whoever has the token, and whose the token is. */
import { Effect, Option } from "effect"
import * as fs from "node:fs"
import * as http from "node:http"
import * as DaemonRecord from "../daemon/DaemonRecord.ts"
import * as Address from "../http/Address.ts"
import { type HttpOptions, toFlags } from "../http/HttpOptions.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import type * as Shell from "../Shell.ts"
import { line } from "../Shell.ts"
import type { Daemon } from "./Daemon.ts"
import { look } from "./Files.ts"
import { type Finding, of } from "./Finding.ts"

const { ok, problem, warning } = of("http")

/** Silent where nobody wants HTTP. */
export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  readonly daemon: Daemon
  readonly commands: Shell.Commands
  /** The command that starts the daemon has its flags written down. */
  readonly isService: boolean
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, isService, runtimeDir } = options
  const told = Option.getOrUndefined(yield* DaemonRecord.read(runtimeDir))?.http ?? null
  const status = daemon.kind === "running" ? daemon.status : null
  const url = status?.http?.url ?? (told === null ? null : Address.url(told.address))
  if (url === null) return []
  const token = told?.auth === "none" ? [] : tokenFile(runtimeDir)
  const found = [...(told === null ? [] : names(told)), ...token]
  if (status === null) return found.length > 0 ? found : [ok(url, `${url}, while a daemon runs`)]
  const flags = told === null || isService ? "" : ` ${line(...toFlags({ ...told, waits: false }))}`
  const again = `${commands.pool("shutdown")} && ${commands.serve}${flags}`
  if (status.http === null) return [...found, yield* elsewhere(url, again)]
  const answers = [
    ...(yield* overSocket(runtimeDir, again)),
    ...(token.length > 0 ? [] : yield* overTcp(url, told?.auth === "none" ? null : tokenOf(runtimeDir), again))
  ]
  const all = [...found, ...answers]
  return all.length > 0
    ? all
    : [ok(url, `${url} answers${told?.auth === "none" ? " without a token" : ", and takes the token"}`)]
})

/** The daemon serves all else, and waits for the address. */
const elsewhere = Effect.fnUntraced(function* (url: string, again: string) {
  const { port } = new URL(url)
  const { reason } = yield* ask({ url, path: "/health" })
  if (reason.includes("ECONNREFUSED")) {
    const message = "HTTP is not served there, and nobody else listens: the daemon's log says why"
    return problem(url, message, again)
  }
  const message = "another program listens there, and hosts whose entries name the address show it the token"
  const end = `end what ${line("lsof", "-nP", `-iTCP:${port}`, "-sTCP:LISTEN")} shows: the daemon takes the address within 10 s`
  return problem(url, message, `${end}; or serve at another with --http`)
})

const overSocket = Effect.fnUntraced(function* (runtimeDir: string, mend: string) {
  const socketPath = RuntimeDir.httpSocket(runtimeDir)
  const { reason, status } = yield* ask({ socketPath, path: "/health" })
  return status === 200 ? [] : [problem(socketPath, `does not answer: ${reason}`, mend)]
})

const overTcp = Effect.fnUntraced(function* (url: string, token: string | null, mend: string) {
  const { reason, status } = yield* ask({ url, path: "/metrics", token })
  if (status === 200) return []
  if (status === 401) {
    return [problem(url, "does not take the token that is in the file now: it read the file when it started", mend)]
  }
  return [problem(url, `does not answer: ${reason}`, mend)]
})

/** Whoever reads it may use the servers. */
const tokenFile = (runtimeDir: string): ReadonlyArray<Finding> => {
  const file = RuntimeDir.httpTokenFile(runtimeDir)
  const stats = look(file)
  const restart = "start the daemon again: it makes another one, which hosts that do not read the file have to be given"
  const anew = `${line("rm", file)}, and ${restart}`
  if (stats === undefined) return [problem(file, "is gone: nobody can be given what the daemon asks for", restart)]
  if (!stats.isFile() || stats.uid !== process.getuid?.()) return [problem(file, "is no plain file of this user", anew)]
  const mode = stats.mode & 0o777
  if ((mode & 0o077) === 0) return []
  return [problem(file, `mode ${mode.toString(8).padStart(4, "0")}: others may have read the token`, anew)]
}

const tokenOf = (runtimeDir: string): string => fs.readFileSync(RuntimeDir.httpTokenFile(runtimeDir), "utf8").trim()

/** Who listens for others has to know the names that they ask under. */
const names = ({ address, allowedHosts }: HttpOptions): ReadonlyArray<Finding> => {
  const isForAll = address.host === "0.0.0.0" || address.host === "::"
  if (!isForAll || allowedHosts.length > 0) return []
  const message = "listens for other machines, and refuses (403) whatever does not ask for this machine's own names"
  return [warning(Address.text(address), message, "name what others call it: --allowed-host NAME")]
}

/** What its status is, or null and why there is none. Never by way of a proxy, which would see the token. */
const ask = (asked: {
  readonly url?: string
  readonly socketPath?: string
  readonly path: string
  readonly token?: string | null
}): Effect.Effect<{ readonly status: number | null; readonly reason: string }> =>
  Effect.callback((resume) => {
    const { path, socketPath, token, url } = asked
    const where = url === undefined ? { socketPath } : placeOf(new URL(url))
    const headers = token == null ? {} : { authorization: `Bearer ${token}` }
    const request = http.get({ ...where, path, headers, agent: false, timeout: patience })
    const settle = (status: number | null, reason: string) => {
      request.destroy()
      resume(Effect.succeed({ status, reason }))
    }
    request.on("response", ({ statusCode = 0 }) => settle(statusCode, `status ${statusCode}`))
    request.on("timeout", () => settle(null, "no answer within 3 s"))
    request.on("error", ({ message }) => settle(null, message))
    return Effect.sync(() => request.destroy())
  })

const placeOf = ({ hostname, port }: URL) => ({ host: hostname.replace(/^\[|\]$/g, ""), port })

/** Milliseconds. */
const patience = 3000
