/** Whether arguments fit a tool's `inputSchema`: JSON Schema 2020-12 unless the schema says draft 7, read by ajv. */
import type { ValidateFunction } from "ajv"
import { Effect } from "effect"

/** What is wrong with arguments. Never shows a value. */
export interface Mistake {
  /** A JSON Pointer into the arguments; empty where it is the whole. */
  readonly path: string
  readonly reason: string
}

/** All mistakes; none where they fit, or where the schema itself cannot be understood. Loads ajv when it is first asked. */
export const mistakesIn = (schema: object, args: unknown): Effect.Effect<ReadonlyArray<Mistake>> =>
  Effect.map(compiled(schema), (validate) => {
    if (validate === null || validate(args)) return []
    return (validate.errors ?? []).map(({ instancePath, message = "does not fit", params }) => {
      const extra = params["additionalProperty"] ?? params["unevaluatedProperty"]
      return { path: instancePath, reason: typeof extra === "string" ? `${message}: ${extra}` : message }
    })
  })

const compiled = (schema: object): Effect.Effect<ValidateFunction | null> => {
  const known = validators.get(schema)
  if (known !== undefined) return Effect.succeed(known)
  return Effect.map(
    Effect.promise(() => Promise.all([import("ajv"), import("ajv/dist/2020.js")])),
    ([{ Ajv }, { Ajv2020 }]) => {
      const dialect = "$schema" in schema && String(schema.$schema).includes("draft-07") ? Ajv : Ajv2020
      const validate = attempt(() => new dialect({ allErrors: true, strict: false, logger: false }).compile(schema))
      validators.set(schema, validate)
      return validate
    }
  )
}

const attempt = <A>(f: () => A): A | null => {
  try {
    return f()
  } catch {
    return null
  }
}

/** A list that is read anew brings new schemas. */
const validators = new WeakMap<object, ValidateFunction | null>()
