/** `mcp-pool adopt`: moves the servers of the hosts into the pool, and back. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { hostIds } from "../hosts/Hosts.ts"
import { runtimeDir } from "./root.ts"

export const adopt = Command.make(
  "adopt",
  {
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Show what there is and what would be done, and change nothing"),
      Flag.withDefault(false)
    ),
    undo: Flag.Boolean("undo").pipe(
      Flag.withDescription("Put back every file that the last adopt changed, byte for byte"),
      Flag.withDefault(false)
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("With --undo: also files that have changed since; what they have now is kept"),
      Flag.withDefault(false)
    ),
    entries: Flag.Boolean("entries").pipe(
      Flag.withDescription("With --undo: of files that have changed since, put back the entries alone"),
      Flag.withDefault(false)
    ),
    measure: Flag.Boolean("measure").pipe(
      Flag.withDescription("Run each new entry, and measure what all take together"),
      Flag.withDefault(true)
    ),
    host: Flag.Literals("host", [...hostIds]).pipe(
      Flag.withMetavar("HOST"),
      Flag.withDescription(`Only this host's files, may be given several times: ${hostIds.join(", ")}`),
      Flag.atLeast(0)
    ),
    project: Flag.Path("project").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("A project whose files count too, may be given several times: else the one around here"),
      Flag.atLeast(0)
    ),
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names of servers to move: else all"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* (flags) {
    const directory = yield* runtimeDir
    // Loaded here, so that no other command loads it.
    const { adoptServers, undoAdopt } = yield* Effect.promise(() => import("./adoptServers.ts"))
    const ifChanged = flags.force ? "overwrite" : flags.entries ? "entries" : "refuse"
    yield* flags.undo ? undoAdopt(ifChanged) : adoptServers({ ...flags, runtimeDir: directory })
  })
).pipe(
  Command.withDescription("Move the servers that the hosts have configured into the pool, and point the hosts at it"),
  Command.withExamples([
    { command: "mcp-pool adopt --dry-run", description: "What every host here has, and what would become of it" },
    { command: "mcp-pool adopt", description: "All of it" },
    { command: "mcp-pool adopt --host cursor github", description: "One server of one host" },
    { command: "mcp-pool adopt --undo", description: "Back to how it was" }
  ])
)
