/** The servers of a pool in this process as `Connections`: an application is one more client of each that it asks. */
import { Effect, FiberSet, Layer, Option, Schema } from "effect"
import {
  type ConnectionError,
  Connections,
  type ListChange,
  listChanges,
  Progress,
  type RequestOptions
} from "../Connections.ts"
import { type Endpoint, McpPool } from "../McpPool.ts"
import { type Answer, LocalClient } from "../mux/LocalClient.ts"
import * as Feed from "../server/Feed.ts"
import { rejectedBy } from "./ErrorAnswer.ts"

/** The servers of the pool in the context; requests to them go on within this process. */
export const layer: Layer.Layer<Connections, never, McpPool> = Layer.effect(
  Connections,
  Effect.gen(function* () {
    const pool = yield* McpPool
    const run = yield* FiberSet.makeRuntime<never>()
    const changes = Feed.make<ListChange>(maxChanges)
    const clients = new Map<string, LocalClient>()
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const client of clients.values()) client.close()
      })
    )

    const open = (server: string, { removed, sessionId, upstream }: Endpoint): LocalClient => {
      const onNotification = (method: string) => {
        const list = listChanges.get(method)
        if (list !== undefined) changes.publish({ server, list })
      }
      const client = new LocalClient({ id: sessionId(), server, upstream, onNotification })
      clients.set(server, client)
      client.open()
      const over = () => {
        if (clients.get(server) === client) clients.delete(server)
        client.close()
      }
      run(Effect.andThen(removed, Effect.sync(over)))
      return client
    }
    const ask = (
      client: LocalClient,
      method: string,
      params: { readonly [key: string]: unknown },
      { onProgress, timeout }: RequestOptions
    ): Effect.Effect<unknown, ConnectionError> =>
      Effect.callback((resume) => {
        const told = (params: unknown) => {
          try {
            Option.map(decodeProgress(params), onProgress ?? (() => {}))
          } catch (cause) {
            // The application's bug is that request's alone.
            cancel()
            resume(Effect.die(cause))
          }
        }
        const onAnswer = (answer: Answer) => resume(outcomeOf(client.server, answer))
        const cancel = client.request(method, params, onAnswer, {
          onProgress: onProgress === undefined ? null : told,
          timeout: timeout ?? Infinity
        })
        return Effect.sync(cancel)
      })

    return Connections.of({
      get names() {
        return pool.names
      },
      request: (server, method, params, options = {}) => {
        const client = clients.get(server)
        if (client !== undefined) return ask(client, method, params, options)
        return Effect.flatMap(pool.endpoint(server), (endpoint) =>
          ask(clients.get(server) ?? open(server, endpoint), method, params, options)
        )
      },
      changes: changes.stream,
      ready: pool.awaitSettled
    })
  })
)

const outcomeOf = (server: string, answer: Answer): Effect.Effect<unknown, ConnectionError> => {
  switch (answer.kind) {
    case "result":
      return Effect.succeed(answer.value)
    case "refused":
      return Effect.fail(answer.error)
    case "error":
      return Effect.fail(rejectedBy(server, answer.error))
  }
}

const decodeProgress = Schema.decodeUnknownOption(Progress)

const maxChanges = 1024
