/**
 * Which server's tool a name means, from lists that are known, or that are read for it. Lives as long as the proxy that
 * it was made for.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { type Duration, Effect } from "effect"
import type { Connections } from "../Connections.ts"
import type { ServerList, Snapshot, ToolCache } from "../ToolCache.ts"
import { type KnownTools, knownTools } from "./KnownTools.ts"
import {
  type InvalidArguments,
  ToolAmbiguous,
  type ToolError,
  ToolNotFound,
  ToolTimeout,
  toToolError
} from "./ToolError.ts"
import * as ToolNames from "./ToolNames.ts"

/** A tool by its original names. */
export interface Target {
  readonly server: string
  readonly tool: string
}

/** Who finds tools by their names, exposed or bare. */
export interface ToolFinder {
  /** All tools; the lists that are not fresh are read first. */
  readonly tools: Effect.Effect<KnownTools>
  /** In what is known, without asking or waiting; null where that does not tell. */
  readonly findNow: (name: string) => Target | null
  /** In lists that are read where they are not fresh, within `timeout`. */
  readonly find: (name: string, timeout: Duration.Input) => Effect.Effect<Target, Exclude<ToolError, InvalidArguments>>
}

/** A finder over the connections' tools, as the cache has them. */
export const make = (connections: Connections["Service"], cache: ToolCache["Service"]): ToolFinder => {
  let known: { readonly of: Snapshot; readonly tools: KnownTools } | null = null

  const toolsIn = (snapshot: Snapshot): KnownTools => {
    if (known?.of !== snapshot) known = { of: snapshot, tools: knownTools(snapshot) }
    return known.tools
  }
  const tools = Effect.map(cache.snapshot, toolsIn)

  const findIn = (
    { failures, find }: KnownTools,
    name: string
  ): Effect.Effect<Target, Exclude<ToolError, InvalidArguments>> => {
    const found = find(name)
    if (found.kind === "found" && ToolNames.exposed(found.server, found.tool) === name) return Effect.succeed(found)
    // What the name begins with is a server: whose tools are not known, it may be one of them, and is not guessed.
    for (const server of connections.names) {
      const failure = name.startsWith(`${server}__`) ? failures.get(server) : undefined
      if (failure !== undefined) return Effect.fail(toToolError(failure, server, name.slice(server.length + 2)))
    }
    switch (found.kind) {
      case "found":
        return Effect.succeed(found)
      case "ambiguous":
        return Effect.fail(new ToolAmbiguous({ name, candidates: found.candidates }))
      case "unknown":
        return Effect.fail(new ToolNotFound({ name, nearest: found.nearest, unknown: [...failures.keys()] }))
    }
  }

  /** What `findNow` has found, as long as the server's list is the same. */
  const found = new Map<string, Target & { readonly in: ServerList<Tool> | null }>()

  /** A name that begins with its server's is found without a look at the others, which may be slow to list theirs. */
  const findNow = (name: string): Target | null => {
    const before = found.get(name)
    if (before !== undefined && before.in === cache.known(before.server)) return before
    for (const server of connections.names) {
      if (!name.startsWith(server) || !name.startsWith("__", server.length)) continue
      const tool = name.slice(server.length + 2)
      const list = cache.known(server)
      // Where it is not the name that is shown, that may be another's.
      if (list?.items.some((one) => one.name === tool) !== true || ToolNames.exposed(server, tool) !== name) continue
      if (found.size >= maxFound) found.clear()
      found.set(name, { server, tool, in: list })
      return { server, tool }
    }
    return null
  }

  /** In lists that are read for it, within the time that the whole may take. */
  const findInTime = (
    name: string,
    timeout: Duration.Input
  ): Effect.Effect<Target, Exclude<ToolError, InvalidArguments>> => {
    const server = connections.names.find((server) => name.startsWith(`${server}__`))
    const tool = name.slice((server ?? "").length + 2)
    const own =
      server === undefined
        ? Effect.void
        : Effect.catchIf(
            cache.ofServer(server),
            // Else it may be shown for another's.
            () => ToolNames.exposed(server, tool) !== name,
            () => Effect.void,
            (error) => Effect.fail(toToolError(error, server, tool))
          )
    const found = Effect.suspend(() => {
      const found = findNow(name)
      return found === null ? Effect.flatMap(tools, (tools) => findIn(tools, name)) : Effect.succeed(found)
    })
    const orElse = () => Effect.fail(new ToolTimeout({ server: server ?? "", tool: name, phase: "waiting" }))
    return Effect.timeoutOrElse(Effect.andThen(own, found), { duration: timeout, orElse })
  }

  return {
    tools,
    findNow,
    find: (name, timeout) =>
      Effect.flatMap(cache.fresh, (snapshot) =>
        snapshot === null ? findInTime(name, timeout) : findIn(toolsIn(snapshot), name)
      )
  }
}

const maxFound = 10_000
