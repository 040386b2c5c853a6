import { assert, describe, it } from "@effect/vitest"
import {
  Config,
  ConfigProvider,
  Context,
  Data,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Queue,
  Scope
} from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../src/config/ServerSpec.ts"
import * as McpPool from "../src/McpPool.ts"
import * as McpProxy from "../src/McpProxy.ts"
import * as Proxy from "./suites/Proxy.ts"
import * as Processes from "./support/Processes.ts"
import * as Spawned from "./support/Spawned.ts"
import * as TestPool from "./support/TestPool.ts"

/** What an application puts on top fails. */
class NotToday extends Data.TaggedError("NotToday") {}

type Servers = Readonly<Record<string, ServerOptions>>

/** Each layer that owns processes. */
const owners: Readonly<
  Record<string, (servers: Servers) => Effect.Effect<Layer.Layer<never, unknown>, never, Scope.Scope>>
> = {
  "McpProxy.layer": (servers) => Effect.succeed(McpProxy.layer({ servers })),
  "McpPool.layer": (servers) => Effect.succeed(McpPool.layer({ servers })),
  "McpPool.layerConfig": (servers) => Effect.succeed(McpPool.layerConfig({ servers: Config.succeed(servers) })),
  "McpPool.layerFile": (servers) =>
    Effect.map(TestPool.temporaryDirectory, (directory) => {
      const file = path.join(directory, "mcp.json")
      fs.writeFileSync(file, JSON.stringify({ mcpServers: servers }))
      return McpPool.layerFile([file])
    })
}

/** A marker of which nothing may be left when the test's scope closes. */
const marked = Effect.gen(function* () {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() =>
    Effect.map(Processes.killAll(marker), (pids) => assert.deepStrictEqual(pids, [], "processes are left running"))
  )
  return marker
})

/** A server with three grandchildren, and one that never answers: none of them ends by being asked to. */
const stubborn = (marker: string): Servers => ({
  family: {
    command: process.execPath,
    args: [TestPool.fixture("family.ts"), `${marker}-family`],
    pool: { stop: { stdin: 0, term: 0 } }
  },
  silent: {
    ...TestPool.fixtures(marker).bad("silent"),
    pool: { stop: { stdin: 0, term: 0 }, startTimeout: "1 second", restart: "never" }
  }
})

const noneAlive = Effect.fnUntraced(function* (marker: string, pids: ReadonlyArray<number>) {
  assert.isNotEmpty(pids)
  for (const pid of pids) assert.isFalse(yield* Processes.isAlive(pid))
  assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
})

for (const [name, make] of Object.entries(owners)) {
  describe(`${name} leaves no process`, () => {
    /** With the pids of both servers, as they start. */
    const prepared = Effect.gen(function* () {
      const marker = yield* marked
      const spawned = yield* Spawned.watch(marker)
      return { marker, spawned, layer: yield* make(stubborn(marker)) }
    })

    it.live("when its scope closes", () =>
      Effect.gen(function* () {
        const { layer, marker, spawned } = yield* prepared
        const scope = yield* Scope.make()
        yield* Layer.buildWithScope(layer, scope)
        const pids = yield* Queue.takeN(spawned, 2)
        yield* Scope.close(scope, Exit.void)
        yield* noneAlive(marker, pids)
      })
    )

    it.live("when the fiber that uses it is interrupted", () =>
      Effect.gen(function* () {
        const { layer, marker, spawned } = yield* prepared
        const pids = yield* Deferred.make<ReadonlyArray<number>>()
        const use = Effect.gen(function* () {
          yield* Deferred.succeed(pids, yield* Queue.takeN(spawned, 2))
          return yield* Effect.never
        })
        const fiber = yield* Effect.forkChild(Effect.provide(use, layer))
        const started = yield* Deferred.await(pids)
        yield* Fiber.interrupt(fiber)
        yield* noneAlive(marker, started)
      })
    )

    it.live("when it is interrupted while it starts its servers", () =>
      Effect.gen(function* () {
        const { layer, marker, spawned } = yield* prepared
        const fiber = yield* Effect.forkChild(Layer.launch(layer))
        const pids = yield* Queue.takeN(spawned, 2)
        yield* Fiber.interrupt(fiber)
        yield* noneAlive(marker, pids)
      })
    )

    it.live("when a layer on top of it fails", () =>
      Effect.gen(function* () {
        const { layer, marker, spawned } = yield* prepared
        const pids = yield* Deferred.make<ReadonlyArray<number>>()
        const failing = Effect.gen(function* () {
          yield* Deferred.succeed(pids, yield* Queue.takeN(spawned, 2))
          return yield* new NotToday()
        })
        const app = Layer.effectDiscard(failing).pipe(Layer.provideMerge(layer))
        const error = yield* Effect.flip(Effect.scoped(Layer.build(app)))
        assert.instanceOf(error, NotToday)
        yield* noneAlive(marker, yield* Deferred.await(pids))
      })
    )

    it.live("when a layer beside it fails", () =>
      Effect.gen(function* () {
        const { layer, marker, spawned } = yield* prepared
        const pids = yield* Deferred.make<ReadonlyArray<number>>()
        const failing = Effect.gen(function* () {
          yield* Deferred.succeed(pids, yield* Queue.takeN(spawned, 2))
          return yield* new NotToday()
        })
        const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.merge(layer, Layer.effectDiscard(failing)))))
        assert.instanceOf(error, NotToday)
        yield* noneAlive(marker, yield* Deferred.await(pids))
      })
    )
  })
}

