/** What gives the pool's tools to language models (`effect/ai`): an entry of its own, `effect-mcp-pool/ai`. */
export { type McpTool, type Options, toolkit, ToolFailure, ToolResult } from "./McpToolkit.ts"
