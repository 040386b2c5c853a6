/** The root of the command tree, and what the commands take from it: the runtime directory, the way to the daemon. */
import { Config, type Duration, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Os from "node:os"
import * as Address from "../config/Address.ts"
import { PositiveTime } from "../config/Quantity.ts"
import * as RuntimeDir from "../RuntimeDir.ts"

export const root = Command.make("mcp-pool").pipe(
  Command.withSharedFlags({
    runtimeDir: Flag.String("runtime-dir").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("Where the sockets are: else $MCP_POOL_RUNTIME_DIR, else ~/.local/state/mcp-pool"),
      Flag.optional
    )
  }),
  Command.withDescription("Runs each MCP server once, supervises it, and shares it with every agent on the machine.")
)

/** The runtime directory of this invocation. */
export const runtimeDir = Effect.gen(function* () {
  const flags = yield* root
  const variable = yield* Effect.orDie(Config.option(Config.String("MCP_POOL_RUNTIME_DIR")))
  return RuntimeDir.resolve({
    flag: Option.getOrUndefined(flags.runtimeDir),
    env: { MCP_POOL_RUNTIME_DIR: Option.getOrUndefined(variable) },
    home: Os.homedir()
  })
})

/** A connection to the running daemon. Its module loads here, so that `serve` never loads it. */
export const connectControl = Effect.gen(function* () {
  const directory = yield* runtimeDir
  const ControlClient = yield* Effect.promise(() => import("../control/ControlClient.ts"))
  return yield* ControlClient.make({ runtimeDir: directory })
})

export const serverArgument = Argument.String("SERVER").pipe(
  Argument.withDescription("A configured server's name, or NAME@DIR of a project"),
  // As `status` shows it.
  Argument.map((server) => Address.expand(server, Os.homedir()))
)

export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON, for programs"),
  Flag.withDefault(false)
)

/** A flag that takes a duration such as `30s`, `500ms` or `2 min`. */
export const durationFlag = (name: string): Flag.Flag<Duration.Duration> =>
  Flag.String(name).pipe(
    Flag.withMetavar("DURATION"),
    Flag.filterMap(decodeDuration, () => "a duration such as 30s, 500ms or 2min")
  )

const decodeDuration = Schema.decodeUnknownOption(PositiveTime)
