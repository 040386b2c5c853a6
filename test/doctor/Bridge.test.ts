import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import * as Bridge from "../../src/doctor/Bridge.ts"
import * as Daemon from "../../src/doctor/Daemon.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands } from "./Say.ts"

const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

const entryOf = (runtimeDir: string) => (server: string) => ({
  command: process.execPath,
  args: [bin, "connect", server, "--runtime-dir", runtimeDir]
})

/** A host's entry that runs a piece of JavaScript. */
const script = (text: string) => () => ({ command: process.execPath, args: ["-e", text] })

const check = Effect.fnUntraced(function* (
  runtimeDir: string,
  entry: Parameters<typeof Bridge.check>[0]["entryOf"] = entryOf(runtimeDir)
) {
  const daemon = yield* Daemon.ask(runtimeDir)
  const findings = yield* Bridge.check({ daemon, servers: ["shared"], entryOf: entry, commands })
  return findings.map(({ mend, message, ok }) => ({ ok, message, mend }))
})

describe("Bridge", () => {
  it.live("is answered by a server of a running daemon", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      yield* DaemonProcess.start(runtimeDir)
      const [finding] = yield* check(runtimeDir)
      assert.strictEqual(finding?.ok, "ok")
      assert.match(finding?.message ?? "", /^a host's connect shared is answered within \d+ ms$/)
    })
  )

  it.live("ends with its own code where no daemon runs", () =>
    Effect.gen(function* () {
      const [finding] = yield* check(yield* TestPool.temporaryDirectory)
      assert.deepStrictEqual(finding, {
        ok: "ok",
        message: "without a daemon connect --no-start ends with code 3 and says so",
        mend: null
      })
    })
  )

  it.live("is told apart from what ends otherwise, with how to see for oneself", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const [finding] = yield* check(runtimeDir, script("console.error('no such module'); process.exit(1)"))
      assert.strictEqual(finding?.ok, "problem")
      assert.strictEqual(
        finding?.message,
        "without a daemon connect --no-start should end with code 3, and ended with code 1\nno such module"
      )
      assert.match(finding?.mend ?? "", /^see for yourself: env -i HOME=\S+ PATH=\/usr\/bin:\/bin \S+ -e /)
      const [missing] = yield* check(runtimeDir, () => ({ command: "/nonexistent/node", args: [] }))
      assert.strictEqual(missing?.ok, "problem")
    })
  )

  it.live("fails where a daemon's server gives no answer, or an error", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("shared")] })
      const [none] = yield* check(runtimeDir)
      assert.strictEqual(none?.ok, "problem")
      assert.match(none?.message ?? "", /^a host's connect shared was answered with an error, and ended with code 4\n/)
      const [early] = yield* check(runtimeDir, script("process.exit(0)"))
      assert.strictEqual(early?.message, "a host's connect shared was not answered, and ended with code 0")
    })
  )

  it.live("gets next to no environment", () =>
    Effect.gen(function* () {
      const text =
        "console.error(Object.keys(process.env).filter((name) => name !== '__CF_USER_TEXT_ENCODING').sort().join(' '))"
      const [finding] = yield* check(yield* TestPool.temporaryDirectory, script(text))
      assert.strictEqual(finding?.message.split("\n")[1], "HOME PATH")
    })
  )

  it.live("is not tried where no server runs", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.failed("shared")] })
      const [finding] = yield* check(runtimeDir)
      assert.deepStrictEqual([finding?.ok, finding?.message], ["warning", "not tried: no server runs"])
    })
  )
})
