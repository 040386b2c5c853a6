/**
 * JSON Schema as what Effect prints code from. What Effect has no equivalent of is left to the server, and regular
 * expressions too, since one that a server made up could take for ever. Pure.
 */
import { JsonSchema, Predicate, SchemaRepresentation } from "effect"

export interface SchemaCode {
  readonly document: SchemaRepresentation.Document
  /** Keywords that are not checked, or why none is; empty where all are. */
  readonly leftOut: ReadonlyArray<string>
}

/**
 * Reads the schema of a tool's arguments, which are an object, or of its result: draft 2020-12 unless it says an older
 * one. Objects have the properties that are declared: others only where the schema says so in words, which it need not.
 * Definitions are named with the prefix. A schema that cannot be read is that of anything, and `leftOut` says why.
 */
export const read = (
  input: unknown,
  { of, prefix }: { readonly of: "arguments" | "result"; readonly prefix: string }
): SchemaCode => {
  const leftOut = new Set<string>()
  const schema: JsonSchema.JsonSchema = Predicate.isObject(input) ? input : {}
  try {
    const document = documentOf(of === "arguments" ? ofArguments(schema) : schema)
    const { ast } = SchemaRepresentation.fromJsonSchemaDocument(document, {
      patterns: "ignore",
      onEnter: (schema) => loosened(schema, leftOut)
    })
    const { references, representation } = SchemaRepresentation.toRepresentation(ast, {
      referencePolicy: ({ identifier }) => (identifier === undefined ? undefined : `${prefix}_${identifier}`)
    })
    const tidied = {
      representation: tidy(representation),
      references: Object.fromEntries(Object.entries(references).map(([name, one]) => [name, tidy(one)]))
    }
    if (of === "arguments" && !isOfObjects(tidied.representation, tidied))
      throw new Error("it is not that of an object")
    // Whether there is code for all of it shows here.
    SchemaRepresentation.toCodeDocument(SchemaRepresentation.toMultiDocument(tidied))
    return { document: tidied, leftOut: [...leftOut].sort() }
  } catch (cause) {
    // Effect explains what it does not support in the message of a plain error.
    const reason =
      cause instanceof RangeError ? "it is too deep" : cause instanceof Error ? cause.message : String(cause)
    return { document: of === "arguments" ? anyObject : anything, leftOut: [`all of it (${reason})`] }
  }
}

/** Where no property is declared, and nothing says that there may be any, there is none. */
const ofArguments = (schema: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const says = ["$ref", "additionalProperties", "allOf", "anyOf", "oneOf", "patternProperties"]
  const isClosed = isEmpty(schema["properties"]) && !says.some((key) => key in schema)
  return { ...schema, type: "object", ...(isClosed ? { additionalProperties: false } : {}) }
}

const documentOf = (schema: JsonSchema.JsonSchema): JsonSchema.Document<"draft-2020-12"> => {
  const { $schema } = schema
  // Where nothing is said, only the older draft has `definitions`.
  const isDraft7 = typeof $schema === "string" ? /draft-0[67]/.test($schema) : "definitions" in schema
  return isDraft7 ? JsonSchema.fromSchemaDraft07(schema) : JsonSchema.fromSchemaDraft2020_12(schema)
}

/** One level of a schema, without what Effect does not support. */
const loosened = (schema: JsonSchema.JsonSchema, leftOut: Set<string>): JsonSchema.JsonSchema => {
  const out: Record<string, unknown> = { ...schema }
  const drop = (key: string) => {
    delete out[key]
    leftOut.add(key)
  }
  for (const key of unsupported) if (key in out && !(key === "not" && isEmpty(out[key]))) drop(key)
  if (Predicate.isObjectKeyword(out["const"])) drop("const")
  if (Array.isArray(out["enum"]) && out["enum"].some(Predicate.isObjectKeyword)) drop("enum")
  if ("pattern" in out) drop("pattern")
  const isPatterned = "patternProperties" in out
  if (isPatterned) drop("patternProperties")
  // Exactly one of several that each take more than they should may be two.
  if ("oneOf" in out && !("anyOf" in out)) {
    out["anyOf"] = out["oneOf"]
    delete out["oneOf"]
  }
  const { additionalProperties, default: fallback, description, properties = {} } = schema
  const isMixed = Predicate.isObject(additionalProperties) && !isEmpty(additionalProperties) && !isEmpty(properties)
  if (isMixed) drop("additionalProperties")
  if (isPatterned || isMixed || additionalProperties === true || isEmpty(additionalProperties)) {
    out["additionalProperties"] = isEmpty(properties) ? true : { description: anythingElse }
  }
  const said = fallback === undefined ? undefined : `(default: ${JSON.stringify(fallback)})`
  if (said !== undefined) out["description"] = typeof description === "string" ? `${description} ${said}` : said
  return out
}

