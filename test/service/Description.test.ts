import { assert, describe, it } from "@effect/vitest"
import { configFilesOf, commandLine, nameOf, unwritable } from "../../src/service/Description.ts"
import { hostile, plain } from "./Descriptions.ts"

describe("Description", () => {
  it("refuses what neither format can hold, and names it", () => {
    assert.isUndefined(unwritable(plain))
    assert.isUndefined(unwritable(hostile))
    for (const [bad, what] of [
      [{ path: "/a\n/b" }, "PATH"],
      [{ runtimeDir: "/a\u0000" }, "the runtime directory"],
      [{ node: "/a\r" }, "the path of node"],
      [{ script: "/a\u0085" }, "the path of mcp-pool"],
      [{ configFiles: ["/a", "/b\ud800"] }, "the path of a configuration file"]
    ] as const) {
      assert.strictEqual(
        unwritable({ ...plain, ...bad }),
        `there is a line feed or another control character in ${what}`
      )
    }
  })

  it("gives each runtime directory a service of its own", () => {
    const usual = "/home/ann/.local/state/mcp-pool"
    assert.strictEqual(nameOf(usual, usual), "effect-mcp-pool")
    const [one, two] = [nameOf("/srv/one", usual), nameOf("/srv/two", usual)]
    assert.match(one, /^effect-mcp-pool-[0-9a-f]{8}$/)
    assert.notStrictEqual(one, two)
    assert.strictEqual(nameOf("/srv/one", usual), one)
  })

  it("finds the configuration files of a command line", () => {
    const command = commandLine({ ...plain, configFiles: ["/a", "--config", "/c"] })
    assert.deepStrictEqual(configFilesOf({ command: commandLine(plain), path: undefined }), [])
    assert.deepStrictEqual(configFilesOf({ command, path: undefined }).slice(0, 2), ["/a", "--config"])
  })
})
