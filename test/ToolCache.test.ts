import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type ConnectionError, Connections, type ListChange, RequestRejected } from "../src/Connections.ts"
import { QueueTimeout } from "../src/PoolError.ts"
import * as Feed from "../src/server/Feed.ts"
import * as TestConnections from "../src/TestConnections.ts"
import * as ToolCache from "../src/ToolCache.ts"
import { turn } from "./lines/Turn.ts"

type Handle = TestConnections.TestConnections["Service"]

/** Tools of these names. */
const tools = (...names: ReadonlyArray<string>): TestConnections.TestTools =>
  Object.fromEntries(names.map((name) => [name, { execute: () => Effect.succeed({ content: [] }) }]))

const two = { servers: { one: { tools: tools("a", "b") }, two: { tools: tools("c") } } }

const withCache = (
  title: string,
  body: (
    cache: ToolCache.ToolCache["Service"],
    servers: Handle,
    /** Who has been asked since the last look, with the cursor where there was one. */
    asked: Effect.Effect<ReadonlyArray<string>>
  ) => Effect.Effect<void, unknown, Scope.Scope>,
  options: TestConnections.Options = two
) =>
  it.effect(title, () =>
    Effect.gen(function* () {
      const servers = yield* TestConnections.TestConnections
      const asked = Effect.map(Queue.clear(servers.requests), (requests) =>
        requests.map(({ params, server }) => [server, ...Object.values(params)].join(" "))
      )
      yield* body(yield* ToolCache.ToolCache, servers, asked)
    }).pipe(Effect.provide(ToolCache.layer().pipe(Layer.provideMerge(TestConnections.layer(options)))))
  )

const namesOf = ({ servers }: ToolCache.Snapshot) =>
  servers.map(({ items, server }) => [server, ...items.map(({ name }) => name)].join(" "))

/** What the cache tells, from now on. */
const toldBy = Effect.fnUntraced(function* (cache: ToolCache.ToolCache["Service"]) {
  const told = yield* Queue.unbounded<string>()
  const watching = Stream.runForEach(cache.changes, ({ list, server }) =>
    Queue.offer(told, list === "tools" ? server : `${server} ${list}`)
  )
  yield* Effect.forkScoped(watching, { startImmediately: true })
  return told
})

/** A cache of one server whose every answer the test gives, and the server's notifications. */
const answered = Effect.gen(function* () {
  const asked = yield* Queue.unbounded<Deferred.Deferred<unknown, ConnectionError>>()
  const changes = Feed.make<ListChange>(16)
  const connections = Connections.of({
    names: ["one"],
    request: () =>
      Effect.flatMap(Deferred.make<unknown, ConnectionError>(), (answer) =>
        Effect.andThen(Queue.offer(asked, answer), Deferred.await(answer))
      ),
    changes: changes.stream,
    ready: Effect.void
  })
  const cache = yield* Effect.provideService(ToolCache.make(), Connections, connections)
  const answer = Effect.fnUntraced(function* (...names: ReadonlyArray<string>) {
    yield* Deferred.succeed(yield* Queue.take(asked), { tools: names.map((name) => ({ name, inputSchema: {} })) })
  })
  /** Says that the tools are others, and returns when the cache has heard it. */
  const change = Effect.suspend(() => {
    changes.publish({ server: "one", list: "tools" })
    return turn
  })
  return { cache, asked, answer, change }
})

const snapshotIn = ({ snapshot }: ToolCache.ToolCache["Service"]) =>
  Effect.forkChild(snapshot, { startImmediately: true })

const noMethod = new RequestRejected({ server: "one", code: -32601, reason: "no method tools/list" })

type Cache = ToolCache.ToolCache["Service"]

/** The lists beside that of tools. */
const others: ReadonlyArray<{
  readonly list: ListChange["list"]
  readonly method: string
  readonly key: string
  readonly id: string
  readonly of: (cache: Cache) => (server: string) => Effect.Effect<ToolCache.ServerList<object>, ConnectionError>
}> = [
  { list: "prompts", method: "prompts/list", key: "prompts", id: "name", of: ({ prompts }) => prompts },
  { list: "resources", method: "resources/list", key: "resources", id: "uri", of: ({ resources }) => resources },
  {
    list: "resources",
    method: "resources/templates/list",
    key: "resourceTemplates",
    id: "uriTemplate",
    of: ({ resourceTemplates }) => resourceTemplates
  }
]

