/** All servers of a pool as one at `/mcp`, with real servers of both eras and clients of both SDKs. */
import { assert, describe, it } from "@effect/vitest"
import type { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Queue } from "effect"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import type { Switch } from "../../src/mux/Switch.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import { watched } from "../fixtures/conformance/content.ts"
import * as EraClient from "../support/EraClient.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import type { Stats } from "../support/Tools.ts"
import * as TogetherPool from "./TogetherPool.ts"

const { namesOf } = TogetherPool

const everything = TogetherPool.make(({ marker, server }) => ({
  everything: TogetherPool.published("everything", marker, "stdio"),
  memory: {
    ...TogetherPool.published("memory", marker),
    env: { MEMORY_FILE_PATH: path.join(import.meta.dirname, `${marker}.jsonl`) }
  },
  filesystem: TogetherPool.published("filesystem", marker, import.meta.dirname),
  legacy: EraClient.fixture("legacy", marker, { roots: ["file:///test/root"] }),
  modern: EraClient.fixture("modern", marker),
  git: server("git")
}))

describe("/mcp", () => {
  it.live("is all servers to a client of SDK 1", () =>
    Effect.gen(function* () {
      const { connect1 } = yield* everything
      const client = yield* connect1()
      assert.strictEqual(client.getServerVersion()?.name, "mcp-pool")
      assert.match(client.getInstructions() ?? "", /^# everything\n\n/)
      assert.include(client.getInstructions() ?? "", "\n\n# git\n\nprocess ")
      const { tools } = yield* Effect.promise(() => client.listTools())
      const servers = [...new Set(namesOf(tools).map((name) => name.split("__")[0]))]
      assert.deepStrictEqual(servers, ["everything", "memory", "filesystem", "legacy", "modern", "git"])
      for (const [name, args, said] of [
        ["everything__echo", { message: "hé 漢" }, "Echo: hé 漢"],
        ["memory__read_graph", {}, '"entities"'],
        ["filesystem__list_allowed_directories", {}, import.meta.dirname],
        ["legacy__test_simple_text", {}, "This is a simple text"],
        ["modern__test_simple_text", {}, "This is a simple text"],
        ["git__echo", { text: "hi" }, "hi"]
      ] as const) {
        const answer = yield* Effect.promise(() => client.callTool({ name, arguments: args }))
        assert.include(EraClient.textOf(answer), said)
      }
      const { prompts } = yield* Effect.promise(() => client.listPrompts())
      assert.include(namesOf(prompts), "legacy__test_simple_prompt")
      const { messages } = yield* Effect.promise(() => client.getPrompt({ name: "legacy__test_simple_prompt" }))
      assert.lengthOf(messages, 1)
      const { resources } = yield* Effect.promise(() => client.listResources())
      assert.lengthOf(
        resources.filter(({ uri }) => uri === watched),
        1
      )
      const { contents } = yield* Effect.promise(() => client.readResource({ uri: "test://static-text" }))
      assert.include(JSON.stringify(contents), "static text resource")
    })
  )

  for (const mode of ["legacy", "auto", "modern"] as const) {
    it.live(`is all servers to a client of SDK 2 that speaks ${mode}`, () =>
      Effect.gen(function* () {
        const { connect2 } = yield* everything
        const client = yield* connect2(mode)
        assert.strictEqual(client.getProtocolEra(), mode === "legacy" ? "legacy" : "modern")
        const { tools } = yield* Effect.promise(() => client.listTools())
        assert.include(namesOf(tools), "everything__echo")
        assert.include(namesOf(tools), "modern__test_simple_text")
        for (const server of ["legacy", "modern"]) {
          for (const [tool, [args, said]] of Object.entries(EraClient.asked)) {
            const name = `${server}__${tool}`
            if (!namesOf(tools).includes(name)) continue
            const answer = yield* Effect.promise(() => client.callTool({ name, arguments: args }))
            assert.strictEqual(EraClient.textOf(answer), said, name)
          }
        }
      })
    )
  }
})

/** A client that lists, calls and hears of changes: of 2025-11-25. */
const oldClient = Effect.fnUntraced(function* (target: HttpClient.Target) {
  const session = yield* HttpClient.begin(target, "", { path: "/mcp" })
  const stream = yield* session.listen()
  yield* stream.event
  return {
    call: (name: string, args: object) =>
      Effect.map(session.call(name, args), ({ messages }) => LineClient.textOf(messages[0]!)),
    changed: Effect.map(stream.message, ({ method }) => assert.strictEqual(method, "notifications/tools/list_changed")),
    tools: Effect.map(session.post({ jsonrpc: "2.0", id: "l", method: "tools/list" }), ({ messages }) =>
      namesOf((messages[0]?.result?.["tools"] ?? []) as ReadonlyArray<{ readonly name: string }>)
    )
  }
})

/** The same of 2026-07-28. */
const newClient = Effect.fnUntraced(function* (made: Pair) {
  const client = yield* made.connect2("modern")
  const changes = yield* Queue.unbounded<void>()
  client.setNotificationHandler("notifications/tools/list_changed", () => void Queue.offerUnsafe(changes, undefined))
  yield* Effect.promise(() => client.listen({ toolsListChanged: true }))
  return {
    call: (name: string, args: { [name: string]: unknown }) =>
      Effect.promise(() =>
        client.callTool({ name, arguments: args }).then(EraClient.textOf, ({ message }: Error) => message)
      ),
    changed: Queue.take(changes),
    tools: Effect.map(
      Effect.promise(() => client.listTools({}, { cacheMode: "bypass" })),
      ({ tools }) => namesOf(tools)
    )
  }
})

/** Servers of one kind under several names, and one that has failed. */
const running = TogetherPool.make(({ bad, server }) => ({
  a: server("a"),
  down: bad("exits", { budget: { max: 0 } }),
  b: server("b")
}))

type Pair = Effect.Success<typeof running>

const statsOf = (made: Pair, server: string) =>
  Effect.gen(function* () {
    const client = yield* made.connect1(undefined, `/servers/${server}/mcp`)
    const answer = yield* Effect.promise(() => client.callTool({ name: "stats" }))
    return JSON.parse(EraClient.textOf(answer)) as Stats
  })

describe("/mcp of servers with the same tools, and of one that is down", () => {
  it.live("calls the one that is named, tells of progress, and cancels there", () =>
    Effect.gen(function* () {
      const made = yield* running
      const client = yield* made.connect1()
      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.deepStrictEqual(
        namesOf(tools).filter((name) => name.endsWith("__echo")),
        ["a__echo", "b__echo"]
      )
      const told: Array<number> = []
      const answer = yield* Effect.promise(() =>
        client.callTool({ name: "b__progress", arguments: { count: 3, label: "done" } }, undefined, {
          onprogress: ({ progress }) => void told.push(progress)
        })
      )
      assert.deepStrictEqual([EraClient.textOf(answer), told], ["done", [1, 2, 3]])
      const cancelling = new AbortController()
      const failure = yield* EraClient.failureOf(() =>
        client.callTool({ name: "b__sleep", arguments: { label: "long" } }, undefined, {
          signal: cancelling.signal,
          onprogress: () => cancelling.abort("enough")
        })
      )
      assert.include(failure.message ?? "", "enough")
      const until = yield* Effect.promise(() =>
        client.callTool({ name: "b__until", arguments: { count: 1, list: "cancellations" } })
      )
      assert.include(EraClient.textOf(until), '"label":"long"')
      assert.deepStrictEqual((yield* statsOf(made, "a")).cancellations, [])
    })
  )

  it.live("goes on with the others where one is killed, and says which that was", () =>
    Effect.gen(function* () {
      const made = yield* running
      const client = yield* made.connect1()
      const { pid } = yield* statsOf(made, "b")
      const sleeping = yield* Effect.callback<Effect.Effect<unknown>>((resume) => {
        const answer = client.callTool({ name: "b__sleep", arguments: {} }, undefined, {
          onprogress: () => resume(Effect.succeed(Effect.promise(() => answer.catch((error: unknown) => error))))
        })
      })
      process.kill(pid, "SIGKILL")
      const error = (yield* sleeping) as { readonly data?: { readonly kind: string; readonly server: string } }
      assert.deepStrictEqual([error.data?.kind, error.data?.server], ["OutcomeUnknown", "b"])
      const answer = yield* Effect.promise(() => client.callTool({ name: "a__echo", arguments: { text: "on" } }))
      assert.strictEqual(EraClient.textOf(answer), "on")
      // It comes back.
      const again = yield* Effect.promise(() => client.callTool({ name: "b__echo", arguments: { text: "back" } }))
      assert.strictEqual(EraClient.textOf(again), "back")
    })
  )

  for (const era of ["legacy", "modern"] as const) {
    it.live(`tells a ${era} client of a list that changes, of a server that comes, and of one that goes`, () =>
      Effect.gen(function* () {
        const made = yield* TogetherPool.make(({ server }) => ({ a: server("a"), b: server("b") }))
        const { call, changed, tools } = yield* era === "legacy" ? oldClient(made) : newClient(made)
        yield* tools
        yield* call("b__add_tool", { name: "more" })
        yield* changed
        assert.include(yield* tools, "b__more")
        yield* made.reload(({ server }) => ({ a: server("a"), c: server("c") }))
        yield* changed
        const servers = (yield* tools).map((name) => name.split("__")[0])
        assert.deepStrictEqual([...new Set(servers)], ["a", "c"])
        assert.include(yield* call("b__echo", {}), "Unknown tool: b__echo")
      })
    )
  }

  it.live("tells of a resource to who watches it, in both eras", () =>
    Effect.gen(function* () {
      const made = yield* TogetherPool.make(({ marker, server }) => ({
        git: server("git"),
        legacy: EraClient.fixture("legacy", marker),
        modern: EraClient.fixture("modern", marker)
      }))
      const method = "notifications/resources/updated"
      const changes = yield* Queue.unbounded<string>()
      const old = yield* HttpClient.begin(made, "", { path: "/mcp" })
      const stream = yield* old.listen()
      yield* stream.event
      yield* old.post({ jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri: watched } })
      const modern = yield* made.connect2("modern")
      modern.setNotificationHandler(method, () => void Queue.offerUnsafe(changes, "modern"))
      yield* Effect.promise(() => modern.listen({ resourceSubscriptions: [watched] }))
      yield* Effect.promise(() => modern.callTool({ name: "legacy__test_trigger_resource_change" }))
      assert.strictEqual(yield* Queue.take(changes), "modern")
      assert.deepStrictEqual((yield* stream.message).params, { uri: watched })
      const { contents } = yield* Effect.promise(() => modern.readResource({ uri: watched }))
      assert.include(JSON.stringify(contents), "Changed 1 times")
      const missing = yield* EraClient.failureOf(() => modern.readResource({ uri: "nothing:like/that" }))
      assert.strictEqual(missing.code, -32602)
    })
  )

  it.live("has a process for each session where a server wants that, and names the socket to who has none", () =>
    Effect.gen(function* () {
      const made = yield* TogetherPool.make(({ marker, server }) => ({
        shared: server("shared"),
        own: server("own", { sharing: "per-session" }),
        era: EraClient.fixture("legacy", marker, { sharing: "per-session" })
      }))
      const pidOf = (client: Effect.Success<ReturnType<typeof made.connect1>>, name: string) =>
        Effect.map(
          Effect.promise(() => client.callTool({ name })),
          (answer) => (JSON.parse(EraClient.textOf(answer)) as Stats).pid
        )
      const capabilities = { ...EraClient.everything, roots: { listChanged: true } }
      const [one, two] = [yield* made.connect1(capabilities), yield* made.connect1()]
      const { tools } = yield* Effect.promise(() => one.listTools())
      assert.includeMembers([...namesOf(tools)], ["shared__echo", "own__echo", "era__test_elicitation"])
      const first = yield* pidOf(one, "own__stats")
      assert.strictEqual(yield* pidOf(one, "own__stats"), first)
      assert.notStrictEqual(yield* pidOf(two, "own__stats"), first)
      const asked = yield* Effect.promise(() =>
        one.callTool({ name: "era__test_elicitation", arguments: { message: "Who?" } })
      )
      assert.include(EraClient.textOf(asked), "action=accept")
      yield* Effect.promise(() => one.sendRootsListChanged())
      const heard = yield* Effect.forEach(["own__stats", "shared__stats"], (name) =>
        Effect.map(
          Effect.promise(() => one.callTool({ name })),
          (answer) => (JSON.parse(EraClient.textOf(answer)) as Stats).notifications
        )
      )
      assert.deepStrictEqual(heard, [["notifications/roots/list_changed"], []])
      const modern = yield* made.connect2("modern")
      const listed = yield* Effect.promise(() => modern.listTools())
      assert.notInclude(namesOf(listed.tools), "own__echo")
      const refused = yield* EraClient.failureOf(() => modern.callTool({ name: "own__echo", arguments: {} }))
      assert.include(refused.message ?? "", RuntimeDir.serverSocket(made.runtimeDir, "own"))
      yield* Effect.promise(() => (one.transport as StreamableHTTPClientTransport).terminateSession())
      yield* Effect.orDie(Processes.gone(first))
    })
  )

  it.live("is one session to who looks, and none of any one server's", () =>
    Effect.gen(function* () {
      const made = yield* TogetherPool.make(({ server }) => ({ a: server("a"), b: server("b") }))
      const session = yield* HttpClient.begin(made, "", { path: "/mcp" })
      for (const name of ["a__echo", "b__echo"]) yield* session.call(name, { text: "x" })
      const sessions = yield* made.pool.sessions
      assert.deepStrictEqual(
        sessions.map(({ calls, server }) => [server, calls]),
        [["/mcp", 3]]
      )
      const own = yield* HttpClient.begin(made, "a")
      for (const [path, { headers }] of [
        ["/servers/a/mcp", session],
        ["/mcp", own],
        ["/servers/%2Fmcp/mcp", session]
      ] as const) {
        const { status } = yield* HttpClient.ask(made, { path, headers, body: HttpClient.callOf("echo") })
        assert.strictEqual(status, 404)
      }
      const big = yield* session.call("b__big", { bytes: 9_000_000 })
      assert.strictEqual(LineClient.textOf(big.messages[0]!).length, 9_000_000)
      assert.strictEqual((yield* session.end).status, 200)
      assert.deepStrictEqual(
        (yield* made.pool.sessions).map(({ server }) => server),
        ["a"]
      )
    })
  )

  it.live("wakes no server that sleeps to say what is known of it; its first call does", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const options = { runtimeDir, remembers: true, marker: `fixture-${randomUUID()}` }
      const servers = (start: "eager" | "lazy") =>
        TogetherPool.make(({ server }) => ({ a: server("a", { start }), b: server("b", { start }) }), options)
      const pidsOf = (made: Pair) => Effect.map(made.pool.status, (all) => all.map(({ pid }) => pid !== null))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const made = yield* servers("eager")
          const client = yield* made.connect1()
          yield* Effect.promise(() => client.listTools())
        })
      )
      const made = yield* servers("lazy")
      for (const client of [yield* made.connect1(), yield* made.connect2("modern")]) {
        const { tools } = yield* Effect.promise((): Promise<{ tools: Array<{ name: string }> }> => client.listTools())
        assert.includeMembers([...namesOf(tools)], ["a__echo", "b__echo"])
        assert.include(client.getInstructions() ?? "", "# b\n\nprocess ")
      }
      assert.deepStrictEqual(yield* pidsOf(made), [false, false])
      const client = yield* made.connect1()
      const answer = yield* Effect.promise(() => client.callTool({ name: "b__echo", arguments: { text: "up" } }))
      assert.strictEqual(EraClient.textOf(answer), "up")
      assert.deepStrictEqual(yield* pidsOf(made), [false, true])
    })
  )

  it.live("lists nothing of a server that is stopped or has failed, and says so where it is called", () =>
    Effect.gen(function* () {
      const made = yield* TogetherPool.make(({ bad, server }) => ({
        a: server("a"),
        b: server("b"),
        failed: bad("exits", { budget: { max: 0 } })
      }))
      const { call, changed, tools } = yield* oldClient(made)
      const serversOf = Effect.map(tools, (names) => [...new Set(names.map((name) => name.split("__")[0]))])
      assert.deepStrictEqual(yield* serversOf, ["a", "b"])
      assert.include(yield* call("failed__echo", {}), 'server "failed" ')
      yield* made.pool.stop("b")
      yield* changed
      assert.deepStrictEqual(yield* serversOf, ["a"])
      assert.include(yield* call("b__echo", {}), 'server "b" is stopped')
      yield* made.pool.start("b")
      yield* changed
      assert.deepStrictEqual(yield* serversOf, ["a", "b"])
    })
  )

  it.live("leaves a server that was taken away before anybody asked for anything", () =>
    Effect.gen(function* () {
      const made = yield* TogetherPool.make(({ server }) => ({ a: server("a"), b: server("b") }))
      const session = yield* HttpClient.begin(made, "", { path: "/mcp" })
      yield* session.call("b__echo", { text: "x" })
      // The cast: what stands behind a name tells who is there.
      const { removed, upstream } = yield* Effect.orDie(made.pool.endpoint("b"))
      const { clients } = upstream as Switch
      assert.lengthOf([...clients], 2)
      yield* Effect.orDie(made.pool.remove("b"))
      yield* removed
      yield* session.call("a__echo", { text: "y" })
      assert.lengthOf([...(upstream as Switch).clients], 0)
    })
  )
})
