/** `mcp-pool serve`: the daemon in the foreground. Loads it here, so that no other command does. */
import { Clock, Console, Effect, Option } from "effect"
import { Command, Flag, GlobalFlag } from "effect/cli"
import { homedir } from "node:os"
import * as RuntimeDir from "../RuntimeDir.ts"
import { runtimeDir } from "./root.ts"
import { screen } from "./Screen.ts"
import { welcomeLines } from "./welcome.ts"

export const serve = Command.make(
  "serve",
  {
    config: Flag.Path("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription(
        "A host's configuration file; may be given several times (default: ~/.config/mcp-pool/config.json)"
      ),
      Flag.atLeast(0)
    ),
    strict: Flag.Boolean("strict").pipe(
      Flag.withDescription("Refuse to start where one server's configuration is wrong"),
      Flag.withDefault(false)
    ),
    logFormat: Flag.Literals("log-format", ["pretty", "json"]).pipe(
      Flag.withDescription("How to log to stderr (default: pretty on a terminal, else json)"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* ({ config, strict, ...flags }) {
    const Daemon = yield* Effect.promise(() => import("../Daemon.ts"))
    const level = yield* GlobalFlag.LogLevel
    const directory = yield* runtimeDir
    const logFormat = Option.getOrElse(flags.logFormat, () => (process.stderr.isTTY ? "pretty" : "json"))
    const { paint } = yield* screen
    const command = commandLine(directory)
    yield* Daemon.run({
      configFiles: config,
      runtimeDir: directory,
      strict,
      logFormat,
      debug: Option.exists(level, (level) => level === "Debug" || level === "Trace" || level === "All"),
      ...(logFormat === "pretty"
        ? {
            onReady: (status, tools) =>
              Effect.flatMap(Clock.currentTimeMillis, (now) =>
                Console.log(welcomeLines(status, tools, { now, paint, command }).join("\n"))
              )
          }
        : {})
    }).pipe(
      // Asked to stop by a signal, and stopped: that is no failure.
      Effect.onInterrupt(() => Effect.sync(() => (process.exitCode = 0)))
    )
  })
).pipe(
  Command.withDescription("Run the daemon in the foreground: start every configured server and share it"),
  Command.withExamples([
    { command: "mcp-pool serve", description: "The servers of ~/.config/mcp-pool/config.json" },
    { command: "mcp-pool serve --config .mcp.json", description: "The servers that a host's own file names" }
  ])
)

/** How a person reaches this daemon: through npx in a checkout, and with the directory where it is not the usual one. */
const commandLine = (directory: string): string => {
  const program = process.env["npm_lifecycle_event"] === undefined ? "mcp-pool" : "npx mcp-pool"
  const usual = RuntimeDir.resolve({ flag: undefined, env: {}, home: homedir() })
  return directory === usual ? program : `${program} --runtime-dir ${directory}`
}
