/** What one era's server says of itself, and its answers, in the words of the other era. Pure. */
import type { Line } from "../../lines/LineReader.ts"
import { type Envelope, Key } from "../../message/Envelope.ts"
import { metaKeys, poolInfo, protocolVersions, supportedVersions } from "../../server/Era.ts"
import type { Handshake } from "../../server/Handshake.ts"
import * as Reply from "../Reply.ts"
import type { Edit } from "./Edits.ts"

type Result = { readonly [key: string]: unknown }

/** The result of `initialize`, in the client's version if the pool knows that. */
export const initializeResult = (handshake: Handshake, wanted: string): Result => {
  const protocolVersion = protocolVersions.find((version) => version === wanted) ?? protocolVersions[0]
  const capabilities = shareable(handshake)
  if (handshake.era === "legacy") return { ...handshake.result, protocolVersion, capabilities }
  const { instructions } = handshake.result
  const said = typeof instructions === "string" ? { instructions } : {}
  return { protocolVersion, capabilities, serverInfo: serverInfo(handshake), ...said }
}

/** The result of `server/discover`; how long it holds, in milliseconds, where the server does not say. */
export const discoverResult = (handshake: Handshake, ttl: number): Result => {
  const { result } = handshake
  if (handshake.era === "modern") return { ...result, supportedVersions }
  const { tasks: _, ...capabilities } = shareable(handshake)
  const { instructions } = result
  return {
    resultType: "complete",
    supportedVersions,
    capabilities,
    ...(typeof instructions === "string" ? { instructions } : {}),
    ttlMs: ttl,
    cacheScope: "private",
    _meta: { [metaKeys.server]: serverInfo(handshake) }
  }
}

/** What sharing cannot honour is not offered: a list of everybody's tasks. */
const shareable = ({ capabilities: { tasks, ...others } }: Handshake): Handshake["capabilities"] => {
  const { list: _, ...offered } = tasks ?? {}
  return tasks === undefined ? others : { ...others, tasks: offered }
}

/** What each answer says of the server that gives it, as a member of JSON text, where that is short. */
export const signature = (handshake: Handshake): string => {
  const whole = serverInfo(handshake)
  const { name, version } = whole as { readonly name?: unknown; readonly version?: unknown }
  const said = [whole, { name, version }].map(signatureOf).find((text) => text.length <= longestSignature)
  return said ?? signatureOf(poolInfo)
}

const signatureOf = (info: unknown): string => {
  try {
    return `"_meta":${Reply.json({ [metaKeys.server]: info })}`
  } catch {
    // Nested too deeply to be written again.
    return signatureOf(poolInfo)
  }
}

const serverInfo = ({ era, result }: Handshake): unknown => {
  const meta = result["_meta"] as { readonly [key: string]: unknown } | undefined
  return (era === "legacy" ? result["serverInfo"] : meta?.[metaKeys.server]) ?? poolInfo
}

/** What a legacy server's result of a method lacks, as members of JSON text; `ttl` in milliseconds. */
export const lacking = (method: string, ttl: number): string => {
  if (lists.has(method)) return `"resultType":"complete","ttlMs":${ttl},"cacheScope":"private"`
  if (method === "resources/read") return '"resultType":"complete","ttlMs":0,"cacheScope":"private"'
  return '"resultType":"complete"'
}

/** These members in a result that begins at `from`; where it says otherwise, that holds. */
export const completed = (line: Line, from: number, members: string): ReadonlyArray<Edit> => {
  if (members === "" || line.bytes[from] !== brace) return []
  let next = from + 1
  while (line.bytes[next]! <= space) next++
  const isEmpty = line.bytes[next] === closingBrace
  return [{ from: from + 1, to: from + 1, text: isEmpty ? members : `${members},` }]
}

/** A legacy server's error in the modern era: what is not there is a wrong parameter. */
export const errorCode = (code: number): number => (code === notFound ? invalidParams : code)

/**
 * The pages that have to be opened before a legacy server does what it was asked, as questions of the modern era, which has
 * no such error; null where an error is another.
 */
export const pages = (error: { readonly code?: unknown; readonly data?: unknown } | undefined): Result | null => {
  if (error?.code !== pageRequired) return null
  const { elicitations } = (error.data ?? {}) as { readonly elicitations?: unknown }
  if (!Array.isArray(elicitations) || elicitations.length === 0) return null
  return Object.fromEntries(
    (elicitations as ReadonlyArray<object>).map((params, index) => [
      `page-${index}`,
      { method: "elicitation/create", params: { ...params, mode: "url" } }
    ])
  )
}

/** Where the result of a response begins; -1 where it is an error. */
export const resultStart = (line: Line, envelope: Envelope): number => {
  let quote = envelope.start[Key.outcome]! - 1
  while (line.bytes[quote] !== quoteMark) quote--
  return line.bytes[quote - 1] === lastOfResult ? envelope.start[Key.outcome]! : -1
}

/** Characters. */
const longestSignature = 1024
const lists: ReadonlySet<string> = new Set(["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
const notFound = -32002
const pageRequired = -32042
const invalidParams = -32602
const brace = 0x7b
const closingBrace = 0x7d
const quoteMark = 0x22
const lastOfResult = 0x74
const space = 0x20
