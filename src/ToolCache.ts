/**
 * The tools of all servers, kept while they are fresh: a fresh list costs no message to any server. Prompts, resources
 * and templates likewise. Lives as long as its layer's scope. After the seeds' tool cache (`tool_cache_ttl`, 300 s).
 */
import type { Prompt, Resource, ResourceTemplate, Tool } from "@modelcontextprotocol/sdk/types.js"
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { type ConnectionError, Connections, type ListChange } from "./Connections.ts"
import * as Lists from "./proxy/Lists.ts"
import * as Feed from "./server/Feed.ts"

/** What one server lists. */
export type ServerList<A> = Lists.ServerList<A>

/** The tools of all servers. The same value as long as nothing changes. */
export type Snapshot = Lists.Snapshot<Tool>

/**
 * The lists of one server fail only where it has never given that list; a server without such a list has an empty one.
 */
export class ToolCache extends Context.Service<
  ToolCache,
  {
    /** The tools of all servers; those that are not fresh are read first, side by side, once for all who ask. */
    readonly snapshot: Effect.Effect<Snapshot>
    /** The same where all are fresh, else null; asks nothing. */
    readonly fresh: Effect.Effect<Snapshot | null>
    /** What is known of one server's tools now, fresh or not; asks nothing. Null where it has never listed any. */
    readonly known: (server: string) => ServerList<Tool> | null
    /** One server's tools. */
    readonly ofServer: (server: string) => Effect.Effect<ServerList<Tool>, ConnectionError>
    /** One server's prompts. */
    readonly prompts: (server: string) => Effect.Effect<ServerList<Prompt>, ConnectionError>
    /** One server's resources. */
    readonly resources: (server: string) => Effect.Effect<ServerList<Resource>, ConnectionError>
    /** One server's resource templates. */
    readonly resourceTemplates: (server: string) => Effect.Effect<ServerList<ResourceTemplate>, ConnectionError>
    /**
     * Each time a list that was read before is another, templates counting as resources. A watcher that falls behind by
     * 1,024 loses the oldest.
     */
    readonly changes: Stream.Stream<ListChange>
  }
>()("effect-mcp-pool/ToolCache") {}

/** How lists are kept. */
export interface Options {
  /** How long a list is fresh: 300 seconds, or what the server says of its list (`ttlMs`) where that is shorter. */
  readonly ttl?: Duration.Input | undefined
}

/** A cache of its own over the connections; nothing is read before somebody asks. */
export const make = Effect.fnUntraced(function* (options: Options = {}) {
  const connections = yield* Connections
  const changes = Feed.make<ListChange>(maxChanges)
  const ttl = Duration.fromInputUnsafe(options.ttl ?? defaultTtl)
  const listsOf = <A>(kind: Lists.Kind<A>) =>
    Lists.make({ connections, kind, ttl, onChange: (server) => changes.publish({ server, list: kind.list }) })

  const tools = yield* listsOf<Tool>({ list: "tools", method: "tools/list", key: "tools", id: "name" })
  const prompts = yield* listsOf<Prompt>({ list: "prompts", method: "prompts/list", key: "prompts", id: "name" })
  const resources = yield* listsOf<Resource>({
    list: "resources",
    method: "resources/list",
    key: "resources",
    id: "uri"
  })
  const resourceTemplates = yield* listsOf<ResourceTemplate>({
    list: "resources",
    method: "resources/templates/list",
    key: "resourceTemplates",
    id: "uriTemplate"
  })

  const all = [tools, prompts, resources, resourceTemplates]
  yield* connections.changes.pipe(
    Stream.runForEach((change) =>
      Effect.forEach(all, ({ list, outdate }) => (list === change.list ? outdate(change.server) : Effect.void), {
        discard: true
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )

  return ToolCache.of({
    snapshot: tools.snapshot,
    fresh: tools.fresh,
    known: tools.known,
    ofServer: tools.ofServer,
    prompts: prompts.ofServer,
    resources: resources.ofServer,
    resourceTemplates: resourceTemplates.ofServer,
    changes: changes.stream
  })
})

/** The cache of given connections. */
export const layer = (options?: Options): Layer.Layer<ToolCache, never, Connections> =>
  Layer.effect(ToolCache, make(options))

const defaultTtl = "300 seconds"
const maxChanges = 1024
