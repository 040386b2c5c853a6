import { assert, describe, it } from "@effect/vitest"
import { print } from "../../src/codegen/ToolModule.ts"
import type { ToolStatus } from "../../src/PoolStatus.ts"
import { hostile } from "./Hostile.ts"

const tool = (name: string, over: Partial<ToolStatus> = {}): ToolStatus => ({
  server: "git",
  name,
  title: null,
  description: `Does ${name}.`,
  inputSchema: { type: "object", properties: {} },
  ...over
})

const head = `/** The tools of MCP servers as typed functions: printed by \`mcp-pool types\`, and not to be edited. */

import { Schema } from "effect"
import { McpProxy } from "effect-mcp-pool"
`

/** The schema of the arguments as it is printed, in one line. */
const argumentsOf = (inputSchema: unknown): string =>
  print([tool("t", { inputSchema })])
    .replace(/^[^]*arguments: /, "")
    .replace(/\n {2}\}\)\n\}\n$/, "")
    .replace(/\n */g, " ")

const commentOf = (inputSchema: unknown): string => {
  const [, comment = ""] = /\{\n {2}\/\*\*([^]*?)\*\//.exec(print([tool("t", { inputSchema })])) ?? []
  return comment.replace(/\s*\n \s*\* ?/g, "\n").trim()
}

describe("ToolModule", () => {
  it("prints a group for each server, and its tools by name, whatever the order in which they are listed", () => {
    const sum = tool("get-sum", {
      inputSchema: {
        $schema: "http://json-schema.org/draft-07/schema#",
        type: "object",
        properties: { a: { type: "number", description: "First" }, b: { type: "integer", default: 0 } },
        required: ["a"]
      },
      outputSchema: { type: "object", properties: { sum: { type: "number" } }, required: ["sum"] }
    })
    const tools = [tool("now", { server: "time" }), sum, tool("echo")]
    const text = `${head}
/** The tools of time. */
export const time = {
  /** Does now. */
  now: McpProxy.tool("time__now", {
    arguments: Schema.Record(Schema.String, Schema.Never)
  })
}

/** The tools of git. */
export const git = {
  /** Does echo. */
  echo: McpProxy.tool("git__echo", {
    arguments: Schema.Record(Schema.String, Schema.Never)
  }),

  /** Does get-sum. */
  getSum: McpProxy.tool("git__get-sum", {
    arguments: Schema.Struct({
      a: Schema.Finite.annotateKey({ description: "First" }),
      b: Schema.optionalKey(Schema.Int).annotateKey({ description: "(default: 0)" })
    }),
    result: Schema.Struct({ sum: Schema.Finite })
  })
}
`
    assert.strictEqual(print(tools), text)
    assert.strictEqual(print([tools[0]!, tools[2]!, sum]), text)
  })

  it("numbers tools and servers that would be called the same", () => {
    const text = print([
      tool("get_sum"),
      tool("get-sum"),
      tool("x", { server: "GIT" }),
      tool("x", { server: "import" })
    ])
    for (const part of [
      'getSum: McpProxy.tool("git__get-sum"',
      'getSum2: McpProxy.tool("git__get_sum"',
      "export const git2 =",
      "export const import2 ="
    ])
      assert.include(text, part)
  })

  it("is a module where there is no tool", () => {
    assert.include(print([]), "export {}")
  })

  it("takes no other properties than are declared, unless the schema says that others may be", () => {
    const properties = { a: { type: "string" } }
    assert.strictEqual(
      argumentsOf({ type: "object", properties }),
      "Schema.Struct({ a: Schema.optionalKey(Schema.String) })"
    )
    assert.strictEqual(
      argumentsOf({ type: "object", properties, additionalProperties: true }),
      'Schema.StructWithRest( Schema.Struct({ a: Schema.optionalKey(Schema.String) }), [Schema.Record(Schema.String, Schema.Json.annotate({ description: "Anything else" }))] )'
    )
    assert.strictEqual(argumentsOf({ type: "object" }), "Schema.Record(Schema.String, Schema.Json)")
    assert.strictEqual(argumentsOf({ type: "object", properties: {} }), "Schema.Record(Schema.String, Schema.Never)")
  })

  it("leaves to the server what Effect has no equivalent of, and says so", () => {
    const schema = {
      type: "object",
      properties: {
        a: { type: "string", pattern: "^(a+)+$" },
        b: { not: { type: "string" } },
        c: { enum: [{ k: 1 }, "x"] },
        d: { oneOf: [{ type: "string", pattern: "^a" }, { type: "string" }] },
        e: { type: "array", contains: { type: "string" } }
      },
      if: { required: ["a"] },
      else: { required: ["b"] }
    }
    assert.strictEqual(
      argumentsOf(schema),
      "Schema.Struct({ a: Schema.optionalKey(Schema.String), b: Schema.optionalKey(Schema.Json), c: Schema.optionalKey(Schema.Json), d: Schema.optionalKey(Schema.Union([Schema.String, Schema.String])), e: Schema.optionalKey(Schema.Array(Schema.Json)) })"
    )
    assert.strictEqual(commentOf(schema), "Does t.\n\nNot checked of the arguments: contains, enum, if, not, pattern")
  })

  it("takes any keys where they are told by a pattern", () => {
    const schema = { type: "object", patternProperties: { "^x-": { type: "number" } }, additionalProperties: false }
    assert.strictEqual(argumentsOf(schema), "Schema.Record(Schema.String, Schema.Json)")
    assert.include(argumentsOf({ ...schema, properties: { a: {} } }), "Anything else")
    assert.include(commentOf(schema), "patternProperties")
  })

  it("prints any object where a schema cannot be read as a whole, and why", () => {
    const schema = { type: "object", properties: { a: { $ref: "https://example.com/a.json" } } }
    assert.strictEqual(argumentsOf(schema), "Schema.Record(Schema.String, Schema.Json)")
    assert.include(commentOf(schema), 'arguments: all of it (Unsupported $ref "https://example.com/a.json"')
  })

  it("tries the alternative with the most properties first, since the first that fits is taken", () => {
    const alternative = (...names: ReadonlyArray<string>) => ({
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
      required: names
    })
    assert.strictEqual(
      argumentsOf({ type: "object", anyOf: [alternative("a"), alternative("a", "b")] }),
      "Schema.Union([Schema.Struct({ a: Schema.String, b: Schema.String }), Schema.Struct({ a: Schema.String })])"
    )
  })

  it("names definitions after who has them, and prints recursive ones with their types", () => {
    const schema = {
      type: "object",
      properties: { root: { $ref: "#/definitions/Node" } },
      required: ["root"],
      definitions: {
        Node: { type: "object", properties: { children: { type: "array", items: { $ref: "#/definitions/Node" } } } }
      }
    }
    const text = print([tool("a", { inputSchema: schema }), tool("b", { outputSchema: schema })])
    assert.include(
      text,
      `export type Git_a_Arguments_Node = { readonly children?: ReadonlyArray<Git_a_Arguments_Node> }
export const Git_a_Arguments_Node: Schema.Codec<Git_a_Arguments_Node> = Schema.Struct({
  children: Schema.optionalKey(Schema.Array(Schema.suspend((): Schema.Codec<Git_a_Arguments_Node> => Git_a_Arguments_Node)))
})`
    )
    assert.include(text, "arguments: Schema.Struct({ root: Git_a_Arguments_Node })")
    assert.include(text, "result: Schema.Struct({ root: Git_b_Result_Node })")
  })

  it("lets nothing that a server says become code", () => {
    const text = print(hostile)
    assert.notMatch(text, /[^\P{C}\n]|[\u2028\u2029]/u)
    const code = text.replace(/\/\*\*[^]*?\*\//g, "").replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    assert.notMatch(code, /\bpwned\b/)
    assert.notMatch(code, /[`';/]|ts-|eval/)
  })
})
