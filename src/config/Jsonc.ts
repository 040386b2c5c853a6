/**
 * JSON with comments and trailing commas, as files with positions for errors. Files are few and small and are read
 * before anything else can happen, so `node:fs` reads them at once: Effect's FileSystem would add 37 kB to what has to load
 * before the first server starts.
 */
import { readFileSync } from "node:fs"
import { Effect, Predicate, Result } from "effect"
import {
  createScanner,
  findNodeAtLocation,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode
} from "jsonc-parser"
import { ConfigFileError } from "../PoolError.ts"

/** The text of a file, or why there is none, in words. */
export const readText = (file: string): Effect.Effect<string, string> =>
  Effect.try({
    // A byte order mark would move the columns of the first line, and is no JSON.
    try: () => readFileSync(file, "utf8").replace(/^\uFEFF/, ""),
    catch: (cause) => {
      const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : "unknown error"
      return readFailures.get(code) ?? `cannot be read (${code})`
    }
  })

/** Parses the text of a file. */
export const parse = (file: string, text: string): Result.Result<Node, ConfigFileError> => {
  if (isTooDeep(text)) return Result.fail(errorOf(file, `is nested deeper than ${maxDepth} levels`))
  const errors: Array<ParseError> = []
  const root = parseTree(text, errors, { allowTrailingComma: true })
  const first = errors[0]
  if (first !== undefined) {
    const words = printParseErrorCode(first.error).replace(/(?!^)[A-Z]/g, (letter) => ` ${letter}`)
    return Result.fail(errorAt(file, text, first.offset, `not valid JSON: ${words.toLowerCase()}`))
  }
  return root === undefined ? Result.fail(errorAt(file, text, 0, "is empty")) : Result.succeed(root)
}

/** A parser calls itself for each level. */
const maxDepth = 200

const isTooDeep = (text: string): boolean => {
  const scanner = createScanner(text, true)
  let depth = 0
  for (let token: number = scanner.scan(); token !== endOfFile; token = scanner.scan()) {
    if (token === openBrace || token === openBracket) depth++
    else if (token === closeBrace || token === closeBracket) depth--
    if (depth > maxDepth) return true
  }
  return false
}

/** Of jsonc-parser's SyntaxKind, a const enum that is not there at run time. */
const [openBrace, closeBrace, openBracket, closeBracket, endOfFile] = [1, 2, 3, 4, 17]

/** An error in the text of a file. */
export const errorAt = (file: string, text: string, offset: number, reason: string): ConfigFileError => {
  const before = text.slice(0, offset)
  const line = before.split("\n").length
  return new ConfigFileError({ file, line, column: offset - (before.lastIndexOf("\n") + 1) + 1, reason })
}

/** An error that has no place in a text. */
export const errorOf = (file: string, reason: string): ConfigFileError =>
  new ConfigFileError({ file, line: null, column: null, reason })

/** The keys of an object and their values, in the order of the text; a key may stand there twice. */
export const properties = (node: Node): ReadonlyArray<readonly [key: string, value: Node]> =>
  (node.children ?? []).flatMap((property) => {
    const [key, value] = property.children ?? []
    // The cast: the type of a key is `any` in jsonc-parser, and a string in JSON.
    return key === undefined || value === undefined ? [] : [[key.value as string, value] as const]
  })

/** The value of a node. Unlike the parser's own, `__proto__` is a key like any other, and nothing is inherited from it. */
export const value = (node: Node): unknown => {
  if (node.type === "array") return (node.children ?? []).map(value)
  if (node.type !== "object") return node.value
  return Object.fromEntries(properties(node).map(([key, child]) => [key, value(child)]))
}

/** Where a path is in the text, or the nearest thing around it that is there. */
export const offsetOf = (root: Node, path: ReadonlyArray<string | number>): number => {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length))
    if (node !== undefined) return node.offset
  }
  return root.offset
}

/** What a value is, with its article. */
export const kind = (node: Node): string =>
  node.type === "null" ? "null" : `${/^[aeiou]/.test(node.type) ? "an" : "a"} ${node.type}`

const readFailures: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file"],
  ["ENOTDIR", "no such file"],
  ["EACCES", "permission denied"],
  ["EISDIR", "is a directory"]
])
