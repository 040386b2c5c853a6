/** `mcp-pool config`: the entries that point a host at the pool. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Address from "../config/Address.ts"
import * as Connect from "../hosts/Connect.ts"
import { generic, hostIds, hosts } from "../hosts/Hosts.ts"
import { ServerNotFound } from "../PoolError.ts"
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
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names to print entries for: else all that the daemon has"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* ({ host, servers }) {
    const directory = yield* runtimeDir
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
