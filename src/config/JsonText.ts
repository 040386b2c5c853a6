/** Any JSON value, decoded to its text; what an application gives may be anything, and need not be one. Pure. */
import { Predicate, Schema, SchemaGetter } from "effect"

/** A value as JSON text. What JSON cannot hold, a cycle, and too deep a nesting are mistakes, each with its place. */
export const JsonText = Schema.Unknown.check(Schema.makeFilter((value) => findMistake(value, [], []))).pipe(
  Schema.decodeTo(Schema.String, { decode: SchemaGetter.stringifyJson(), encode: SchemaGetter.parseJson({}) })
)

/** As deep as a configuration file may be: who writes or reads the text calls itself for each level. */
const maxDepth = 200

type Path = ReadonlyArray<string | number>

const findMistake = (
  value: unknown,
  path: Path,
  around: ReadonlyArray<object>
): { readonly path: Path; readonly issue: string } | undefined => {
  if (value === null || Predicate.isString(value) || Predicate.isBoolean(value) || Number.isFinite(value)) {
    return undefined
  }
  if (!Array.isArray(value) && !isPlainObject(value)) return { path, issue: "expected a JSON value" }
  if (around.includes(value)) return { path, issue: "contains itself" }
  if (around.length === maxDepth) return { path: [], issue: `is nested deeper than ${maxDepth} levels` }
  // Not by `map`, which would skip holes.
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value) ? value.entries() : Object.entries(value)
  for (const [key, item] of entries) {
    const found = findMistake(item, [...path, key], [...around, value])
    if (found !== undefined) return found
  }
  return undefined
}

/** A date or a map, say, would be written as something else. */
const isPlainObject = (value: unknown): value is object => {
  if (!Predicate.isObject(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
