import { assert, describe, it } from "@effect/vitest"
import packageJson from "../../package.json" with { type: "json" }
import * as NodeVersion from "../../src/doctor/NodeVersion.ts"

describe("NodeVersion", () => {
  it("asks for what package.json asks for", () => {
    assert.strictEqual(`>=${NodeVersion.required}`, packageJson.engines.node)
  })

  it("tells old ones from new ones", () => {
    const verdicts = ["22.19.0", "22.20.1", "24.0.0", "22.18.9", "20.19.0"].map(
      (version) => NodeVersion.check(version)[0]?.ok
    )
    assert.deepStrictEqual(verdicts, ["ok", "ok", "ok", "problem", "problem"])
  })
})
