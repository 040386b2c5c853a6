import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { HostEnvironment } from "../../src/config/PoolConfig.ts"
import * as Configuration from "../../src/doctor/Configuration.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"

const check = (options: Partial<Parameters<typeof Configuration.check>[0]>, home = "/nonexistent") =>
  Configuration.check({ files: [], only: [], hasDaemon: false, commands, ...options }).pipe(
    Effect.provideService(HostEnvironment, { HOME: home })
  )

/** A file with that text in a directory of its own. */
const write = Effect.fnUntraced(function* (text: string) {
  const file = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(file, text)
  return file
})

describe("Configuration", () => {
  it.effect("says how to make a default file that is not there", () =>
    Effect.gen(function* () {
      const file = "/nonexistent/.config/mcp-pool/config.json"
      const { findings, isPartial } = yield* check({})
      assert.isTrue(isPartial)
      assert.deepStrictEqual(ill(findings), [
        ["problem", file, "no such file: there is no configuration yet", "mcp-pool adopt"]
      ])
    })
  )

  it.effect("only warns of a missing default file where a daemon runs, which was given another", () =>
    Effect.gen(function* () {
      const { findings } = yield* check({ hasDaemon: true })
      const [[ok, , , mend] = []] = ill(findings)
      assert.deepStrictEqual([ok, mend], ["warning", "mcp-pool doctor --config FILE"])
    })
  )

  it.effect("tells line and column of a mistake in a file, of each file", () =>
    Effect.gen(function* () {
      const broken = yield* write('{\n  "mcpServers": { "a" }\n}')
      const other = yield* write('{ "mcpServers": [] }')
      const missing = path.join(path.dirname(other), "gone.json")
      const { findings } = yield* check({ files: [broken, other, missing] })
      assert.deepStrictEqual(ill(findings), [
        ["problem", broken, "line 2, column 23: not valid JSON: colon expected", `edit ${broken}:2:23`],
        [
          "problem",
          other,
          'line 1, column 17: "mcpServers" should be an object of servers by name, found an array',
          `edit ${other}:1:17`
        ],
        ["problem", missing, "no such file", "name a file that is there with --config"]
      ])
    })
  )

  it.effect("tells of each misconfigured server where it is and what mends it, and of warnings", () =>
    Effect.gen(function* () {
      const file = yield* write(
        [
          "{",
          '  "mcpServers": {',
          '    "well": { "command": "node", "colour": "blue" },',
          '    "unset": { "command": "node", "env": { "TOKEN": "${NO_SUCH}" } },',
          '    "input": { "command": "node", "args": ["-x", "${input:key}"] },',
          '    "remote": { "url": "localhost" },',
          '    "empty": { "command": " " },',
          '    "self": { "command": "mcp-pool", "args": ["connect", "a"] }',
          "  }",
          "}"
        ].join("\n")
      )
      const inputs = path.join(path.dirname(file), "mcp-pool.inputs.json")
      const { findings, names, servers } = yield* check({ files: [file] })
      assert.strictEqual(names.length, 6)
      assert.strictEqual(servers.length, 6)
      assert.deepStrictEqual(
        ill(findings).map(([ok, subject, , mend]) => [ok, subject, mend]),
        [
          ["warning", file, null],
          [
            "problem",
            "unset",
            `export NO_SUCH=VALUE before mcp-pool serve, or write "\${NO_SUCH:-DEFAULT}" at ${file}:4:53`
          ],
          ["problem", "input", `(umask 077; echo '{ "key": "VALUE" }' > ${inputs})`],
          ["problem", "remote", `edit ${file}:6:24`],
          ["problem", "empty", `edit ${file}:7:27`],
          ["problem", "self", `write the server's own command at ${file}:8:26, or take the entry out`]
        ]
      )
      const [[, , message] = []] = ill(findings)
      assert.strictEqual(message, 'server "well": unknown key ignored: "colour"')
    })
  )

  it.effect("looks at the named servers only", () =>
    Effect.gen(function* () {
      const file = yield* write('{ "mcpServers": { "a": { "command": "" }, "b": { "command": "node" } } }')
      const { findings, names, servers } = yield* check({ files: [file], only: ["b"] })
      assert.deepStrictEqual(ill(findings), [])
      assert.deepStrictEqual(names, ["a", "b"])
      assert.deepStrictEqual(
        servers.map(({ name }) => name),
        ["b"]
      )
    })
  )

  it.effect("says what to add where no server is configured", () =>
    Effect.gen(function* () {
      const file = yield* write('{ "mcpServers": {} }')
      const { findings } = yield* check({ files: [file] })
      const [[ok, subject, message] = []] = ill(findings)
      assert.deepStrictEqual([ok, subject, message], ["problem", file, "no server is configured"])
    })
  )
})
