/** `mcp-pool serve` in the command tree; an ordinary command line is taken by `serveMain.ts` before the tree is loaded. */
import { Effect, Option } from "effect"
import { Command, Flag, GlobalFlag } from "effect/cli"
import { httpFlags, httpOptions, httpWait } from "./httpFlags.ts"
import { runtimeDir } from "./root.ts"
import { serveDaemon } from "./serveDaemon.ts"

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
    background: Flag.Boolean("background").pipe(
      Flag.withDescription("As connect starts it: with the configuration of the last daemon here, servers on demand"),
      Flag.withDefault(false)
    ),
    watchConfig: Flag.Boolean("watch-config").pipe(
      Flag.withDescription("Reload when a configuration file changes, as mcp-pool reload does"),
      Flag.withDefault(false)
    ),
    ...httpFlags,
    httpWait,
    logFormat: Flag.Literals("log-format", ["pretty", "json"]).pipe(
      Flag.withDescription("How to log to stderr (default: pretty on a terminal, else json)"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* ({ background, config, logFormat, strict, watchConfig, ...flags }) {
    const level = yield* GlobalFlag.LogLevel
    yield* serveDaemon({
      configFiles: config,
      runtimeDir: yield* runtimeDir,
      strict,
      background,
      watchConfig,
      http: yield* httpOptions(flags),
      logFormat: Option.getOrUndefined(logFormat),
      logLevel: Option.getOrElse(level, () => "Info" as const)
    })
  })
).pipe(
  Command.withDescription("Run the daemon in the foreground: start every configured server and share it"),
  Command.withExamples([
    { command: "mcp-pool serve", description: "The servers of ~/.config/mcp-pool/config.json" },
    { command: "mcp-pool serve --config .mcp.json", description: "The servers that a host's own file names" },
    { command: "mcp-pool serve --http 8080", description: "Over HTTP too, for programs on this machine with its token" }
  ])
)
