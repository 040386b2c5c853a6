/** One server of the configuration certified, as `mcp-pool certify` does it; what it was found to ask is remembered. */
import { Clock, Console, type Duration, Effect } from "effect"
import * as Certify from "../certify/Certify.ts"
import { allAskers } from "../certify/Verdict.ts"
import { variable } from "../config/Interpolation.ts"
import * as PoolConfig from "../config/PoolConfig.ts"
import type { ServerSpec } from "../config/ServerSpec.ts"
import * as Shell from "../Shell.ts"
import { inOtherWords } from "../doctor/Start.ts"
import { ServerNotFound } from "../PoolError.ts"
import * as AskerStore from "../server/AskerStore.ts"
import * as Failures from "../server/Failures.ts"
import * as ServerLog from "../server/ServerLog.ts"
import type * as ServerProcess from "../server/ServerProcess.ts"
import { reportLines } from "./certifyView.ts"
import { CannotStart } from "./CommandError.ts"
import { screen } from "./Screen.ts"

export const certifyServer = Effect.fnUntraced(function* (options: {
  readonly server: string
  /** Empty: the default file. */
  readonly configFiles: ReadonlyArray<string>
  readonly runtimeDir: string
  /** Tools that are called though they do not say that they only read. */
  readonly mayCall: ReadonlyArray<string>
  readonly timeout: Duration.Duration
  readonly json: boolean
}) {
  const { configFiles, json, mayCall, runtimeDir, timeout } = options
  const spec = yield* specOf(options.server, configFiles)
  const log = ServerLog.make()
  const { canRedraw, paint, width } = yield* screen
  const report = yield* Certify.run({
    spec,
    mayCall: new Set(mayCall),
    timeout,
    log,
    onStep: (what) => (canRedraw && !json ? Console.error(paint.dim(`${what} …`)) : Effect.void)
  }).pipe(Effect.catch((error) => Effect.flatMap(explained(error, { spec, log, configFiles }), Effect.fail)))
  if (report.askers.length > 0) {
    AskerStore.write(runtimeDir, spec, allAskers(AskerStore.read(runtimeDir, spec), report.askers))
  }
  const lines = json ? [JSON.stringify(report, undefined, 2)] : reportLines(report, { paint, width })
  yield* Console.log(lines.join("\n"))
})

const specOf = Effect.fnUntraced(function* (server: string, configFiles: ReadonlyArray<string>) {
  const files = configFiles.length > 0 ? configFiles : [yield* PoolConfig.defaultFile]
  const { servers } = yield* PoolConfig.loadFiles(files)
  const entry = servers.find(({ name }) => name === server)
  if (entry === undefined) return yield* new ServerNotFound({ server, names: servers.map(({ name }) => name) })
  if (entry._tag === "Misconfigured") return yield* entry.error
  return entry.spec
})

/** Why it did not start, in words for who has no daemon whose logs could be read. */
const explained = Effect.fnUntraced(function* (
  error: ServerProcess.Failed,
  {
    configFiles,
    log,
    spec
  }: {
    readonly spec: ServerSpec
    readonly log: ServerLog.ServerLog
    readonly configFiles: ReadonlyArray<string>
  }
) {
  const variables = yield* PoolConfig.HostEnvironment
  const failures = Failures.make(spec, log, (name) => variable(variables, name) !== undefined)
  const now = yield* Clock.currentTimeMillis
  const failure = failures.add(error, { now, inFlight: 0, nextAttemptAt: null })
  const { classification, hint, message, stderr } = failure
  const commands = Shell.commands({ runtimeDir: null, configFiles })
  return new CannotStart({
    server: spec.name,
    reason: `${message} (${classification})`,
    stderr,
    hint: hint === null ? null : inOtherWords(hint, spec.name, commands)
  })
})
