/**
 * The names under which a proxy shows the tools of several servers, and the way back from a name to a tool. Pure, and
 * without Effect.
 *
 * A name is `server__tool`, which ends the server at its first `__`. Where that is not possible, it is the readable
 * part of both and a hash. No name is of both kinds: what ends like a hash has one.
 */
import type * as Crypto from "node:crypto"
import { nearest } from "../nearest.ts"

/** A tool of a server, each as it calls itself. */
export interface Tool {
  readonly server: string
  readonly tool: string
}

/** What a name means. */
export type Resolution =
  | ({ readonly kind: "found" } & Tool)
  /** The shown names of all the tools that it may mean. */
  | { readonly kind: "ambiguous"; readonly candidates: ReadonlyArray<string> }
  /** Up to three names of at most 64 characters that are like it, the most alike first, each of another tool. */
  | { readonly kind: "unknown"; readonly nearest: ReadonlyArray<string> }

/**
 * The name under which a tool is shown: `server__tool` where that is free of doubt, else the name with a hash. It is
 * always 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`: what
 * [OpenAI](https://platform.openai.com/docs/api-reference/chat/create) takes for the name of a function, and
 * [Bedrock](https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html) for that of a
 * tool. Two tools share one only where 32 bits of SHA-256 are the same, and what is readable too.
 */
export const exposed = (server: string, tool: string): string => {
  const name = plain(server, tool)
  const fits = valid.test(name) && name.indexOf(separator) === server.length && !endsLikeHash.test(name)
  return fits ? name : hashed(server, tool)
}

/**
 * The name with a hash, which every tool has, though few are shown under it: server and tool, each character that
 * [OpenAI](https://platform.openai.com/docs/api-reference/chat/create) and
 * [Bedrock](https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html) refuse as `_`,
 * cut to 55 characters, `_`, and the first 8 hex digits of the SHA-256 of the JSON text of `[server, tool]`. A long
 * tool takes room from a long server, of which 20 characters stay.
 */
export const hashed = (server: string, tool: string): string => {
  // Loaded by who asks: most names need none.
  const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
  const digits = crypto.createHash("sha256").update(keyOf(server, tool)).digest("hex").slice(0, hashLength)
  const room = longest - hashLength - 1
  const start = server.slice(0, Math.max(serverKept, room - separator.length - tool.length))
  return `${plain(start, tool).slice(0, room).replace(refused, "_")}_${digits}`
}

/**
 * The way back, for many lookups: a name as it is shown; else `server__tool`, the name with a hash, or the tool's own
 * name, as long as only one tool is meant. A name that is shown never means another tool. A lookup is one in a map, but
 * for an unknown name, which is compared with all. The limits of `exposed`, 64 characters of those that OpenAI and
 * Bedrock accept, do not bind what is looked up.
 */
export const index = (tools: Iterable<Tool>): ((name: string) => Resolution) => {
  const entries = new Map<string, Entry>()
  for (const { server, tool } of tools) {
    const key = keyOf(server, tool)
    if (!entries.has(key)) entries.set(key, { server, tool, shown: exposed(server, tool) })
  }
  const shown = new Map<string, Array<Entry>>()
  const other = new Map<string, Array<Entry>>()
  for (const entry of entries.values()) {
    add(shown, entry.shown, entry)
    add(other, plain(entry.server, entry.tool), entry)
    add(other, entry.tool, entry)
  }

  // Only when a name asks for them: they cost a hash for each tool.
  let hashes: Map<string, Array<Entry>> | undefined
  const byHash = (name: string): ReadonlyArray<Entry> => {
    if (name.length > longest || !endsLikeHash.test(name)) return []
    if (hashes === undefined) {
      hashes = new Map()
      for (const entry of entries.values()) add(hashes, hashed(entry.server, entry.tool), entry)
    }
    return hashes.get(name) ?? []
  }

  const meant = (name: string): ReadonlyArray<Entry> =>
    shown.get(name) ?? [...new Set([...(other.get(name) ?? []), ...byHash(name)])]

  // Bounded in length, since each comparison takes the product of both.
  const neighbours = (name: string): ReadonlyArray<string> => {
    if (name.length > longest) return []
    const names = [...shown.keys(), ...[...entries.values()].map(({ tool }) => tool)]
    const left = new Set(names.filter(({ length }) => length <= longest))
    const near: Array<string> = []
    const seen = new Set<Entry>()
    while (near.length < mostNeighbours) {
      const next = nearest(name, [...left])
      if (next === undefined) break
      left.delete(next)
      const all = meant(next)
      for (const entry of all) {
        if (!seen.has(entry)) near.push(all.length === 1 ? next : entry.shown)
        seen.add(entry)
      }
    }
    return near.slice(0, mostNeighbours)
  }

  return (name) => {
    const [first, ...more] = meant(name)
    if (first === undefined) return { kind: "unknown", nearest: neighbours(name) }
    if (more.length > 0) return { kind: "ambiguous", candidates: [first, ...more].map(({ shown }) => shown) }
    return { kind: "found", server: first.server, tool: first.tool }
  }
}

interface Entry extends Tool {
  readonly shown: string
}

const plain = (server: string, tool: string): string => `${server}${separator}${tool}`

/** Different for different tools, also where a name has half of a surrogate pair, of which JSON writes the number. */
const keyOf = (server: string, tool: string): string => JSON.stringify([server, tool])

const add = (map: Map<string, Array<Entry>>, name: string, entry: Entry): void => {
  const there = map.get(name)
  if (there === undefined) map.set(name, [entry])
  else there.push(entry)
}

const separator = "__"
const longest = 64
const hashLength = 8
const serverKept = 20
const mostNeighbours = 3

const valid = /^[a-zA-Z0-9_-]{1,64}$/
const refused = /[^a-zA-Z0-9_-]/g
const endsLikeHash = /_[0-9a-f]{8}$/
