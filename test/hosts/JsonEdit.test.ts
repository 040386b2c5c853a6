import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parse } from "jsonc-parser"
import * as JsonEdit from "../../src/hosts/JsonEdit.ts"
import { host } from "../../src/hosts/Hosts.ts"
import * as RandomFile from "./RandomFile.ts"

const value = { command: "x", args: ["y"] }

describe("JsonEdit.insert", () => {
  it("adds in the style of the file, behind its comments", () => {
    const cases: ReadonlyArray<readonly [before: string, after: string]> = [
      [
        '{\n  "mcpServers": {}\n}\n',
        '{\n  "mcpServers": {\n    "a": {\n      "command": "x",\n      "args": [\n        "y"\n      ]\n    }\n  }\n}\n'
      ],
      [
        '{\r\n\t"mcpServers": {\r\n\t\t"z": {} // z\r\n\t}\r\n}',
        '{\r\n\t"mcpServers": {\r\n\t\t"z": {}, // z\r\n\t\t"a": {\r\n\t\t\t"command": "x",\r\n\t\t\t"args": [\r\n\t\t\t\t"y"\r\n\t\t\t]\r\n\t\t}\r\n\t}\r\n}'
      ],
      ['{"mcpServers":{"z":{}}}', '{"mcpServers":{"z":{},"a":{"command":"x","args":["y"]}}}'],
      ['{ "mcpServers": { "z": {} } }', '{ "mcpServers": { "z": {}, "a": { "command": "x", "args": ["y"] } } }'],
      [
        '{\n  "mcpServers": {\n    "z": {}, /* z */\n    // the end\n  }\n}',
        '{\n  "mcpServers": {\n    "z": {}, /* z */\n    "a": {\n      "command": "x",\n      "args": [\n        "y"\n      ]\n    },\n    // the end\n  }\n}'
      ]
    ]
    for (const [before, after] of cases) assert.strictEqual(JsonEdit.insert(before, ["mcpServers", "a"], value), after)
  })

  it("makes what is missing on the way", () => {
    const text = JsonEdit.insert('{ "mcpServers": {} }\n', ["projects", "/a b", "mcpServers", "__proto__"], value)
    assert.strictEqual(
      text,
      '{ "mcpServers": {}, "projects": { "/a b": { "mcpServers": { "__proto__": { "command": "x", "args": ["y"] } } } } }\n'
    )
  })

  it.effect.prop(
    "adds to any file what was not there, and loses nothing",
    { file: RandomFile.from((choices) => RandomFile.make(host("cursor"), choices)) },
    ({ file }) =>
      Effect.sync(() => {
        const before = RandomFile.textOf(file).replace(/^\uFEFF/, "")
        const after = JsonEdit.insert(before, ["mcpServers", "added"], value)
        const errors: Array<never> = []
        const now = parse(after, errors, { allowTrailingComma: true }) as { mcpServers: Record<string, unknown> }
        assert.lengthOf(errors, 0, after)
        assert.deepStrictEqual(now.mcpServers["added"], value)
        delete now.mcpServers["added"]
        assert.deepStrictEqual(now, parse(before, [], { allowTrailingComma: true }))
        for (const comment of before.match(/\/\/ (?:x|head)\r?\n/g) ?? []) assert.include(after, comment.trimEnd())
      }),
    { arbitrary: { runs: 300 } }
  )
})
