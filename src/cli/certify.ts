/** `mcp-pool certify SERVER`: whether it is safe to share. */
import { Duration, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { durationFlag, jsonFlag, runtimeDir, serverArgument } from "./root.ts"

export const certify = Command.make(
  "certify",
  {
    server: serverArgument,
    config: Flag.Path("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The files that serve is given; may be given several times"),
      Flag.atLeast(0)
    ),
    call: Flag.String("call").pipe(
      Flag.withMetavar("TOOL"),
      Flag.withDescription("Call this tool too, though it does not say that it only reads; may be given several times"),
      Flag.atLeast(0)
    ),
    timeout: durationFlag("timeout").pipe(
      Flag.withDescription("How long it may take in all (default: 3min)"),
      Flag.withDefault(Duration.minutes(3))
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function* ({ call, config, json, server, timeout }) {
    // Loaded here, so that no other command loads it.
    const { certifyServer } = yield* Effect.promise(() => import("./certifyServer.ts"))
    yield* certifyServer({
      server,
      configFiles: config,
      runtimeDir: yield* runtimeDir,
      mayCall: call,
      timeout,
      json
    })
  })
).pipe(
  Command.withDescription("Find out on scratch processes whether a server is safe to share; needs no daemon"),
  Command.withExamples([
    { command: "mcp-pool certify memory", description: "Two clients, alone and together; only tools that read" },
    { command: "mcp-pool certify memory --call create_entities", description: "That tool too, on your own data" }
  ])
)