/** Effect throws at these. Where they are not, a schema takes no less. */
const unsupported = [
  "$dynamicRef",
  "contains",
  "dependentRequired",
  "dependentSchemas",
  "if",
  "not",
  "unevaluatedItems",
  "unevaluatedProperties"
]

/** Without what an import adds, and with the words on a property at its key. */
const tidy = (representation: SchemaRepresentation.Representation): SchemaRepresentation.Representation => {
  if (representation._tag === "Reference") return representation
  const annotations = said(representation)
  switch (representation._tag) {
    case "Suspend":
      return { ...representation, annotations, thunk: tidy(representation.thunk) }
    case "Declaration":
      // It has its own way to code among them.
      return { ...representation, annotations: { ...representation.annotations, expected: undefined } }
    case "Arrays":
      return {
        ...representation,
        annotations,
        checks: representation.checks.map(tidyCheck),
        elements: representation.elements.map((element) => ({ ...element, type: tidy(element.type) })),
        rest: representation.rest.map(tidy)
      }
    case "Union":
      return {
        ...representation,
        annotations,
        checks: representation.checks.map(tidyCheck),
        // The first that fits is taken, and drops what it does not know.
        types: representation.types.map(tidy).sort((a, b) => propertyCount(b) - propertyCount(a))
      }
    case "Objects":
      return {
        ...representation,
        annotations,
        checks: representation.checks.map(tidyCheck),
        propertySignatures: representation.propertySignatures.map(tidyProperty),
        indexSignatures: representation.indexSignatures
          .filter(({ type }) => representation.propertySignatures.length === 0 || !isUnsaid(type))
          .map(({ parameter, type }) => ({ parameter: tidy(parameter), type: tidy(type) }))
      }
    default:
      return { ...representation, annotations, checks: representation.checks.map(tidyCheck) }
  }
}

const tidyProperty = (property: SchemaRepresentation.PropertySignature): SchemaRepresentation.PropertySignature => {
  const type = tidy(property.type)
  if (type._tag === "Reference" || type._tag === "Declaration") return { ...property, type }
  return { ...property, type: { ...type, annotations: undefined }, annotations: type.annotations }
}

/** A check is plain from its code. Effect prints `Schema.Finite` only where what it expects is said. */
const tidyCheck = (check: SchemaRepresentation.Check): SchemaRepresentation.Check =>
  check.representation?.id === "effect/schema/isFinite"
    ? check
    : { ...check, annotations: { ...check.annotations, expected: undefined } }

/** The annotations that are worth a reader's while, and whose type does not depend on the schema. */
const said = ({
  annotations = {}
}: Exclude<SchemaRepresentation.Representation, SchemaRepresentation.Reference>):
  | Record<string, unknown>
  | undefined => {
  const kept = ["description", "format"].filter((key) => typeof annotations[key] === "string")
  return kept.length === 0 ? undefined : Object.fromEntries(kept.map((key) => [key, annotations[key]]))
}

/** Values of properties of which the schema says nothing. */
const isUnsaid = (type: SchemaRepresentation.Representation): boolean =>
  type._tag === "Declaration" && type.annotations?.["description"] === undefined

const propertyCount = (representation: SchemaRepresentation.Representation): number =>
  representation._tag === "Objects" ? representation.propertySignatures.length : 0

const isOfObjects = (
  representation: SchemaRepresentation.Representation,
  document: SchemaRepresentation.Document
): boolean => {
  switch (representation._tag) {
    case "Objects":
      return true
    case "Union":
      return representation.types.length > 0 && representation.types.every((type) => isOfObjects(type, document))
    case "Reference": {
      const target = document.references[representation.$ref]
      return target !== undefined && isOfObjects(target, document)
    }
    default:
      return false
  }
}

const isEmpty = (value: unknown): boolean => Predicate.isObject(value) && Object.keys(value).length === 0

const anythingElse = "Anything else"

const plain = (schema: JsonSchema.JsonSchema): SchemaRepresentation.Document => {
  const { ast } = SchemaRepresentation.fromJsonSchemaDocument(JsonSchema.fromSchemaDraft2020_12(schema))
  const { references, representation } = SchemaRepresentation.toRepresentation(ast)
  return { references, representation: tidy(representation) }
}
const anything = plain({})
const anyObject = plain({ type: "object" })
