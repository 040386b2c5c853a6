/**
 * A tool's definition as text that is the same for the same definition, and its hash. All that a server says of a tool counts
 * (name, title, description, both schemas, annotations, icons, `_meta`, and what later versions add), since a host may show
 * any of it to a model. Pure.
 */
import type * as Crypto from "node:crypto"

/** A definition, and what it is compared by. */
export interface Defined {
  /** 64 hex digits. */
  readonly sha256: string
  readonly definition: unknown
}

/**
 * A JSON value as text, keys in the order of their UTF-16 units whatever theirs was; with `indent` on lines, for people.
 * Throws a `RangeError` where it is nested more than 500 deep: whether it fits must not depend on who asks.
 */
export const canonical = (value: unknown, indent = ""): string => write(value, indent, "\n", 0)

const write = (value: unknown, indent: string, line: string, depth: number): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (depth > maxDepth) throw new RangeError("nested too deeply")
  const inner = line + indent
  // As a loop over pairs: an object would put keys that look like numbers first, and know no `__proto__`.
  const items = Array.isArray(value)
    ? value.map((item) => write(item, indent, inner, depth + 1))
    : Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(
          ([key, item]) => `${JSON.stringify(key)}:${indent === "" ? "" : " "}${write(item, indent, inner, depth + 1)}`
        )
  const [open, close] = Array.isArray(value) ? "[]" : "{}"
  if (items.length === 0 || indent === "") return `${open}${items.join(",")}${close}`
  return `${open}${inner}${items.join(`,${inner}`)}${line}${close}`
}

/** SHA-256 of a definition's canonical text in UTF-8; null where it is nested too deeply to be compared, and kept. */
export const sha256 = (definition: unknown): string | null => {
  try {
    // Loaded by who asks: it costs more than to start a server.
    const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
    return crypto
      .createHash("sha256")
      .update(write(definition, "", "", depthInFile))
      .digest("hex")
  } catch (cause) {
    if (cause instanceof RangeError) return null
    throw cause
  }
}

/** The name of what may be a tool; null where it has none. */
export const nameOf = (tool: unknown): string | null =>
  typeof tool === "object" && tool !== null && "name" in tool && typeof tool.name === "string" ? tool.name : null

const maxDepth = 500
/** How deep a definition stands in a lock file. */
const depthInFile = 5
