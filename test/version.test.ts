import { assert, describe, it } from "@effect/vitest"
import packageJson from "../package.json" with { type: "json" }
import { version } from "../src/version.ts"

describe("version", () => {
  it("is package.json's", () => {
    assert.strictEqual(version, packageJson.version)
  })
})
