/** A home directory with a systemd or a launchd of its own: a double that starts daemons which answer. */
import { Context, Effect, Exit, Layer, Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ControlServer from "../../src/control/ControlServer.ts"
import * as Shutdown from "../../src/control/Shutdown.ts"
import { HostEnvironment } from "../../src/config/Environment.ts"
import * as Keeper from "../../src/service/Keeper.ts"
import { type Outcome, type Request, SystemCommand } from "../../src/service/SystemCommand.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as TestPool from "../support/TestPool.ts"

export type Answer = Partial<Outcome>

export interface World {
  readonly home: string
  readonly runtimeDir: string
  /** The commands that were run, without those that only look. */
  readonly commands: () => ReadonlyArray<string>
  /** All that was run, with its environment. */
  readonly requests: ReadonlyArray<Request>
  /** From now on a command that holds the words ends so, and does nothing. */
  readonly answer: (words: string, answer: Answer | Effect.Effect<Answer>) => void
  /** What it knows of the service. */
  readonly state: { enabled: boolean; pid: number | null; words: string; linger: boolean; http: { url: string } | null }
  /** A daemon of the directory that nobody but the test has started. */
  readonly daemon: (pid: number) => Effect.Effect<void>
  /** All that lies in the home directory. */
  readonly files: () => ReadonlyArray<string>
  /** Runs with this home, this double and nothing else of the environment but what is given. */
  readonly inside: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    env?: Readonly<Record<string, string>>
  ) => Effect.Effect<A, E, R>
}

export const make = Effect.fnUntraced(function* (
  platform: "linux" | "darwin",
  options: { readonly env?: Readonly<Record<string, string>> } = {}
): Effect.fn.Return<World, never, Scope.Scope> {
  const home = yield* TestPool.temporaryDirectory
  const runtimeDir = path.join(home, "run")
  const scope = yield* Scope.Scope
  const state: World["state"] = { enabled: false, pid: null, words: "inactive", linger: true, http: null }
  const requests: Array<Request> = []
  const answers = new Map<string, Effect.Effect<Answer>>()
  let pids = 4711
  let stopDaemon = Effect.void

  const daemon = Effect.fnUntraced(function* (pid: number) {
    fs.mkdirSync(runtimeDir, { recursive: true, mode: 0o700 })
    const own = yield* Scope.fork(scope)
    const { layer } = yield* Harness.makePool({ servers: [Harness.server("git")] })
    const shutdown = Context.get(yield* Layer.build(Shutdown.layer).pipe(Scope.provide(own)), Shutdown.Shutdown)
    const close = Scope.close(own, Exit.void)
    yield* Effect.gen(function* () {
      const listener = yield* Harness.listen(runtimeDir)
      const control = ControlServer.layer({
        listener,
        daemon: () => ({ ...Harness.facts(runtimeDir), pid, http: state.http })
      })
      const services = [layer, Layer.succeed(Shutdown.Shutdown, shutdown), Harness.layerReload()] as const
      yield* Layer.build(control.pipe(Layer.provide([...services])))
    }).pipe(Scope.provide(own))
    const ended = Effect.andThen(
      Effect.sync(() => {
        if (state.pid === pid) Object.assign(state, { pid: null, words: "inactive" })
      }),
      close
    )
    yield* Effect.forkIn(Effect.andThen(shutdown.requested, ended), scope)
    return ended
  })

  const start = Effect.gen(function* () {
    if (state.pid !== null) return
    const pid = pids++
    Object.assign(state, { pid, words: "active" })
    stopDaemon = yield* daemon(pid)
  })
  const stop = Effect.suspend(() => (state.pid === null ? Effect.void : stopDaemon))

  const act = Effect.fnUntraced(function* (line: string) {
    const enable = (enabled: boolean) => Object.assign(state, { enabled })
    if (/systemctl --user enable|launchctl enable/.test(line)) enable(true)
    if (/disable --now/.test(line)) {
      enable(false)
      yield* stop
    }
    if (/systemctl --user stop|launchctl bootout/.test(line)) yield* stop
    if (/systemctl --user start|kickstart/.test(line)) yield* start
    if (line.includes("systemctl --user show")) {
      const fragment = state.words === "failed" ? "Result=exit-code" : "Result=success"
      const unit = `UnitFileState=${state.enabled ? "enabled" : "disabled"}`
      const sub = state.words === "active" ? "running" : "dead"
      return `LoadState=loaded\nActiveState=${state.words}\nSubState=${sub}\n${fragment}\nMainPID=${state.pid ?? 0}\n${unit}`
    }
    if (line.startsWith("launchctl print-disabled")) {
      return `disabled services = {\n\t\t"effect-mcp-pool" => ${state.enabled ? "enabled" : "disabled"}\n\t}`
    }
    if (line.startsWith("launchctl print")) {
      return `gui/1 = {\n\tstate = ${state.pid === null ? "not running" : "running"}\n${state.pid === null ? "" : `\tpid = ${state.pid}\n`}}`
    }
    if (line.startsWith("loginctl")) return `Linger=${state.linger ? "yes" : "no"}`
    return ""
  })

  const run = (request: Request): Effect.Effect<Outcome> =>
    Effect.suspend(() => {
      requests.push(request)
      const line = request.argv.join(" ")
      const [, answer] = [...answers].find(([words]) => line.includes(words)) ?? []
      if (answer !== undefined) return Effect.map(answer, (own) => ({ code: 1, out: "", err: "", ...own }))
      return Effect.map(act(line), (out) => ({ code: 0, out, err: "" }))
    })

  return {
    home,
    runtimeDir,
    commands: () =>
      requests
        .map(({ argv }) => argv.join(" "))
        .filter((line) => !/ show | print|loginctl/.test(line) || /exec/.test(line)),
    requests,
    answer: (words, answer) => void answers.set(words, Effect.isEffect(answer) ? answer : Effect.succeed(answer)),
    state,
    daemon: (pid) => Effect.asVoid(daemon(pid)),
    files: () =>
      fs
        .readdirSync(home, { recursive: true, encoding: "utf8" })
        .filter((name) => !fs.statSync(path.join(home, name)).isDirectory() && !name.endsWith(".sock"))
        .sort(),
    inside: (effect, env = {}) =>
      effect.pipe(
        Effect.provideService(SystemCommand, run),
        Effect.provideService(Keeper.Platform, platform),
        Effect.provideService(HostEnvironment, { HOME: home, PATH: "/usr/bin:/bin", ...options.env, ...env })
      )
  }
})
