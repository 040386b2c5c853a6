/**
 * The document of a lock file: which definitions of tools have been accepted, by server and tool. Each stands there as it
 * was, beside its hash, so that a change can be shown. Pure.
 */
import { Result } from "effect"
import { canonical, type Defined, nameOf, sha256 } from "./Definition.ts"

/** The accepted tools of one server, by name. */
export type Tools = ReadonlyMap<string, Defined>

/** The accepted tools of servers, by the name that each has in the configuration file. */
export type Lock = ReadonlyMap<string, Tools>

/** Nothing is accepted, and nothing has been seen. */
export const empty: Lock = new Map()

/** As text that changes only where it has to: sorted keys, two spaces, a line feed at the end. */
export const encode = (lock: Lock): string => {
  const servers = recordOf(lock, (tools) => ({ tools: recordOf(tools, (tool) => tool) }))
  return `${canonical({ version, servers }, "  ")}\n`
}

/** What a text says; fails with what is wrong with it, in words. */
export const decode = (text: string): Result.Result<Lock, string> =>
  Result.gen(function* () {
    const document = yield* Result.try({ try: () => JSON.parse(text) as unknown, catch: () => "is not JSON" })
    const isOurs = isRecord(document) && document["version"] === version && isRecord(document["servers"])
    if (!isOurs) return yield* Result.fail("is no lock file of this version")
    const servers = new Map<string, Tools>()
    for (const [server, entry] of Object.entries(document["servers"] as Record)) {
      const tools = isRecord(entry) ? entry["tools"] : undefined
      if (!isRecord(tools)) return yield* Result.fail(`has no tools of server ${JSON.stringify(server)}`)
      const accepted = new Map<string, Defined>()
      for (const [name, tool] of Object.entries(tools)) {
        const definition = isRecord(tool) ? tool["definition"] : undefined
        const hash = isRecord(tool) ? tool["sha256"] : undefined
        // A hand or a merge that changed one of the two would have a change shown as none, or none as a change.
        if (typeof hash !== "string" || nameOf(definition) !== name || sha256(definition) !== hash) {
          const where = `server ${JSON.stringify(server)}, tool ${JSON.stringify(name)}`
          return yield* Result.fail(`has a definition that is not that of its hash: ${where}`)
        }
        accepted.set(name, { sha256: hash, definition })
      }
      servers.set(server, accepted)
    }
    return servers
  })

const version = 1

type Record = { readonly [key: string]: unknown }

const isRecord = (value: unknown): value is Record =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Names are a server's words: `__proto__` is one. */
const recordOf = <A, B>(map: ReadonlyMap<string, A>, f: (value: A) => B): { readonly [name: string]: B } => {
  const record = Object.create(null) as { [name: string]: B }
  for (const [name, value] of map) record[name] = f(value)
  return record
}
