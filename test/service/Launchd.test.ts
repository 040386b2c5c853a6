import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Argv } from "../../src/service/Keeper.ts"
import * as Launchd from "../../src/service/Launchd.ts"
import { type Outcome, SystemCommand } from "../../src/service/SystemCommand.ts"
import * as TestPool from "../support/TestPool.ts"

const keeper = Launchd.make({ service: "effect-mcp-pool", home: "/Users/ann b", uid: 501 })

/** Runs a command of the keeper's with a launchctl of the test's own, and says what that was asked. */
const withLaunchctl = Effect.fnUntraced(function* (
  argv: Argv,
  options: {
    readonly isLoaded: boolean
    /** How often `bootstrap` fails first. */
    readonly failures?: number
  }
) {
  const directory = yield* TestPool.temporaryDirectory
  const asked = path.join(directory, "asked")
  const loaded = path.join(directory, "loaded")
  const failures = path.join(directory, "failures")
  fs.writeFileSync(asked, "")
  if (options.isLoaded) fs.writeFileSync(loaded, "")
  fs.writeFileSync(failures, "x".repeat(options.failures ?? 0))
  const launchctl = `#!/bin/sh
case $1 in
  print) [ -e "${loaded}" ] || exit 113; exit ;;
esac
echo "$*" >> "${asked}"
case $1 in
  bootstrap)
    left=$(cat "${failures}")
    [ "$left" ] && { printf %s "\${left#x}" > "${failures}"; echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
    : > "${loaded}" ;;
  bootout) rm "${loaded}" ;;
esac
`
  fs.writeFileSync(path.join(directory, "launchctl"), launchctl, { mode: 0o755 })
  fs.writeFileSync(path.join(directory, "sleep"), `#!/bin/sh\necho "sleep $*" >> "${asked}"\n`, { mode: 0o755 })
  const run = yield* SystemCommand
  const { code, err } = yield* run({ argv, env: { only: { PATH: `${directory}:/usr/bin:/bin` } } })
  return { code, err, asked: fs.readFileSync(asked, "utf8").trim().split("\n") }
})

const bootstrap = "bootstrap gui/501 /Users/ann b/Library/LaunchAgents/effect-mcp-pool.plist"
const kickstart = "kickstart gui/501/effect-mcp-pool"

describe("Launchd", () => {
  it.live("starts what is loaded, and loads what is not", () =>
    Effect.gen(function* () {
      const loaded = yield* withLaunchctl(keeper.start, { isLoaded: true })
      assert.deepStrictEqual(loaded, { code: 0, err: "", asked: [kickstart] })
      const stopped = yield* withLaunchctl(keeper.start, { isLoaded: false })
      assert.deepStrictEqual(stopped, { code: 0, err: "", asked: [bootstrap, kickstart] })
    })
  )

  it.live("waits for what was unloaded a moment ago, and not for ever", () =>
    Effect.gen(function* () {
      const late = yield* withLaunchctl(keeper.start, { isLoaded: false, failures: 2 })
      assert.strictEqual(late.code, 0)
      assert.deepStrictEqual(late.asked, [bootstrap, "sleep 1", bootstrap, "sleep 1", bootstrap, kickstart])
      const never = yield* withLaunchctl(keeper.start, { isLoaded: false, failures: 99 })
      assert.strictEqual(never.code, 1)
      assert.include(never.err, "Bootstrap failed: 5")
      assert.strictEqual(never.asked.filter((line) => line === bootstrap).length, 4)
    })
  )

  it.live("unloads what is loaded, and is content with what is not", () =>
    Effect.gen(function* () {
      for (const argv of [...keeper.clear, ...keeper.unregister]) {
        const loaded = yield* withLaunchctl(argv, { isLoaded: true })
        assert.deepStrictEqual(loaded, { code: 0, err: "", asked: ["bootout gui/501/effect-mcp-pool"] })
        const gone = yield* withLaunchctl(argv, { isLoaded: false })
        assert.deepStrictEqual(gone, { code: 0, err: "", asked: [""] })
      }
    })
  )

  it.effect("reads what launchctl prints", () =>
    Effect.gen(function* () {
      const answer = (printed: Partial<Outcome>, disabled: Partial<Outcome>) =>
        Effect.provideService(keeper.state, SystemCommand, ({ argv }) =>
          Effect.succeed({ code: 0, out: "", err: "", ...(argv[1] === "print" ? printed : disabled) })
        )
      const list = (what: string) => ({ out: `disabled services = {\n\t\t"com.a" => disabled\n\t\t${what}\n\t}` })
      const running = `gui/501/effect-mcp-pool = {\n\tactive count = 1\n\tstate = running\n\n\tprogram = /node\n\tpid = 4711\n}`
      assert.deepStrictEqual(yield* answer({ out: running }, list('"effect-mcp-pool" => enabled')), {
        silence: null,
        isEnabled: true,
        pid: 4711,
        words: "running"
      })
      assert.deepStrictEqual(yield* answer({ code: 113, err: "no" }, list('"effect-mcp-pool" => true')), {
        silence: null,
        isEnabled: false,
        pid: null,
        words: "not loaded"
      })
      assert.deepStrictEqual(yield* answer({ code: 1, err: "Domain does not support it\nx" }, { code: 1 }), {
        silence: "Domain does not support it",
        isEnabled: null,
        pid: null,
        words: "not known"
      })
    })
  )
})