describe("ToolCache", () => {
  withCache("asks all servers once, and again after 300 seconds", (cache, _, asked) =>
    Effect.gen(function* () {
      const first = yield* cache.snapshot
      assert.deepStrictEqual(namesOf(first), ["one a b", "two c"])
      assert.deepStrictEqual(yield* asked, ["one", "two"])
      yield* TestClock.adjust("299999 millis")
      assert.strictEqual(yield* cache.snapshot, first)
      assert.deepStrictEqual(yield* asked, [])
      yield* TestClock.adjust("1 millis")
      const second = yield* cache.snapshot
      assert.deepStrictEqual(yield* asked, ["one", "two"])
      assert.deepStrictEqual(
        second.servers.map(({ isStale, readAt }) => ({ isStale, readAt })),
        [
          { isStale: false, readAt: 300_000 },
          { isStale: false, readAt: 300_000 }
        ]
      )
    })
  )

  it.effect("takes the application's word on how long a list is fresh", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* ToolCache.ToolCache
      const { requests } = yield* TestConnections.TestConnections
      for (const [passed, asked] of [
        ["0 seconds", 2],
        ["9 seconds", 0],
        ["1 seconds", 2]
      ] as const) {
        yield* TestClock.adjust(passed)
        yield* snapshot
        assert.lengthOf(yield* Queue.clear(requests), asked)
      }
    }).pipe(Effect.provide(ToolCache.layer({ ttl: "10 seconds" }).pipe(Layer.provideMerge(TestConnections.layer(two)))))
  )

  withCache(
    "takes a server's own word on its list where that is shorter",
    (cache, _, asked) =>
      Effect.gen(function* () {
        yield* cache.snapshot
        assert.deepStrictEqual(yield* asked, ["never", "short", "long"])
        yield* TestClock.adjust("9 seconds")
        yield* cache.snapshot
        assert.deepStrictEqual(yield* asked, ["never"])
        yield* TestClock.adjust("1 seconds")
        yield* cache.snapshot
        assert.deepStrictEqual(yield* asked, ["never", "short"])
        yield* TestClock.adjust("290 seconds")
        yield* cache.snapshot
        assert.deepStrictEqual(yield* asked, ["never", "short", "long"])
      }),
    {
      servers: {
        never: { tools: tools("a"), ttl: 0 },
        short: { tools: tools("a"), ttl: "10 seconds" },
        long: { tools: tools("a"), ttl: "1 hour" }
      }
    }
  )

  withCache(
    "follows all pages",
    (cache, _, asked) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["one a b c d e"])
        assert.deepStrictEqual(yield* asked, ["one", "one 2", "one 4"])
      }),
    { servers: { one: { tools: tools("e", "d", "c", "b", "a") } }, pageSize: 2 }
  )

  it.effect("takes what is no list for a failure, and keeps the last one", () =>
    Effect.gen(function* () {
      const answers: Array<unknown> = [{ tools: [{ name: "a" }] }, { tool: [] }]
      const connections = Connections.of({
        names: ["one"],
        request: () => Effect.sync(() => answers.shift()),
        changes: Stream.never,
        ready: Effect.void
      })
      const { snapshot } = yield* Effect.provideService(ToolCache.make(), Connections, connections)
      assert.deepStrictEqual(namesOf(yield* snapshot), ["one a"])
      yield* TestClock.adjust("300 seconds")
      const { servers } = yield* snapshot
      assert.deepStrictEqual(
        servers.map(({ isStale, items }) => ({ isStale, names: items.map(({ name }) => name) })),
        [{ isStale: true, names: ["a"] }]
      )
    })
  )

  it.effect("takes a tool that stands there twice as one, the first", () =>
    Effect.gen(function* () {
      const tool = (title: string) => ({ name: "a", title })
      const connections = Connections.of({
        names: ["one"],
        request: (_server, _method, { cursor }) =>
          Effect.succeed(
            cursor === undefined
              ? { tools: [tool("first"), tool("second")], nextCursor: "more" }
              : { tools: [tool("third")] }
          ),
        changes: Stream.never,
        ready: Effect.void
      })
      const { ofServer } = yield* Effect.provideService(ToolCache.make(), Connections, connections)
      assert.deepStrictEqual(
        (yield* ofServer("one")).items.map(({ title }) => title),
        ["first"]
      )
    })
  )

  it.effect("stops reading where a server's pages never end", () =>
    Effect.gen(function* () {
      let count = 0
      const connections = Connections.of({
        names: ["one"],
        request: () =>
          // The bound of the test: without one in the cache, it fails here.
          Effect.suspend(() =>
            ++count > 20_000 ? Effect.die("no end") : Effect.succeed({ tools: [], nextCursor: "again" })
          ),
        changes: Stream.never,
        ready: Effect.void
      })
      const { snapshot } = yield* Effect.provideService(ToolCache.make(), Connections, connections)
      assert.deepStrictEqual(namesOf(yield* snapshot), ["one"])
    })
  )

  withCache(
    "lists in the order of the configuration and by name, whatever the order of the server",
    (cache, servers) =>
      Effect.gen(function* () {
        const told = yield* toldBy(cache)
        assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["zoo B a b", "ape a c"])
        yield* servers.setTools("zoo", tools("a", "b", "B"))
        yield* servers.setTools("ape", tools("a"))
        // Nothing of the other order came before it.
        assert.strictEqual(yield* Queue.take(told), "ape")
        assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["zoo B a b", "ape a"])
      }),
    { servers: { zoo: { tools: tools("b", "a", "B") }, ape: { tools: tools("c", "a") } } }
  )

  withCache("asks each server once for 100 callers at a time", (cache, servers, asked) =>
    Effect.gen(function* () {
      const before = yield* cache.snapshot
      yield* asked
      for (const server of ["one", "two"]) yield* servers.fail(server, "hang")
      yield* TestClock.adjust("300 seconds")
      const callers = yield* Effect.forEach(Array.from({ length: 100 }), () => snapshotIn(cache))
      yield* turn
      assert.deepStrictEqual(yield* asked, ["one", "two"])
      for (const server of ["one", "two"]) yield* servers.recover(server)
      const [first, ...others] = yield* Fiber.joinAll(callers)
      assert.notStrictEqual(first, before)
      for (const other of others) assert.strictEqual(other, first)
      assert.deepStrictEqual(yield* asked, [])
    })
  )

  withCache(
    "answers from what it knows of 10 servers with 200 tools, at no message",
    (cache, _, asked) =>
      Effect.gen(function* () {
        const first = yield* cache.snapshot
        assert.lengthOf(
          first.servers.flatMap(({ items }) => items),
          2000
        )
        assert.lengthOf(yield* asked, 10)
        for (let i = 0; i < 100; i++) assert.strictEqual(yield* cache.snapshot, first)
        for (const known of first.servers) assert.strictEqual(yield* cache.ofServer(known.server), known)
        assert.deepStrictEqual(yield* asked, [])
      }),
    {
      servers: Object.fromEntries(
        Array.from({ length: 10 }, (_, i) => [
          `server-${i}`,
          { tools: tools(...Array.from({ length: 200 }, (_, j) => `t${j}`)) }
        ])
      )
    }
  )

  withCache("asks at once where a server says that its list changed, and tells only of other tools", (cache, servers) =>
    Effect.gen(function* () {
      yield* cache.snapshot
      yield* Queue.clear(servers.requests)
      const told = yield* toldBy(cache)
      yield* servers.setTools("one", tools("a"))
      assert.strictEqual(yield* Queue.take(told), "one")
      assert.strictEqual((yield* Queue.take(servers.requests)).server, "one")
      yield* servers.setTools("one", tools("a"))
      assert.strictEqual((yield* Queue.take(servers.requests)).server, "one")
      yield* servers.setTools("two", tools("d"))
      assert.strictEqual(yield* Queue.take(told), "two")
      assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["one a", "two d"])
      assert.strictEqual(yield* Queue.size(servers.requests), 1)
    })
  )

  withCache("does not ask where nobody has asked it yet", (cache, servers, asked) =>
    Effect.gen(function* () {
      yield* servers.setTools("one", tools("x"))
      yield* turn
      assert.deepStrictEqual(yield* asked, [])
      assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["one x", "two c"])
    })
  )

  it.effect("asks once more where the list changes while it is read, however often", () =>
    Effect.gen(function* () {
      const { answer, asked, cache, change } = yield* answered
      const caller = yield* snapshotIn(cache)
      for (let i = 0; i < 3; i++) yield* change
      yield* answer("early")
      yield* answer("late")
      assert.deepStrictEqual(namesOf(yield* Fiber.join(caller)), ["one late"])
      assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["one late"])
      assert.strictEqual(yield* Queue.size(asked), 0)
    })
  )

  it.effect("never answers with a list that its server has said to have changed", () =>
    Effect.gen(function* () {
      const { answer, asked, cache, change } = yield* answered
      const first = yield* snapshotIn(cache)
      yield* answer("early")
      yield* Fiber.join(first)
      yield* change
      const second = yield* snapshotIn(cache)
      yield* answer("late")
      assert.deepStrictEqual(namesOf(yield* Fiber.join(second)), ["one late"])
      assert.strictEqual(yield* Queue.size(asked), 0)
    })
  )

  it.effect("answers after some readings where each of them changes the list, and asks again when it is asked", () =>
    Effect.gen(function* () {
      const { asked, cache, change } = yield* answered
      const restless = Effect.gen(function* () {
        const answer = yield* Queue.take(asked)
        yield* change
        yield* Deferred.succeed(answer, { tools: [{ name: "a" }] })
      })
      yield* Effect.forkScoped(Effect.forever(restless))
      const first = yield* cache.snapshot
      assert.deepStrictEqual(namesOf(first), ["one a"])
      assert.notStrictEqual(yield* cache.snapshot, first)
    })
  )

  withCache("keeps the last list where reading it fails, marks it, and asks again after 5 seconds", (cache, servers) =>
    Effect.gen(function* () {
      const staleness = Effect.map(cache.snapshot, ({ servers }) => servers.map(({ isStale }) => isStale))
      const before = yield* cache.snapshot
      yield* servers.fail("one", "unavailable")
      yield* TestClock.adjust("300 seconds")
      yield* Queue.clear(servers.requests)
      const stale = yield* cache.snapshot
      assert.deepStrictEqual(namesOf(stale), namesOf(before))
      assert.deepStrictEqual(yield* staleness, [true, false])
      assert.strictEqual(stale.servers[0]?.readAt, 0)
      assert.strictEqual(stale.failures.size, 0)
      assert.isTrue((yield* cache.ofServer("one")).isStale)
      assert.strictEqual(yield* Queue.size(servers.requests), 2)
      yield* TestClock.adjust("4999 millis")
      assert.strictEqual(yield* cache.snapshot, stale)
      assert.strictEqual(yield* Queue.size(servers.requests), 2)
      yield* servers.recover("one")
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* staleness, [false, false])
      assert.strictEqual(yield* Queue.size(servers.requests), 3)
    })
  )

  withCache("says why a server has never listed, and asks it again after 5 seconds", (cache, servers, asked) =>
    Effect.gen(function* () {
      yield* servers.fail("one", "unavailable")
      const { failures, ...first } = yield* cache.snapshot
      assert.deepStrictEqual(namesOf({ ...first, failures }), ["two c"])
      assert.deepStrictEqual([...failures.keys()], ["one"])
      assert.strictEqual(failures.get("one")?._tag, "ServerUnavailable")
      assert.strictEqual((yield* Effect.flip(cache.ofServer("one")))._tag, "ServerUnavailable")
      assert.deepStrictEqual(yield* asked, ["one", "two"])
      yield* servers.recover("one")
      yield* TestClock.adjust("5 seconds")
      const second = yield* cache.snapshot
      assert.deepStrictEqual(namesOf(second), ["one a b", "two c"])
      assert.strictEqual(second.failures.size, 0)
      assert.deepStrictEqual(yield* asked, ["one"])
    })
  )

  withCache("asks at once, and tells, where a server that had failed says that it has other tools", (cache, servers) =>
    Effect.gen(function* () {
      const told = yield* toldBy(cache)
      yield* servers.fail("one", "unavailable")
      yield* cache.snapshot
      yield* servers.recover("one")
      yield* servers.setTools("one", tools("a"))
      yield* servers.setTools("two", tools("d"))
      assert.strictEqual(yield* Queue.take(told), "one")
      assert.strictEqual(yield* Queue.take(told), "two")
      assert.deepStrictEqual(namesOf(yield* cache.snapshot), ["one a", "two d"])
    })
  )

  for (const { id, key, list, method, of } of others) {
    it.effect(`keeps what ${method} lists likewise: pages, order, freshness, changes, failures`, () =>
      Effect.gen(function* () {
        let names = ["b", "c", "a"]
        let failure: ConnectionError | null = null
        const answer = ({ cursor }: TestConnections.Params) => {
          if (failure !== null) return Effect.fail(failure)
          const [now, next] = cursor === "2" ? [names.slice(2), {}] : [names.slice(0, 2), { nextCursor: "2" }]
          return Effect.succeed({ [key]: [...now.map((name) => ({ [id]: name })), { title: "has no name" }], ...next })
        }
        const options = { servers: { one: { tools: {}, answers: { [method]: answer } }, none: { tools: {} } } }
        const context = yield* Layer.build(ToolCache.layer().pipe(Layer.provideMerge(TestConnections.layer(options))))
        const cache = Context.get(context, ToolCache.ToolCache)
        const servers = Context.get(context, TestConnections.TestConnections)
        const asked = Effect.map(Queue.clear(servers.requests), (all) => all.map((request) => request.method))
        const told = yield* toldBy(cache)
        const listed = Effect.map(of(cache)("one"), ({ isStale, items }) => ({
          names: items.map((item) => (item as Record<string, unknown>)[id]),
          isStale
        }))

        assert.deepStrictEqual(yield* listed, { names: ["a", "b", "c"], isStale: false })
        assert.deepStrictEqual(yield* asked, [method, method])
        yield* TestClock.adjust("299 seconds")
        assert.strictEqual(yield* of(cache)("one"), yield* of(cache)("one"))
        assert.deepStrictEqual(yield* asked, [])

        names = ["d", "e", "f"]
        yield* servers.announce("one", list)
        assert.strictEqual(yield* Queue.take(told), `one ${list}`)
        assert.deepStrictEqual(yield* listed, { names: ["d", "e", "f"], isStale: false })
        assert.deepStrictEqual(yield* asked, [method, method])

        failure = new QueueTimeout({ server: "one" })
        yield* TestClock.adjust("300 seconds")
        assert.deepStrictEqual(yield* listed, { names: ["d", "e", "f"], isStale: true })

        assert.deepStrictEqual((yield* of(cache)("none")).items, [])
      })
    )
  }

  withCache(
    "takes a server that has no such method for one without tools, and leaves it alone while that is fresh",
    (cache, _, asked) =>
      Effect.gen(function* () {
        const { failures, servers } = yield* cache.snapshot
        assert.deepStrictEqual([failures.size, servers.map(({ items }) => items)], [0, [[]]])
        assert.deepStrictEqual(yield* asked, ["one"])
        yield* TestClock.adjust("299 seconds")
        yield* cache.snapshot
        assert.deepStrictEqual(yield* asked, [])
      }),
    { servers: { one: { tools: {}, answers: { "tools/list": () => Effect.fail(noMethod) } } } }
  )

  withCache("fails for a server that is not there, and asks nobody", (cache, _, asked) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(cache.ofServer("ones"))
      assert.strictEqual(error.message, 'no server "ones": did you mean "one"? there are one, two')
      assert.deepStrictEqual(yield* asked, [])
    })
  )

  withCache("goes on for the others where one caller is interrupted", (cache, servers, asked) =>
    Effect.gen(function* () {
      yield* servers.fail("one", "hang")
      const first = yield* snapshotIn(cache)
      const second = yield* snapshotIn(cache)
      assert.strictEqual((yield* Queue.take(servers.requests)).server, "one")
      yield* Fiber.interrupt(first)
      yield* servers.recover("one")
      assert.deepStrictEqual(namesOf(yield* Fiber.join(second)), ["one a b", "two c"])
      assert.deepStrictEqual(yield* asked, ["two"])
    })
  )

  it.effect("lets nobody wait when it is closed", () =>
    Effect.gen(function* () {
      for (const isAsked of [false, true]) {
        const scope = yield* Scope.make()
        const { asked, cache } = yield* Scope.provide(answered, scope)
        const caller = yield* snapshotIn(cache)
        if (isAsked) yield* Queue.take(asked)
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(caller)))
      }
    })
  )
})
