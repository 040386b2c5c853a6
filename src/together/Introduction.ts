/** What all servers together say of themselves. Pure. */
import type { ServerCapabilities } from "@modelcontextprotocol/sdk/types.js"
import { areOffered } from "../mux/Tasks.ts"
import { poolInfo, protocolVersions, tasksExtension } from "../server/Era.ts"
import type { Handshake } from "../server/Handshake.ts"

/** A server, and what it says of itself; null where that is not known. */
export interface Introduced {
  readonly name: string
  readonly handshake: Handshake | null
}

/** The answer to `initialize` of all of them as one server; `servers` in the order of the configuration. */
export const handshakeOf = (servers: ReadonlyArray<Introduced>): Handshake => {
  const protocolVersion = protocolVersions[0]
  const capabilities = capabilitiesOf(servers)
  const instructions = instructionsOf(servers)
  const said = instructions === "" ? {} : { instructions }
  return {
    era: "legacy",
    protocolVersion,
    capabilities,
    result: { protocolVersion, capabilities, serverInfo: poolInfo, ...said }
  }
}

/** What any of them has. Lists change since servers come and go; one that is not known yet may have each of them. */
const capabilitiesOf = (servers: ReadonlyArray<Introduced>): ServerCapabilities => {
  const known = servers.flatMap(({ handshake }) => (handshake === null ? [] : [handshake.capabilities]))
  const mayHave = (name: keyof ServerCapabilities) =>
    known.length < servers.length || known.some((capabilities) => name in capabilities)
  const has = (name: keyof ServerCapabilities) => known.some((capabilities) => name in capabilities)
  const canWatch = known.length < servers.length || known.some(({ resources }) => resources?.subscribe === true)
  const makesTasks = servers.some(({ handshake }) => handshake?.era === "modern" && areOffered(handshake))
  const tasks = known.map(({ tasks }): unknown => tasks).filter(isRecord)
  return {
    tools: { listChanged: true },
    ...(mayHave("prompts") ? { prompts: { listChanged: true } } : {}),
    ...(mayHave("resources") ? { resources: { ...(canWatch ? { subscribe: true } : {}), listChanged: true } } : {}),
    ...(has("completions") ? { completions: {} } : {}),
    ...(has("logging") ? { logging: {} } : {}),
    ...(tasks.length > 0 ? { tasks: tasks.reduce((all, its) => merged(all, its, depth)) } : {}),
    ...(makesTasks ? { extensions: { [tasksExtension]: {} } } : {})
  }
}

type Record = { readonly [key: string]: unknown }

const merged = (one: Record, other: Record, depth: number): Record => {
  const all = new Map<string, unknown>(Object.entries(one))
  for (const [key, value] of Object.entries(other)) {
    const before = all.get(key)
    all.set(key, depth > 0 && isRecord(before) && isRecord(value) ? merged(before, value, depth - 1) : value)
  }
  return Object.fromEntries(all)
}

const isRecord = (value: unknown): value is Record =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Each server's under its name, as far as there is room. */
const instructionsOf = (servers: ReadonlyArray<Introduced>): string => {
  const parts: Array<string> = []
  let room = maxInstructions
  for (const { handshake, name } of servers) {
    const said = handshake?.result["instructions"]
    if (typeof said !== "string" || said.trim() === "") continue
    const head = `# ${name.replace(/\s+/g, " ")}\n\n`
    const left = Math.min(room - head.length, maxOfOne)
    if (left <= 0) break
    const part = head + bounded(said.trim(), left)
    parts.push(part)
    room -= part.length + separator.length
  }
  return parts.join(separator)
}

const bounded = (text: string, length: number): string => {
  if (text.length <= length) return text
  const end = Math.max(0, length - 1)
  // Half of a surrogate pair is no character.
  return `${text.slice(0, /[\ud800-\udbff]/.test(text[end - 1] ?? "") ? end - 1 : end)}…`
}

const separator = "\n\n"
/** How far `tasks` is looked into: to the methods of `requests`. */
const depth = 3
/** Characters, of one server and of all. */
const maxOfOne = 4096
const maxInstructions = 16_384
