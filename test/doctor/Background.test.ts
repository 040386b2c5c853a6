import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Background from "../../src/doctor/Background.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"

const entry = `{"timestamp":"2026-01-01T00:00:00.000Z","level":"info","message":"stopped"}\n`
const race = `mcp-pool: another daemon serves /run/pool: look with "mcp-pool status"\n`
const broken = "mcp-pool: /home/ann/.config/mcp-pool/config.json:1:2: close brace expected\n"

describe("Background", () => {
  it("finds the error that ended the last daemon, and no older one", () => {
    assert.deepStrictEqual(Background.lastWords(""), [])
    assert.deepStrictEqual(Background.lastWords(`${entry}${broken}`), [broken.trim()])
    assert.deepStrictEqual(Background.lastWords(`${broken}${entry}`), [])
    assert.deepStrictEqual(Background.lastWords(`${entry}${race}${race}`), [])
    assert.deepStrictEqual(Background.lastWords(`${entry}${broken}${race}\n`), [broken.trim()])
    assert.deepStrictEqual(Background.lastWords("x\n".repeat(50)).length, 5)
  })

  it.live("tells it where no daemon runs", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const check = (kind: "none" | "strange") =>
        ill(Background.check({ runtimeDir, commands, daemon: { kind, code: "ENOENT" } }))
      assert.deepStrictEqual(check("none"), [])
      const log = path.join(runtimeDir, "daemon.log")
      fs.writeFileSync(log, `${entry.repeat(2000)}${broken}`)
      assert.deepStrictEqual(check("none"), [
        [
          "warning",
          log,
          `the last daemon that connect started has ended with this:\n${broken.trim()}`,
          "mend what it says: connect tries again, and so does mcp-pool serve"
        ]
      ])
      assert.deepStrictEqual(check("strange"), [])
      fs.appendFileSync(log, entry)
      assert.deepStrictEqual(check("none"), [])
    })
  )
})
