/** A daemon in a process of its own, with one of the fixtures for its server `shared`. */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as Processes from "./Processes.ts"
import * as TestPool from "./TestPool.ts"

export interface DaemonProcess {
  /** Carried by the daemon and by its servers. */
  readonly marker: string
  readonly configFile: string
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Returns when it has exited, with how. */
  readonly exited: Effect.Effect<number | NodeJS.Signals>
}

/** Starts it and returns when its server runs. Killed with the scope, if it still lives; its servers end with it. */
export const start = Effect.fnUntraced(function* (
  runtimeDir: string,
  fixture: (fixtures: TestPool.Fixtures) => ServerOptions = ({ server }) => server("shared")
): Effect.fn.Return<DaemonProcess, never, Scope.Scope> {
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { shared: fixture(TestPool.fixtures(marker)) } }))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [TestPool.fixture("daemon.ts"), marker, runtimeDir, configFile], {
        stdio: ["ignore", "pipe", "ignore"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL")).pipe(Effect.andThen(Effect.orDie(Processes.gone(marker))))
  )
  yield* Effect.callback<void>((resume) => {
    child.stdout.once("data", () => resume(Effect.void))
    child.once("exit", (code) => resume(Effect.die(new Error(`the daemon exited with ${code} before it was ready`))))
  })
  return {
    marker,
    configFile,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    exited: Effect.callback((resume) => {
      const done = () => {
        const how = child.exitCode ?? child.signalCode
        if (how !== null) resume(Effect.succeed(how))
      }
      done()
      child.once("exit", done)
    })
  }
})
