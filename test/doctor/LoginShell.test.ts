import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { HostEnvironment } from "../../src/config/Environment.ts"
import * as LoginShell from "../../src/doctor/LoginShell.ts"
import * as TestPool from "../support/TestPool.ts"

const ask = (home: string, shell: string) =>
  Effect.provideService(LoginShell.ask, HostEnvironment, { HOME: home, SHELL: shell, PATH: "/of/this/shell" })

const shells = ["/bin/sh", "/bin/bash", "/bin/zsh", "/usr/bin/zsh"].filter((shell) => fs.existsSync(shell))

describe("LoginShell", () => {
  for (const shell of shells) {
    it.live(`reads the PATH of ${shell} through what a profile prints`, () =>
      Effect.gen(function* () {
        const home = yield* TestPool.temporaryDirectory
        const profile = `echo "welcome <mcp-pool PATH /no PATH mcp-pool>"; echo oops >&2
export PATH="$HOME/my bin:$PATH"; trap 'echo bye' EXIT\n`
        for (const name of [".profile", ".zprofile"]) fs.writeFileSync(path.join(home, name), profile)
        const told = yield* ask(home, shell)
        assert.strictEqual(told.kind, "told")
        if (told.kind !== "told") return
        assert.isTrue(told.path.startsWith(`${home}/my bin:`), told.path)
        assert.notInclude(told.path, "/of/this/shell")
      })
    )
  }

  it.live("says why a shell tells nothing", () =>
    Effect.gen(function* () {
      const home = yield* TestPool.temporaryDirectory
      fs.writeFileSync(path.join(home, ".profile"), "echo no more >&2; exit 7\n")
      assert.deepStrictEqual(yield* ask(home, "/bin/sh"), { kind: "silent", shell: "/bin/sh", reason: "no more" })
      fs.writeFileSync(path.join(home, ".profile"), "exit 7\n")
      assert.deepStrictEqual(yield* ask(home, "/bin/sh"), {
        kind: "silent",
        shell: "/bin/sh",
        reason: "it ends with code 7"
      })
      const missing = yield* ask(home, "/nonexistent/fish")
      assert.strictEqual(missing.kind === "silent" ? missing.reason : "", "spawn /nonexistent/fish ENOENT")
    })
  )
})
