import { chmodSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ClaudeFile from "../../src/config/ClaudeFile.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Project from "../../src/config/Project.ts"
import * as Trust from "../../src/config/Trust.ts"

/** A home directory with a project, for the time of a test. */
const home = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = realpathSync(mkdtempSync(path.join(tmpdir(), "mcp-pool-trust-")))
    mkdirSync(path.join(directory, "site/.cursor"), { recursive: true })
    return directory
  }),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
)

const under =
  (home: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, PoolConfig.HostEnvironment, { HOME: home })

/** What the project defines once `.mcp.json` has this text. */
const definitions = (home: string, text?: string) =>
  under(home)(
    Effect.gen(function* () {
      const site = path.join(home, "site")
      if (text !== undefined) writeFileSync(path.join(site, ".mcp.json"), text)
      return yield* Project.definitions((yield* Project.at(site))!, yield* ClaudeFile.make)
    })
  )

const file = (entry: string, pool = "{}") => `{ "mcpServers": { "git": ${entry} }, "pool": ${pool} }`
const first = '{ "command": "git-server", "args": ["--a", "--b"], "env": { "A": "1", "B": "2" } }'

describe("what is trusted", () => {
  const judgement = Effect.fnUntraced(function* (now: string, before = file(first)) {
    const directory = yield* home
    yield* under(directory)(Trust.write(path.join(directory, "site"), yield* definitions(directory, before)))
    const record = yield* under(directory)(Trust.read(path.join(directory, "site")))
    return (yield* definitions(directory, now)).map((definition) => Trust.judge(record, definition))
  })

  it.effect("is the definition as it was, whatever the order of its keys and the white space", () =>
    Effect.gen(function* () {
      const other = '{"env":{"B":"2","A":"1"},\n"args":["--a","--b"],"command":"git-server"} // a comment\n'
      assert.deepStrictEqual(yield* judgement(file(other)), ["trusted"])
    })
  )

  for (const [what, now] of [
    ["an argument", file(first.replace("--b", "--c"))],
    ["the order of arguments", file(first.replace('"--a", "--b"', '"--b", "--a"'))],
    ["the value of a variable", file(first.replace('"2"', '"3"'))],
    ["a further key", file(first.replace("{", '{ "cwd": "sub",'))],
    ["what a key __proto__ holds", file(first.replace("{", '{ "__proto__": { "cwd": "sub" },'))],
    ["the settings of the file", file(first, '{ "extraEnv": { "NODE_OPTIONS": "--require ./x.js" } }')]
  ] as const) {
    it.effect(`is no longer trusted with a change of ${what}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* judgement(now), ["changed"])
      })
    )
  }

  it.effect("is each definition by itself: another server, or one of that name in another file, is not", () =>
    Effect.gen(function* () {
      const both = `{ "mcpServers": { "git": ${first}, "new": { "command": "new" } } }`
      assert.deepStrictEqual(yield* judgement(both, `{ "mcpServers": { "git": ${first} } }`), ["trusted", "unknown"])
      const directory = yield* home
      const before = yield* definitions(directory, file(first))
      yield* under(directory)(Trust.write(path.join(directory, "site"), before))
      const record = yield* under(directory)(Trust.read(path.join(directory, "site")))
      writeFileSync(path.join(directory, "site/.cursor/mcp.json"), file(first))
      const now = yield* definitions(directory)
      assert.deepStrictEqual(
        now.map((definition) => [path.basename(path.dirname(definition.source.name)), Trust.judge(record, definition)]),
        [
          ["site", "trusted"],
          [".cursor", "unknown"]
        ]
      )
    })
  )

  it.effect("is only what the project defined when it was trusted last, and nothing after remove", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const site = path.join(directory, "site")
      const one = yield* definitions(directory, file(first))
      const two = yield* definitions(directory, file('{ "command": "two" }'))
      const judge = Effect.map(Trust.read(site), (record) => [one, two].map(([it]) => Trust.judge(record, it!)))
      yield* under(directory)(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* judge, ["unknown", "unknown"])
          yield* Trust.write(site, one)
          yield* Trust.write(site, two)
          assert.deepStrictEqual(yield* judge, ["changed", "trusted"])
          assert.deepStrictEqual(
            (yield* Trust.list).map(({ directory }) => directory),
            [site]
          )
          assert.isTrue(yield* Trust.remove(site))
          assert.isFalse(yield* Trust.remove(site))
          assert.deepStrictEqual(yield* judge, ["unknown", "unknown"])
          assert.deepStrictEqual(yield* Trust.list, [])
        })
      )
    })
  )
})

describe("the records", () => {
  it.effect("are their owner's alone, and leave nothing beside them", () =>
    Effect.gen(function* () {
      const directory = yield* home
      yield* under(directory)(Trust.write(path.join(directory, "site"), yield* definitions(directory, file(first))))
      const folder = path.join(directory, ".config/mcp-pool/trusted")
      const [name, ...others] = readdirSync(folder)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(statSync(folder).mode & 0o777, 0o700)
      assert.strictEqual(statSync(path.join(folder, name!)).mode & 0o777, 0o600)
    })
  )

  it.effect("trust nothing where others may write them, or they cannot be decoded", () =>
    Effect.gen(function* () {
      const directory = yield* home
      const site = path.join(directory, "site")
      yield* under(directory)(Trust.write(site, yield* definitions(directory, file(first))))
      const folder = path.join(directory, ".config/mcp-pool/trusted")
      const record = path.join(folder, readdirSync(folder)[0]!)
      const refusal = under(directory)(Effect.flip(Trust.read(site)))
      chmodSync(record, 0o622)
      assert.include((yield* refusal).message, "others may write it")
      chmodSync(record, 0o600)
      writeFileSync(record, "{")
      assert.include((yield* refusal).message, `${record}:1:2: not valid JSON`)
      writeFileSync(record, '{ "directory": 1 }')
      assert.include((yield* refusal).message, "is no record of a trusted project")
    })
  )
})
