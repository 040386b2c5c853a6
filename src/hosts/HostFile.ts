/** A host's file as text: the servers in it, and the same text with some of them pointed elsewhere. Pure. */
import { isDeepStrictEqual } from "node:util"
import { Predicate, Result } from "effect"
import { findNodeAtLocation, getNodeValue, type Node } from "jsonc-parser"
import * as TOML from "smol-toml"
import * as Jsonc from "../config/Jsonc.ts"
import type { ConfigFileError } from "../PoolError.ts"
import type { Entry, Host } from "./Host.ts"
import * as JsonEdit from "./JsonEdit.ts"
import * as TomlEdit from "./TomlEdit.ts"

/** One server in a host's file. */
export interface Listed {
  readonly name: string
  /** The directory of the project whose it is, in a file that has several; else null. */
  readonly project: string | null
  /** Where it stands. */
  readonly path: ReadonlyArray<string>
  readonly entry: unknown
  /** A name that stands there twice has no entry that could be changed. */
  readonly isTwice: boolean
}

/** What is to change in one entry. */
export interface Edit {
  readonly path: ReadonlyArray<string>
  readonly changes: JsonEdit.Changes
}

/** The servers of a file, in its order; none for an empty file. */
export const list = (host: Host, file: string, text: string): Result.Result<ReadonlyArray<Listed>, ConfigFileError> => {
  const body = withoutMark(text)
  if (body.trim() === "") return Result.succeed([])
  return Result.map(parse(host, file, body), (root) => {
    const own = section(root, [host.key], null)
    if (host.projects === undefined) return own
    const projects = members(root, [host.projects])
    return [...own, ...projects.flatMap(({ name }) => section(root, [host.projects!, name, host.key], name))]
  })
}

/**
 * The text with the edits made and nothing else changed, which is checked: the result is read again, and compared. Fails
 * with the reason where an entry is written in a way that cannot be changed.
 */
export const edit = (
  host: Host,
  file: string,
  text: string,
  edits: ReadonlyArray<Edit>
): Result.Result<string, string> => {
  const body = withoutMark(text)
  let changed: string | undefined = body
  for (const { changes, path } of edits) {
    if (changed === undefined) break
    changed = host.format === "json" ? editJson(changed, path, changes) : TomlEdit.setKeys(changed, path, changes)
  }
  if (changed === undefined) return Result.fail("an entry is written in a way that cannot be changed in place")
  const before = parse(host, file, body)
  const after = parse(host, file, changed)
  if (Result.isFailure(before) || Result.isFailure(after)) return Result.fail("the changed text would not be valid")
  const expected = edits.reduce((root, { changes, path }) => replaced(root, path, changes), before.success)
  return isDeepStrictEqual(expected, after.success)
    ? Result.succeed(text.slice(0, text.length - body.length) + changed)
    : Result.fail("the changed text would not mean what it should")
}

/** An object as its members in their order, since a key may stand there twice, or be one that objects inherit. */
interface Members {
  readonly members: ReadonlyArray<Member>
}

interface Member {
  readonly name: string
  readonly value: unknown
}

const isMembers = (value: unknown): value is Members => Predicate.hasProperty(value, "members")

const parse = (host: Host, file: string, text: string): Result.Result<unknown, ConfigFileError> => {
  if (host.format === "json") return Result.map(Jsonc.parse(file, text), ofNode)
  return Result.mapBoth(
    Result.try(() => TOML.parse(text, { integersAsBigInt: "asNeeded" })),
    {
      onFailure: (cause) => tomlError(file, cause),
      onSuccess: ofValue
    }
  )
}

const tomlError = (file: string, cause: unknown): ConfigFileError => {
  if (!(cause instanceof TOML.TomlError)) return Jsonc.errorOf(file, "cannot be read")
  const [reason = ""] = cause.message.replace(/^Invalid TOML document: /, "").split("\n")
  const { column, line } = cause
  return Jsonc.errorOf(`${file}:${line}:${column}`, `not valid TOML: ${reason}`)
}

const ofNode = (node: Node): unknown => {
  if (node.type === "array") return (node.children ?? []).map(ofNode)
  if (node.type !== "object") return getNodeValue(node)
  return { members: Jsonc.properties(node).map(([name, value]) => ({ name, value: ofNode(value) })) }
}

const ofValue = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ofValue)
  if (!Predicate.isObject(value) || value instanceof Date) return value
  return { members: Object.entries(value).map(([name, item]) => ({ name, value: ofValue(item) })) }
}

const toValue = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(toValue)
  if (!isMembers(value)) return value
  return Object.fromEntries(value.members.map(({ name, value }) => [name, toValue(value)]))
}

/** The members of what stands at a path; none where that is no object. */
const members = (root: unknown, path: ReadonlyArray<string>): ReadonlyArray<Member> => {
  let value = root
  for (const key of path) {
    value = isMembers(value) ? value.members.findLast(({ name }) => name === key)?.value : undefined
  }
  return isMembers(value) ? value.members : []
}

const section = (root: unknown, path: ReadonlyArray<string>, project: string | null): ReadonlyArray<Listed> => {
  const found = members(root, path)
  // What surrounds them counts as well: the last one wins, and the first one would be changed.
  const isAroundTwice = path.some(
    (key, depth) => members(root, path.slice(0, depth)).filter(({ name }) => name === key).length > 1
  )
  return found
    .filter(({ name }, index) => found.findIndex((other) => other.name === name) === index)
    .map(({ name }) => {
      const same = found.filter((other) => other.name === name)
      return {
        name,
        project,
        path: [...path, name],
        entry: toValue(same.at(-1)!.value),
        isTwice: isAroundTwice || same.length > 1
      }
    })
}

const editJson = (text: string, path: ReadonlyArray<string>, changes: JsonEdit.Changes): string | undefined => {
  const root = Jsonc.parse("", text)
  const node = Result.isSuccess(root) ? findNodeAtLocation(root.success, [...path]) : undefined
  if (node?.type !== "object") return undefined
  const { length, offset } = node
  const object = JsonEdit.setKeys(text.slice(offset, offset + length), changes)
  return text.slice(0, offset) + object + text.slice(offset + length)
}

/** What the edits should make of a file. */
const replaced = (value: unknown, path: ReadonlyArray<string>, changes: JsonEdit.Changes): unknown => {
  if (!isMembers(value)) return value
  const [key, ...rest] = path
  if (key !== undefined) {
    const members = value.members.map((member) =>
      member.name === key ? { name: key, value: replaced(member.value, rest, changes) } : member
    )
    return { members }
  }
  let result = value.members
  let previous = -1
  for (const [name, wanted] of changes) {
    const at = result.findIndex((member) => member.name === name)
    const member = { name, value: ofValue(wanted) }
    if (wanted === undefined) result = result.filter((member) => member.name !== name)
    else if (at === -1) result = result.toSpliced(previous + 1, 0, member)
    else result = result.with(at, member)
    if (wanted !== undefined) previous = at === -1 ? previous + 1 : at
  }
  return { members: result }
}

/** A byte order mark is no part of the text, and stays. */
const withoutMark = (text: string): string => (text.startsWith("\uFEFF") ? text.slice(1) : text)

/** An entry as an object; undefined where it is none. */
export const asEntry = (value: unknown): Entry | undefined =>
  Predicate.isObject(value) && !Array.isArray(value) ? (value as Entry) : undefined
