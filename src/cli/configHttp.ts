/** `mcp-pool config --http`: the entries that point a host at the daemon's HTTP, and a word on where its token is. */
import { Console, Effect, Option } from "effect"
import * as fs from "node:fs"
import * as ControlClient from "../control/ControlClient.ts"
import { tokenVariable as variable } from "../config/SelfReference.ts"
import * as DaemonRecord from "../daemon/DaemonRecord.ts"
import * as Connect from "../hosts/Connect.ts"
import type { HostId } from "../hosts/Host.ts"
import { generic, host, hosts } from "../hosts/Hosts.ts"
import { overHttp, type OverHttp, type Token } from "../hosts/OverHttp.ts"
import * as Address from "../http/Address.ts"
import * as Route from "../http/Route.ts"
import { printable } from "../printable.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as Shell from "../Shell.ts"
import { NoHttp, NotOverHttp } from "./CommandError.ts"

/** What is printed, and for whom. */
export interface Options {
  readonly host: HostId | "generic"
  readonly runtimeDir: string
  /** Names of servers; null for one entry of all of them. */
  readonly servers: ReadonlyArray<string> | null
  /** The token itself stands in the entries. */
  readonly withToken: boolean
}

export const printHttpEntries = Effect.fnUntraced(function* (options: Options) {
  const { runtimeDir, servers, withToken } = options
  const name = hosts.find(({ id }) => id === options.host)?.title ?? "the host"
  const way = overHttp[options.host]
  if (way === undefined) {
    return yield* new NotOverHttp({ host: options.host, reason: `${name} starts commands alone, and reads no URL` })
  }
  const { auth, isServed, url } = yield* served(runtimeDir)
  const isAsked = auth === "token" && way.way !== "socket"
  if (isAsked && way.way === "literal" && !withToken) {
    const reason = `${name} follows no reference to a secret, so that the token would stand in its file (--with-token)`
    return yield* new NotOverHttp({ host: options.host, reason })
  }
  const token = isAsked ? yield* tokenOf(runtimeDir, withToken) : none
  const paths =
    servers === null ? [["mcp-pool", together] as const] : servers.map((it) => [it, Route.pathOf(it)] as const)
  const entries = paths.map(
    ([name, path]) => [name, way.fresh({ url, socket: RuntimeDir.httpSocket(runtimeDir), path }, token)] as const
  )
  yield* Console.log(Connect.text(options.host === "generic" ? generic : host(options.host), entries))
  if (!isServed) yield* Console.error(`mcp-pool: HTTP is not served at ${url} now: "mcp-pool doctor" tells why`)
  for (const line of tokenLines(name, way, token)) yield* Console.error(`mcp-pool: ${line}`)
})

const none: Token = { _tag: "None" }

/** Where the daemon serves HTTP, or served it last. */
const served = Effect.fnUntraced(function* (runtimeDir: string) {
  const record = Option.getOrUndefined(yield* DaemonRecord.read(runtimeDir))?.http ?? null
  const status = yield* ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ status }) => status),
    Effect.option
  )
  const url = Option.getOrNull(status)?.http?.url ?? (record === null ? null : Address.url(record.address))
  if (url === null) return yield* new NoHttp({ runtimeDir })
  const isServed = Option.isNone(status) || status.value.http !== null
  return { url, isServed, auth: record?.auth ?? "token" }
}, Effect.scoped)

const tokenOf = Effect.fnUntraced(function* (runtimeDir: string, isLiteral: boolean): Effect.fn.Return<Token, NoHttp> {
  const file = RuntimeDir.httpTokenFile(runtimeDir)
  if (!isLiteral) return { _tag: "Reference", file }
  const token = yield* Effect.try({
    try: () => fs.readFileSync(file, "utf8").trim(),
    catch: () => new NoHttp({ runtimeDir })
  })
  return { _tag: "Literal", token }
})

/** What has to be known of the token. */
const tokenLines = (host: string, { way }: OverHttp, token: Token): ReadonlyArray<string> => {
  if (token._tag === "Literal") {
    return ["the entries hold the token: whoever reads them may use the servers, so keep them to yourself"]
  }
  if (token._tag === "None") return []
  const file = printable(token.file)
  return way === "variable"
    ? [
        `${host} takes the token from its environment: export ${variable}="$(cat ${Shell.quoted(file)})" where it starts`
      ]
    : [`${host} takes the token from ${file} by itself`]
}

/** The path of all servers as one. */
const together = "/mcp"
