import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Option, Stream } from "effect"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

describe("McpPool", () => {
  it.live("tells of each server what status shows", () =>
    Effect.gen(function* () {
      const { connect, pool, runtimeDir } = yield* TestPool.make(({ server }) => ({
        one: server("one"),
        idle: server("idle")
      }))
      assert.deepStrictEqual(pool.names, ["one", "idle"])
      yield* pool.awaitSettled
      const client = yield* connect("one")
      yield* Effect.forkScoped(client.call("sleep", {}, { token: 1 }))
      yield* client.notification("notifications/progress")
      yield* pool.stop("idle")
      const [one, idle] = yield* pool.status
      assert.strictEqual(one?.state, "running")
      assert.strictEqual(one?.sessions, 1)
      assert.strictEqual(one?.inFlight, 1)
      assert.strictEqual(one?.restarts, 0)
      assert.strictEqual(one?.tools, 4)
      assert.strictEqual(one?.socket, `${runtimeDir}/servers/one/mcp.sock`)
      assert.isNull(one?.lastFailure)
      assert.deepStrictEqual(one?.failures, [])
      const [process] = one?.processes ?? []
      assert.strictEqual(process?.pid, one?.pid)
      assert.strictEqual(process?.startedAt, one?.startedAt)
      assert.isAbove(process?.memory ?? 0, 10_000_000)
      assert.strictEqual(process?.inFlight, 1)
      assert.strictEqual(idle?.state, "stopped")
      assert.isNull(idle?.pid)
      assert.isNull(idle?.startedAt)
      assert.deepStrictEqual(idle?.processes, [])
      assert.strictEqual(idle?.tools, 4)

      const [session, ...others] = yield* pool.sessions
      assert.deepStrictEqual(others, [])
      assert.deepInclude(session, { server: "one", client: "line-client", version: "1.0.0", inFlight: 1, calls: 2 })
    })
  )

  it.live("knows the tools of one server, and of all", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ server }) => ({ one: server("one"), two: server("two") }))
      yield* pool.awaitSettled
      const one = yield* pool.tools(Option.some("one"))
      assert.deepStrictEqual(
        one.map(({ name, server }) => [server, name]),
        ["echo", "sleep", "progress", "stats"].map((name) => ["one", name])
      )
      assert.deepStrictEqual(one[0]?.inputSchema, { type: "object" })
      assert.strictEqual((yield* pool.tools(Option.none())).length, 8)
    })
  )

  it.live("knows no other names", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ server }) => ({ one: server("one"), two: server("two") }), {
        start: false
      })
      for (const ask of [
        pool.start("three"),
        pool.stop("three"),
        pool.restart("three"),
        pool.endpoint("three"),
        pool.tools(Option.some("three")),
        Stream.runDrain(pool.logs("three", { follow: true }))
      ]) {
        const error = yield* Effect.flip<unknown, { readonly message: string }, never>(ask)
        assert.strictEqual(error.message, 'no server "three": there are one, two')
      }
      assert.isFalse(yield* pool.isRunning("three"))
      assert.isFalse(yield* pool.healthCheck("three"))
      assert.isTrue(Option.isNone(yield* pool.socketPath("three")))
    })
  )

  it.live("checks the health of what runs by asking it", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      assert.isTrue(yield* pool.isRunning("one"))
      assert.isTrue(yield* pool.healthCheck("one"))
      yield* pool.stop("one")
      assert.isFalse(yield* pool.isRunning("one"))
      assert.isFalse(yield* pool.healthCheck("one"))
    })
  )

  it.live("starts all side by side, and is settled when each has run or failed once", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* TestPool.make(
        ({ bad, server }) => ({
          good: server("good"),
          missing: { command: "/no/such/command" },
          crashing: bad("exits", { budget: { base: "1 minute" } }),
          silent: bad("silent", { startTimeout: "400 millis", restart: "never" }),
          misconfigured: { command: "" }
        }),
        { start: false }
      )
      // Nobody waits for what was not told to start.
      yield* pool.awaitSettled
      const starting = yield* Effect.forkChild(pool.startAll)
      // They are all on their way before the slowest is there.
      for (const name of ["good", "crashing", "silent"]) yield* states.reached(name, "starting")
      yield* states.reached("missing", "failed")
      yield* states.reached("misconfigured", "failed")
      assert.isUndefined(starting.pollUnsafe())
      yield* Fiber.join(starting)
      assert.deepStrictEqual(
        (yield* pool.status).map(({ name, state }) => [name, state]),
        [
          ["good", "running"],
          ["missing", "failed"],
          ["crashing", "restarting"],
          ["silent", "failed"],
          ["misconfigured", "failed"]
        ]
      )
    })
  )

  it.live("does not wait for what is misconfigured, however often it is told to start it", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ server }) => ({ bad: { command: "" }, good: server("good") }), {
        start: false
      })
      const states = Effect.map(pool.status, (all) => all.map(({ state }) => state))
      for (const tell of [pool.start("bad"), pool.restart("bad"), pool.start("bad")]) {
        yield* tell
        yield* pool.awaitSettled
        assert.deepStrictEqual(yield* states, ["failed", "stopped"])
      }
      for (const tell of [pool.startAll, pool.startAll]) {
        yield* tell
        yield* pool.awaitSettled
        assert.deepStrictEqual(yield* states, ["failed", "running"])
      }
    })
  )

  it.live("stops all side by side", () =>
    Effect.gen(function* () {
      const stop = { stdin: "10 millis", term: "400 millis" } as const
      const { pool } = yield* TestPool.make(({ bad }) => ({
        one: { ...bad("stubborn", { stop }), env: { N: "1" } },
        two: { ...bad("stubborn", { stop }), env: { N: "2" } },
        three: { ...bad("stubborn", { stop }), env: { N: "3" } },
        four: { ...bad("stubborn", { stop }), env: { N: "4" } }
      }))
      const before = yield* Clock.currentTimeMillis
      yield* pool.stopAll
      assert.isBelow((yield* Clock.currentTimeMillis) - before, 1300)
    })
  )

  it.live(
    "lists what is configured wrongly as failed, with the file, the field and the reason, and runs the others",
    () =>
      Effect.gen(function* () {
        const { connect, pool } = yield* TestPool.make(({ server }) => ({
          remote: { type: "sse", url: "https://example.com/sse" },
          variable: { ...server("variable"), env: { TOKEN: "${NO_SUCH_VARIABLE_HERE}" } },
          good: server("good")
        }))
        const [remote, variable] = yield* pool.status
        assert.strictEqual(remote?.state, "failed")
        assert.isNull(remote?.fingerprint)
        assert.strictEqual(remote?.lastFailure?.phase, "configuration")
        assert.include(remote?.lastFailure?.message ?? "", "mcp-remote")
        assert.match(
          variable?.lastFailure?.message ?? "",
          /server "variable" field "env\.TOKEN": .*NO_SUCH_VARIABLE_HERE/
        )
        const client = yield* connect("good")
        assert.strictEqual(LineClient.textOf(yield* client.call("echo", { text: "hi" })), "hi")
      })
  )

  it.live("shares no process between names to which it gives other variables or documents of its own", () =>
    Effect.gen(function* () {
      const { marker, pool } = yield* TestPool.make(({ server }) => ({
        one: server("one"),
        two: server("one", { extraEnv: { TOKEN: "a" } }),
        three: server("one", { extraEnv: { TOKEN: "b" } }),
        four: server("one", { sessionFile: { content: {} } }),
        five: server("one")
      }))
      assert.lengthOf(yield* Processes.withMarker(marker), 4)
      const [one, two, three, four, five] = (yield* pool.status).map(({ pid }) => pid)
      assert.strictEqual(one, five)
      assert.strictEqual(new Set([one, two, three, four]).size, 4)
    })
  )

  it.live("streams the steps of both names of a shared process", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* TestPool.make(({ server }) => ({ one: server("same"), uno: server("same") }))
      yield* pool.stop("uno")
      for (const name of pool.names) {
        yield* states.reached(name, "stopped")
        assert.deepStrictEqual(
          states.steps(name).map(({ cause, to }) => [to, cause]),
          [
            ["starting", "request"],
            ["running", "ready"],
            ["stopping", "request"],
            ["stopped", "request"]
          ]
        )
      }
    })
  )

  it.live("keeps a log of each server, and follows it", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ bad }) => ({ one: bad("lingers", { stop: { stdin: "10 millis" } }) }))
      const lines = yield* pool.logs("one", { follow: true }).pipe(
        Stream.map(({ source, text }) => `${source}: ${text}`),
        Stream.takeUntil((line) => line === "pool: stopped"),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* pool.stop("one")
      assert.deepStrictEqual(yield* Fiber.join(lines), [
        "pool: starting",
        "pool: running",
        "pool: stopping",
        "stderr: ended by SIGTERM",
        "pool: stopped"
      ])
    })
  )

  it.live("keeps a record of each failure", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const first = yield* states.reached("one", "running")
      const client = yield* connect("one")
      const calls = yield* Effect.forkScoped(client.call("sleep", {}, { token: 1 }))
      yield* client.notification("notifications/progress")
      yield* client.call("exit", { code: 7 })
      yield* Fiber.join(calls)
      const second = yield* states.reached("one", "running", 2)
      yield* client.call("signal", { signal: "SIGKILL" })
      const { cause, failure } = yield* states.reached("one", "restarting", 2)
      assert.strictEqual(cause, "failure")

      const [status] = yield* pool.status
      assert.strictEqual(status?.failures.length, 2)
      assert.deepStrictEqual(status?.lastFailure, failure)
      assert.deepStrictEqual(status?.failures.at(-1), failure)
      assert.deepInclude(status?.failures[0], {
        phase: "running",
        kind: "ProcessExited",
        message: 'server "one" exited with code 7',
        classification: "unknown",
        pid: first.pid,
        exitCode: 7,
        signal: null,
        inFlight: 2,
        stderr: []
      })
      assert.isAtLeast(status?.failures[0]?.uptime ?? -1, 0)
      assert.deepInclude(failure, { pid: second.pid, exitCode: null, signal: "SIGKILL", inFlight: 1 })
      assert.isAtLeast(Date.parse(failure?.nextAttemptAt ?? ""), Date.parse(failure?.at ?? ""))
    })
  )

  it.live("tells a client of a crash loop what it comes from and what helps, never what the server printed", () =>
    Effect.gen(function* () {
      const secret = "s3cr3t-value"
      const { dial, pool } = yield* TestPool.make(({ marker }) => ({
        one: {
          command: process.execPath,
          args: ["-e", printThenExit, marker],
          env: { TOKEN: secret },
          pool: { budget: { max: 1 } }
        }
      }))
      const client = yield* dial("one")
      const { error } = yield* client.call("echo")
      const [status] = yield* pool.status
      const failure = status?.lastFailure
      assert.strictEqual(status?.state, "crash-loop")
      assert.deepInclude(failure, {
        classification: "port-in-use",
        uptime: null,
        inFlight: 0,
        stderr: ["Error: listen EADDRINUSE: address already in use 127.0.0.1:8080", "with token ***"]
      })
      assert.include(failure?.hint ?? "", "8080")
      assert.isNotNull(failure?.nextAttemptAt)
      assert.deepStrictEqual(error?.data, {
        kind: "ServerUnavailable",
        server: "one",
        state: "crash-loop",
        failure: { kind: "port-in-use", hint: failure?.hint },
        nextAttemptAt: failure?.nextAttemptAt
      })
      for (const part of ["EADDRINUSE", "token", secret, "exited"]) assert.notInclude(JSON.stringify(error), part)

      yield* pool.stop("one")
      const stopped = yield* client.call("echo")
      assert.deepStrictEqual(stopped.error?.data, {
        kind: "ServerUnavailable",
        server: "one",
        state: "stopped",
        hint: "start it: mcp-pool start one"
      })
    })
  )

  it.live("shows no value of an environment and no argument", () =>
    Effect.gen(function* () {
      const secret = "s3cr3t-value"
      const { dial, logged, pool } = yield* TestPool.make(({ bad }) => {
        const exits = bad("exits", { restart: "never" })
        return {
          missing: { command: "/no/such/command", args: [secret], env: { TOKEN: secret } },
          exits: { ...exits, args: [...(exits.args ?? []), secret], env: { TOKEN: secret } }
        }
      })
      const client = yield* dial("exits")
      const answer = yield* client.call("echo", { text: secret })
      assert.strictEqual(LineClient.kindOf(answer), "ServerUnavailable")
      const logs = yield* Effect.forEach(pool.names, (name) => Stream.runCollect(pool.logs(name, { follow: false })))
      assert.notInclude(JSON.stringify([answer, yield* pool.status, logged(), logs]), secret)
    })
  )
})

const printThenExit = `
  console.error("Error: listen EADDRINUSE: address already in use 127.0.0.1:8080")
  console.error("with token " + process.env.TOKEN)
  process.exit(1)
`
