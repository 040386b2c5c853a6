/** Tools whose every word tries to become code: each would set `globalThis.pwned`, or break the module that has it. */
import type { ToolStatus } from "../../src/PoolStatus.ts"

const run = "globalThis.pwned = true"

/** What would end a string, a comment, a template, a regular expression, a bracket or a line. */
const escapes = [
  `*/ ${run} /*`,
  `*/\n${run}\n/*`,
  `"; ${run}; "`,
  `'; ${run}; '`,
  `\`; ${run}; \``,
  `\${(${run})}`,
  `\\"; ${run}; //`,
  `\\\\"); ${run}; (("`,
  `\u2028${run}\u2029${run}\r${run}`,
  `}) ${run} ({`,
  `/; ${run}; /`,
  `</script><script>${run}</script>`,
  `@ts-ignore`,
  `@ts-expect-error`,
  `/// <reference path="/etc/passwd" />`,
  `\u202e ${run} \u2066 // \u2069`,
  "\x1b[2J\x00\x7f\ud800",
  "__proto__",
  "constructor",
  "toString",
  "Array",
  "Schema",
  "McpProxy",
  "globalThis",
  "import",
  "delete",
  "2fast",
  "",
  "  ",
  "_",
  "名前",
  "ÅNGSTRÖM",
  "🎉"
]

const properties = Object.fromEntries([...escapes].map((text) => [text, { type: "string", description: text }]))
// As JSON from a server has it, and a literal has not.
Object.defineProperty(properties, "__proto__", { value: { type: "string" }, enumerable: true })

const tool = (name: string, over: Partial<ToolStatus> = {}): ToolStatus => ({
  server: "evil",
  name,
  title: null,
  description: name,
  inputSchema: { type: "object" },
  ...over
})

const object = (value: object) => ({ type: "object", properties: { value } })

export const hostile: ReadonlyArray<ToolStatus> = [
  ...escapes.map((text) => tool(text)),
  ...escapes.map((text) => tool("same", { server: text, title: text })),
  tool("properties", { inputSchema: { type: "object", properties, required: escapes } }),
  tool("enums", { inputSchema: object({ enum: escapes }), outputSchema: object({ enum: escapes }) }),
  tool("consts", { inputSchema: object({ anyOf: escapes.map((text) => ({ const: text })) }) }),
  ...escapes.map((text, i) => tool(`pattern${i}`, { inputSchema: object({ type: "string", pattern: text }) })),
  ...escapes.map((text, i) => tool(`default${i}`, { inputSchema: object({ type: "number", default: text }) })),
  ...escapes.map((text, i) => tool(`format${i}`, { inputSchema: object({ type: "string", format: text }) })),
  ...escapes.map((text, i) => tool(`keyword${i}`, { inputSchema: object({ type: "string", [text]: text }) })),
  ...escapes.map((text, i) =>
    tool(`examples${i}`, {
      inputSchema: object({ type: "array", items: { type: "number" }, examples: [text], title: text, $comment: text })
    })
  ),
  ...escapes.map((text, i) =>
    tool(`reference${i}`, {
      inputSchema: {
        type: "object",
        properties: { tree: { $ref: `#/$defs/${encodeURIComponent(text.toWellFormed().replaceAll("/", "~1"))}` } },
        $defs: {
          [text.toWellFormed()]: {
            type: "object",
            properties: {
              [text]: {
                type: "array",
                items: { $ref: `#/$defs/${encodeURIComponent(text.toWellFormed().replaceAll("/", "~1"))}` }
              }
            }
          }
        }
      }
    })
  ),
  ...escapes.map((text, i) => tool(`missing${i}`, { inputSchema: object({ $ref: `#/$defs/${text}` }) })),
  ...[null, 1, "text", [], { type: 5 }, { type: "string" }, { properties: 1 }, { allOf: 1, $ref: 2, enum: {} }].map(
    (schema, i) => tool(`broken${i}`, { inputSchema: schema, outputSchema: schema })
  ),
  tool("deep", { inputSchema: object(JSON.parse(`${'{"items":'.repeat(5000)}{}${"}".repeat(5000)}`)) })
]
