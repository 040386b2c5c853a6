/** What a client can be asked, as it declared it. Pure. */
import { invalidParams, methodNotFound } from "../WireError.ts"

/** From a client's `initialize`, as far as the pool routes it. */
export interface Capabilities {
  readonly sampling: boolean
  /** `sampling.tools`. */
  readonly samplingTools: boolean
  /** `elicitation.form`, or `elicitation` alone, which means it. */
  readonly form: boolean
  /** `elicitation.url`. */
  readonly url: boolean
  /** Asked only for what a modern server needs of one request: legacy ones get the pool's own roots. */
  readonly roots: boolean
}

/** The JSON-RPC error of a client that cannot be asked something. */
export interface Undeclared {
  /** As JSON-RPC and MCP number them. */
  readonly code: number
  readonly message: string
}

export const none: Capabilities = { sampling: false, samplingTools: false, form: false, url: false, roots: false }

/** Reads `capabilities` of an `initialize`. */
export const read = (capabilities: unknown): Capabilities => {
  if (!isRecord(capabilities)) return none
  const { elicitation, roots, sampling } = capabilities
  const url = isRecord(elicitation) && isRecord(elicitation["url"])
  return {
    sampling: isRecord(sampling),
    samplingTools: isRecord(sampling) && isRecord(sampling["tools"]),
    form: isRecord(elicitation) && (isRecord(elicitation["form"]) || !url),
    url,
    roots: isRecord(roots)
  }
}

/** Why a client cannot be asked this; null where it can. The codes are those that such a client answers with itself. */
export const refusal = (capabilities: Capabilities, method: string, params: unknown): Undeclared | null => {
  const given = isRecord(params) ? params : {}
  if (method === "sampling/createMessage") {
    if (!capabilities.sampling) return missing("sampling")
    const usesTools = given["tools"] !== undefined || given["toolChoice"] !== undefined
    return usesTools && !capabilities.samplingTools ? unsupported("sampling.tools") : null
  }
  if (method !== "elicitation/create") return { code: methodNotFound, message: `clients are not asked "${method}"` }
  if (!capabilities.form && !capabilities.url) return missing("elicitation")
  const mode = given["mode"] === "url" ? "url" : "form"
  return capabilities[mode] ? null : unsupported(`elicitation.${mode}`)
}

const missing = (name: string): Undeclared => ({
  code: methodNotFound,
  message: `the client of this call did not declare ${name}`
})

const unsupported = (name: string): Undeclared => ({
  code: invalidParams,
  message: `the client of this call did not declare ${name}`
})

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)