describe("McpProxy.layer", () => {
  it.live("leaves no process where none of its servers has started", () =>
    Effect.gen(function* () {
      const marker = yield* marked
      const spawned = yield* Spawned.watch(marker)
      const { silent } = stubborn(marker)
      const servers = { silent: silent!, gone: { command: "/no/such/command" } }
      const error = yield* Effect.flip(Effect.scoped(Layer.build(McpProxy.layer({ servers }))))
      assert.strictEqual(error._tag, "AllServersFailed")
      yield* noneAlive(marker, yield* Queue.takeN(spawned, 1))
    })
  )
})

describe("McpPool.layerConfig", () => {
  /** The environment says which command, and what its variable is. */
  const configured = (marker: string) =>
    McpPool.layerConfig({
      servers: {
        one: {
          command: Config.String("ONE_COMMAND"),
          args: Config.succeed([TestPool.fixture("server.ts"), `${marker}-one`]),
          env: { TOKEN: Config.String("ONE_TOKEN") }
        }
      },
      pool: { queueTimeout: Config.Duration("QUEUE_TIMEOUT") }
    })

  it.live("reads each option where it stands", () =>
    Effect.gen(function* () {
      const marker = yield* marked
      const env = { ONE_COMMAND: process.execPath, ONE_TOKEN: "secret", QUEUE_TIMEOUT: "3 seconds" }
      const layer = configured(marker).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
      yield* Effect.gen(function* () {
        const pool = yield* McpPool.McpPool
        yield* pool.awaitSettled
        assert.isTrue(yield* pool.isRunning("one"))
        const { settings } = yield* pool.endpoint("one")
        assert.strictEqual(Duration.toMillis(settings.queueTimeout), 3000)
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("starts nothing where a variable is missing, and says which", () =>
    Effect.gen(function* () {
      const marker = yield* marked
      const env = { ONE_COMMAND: process.execPath, QUEUE_TIMEOUT: "3 seconds" }
      const spawned = yield* Spawned.watch(marker)
      const layer = configured(marker).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, "ONE_TOKEN")
      assert.strictEqual(yield* Queue.size(spawned), 0)
    })
  )
})

describe("two pools in one process", () => {
  it.live("share nothing", () =>
    Effect.gen(function* () {
      const marker = yield* marked
      const servers = { one: TestPool.fixtures(marker).server("one") }
      const scope = yield* Scope.make()
      const first = yield* Layer.buildWithScope(proxied(servers), scope)
      const second = yield* Layer.build(proxied(servers))
      const stats = (context: typeof first) =>
        Effect.map(
          Context.get(context, McpProxy.McpProxy).executeTool("stats"),
          (result) => JSON.parse(Proxy.textOf(result)) as { readonly pid: number; readonly calls: number }
        )
      const [one, two] = [yield* stats(first), yield* stats(second)]
      assert.notStrictEqual(one.pid, two.pid)
      assert.deepStrictEqual([one.calls, two.calls], [1, 1])

      // Not even who is connected, the states, or the end.
      const pool = Context.get(second, McpPool.McpPool)
      assert.strictEqual((yield* pool.sessions).length, 1)
      yield* Context.get(first, McpPool.McpPool).stop("one")
      assert.isFalse(yield* Processes.isAlive(one.pid))
      assert.isTrue(yield* pool.isRunning("one"))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* stats(second), { ...two, calls: 2 } as typeof two)
    })
  )

  const proxied = (servers: Servers) => McpProxy.layerPool().pipe(Layer.provideMerge(McpPool.layer({ servers })))
})
