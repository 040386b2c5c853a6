/**
 * Arguments of tools that the headers `Mcp-Param-…` of a call say again, so that who stands between need not read its body,
 * and how headers say what none can hold: for those who send them and for those who compare them. Pure.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */

/** An argument that a tool's definition marks with `x-mcp-header`. */
export interface Marked {
  /** As it is marked: the header is `Mcp-Param-` and this, in any case. */
  readonly name: string
  /** Where it stands in the arguments. */
  readonly path: ReadonlyArray<string>
  readonly isNumber: boolean
}

/** Those of a tool's `inputSchema`: what properties alone lead to. Where two have one header, nothing is said of any. */
export const markedIn = (schema: unknown): ReadonlyArray<Marked> => {
  const marked: Array<Marked> = []
  const visit = (node: unknown, path: ReadonlyArray<string>): void => {
    if (!isRecord(node) || path.length > deepest) return
    const { properties, type, "x-mcp-header": name } = node
    if (path.length > 0 && typeof name === "string" && token.test(name) && types.has(type)) {
      marked.push({ name, path, isNumber: type === "integer" || type === "number" })
    }
    if (isRecord(properties)) for (const [key, child] of Object.entries(properties)) visit(child, [...path, key])
  }
  visit(schema, [])
  return new Set(marked.map(({ name }) => name.toLowerCase())).size === marked.length ? marked : []
}

/** What a call's arguments have there, as a header says it; null where it says nothing of it. */
export const valueOf = ({ path }: Marked, args: unknown): string | null => {
  const value = path.reduce<unknown>(
    (node, key) => (isRecord(node) && Object.hasOwn(node, key) ? node[key] : undefined),
    args
  )
  if (typeof value === "string" || typeof value === "boolean") return String(value)
  const isExact = typeof value === "number" && (!Number.isInteger(value) || Number.isSafeInteger(value))
  return isExact ? String(value) : null
}

/** A value that no header can hold, or that would be read as another, goes as `=?base64?…?=`, of UTF-8. */
export const encoded = (value: string): string =>
  /^[!-~]([ -~]*[!-~])?$/.test(value) && !value.startsWith("=?base64?")
    ? value
    : `=?base64?${Buffer.from(value).toString("base64")}?=`

/** The value that a header says; undefined where its base64 is malformed. */
export const decoded = (value: string): string | undefined => {
  const found = /^=\?base64\?(.*)\?=$/.exec(value)?.[1]
  if (found === undefined) return value
  const bytes = Buffer.from(found, "base64")
  return bytes.toString("base64") === found ? bytes.toString("utf8") : undefined
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const types: ReadonlySet<unknown> = new Set(["string", "integer", "boolean", "number"])
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$/
const deepest = 32
