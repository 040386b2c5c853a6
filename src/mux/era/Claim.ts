/**
 * What a modern request says of who asks, in its `_meta`
 * (https://modelcontextprotocol.io/specification/2026-07-28/basic/index#meta). Pure.
 */
import type { Line } from "../../lines/LineReader.ts"
import { type Envelope, Key } from "../../message/Envelope.ts"
import { metaKeys, modernVersion, supportedVersions, unsupportedVersion } from "../../server/Era.ts"
import { invalidParams } from "../../WireError.ts"
import * as LogLevel from "../LogLevel.ts"
import type { Refusal } from "../Upstream.ts"

/** What it says. */
export interface Claim {
  readonly capabilities: { readonly [key: string]: unknown }
  readonly clientInfo: { readonly [key: string]: unknown } | null
  /** From where on it wants log messages, as an index into `logLevels`; null where it wants none. */
  readonly level: number | null
}

type Said = { readonly claim: Claim } | { readonly refusal: Refusal }

/** Whether a message is of the modern era, whatever else is wrong with it. */
export const isMade = (line: Line, envelope: Envelope): boolean => {
  if (!envelope.has(Key.meta)) return false
  const text = line.copy(envelope.start[Key.meta]!, envelope.end[Key.meta]!)
  return known.has(text) || (text.includes(prefix) && marks.some((key) => text.includes(`"${key}"`)))
}

/** The claim of a request; or what it is refused with. */
export const read = (line: Line, envelope: Envelope): Said => {
  if (!envelope.has(Key.meta)) return malformed(`params._meta with ${metaKeys.version}`)
  // A client says the same of itself again and again.
  const text = line.copy(envelope.start[Key.meta]!, envelope.end[Key.meta]!)
  const before = known.get(text)
  if (before !== undefined) return before
  const said = readMeta(JSON.parse(Buffer.from(text, "latin1").toString("utf8")))
  if (text.length > longest || "refusal" in said) return said
  if (known.size >= maxKnown) known.clear()
  known.set(text, said)
  return said
}

const readMeta = (meta: unknown): Said => {
  if (!isRecord(meta)) return malformed(`params._meta with ${metaKeys.version}`)
  const version = meta[metaKeys.version]
  const capabilities = meta[metaKeys.capabilities]
  if (typeof version !== "string") return malformed(`${metaKeys.version} in params._meta`)
  if (version !== modernVersion) {
    const data = { supported: supportedVersions, requested: version }
    return { refusal: { code: unsupportedVersion, message: "Unsupported protocol version", data } }
  }
  if (!isRecord(capabilities)) return malformed(`${metaKeys.capabilities} in params._meta`)
  const info = meta[metaKeys.client]
  if (info !== undefined && !isRecord(info)) return malformed(`${metaKeys.client} as an object`)
  const named = meta[metaKeys.level]
  const level = named === undefined ? null : LogLevel.indexOf(typeof named === "string" ? named : null)
  if (level === -1) return malformed(`${metaKeys.level} as one of ${LogLevel.logLevels.join(", ")}`)
  return { claim: { capabilities, clientInfo: info ?? null, level } }
}

const malformed = (what: string): { readonly refusal: Refusal } => ({
  refusal: { code: invalidParams, message: `a request of ${modernVersion} needs ${what}` }
})

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const prefix = "io.modelcontextprotocol/"
const marks = [metaKeys.version, metaKeys.capabilities]
const known = new Map<string, Said>()
const maxKnown = 256
/** Bytes. */
const longest = 1024
