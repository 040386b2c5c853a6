/**
 * An MCP server over stdio that costs next to nothing: `echo` answers with `text`, `big` with `bytes` characters; its
 * second argument says how many tools it lists. The answers of one turn leave in one write. It ends when its stdin does.
 */
import { lineReader } from "./lines.ts"

interface Request {
  readonly id?: number | string
  readonly method: string
  readonly params: { readonly name?: string; readonly protocolVersion?: string; readonly arguments?: ToolInput }
}

interface ToolInput {
  readonly text?: string
  readonly bytes?: number
}

const property = { type: "string", description: "An absolute path of a file" }
const inputSchema = { type: "object", properties: { path: property, depth: { type: "integer" } }, required: ["path"] }
const more = Array.from({ length: Math.max(0, Number(process.argv[3] ?? 0) - 2) }, (_, i) => ({
  name: `tool_${i}`,
  description: `Tool number ${i}: ${"does a thing with a path and some options. ".repeat(4)}`,
  inputSchema
}))
const tools = [
  ...["echo", "big"].map((name) => ({ name, description: name, inputSchema: { type: "object" } })),
  ...more
]
const list = JSON.stringify({ tools })
let answers: Array<string> = []
/** The last `big` result, made once: what a client waits for is not this server's work. */
let big = { bytes: -1, result: Buffer.alloc(0) }

const flush = (): void => {
  if (answers.length > 0) process.stdout.write(answers.length === 1 ? answers[0]! : answers.join(""))
  answers = []
}

const answer = (id: number | string, body: string): void => {
  if (answers.push(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},${body}}\n`) === 1) setImmediate(flush)
}

const textResult = (text: string): string => `"result":{"content":[{"type":"text","text":${JSON.stringify(text)}}]}`

const answerBig = (id: number | string, bytes: number): void => {
  if (big.bytes !== bytes) big = { bytes, result: Buffer.from(`${textResult("x".repeat(bytes))}}\n`) }
  process.stdout.cork()
  answers.push(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},`)
  flush()
  process.stdout.write(big.result)
  process.stdout.uncork()
}

const onLine = (line: Buffer): void => {
  const { id, method, params }: Request = JSON.parse(line.toString())
  if (id === undefined) return
  if (method === "tools/call") {
    const { bytes = 0, text = "" } = params.arguments ?? {}
    if (params.name === "big") answerBig(id, bytes)
    else answer(id, textResult(text))
  } else if (method === "initialize") {
    const serverInfo = { name: "echo", version: "1" }
    const result = { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo }
    answer(id, `"result":${JSON.stringify(result)}`)
  } else if (method === "tools/list") answer(id, `"result":${list}`)
  else if (method === "ping") answer(id, '"result":{}')
  else answer(id, '"error":{"code":-32601,"message":"Method not found"}')
}

process.stdin.on("data", lineReader(onLine))
process.stdin.on("end", () => process.exit(0))
