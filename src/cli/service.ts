/** `mcp-pool service`: the daemon as a service of the user's, which starts at login and comes back when it ends. */
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { HostEnvironment } from "../config/Environment.ts"
import { ConfigFileError } from "../PoolError.ts"
import { FlagsDisagree } from "./CommandError.ts"
import { httpFlags, httpOptions } from "./httpFlags.ts"
import { jsonFlag, runtimeDir } from "./root.ts"
import { screen } from "./Screen.ts"

const install = Command.make(
  "install",
  {
    config: Flag.Path("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription(
        "A configuration file to serve; may be given several times (default: ~/.config/mcp-pool/config.json)"
      ),
      Flag.atLeast(0)
    ),
    ...httpFlags,
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Print what would be written and run, and change nothing"),
      Flag.withDefault(false)
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("Write the service's file anew though somebody has edited it"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ config, dryRun, force, ...flags }) {
    const http = yield* httpOptions({ ...flags, httpWait: false })
    if (http?.address.port === 0) {
      return yield* new FlagsDisagree({ reason: "--http 0 is another port with each start: name one for the service" })
    }
    const { Service, ServiceConfig, keeper, directory } = yield* prepare
    const [DaemonRecord, { unwritable }, { ServiceUnwritable, previewLines }, HttpOptions] = yield* Effect.promise(() =>
      Promise.all([
        import("../daemon/DaemonRecord.ts"),
        import("../service/Description.ts"),
        import("./serviceView.ts"),
        import("../http/HttpOptions.ts")
      ])
    )
    const { PATH: path = "" } = yield* HostEnvironment
    const configFiles = config.map((file) => Path.resolve(file))
    const before = Option.getOrUndefined(yield* DaemonRecord.read(directory))
    if (config.length === 0 && before !== undefined && before.configFiles.length > 0) {
      const flags = before.configFiles.map((file) => `--config ${file}`).join(" ")
      yield* Console.error(
        `mcp-pool: the last daemon was given other files, which the service will not serve: for these, ${flags}`
      )
    }
    if (http === undefined && before !== undefined && before.http !== null) {
      const flags = HttpOptions.toFlags({ ...before.http, waits: false }).join(" ")
      yield* Console.error(`mcp-pool: the last daemon served HTTP, which the service will not: for that, ${flags}`)
    }
    // A service that cannot read its files would end as soon as it starts.
    const loaded = yield* ServiceConfig.load(configFiles, path).pipe(
      Effect.mapError((error) => (config.length > 0 ? error : withAdvice(error)))
    )
    const description = {
      node: process.execPath,
      script: Fs.realpathSync(process.argv[1]!),
      configFiles,
      runtimeDir: directory,
      path,
      http,
      stopTimeout: ServiceConfig.stopTimeout(loaded)
    }
    const reason = unwritable(description)
    if (reason !== undefined) return yield* new ServiceUnwritable({ reason })
    if (dryRun) return yield* Console.log(previewLines(keeper, description).join("\n"))
    const { pid, wasThere } = yield* Service.install({ keeper, description, force, say: Console.log })
    const paint = (yield* screen).paint
    yield* Console.log(
      wasThere
        ? `${keeper.name} is installed already, and ${paint.green("runs")}, pid ${pid}`
        : `${keeper.name} ${paint.green("runs")}, pid ${pid}`
    )
    if (http !== undefined) {
      const url = Option.getOrNull(yield* Service.statusOf(directory))?.http?.url
      if (url !== undefined) yield* Console.log(`HTTP at ${url}: "mcp-pool config --http" prints entries for hosts`)
      else yield* Console.error('mcp-pool: HTTP is not served: "mcp-pool doctor" tells why')
    }
    for (const { file, server, variable } of yield* ServiceConfig.lacking(loaded)) {
      yield* Console.error(
        `mcp-pool: ${server} will not start in the service: \${${variable}} is set in this shell only. ` +
          `Give it in an "envFile", or as an input (\${input:…}), in ${file}`
      )
    }
    if (description.script.includes("/_npx/")) {
      yield* Console.error(
        "mcp-pool: the service runs out of npx's cache, which npm clears: npm i -g effect-mcp-pool, then install it again"
      )
    }
    if (yield* keeper.endsWithSession) {
      yield* Console.error("mcp-pool: the service ends with your last session, unless you run: loginctl enable-linger")
    }
  })
).pipe(
  Command.withDescription("Have systemd or launchd run the daemon from now on, with the PATH of this shell"),
  Command.withExamples([
    { command: "mcp-pool service install", description: "The servers of ~/.config/mcp-pool/config.json" },
    { command: "mcp-pool service install --http 8080", description: "The same, over HTTP too" },
    { command: "mcp-pool service install --dry-run", description: "Only show what would be written" }
  ])
)

const withAdvice = (error: ConfigFileError): ConfigFileError =>
  new ConfigFileError({ ...error, reason: `${error.reason} (or name a host's own file with --config)` })

const uninstall = Command.make(
  "uninstall",
  {},
  Effect.fnUntraced(function* () {
    const { Service, keeper, directory } = yield* prepare
    const { complaints, wasThere } = yield* Service.uninstall({ keeper, runtimeDir: directory, say: Console.log })
    for (const complaint of complaints) yield* Console.error(`mcp-pool: ${complaint}`)
    yield* Console.log(wasThere ? `${keeper.name} is uninstalled` : "no service is installed")
  })
).pipe(
  Command.withDescription("Stop the service and take it away; hosts start a daemon of their own when they need one")
)

const status = Command.make(
  "status",
  { json: jsonFlag },
  Effect.fnUntraced(function* ({ json }) {
    const { Service, keeper, directory } = yield* prepare
    const { serviceLines, serviceStatus } = yield* Effect.promise(() => import("./serviceView.ts"))
    const look = yield* Service.look(keeper, directory)
    const daemon = Option.getOrNull(yield* Service.statusOf(directory))
    const found = serviceStatus({ keeper, look, daemon, runtimeDir: directory, exists: Fs.existsSync })
    if (json) return yield* Console.log(JSON.stringify(found, undefined, 2))
    yield* Console.log(serviceLines(found, (yield* screen).paint).join("\n"))
  })
).pipe(Command.withDescription("Show whether the service is installed and runs, and the PATH and programs it has"))

export const service = Command.make("service").pipe(
  Command.withDescription("Have the daemon run from login on, by systemd or launchd: install, uninstall, status"),
  Command.withSubcommands([install, uninstall, status])
)

/** What each of them needs. Loaded here, so that no other command loads it. */
const prepare = Effect.gen(function* () {
  const directory = yield* runtimeDir
  const [Service, ServiceConfig] = yield* Effect.promise(() =>
    Promise.all([import("../service/Service.ts"), import("../service/ServiceConfig.ts")])
  )
  return { Service, ServiceConfig, keeper: yield* Service.keeperOf(directory), directory }
})
