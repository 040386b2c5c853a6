/** `mcp-pool config`: the entries that point a host at the pool. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Address from "../config/Address.ts"
import * as Connect from "../hosts/Connect.ts"
import { generic, hostIds, hosts } from "../hosts/Hosts.ts"
import { ServerNotFound } from "../PoolError.ts"
import { FlagsDisagree } from "./CommandError.ts"
import { executable } from "./executable.ts"
import { connectControl, runtimeDir } from "./root.ts"

const names = ["generic", ...hostIds] as const

export const config = Command.make(
  "config",
  {
    host: Flag.Literals("for", names).pipe(
      Flag.withMetavar("HOST"),
      Flag.withDescription(`Whose configuration to print: ${names.join(", ")}`),
      Flag.withDefault("generic")
    ),
    http: Flag.Boolean("http").pipe(
      Flag.withDescription("Entries with the URL of a daemon that serves HTTP, instead of a command"),
      Flag.withDefault(false)
    ),
    together: Flag.Boolean("together").pipe(
      Flag.withDescription("With --http: one entry, of all servers as one"),
      Flag.withDefault(false)
    ),
    withToken: Flag.Boolean("with-token").pipe(
      Flag.withDescription("With --http: the token itself in the entries, for hosts that follow no reference to it"),
      Flag.withDefault(false)
    ),
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names to print entries for: else all that the daemon has"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* ({ host, http, servers, together, withToken }) {
    const directory = yield* runtimeDir
    if (!http && (together || withToken)) {
      return yield* new FlagsDisagree({ reason: "--together and --with-token need --http" })
    }
    if (together && servers.length > 0) {
      return yield* new FlagsDisagree({ reason: "--together is an entry of all servers, and takes no names" })
    }
    if (http) {
      const { printHttpEntries } = yield* Effect.promise(() => import("./configHttp.ts"))
      const named = together ? null : servers.length > 0 ? servers : yield* daemonServers
      if (!together && servers.length > 0) yield* warnOfUnknown(servers)
      return yield* printHttpEntries({ host, runtimeDir: directory, servers: named, withToken })
    }
    const wanted = servers.length > 0 ? servers : yield* daemonServers
    if (servers.length > 0) yield* warnOfUnknown(servers)
    const program = { ...executable(), runtimeDir: directory }
    const runs = wanted.map((name) => [name, Connect.run(name, program)] as const)
    yield* Console.log(Connect.entries(hosts.find(({ id }) => id === host) ?? generic, runs))
  }, Effect.scoped)
).pipe(
  Command.withDescription("Print the entries that point a host at the pool"),
  Command.withExamples([
    {
      command: "mcp-pool config --for claude-code > ~/my-project/.mcp.json",
      description: "All servers, for Claude Code"
    },
    { command: "mcp-pool config --for vscode --http --together", description: "One entry of all servers, over HTTP" },
    { command: "mcp-pool config --for codex github >> ~/.codex/config.toml", description: "One server, for Codex" }
  ])
)

const daemonServers = Effect.gen(function* () {
  const control = yield* connectControl
  const { servers } = yield* control.status
  // A project's is asked for by its name alone, from its directory.
  return servers.map(({ name }) => name).filter((name) => Address.parse(name) === undefined)
})

/** Where a daemon runs, a name that it does not know is probably mistyped. */
const warnOfUnknown = Effect.fnUntraced(function* (servers: ReadonlyArray<string>) {
  const known = yield* Effect.option(daemonServers)
  if (Option.isNone(known)) return
  for (const server of servers.filter((name) => !known.value.includes(name))) {
    yield* Console.error(`mcp-pool: ${new ServerNotFound({ server, names: [...known.value] }).message}`)
  }
})
