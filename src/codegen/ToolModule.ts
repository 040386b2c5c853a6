/**
 * The TypeScript module that `mcp-pool types` prints: a typed function for each tool, by server. Whatever servers say
 * stands in it as names, comments and string literals only. Pure.
 */
import { SchemaRepresentation } from "effect"
import type { ToolStatus } from "../PoolStatus.ts"
import * as ToolNames from "../proxy/ToolNames.ts"
import { layout } from "./CodeLayout.ts"
import { camelCase, reserved, take } from "./Identifiers.ts"
import * as SchemaCode from "./SchemaCode.ts"

/** The module of these tools: servers in the order in which they come, the tools of each by name. */
export const print = (tools: ReadonlyArray<ToolStatus>): string => {
  const taken = new Set([...reserved, "McpProxy", "Schema"])
  const groups = [...Map.groupBy(tools, ({ server }) => server)].map(([server, tools]) =>
    groupOf(server, tools, take(camelCase(server, "server"), taken))
  )
  const schemas = groups.flatMap(({ tools }) => tools.flatMap((tool) => [tool.arguments, tool.result ?? []].flat()))
  const [first, ...rest] = schemas
  if (first === undefined) return `${header}\n\nexport {}\n`
  const { codes, references } = SchemaRepresentation.toCodeDocument({
    representations: [first.document.representation, ...rest.map(({ document }) => document.representation)],
    references: Object.assign({}, ...schemas.map(({ document }) => document.references))
  })
  const codeOf = new Map(schemas.map((schema, i) => [schema, codes[i]!.runtime]))
  const sections = [
    `${header}\n\n${imports}`,
    ...references.nonRecursives.map(({ $ref, code }) => definition($ref, code, false)),
    ...Object.entries(references.recursives).map(([name, code]) => definition(name, code, true)),
    ...groups.map((group) => groupText(group, codeOf))
  ]
  return `${sections.join("\n\n")}\n`
}

interface Group {
  readonly server: string
  readonly name: string
  readonly tools: ReadonlyArray<Tool>
}

interface Tool {
  readonly status: ToolStatus
  readonly name: string
  readonly arguments: SchemaCode.SchemaCode
  /** Absent where the server declares none. */
  readonly result: SchemaCode.SchemaCode | undefined
}

const groupOf = (server: string, tools: ReadonlyArray<ToolStatus>, name: string): Group => {
  const taken = new Set<string>()
  const byName = new Map(tools.map((status) => [status.name, status]))
  const sorted = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    server,
    name,
    tools: sorted.map((status): Tool => {
      const own = take(camelCase(status.name, "tool"), taken)
      const prefix = `${name}_${own}`
      const { inputSchema, outputSchema } = status
      return {
        status,
        name: own,
        arguments: SchemaCode.read(inputSchema, { of: "arguments", prefix: `${prefix}_Arguments` }),
        result:
          outputSchema === undefined
            ? undefined
            : SchemaCode.read(outputSchema, { of: "result", prefix: `${prefix}_Result` })
      }
    })
  }
}

const groupText = ({ name, server, tools }: Group, codeOf: ReadonlyMap<SchemaCode.SchemaCode, string>): string => {
  const members = tools.map((tool) => toolText(tool, codeOf)).join(",\n\n")
  return `${comment([`The tools of ${server}.`], "")}\nexport const ${name} = {\n${members}\n}`
}

const toolText = (tool: Tool, codeOf: ReadonlyMap<SchemaCode.SchemaCode, string>): string => {
  const { description, name, server, title } = tool.status
  const words = [
    ...([description, title].find((text) => text?.trim()) ?? name).trim().split(/\r\n?|[\n\u2028\u2029]/),
    ...leftOut("arguments", tool.arguments),
    ...(tool.result === undefined ? [] : leftOut("result", tool.result))
  ]
  const schemas = [`arguments: ${codeOf.get(tool.arguments)}`]
  if (tool.result !== undefined) schemas.push(`result: ${codeOf.get(tool.result)}`)
  const start = `${tool.name}: `
  const call = `McpProxy.tool(${JSON.stringify(ToolNames.exposed(server, name))}, {`
  const lines = schemas.map((schema) => `    ${layout(visible(schema), { column: 4, indent: 4 })}`)
  return `${comment(words, "  ")}\n  ${start}${call}\n${lines.join(",\n")}\n  })`
}

const leftOut = (what: string, { leftOut }: SchemaCode.SchemaCode): ReadonlyArray<string> =>
  leftOut.length === 0 ? [] : ["", `Not checked of the ${what}: ${leftOut.join(", ").replace(/\s+/g, " ")}`]

/** A type and a schema of one name. */
const definition = (name: string, { runtime, Type }: SchemaRepresentation.Code, isRecursive: boolean): string => {
  const type = `export type ${name} = `
  const schema = `export const ${name}${isRecursive ? `: Schema.Codec<${name}>` : ""} = `
  const laidOut = (start: string, code: string) => start + layout(visible(code), { column: start.length, indent: 0 })
  return `${laidOut(type, Type)}\n${laidOut(schema, runtime)}`
}

/** A comment that nothing in it can end, and that says nothing to compilers and their like. */
const comment = (lines: ReadonlyArray<string>, indent: string): string => {
  const inert = lines.flatMap(wrapped).map((line) =>
    line
      .replace(invisible, "")
      .replaceAll("*/", "*\\/")
      .replace(/^(\s*)@/, "$1\\@")
      .trimEnd()
  )
  if (inert.length === 1) return `${indent}/** ${inert[0]} */`
  return [`${indent}/**`, ...inert.map((line) => `${indent} * ${line}`.trimEnd()), `${indent} */`].join("\n")
}

/** Words that no line breaks are made in, and that go on for ever in some descriptions. */
const wrapped = (line: string): ReadonlyArray<string> =>
  line.length <= commentWidth ? [line] : (line.match(/\S.{0,108}(?=\s|$)|\S+/g) ?? [])

/** Code that looks like what it is: what cannot be seen can only be in its strings. */
const visible = (code: string): string => code.replace(invisible, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`)

/** Control characters but the tab, what turns the direction of text, and what ends lines. */
const invisible = /(?!\t)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const commentWidth = 110

const imports = `import { Schema } from "effect"
import { McpProxy } from "effect-mcp-pool"`

const header = "/** The tools of MCP servers as typed functions: printed by `mcp-pool types`, and not to be edited. */"
