/** Servers that do what servers should not. Whatever they do: a clear error, nobody else disturbed, nothing left running. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../src/config/PoolOptions.ts"
import * as LineClient from "./support/LineClient.ts"
import * as Memory from "./support/Memory.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"
import * as Tools from "./support/Tools.ts"

describe("a server that", () => {
  it.live("is missing fails at once, and says what to do", () =>
    Effect.gen(function* () {
      const { connect, dial, pool, states } = yield* TestPool.make(({ server }) => ({
        bad: { command: "/no/such/command" },
        good: server("good")
      }))
      const failed = yield* states.reached("bad", "failed")
      assert.strictEqual(failed.failure?.kind, "SpawnFailed")
      assert.strictEqual(failed.failure?.message, 'server "bad" did not start: /no/such/command: ENOENT')
      assert.strictEqual(failed.failure?.hint, '"command" is not where "command" says: mend the path')
      assert.isNull(failed.failure?.nextAttemptAt)
      assert.deepStrictEqual((yield* pool.status)[0]?.lastFailure, failed.failure)

      const client = yield* dial("bad")
      for (const answer of [yield* client.initialize, yield* client.call("echo")]) {
        assert.strictEqual(answer.error?.code, 31001)
        assert.deepStrictEqual(answer.error?.data, {
          kind: "ServerUnavailable",
          server: "bad",
          state: "failed",
          failure: { kind: "command-not-found", hint: failed.failure?.hint ?? null },
          nextAttemptAt: null
        })
        assert.strictEqual(
          answer.error?.message,
          `server "bad" cannot run (command-not-found): ${failed.failure?.hint}`
        )
      }
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("is not executable fails at once, and says what to do", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const command = path.join(directory, "server")
      fs.writeFileSync(command, "#!/bin/sh\n", { mode: 0o644 })
      const { connect, states } = yield* TestPool.make(({ server }) => ({ bad: { command }, good: server("good") }))
      const failed = yield* states.reached("bad", "failed")
      assert.strictEqual(failed.failure?.kind, "SpawnFailed")
      assert.match(failed.failure?.message ?? "", /EACCES$/)
      assert.strictEqual(failed.failure?.hint, '"server" is not executable: chmod +x')
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("has no working directory fails at once, and names it", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* TestPool.make(({ server }) => ({
        bad: { ...server("bad"), cwd: "/no/such/directory" },
        good: server("good")
      }))
      const failed = yield* states.reached("bad", "failed")
      assert.match(failed.failure?.message ?? "", /no directory \/no\/such\/directory$/)
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("exits at once is in a crash loop when its budget is spent", () =>
    Effect.gen(function* () {
      const { connect, dial, pool, states } = yield* TestPool.make(
        ({ bad, server }) => ({ bad: bad("exits", { budget: { max: 3, base: "1 millis" } }), good: server("good") }),
        { start: false }
      )
      const starting = yield* Effect.forkChild(pool.startAll)
      const client = yield* dial("bad")
      // Asked while it is starting: the answer comes when there is no hope left.
      const [hello, call] = yield* Effect.all([client.initialize, client.call("echo", {}, { id: "call" })], {
        concurrency: "unbounded"
      })
      const last = yield* states.reached("bad", "crash-loop")
      const hint = "see what it printed: mcp-pool logs bad"
      for (const { error } of [hello, call]) {
        assert.strictEqual(error?.code, 31001)
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "bad",
          state: "crash-loop",
          failure: { kind: "unknown", hint },
          nextAttemptAt: last.failure?.nextAttemptAt ?? null
        })
        assert.strictEqual(
          error?.message,
          `server "bad" is in a crash loop (unknown): ${hint}; next attempt at ${last.failure?.nextAttemptAt}`
        )
      }
      const steps = states.steps("bad")
      assert.deepStrictEqual(
        steps.map(({ to }) => to),
        ["starting", "restarting", "restarting", "crash-loop"]
      )
      const { failure } = steps.at(-1)!
      assert.strictEqual(failure?.kind, "ProcessExited")
      assert.strictEqual(failure?.phase, "handshake")
      assert.strictEqual(failure?.exitCode, 3)
      assert.strictEqual(failure?.hint, hint)
      assert.include(failure?.message, "exited with code 3 before it answered initialize")
      yield* Fiber.join(starting)
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("never answers initialize fails its handshake after startTimeout, and is ended", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, states } = yield* TestPool.make(({ bad, server }) => ({
        bad: bad("silent", { startTimeout: "150 millis", restart: "never" }),
        good: server("good")
      }))
      const failed = yield* states.reached("bad", "failed")
      assert.strictEqual(failed.failure?.kind, "HandshakeFailed")
      assert.strictEqual(failed.failure?.phase, "handshake")
      assert.match(failed.failure?.message ?? "", /no answer to initialize within 150ms \(pool\.startTimeout\)$/)
      assert.deepStrictEqual(yield* Processes.withMarker(`${marker}-silent`), [])
      assert.isFalse(yield* pool.isRunning("bad"))
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("answers initialize with an error fails its handshake, and is ended", () =>
    Effect.gen(function* () {
      const { connect, marker, states } = yield* TestPool.make(({ bad, server }) => ({
        bad: bad("refuses", { restart: "never" }),
        good: server("good")
      }))
      const failed = yield* states.reached("bad", "failed")
      assert.strictEqual(failed.failure?.kind, "HandshakeFailed")
      assert.match(failed.failure?.message ?? "", /initialize was answered with error -32000$/)
      assert.deepStrictEqual(yield* Processes.withMarker(`${marker}-refuses`), [])
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("prints garbage between its lines is understood, and the garbage is logged", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ bad, server }) => ({
        bad: bad("garbage"),
        good: server("good")
      }))
      yield* Tools.serves(yield* connect("bad"))
      yield* Tools.serves(yield* connect("good"))
      const logged = yield* Stream.runCollect(pool.logs("bad", { follow: false }))
      const garbage = logged.filter(({ source }) => source === "stdout").map(({ text }) => text)
      // Before the handshake a JSON object that is no message is passed over in silence.
      assert.deepStrictEqual(new Set(garbage), new Set(["listening on port 80", '{"no":"message"}', '{"half":']))
    })
  )

  for (const idLast of [false, true]) {
    it.live(`answers with a line of 100 MB has it refused under its own id (${idLast ? "last" : "first"} in it)`, () =>
      Effect.gen(function* () {
        const { connect, pool } = yield* TestPool.make(({ server }) => ({ bad: server("bad"), good: server("good") }))
        const client = yield* connect("bad")
        const other = yield* connect("good")
        const before = yield* Memory.live
        const call = yield* Effect.forkChild(
          client.call("big", { bytes: 100_000_000, hold: true, idLast }, { id: "mine" })
        )
        // All but the end of the line has been read.
        yield* firstLog(pool.logs("bad", { follow: true }), "holding")
        assert.isBelow((yield* Memory.live) - before, 12 * mebibyte)
        yield* Tools.serves(other)
        yield* client.call("release")
        const { error, id } = yield* Fiber.join(call)
        assert.strictEqual(id, "mine")
        assert.strictEqual(error?.code, 31005)
        assert.deepStrictEqual(error?.data, { kind: "ResultTooLarge", server: "bad", maxLine: 10_485_760 })
        assert.match(error?.message ?? "", /longer than maxLine \(10485760 bytes\)/)
        yield* Tools.serves(client)
      })
    )
  }

  it.live("prints 100 MB of garbage in one line goes on serving", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ server }) => ({ bad: server("bad"), good: server("good") }))
      const client = yield* connect("bad")
      const call = yield* Effect.forkChild(client.call("garbage", { bytes: 100_000_000 }))
      yield* Tools.serves(yield* connect("good"))
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "done")
      const logged = yield* Stream.runCollect(pool.logs("bad", { follow: false }))
      assert.include(
        logged.map(({ text }) => text),
        "a line of 100000000 bytes, longer than maxLine"
      )
    })
  )

  it.live("closes stdout but lives on is ended and started again", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* TestPool.make(({ server }) => ({
        bad: server("bad"),
        good: server("good")
      }))
      const pid = (yield* pool.status)[0]?.pid ?? 0
      const client = yield* connect("bad")
      assert.strictEqual(LineClient.kindOf(yield* client.call("close_stdout")), "OutcomeUnknown")
      const again = yield* states.reached("bad", "running", 2)
      assert.isFalse(yield* Processes.isAlive(pid))
      assert.notStrictEqual(again.pid, pid)
      const { failure } = yield* states.reached("bad", "restarting")
      assert.strictEqual(failure?.message, 'server "bad" closed its stdin or stdout')
      assert.isNull(failure?.exitCode)
      yield* Tools.serves(client)
      yield* Tools.serves(yield* connect("good"))
    })
  )

  it.live("closes stdin but lives on is ended, and what it never read goes to the next", () =>
    Effect.gen(function* () {
      const once = path.join(yield* TestPool.temporaryDirectory, "once")
      const answer =
        '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}}'
      const script = `read line; printf '%s\\n' '${answer}'; read line; exec 0<&-; echo deaf >&2; while :; do sleep 1; done`
      const { connect, pool, states } = yield* TestPool.make(({ marker, server }) => ({
        bad: {
          command: "sh",
          args: [
            "-c",
            `if mkdir "${once}"; then ${script}; else exec "$@"; fi`,
            marker,
            process.execPath,
            ...(server("bad").args ?? [])
          ]
        }
      }))
      const client = yield* connect("bad")
      yield* pool.logs("bad", { follow: true }).pipe(
        Stream.filter(({ text }) => text === "deaf"),
        Stream.runHead
      )
      assert.strictEqual(LineClient.textOf(yield* client.call("echo", { text: "unread" })), "unread")
      const { failure } = yield* states.reached("bad", "restarting")
      assert.strictEqual(failure?.message, 'server "bad" closed its stdin or stdout')
      assert.isFalse(yield* Processes.isAlive(failure?.pid ?? 0))
    })
  )

  it.live("speaks an unknown protocol version fails its handshake, and is ended", () =>
    Effect.gen(function* () {
      const { marker, states } = yield* TestPool.make(({ bad }) => ({ bad: bad("futuristic", { restart: "never" }) }))
      const { failure } = yield* states.reached("bad", "failed")
      assert.strictEqual(failure?.kind, "HandshakeFailed")
      assert.strictEqual(failure?.classification, "protocol-mismatch")
      assert.match(failure?.message ?? "", /does not speak its protocol version "9999-01-01"$/)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
    })
  )

  it.live("ignores the end of its stdin and SIGTERM is killed", () =>
    Effect.gen(function* () {
      const { connect, marker, pool } = yield* TestPool.make(({ bad, server }) => ({
        bad: bad("stubborn", briefly),
        good: server("good")
      }))
      yield* Tools.serves(yield* connect("bad"))
      const other = yield* connect("good")
      const stopping = yield* Effect.forkChild(pool.stop("bad"))
      yield* Tools.serves(other)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* Processes.withMarker(`${marker}-stubborn`), [])
      yield* Tools.serves(other)
    })
  )

  it.live("floods stderr is read as fast as it writes, and its last lines are kept", () =>
    Effect.gen(function* () {
      const before = yield* Memory.live
      const { connect, pool } = yield* TestPool.make(({ bad, server }) => ({ bad: bad("flood"), good: server("good") }))
      yield* Tools.serves(yield* connect("bad"))
      yield* Tools.serves(yield* connect("good"))
      const logged = yield* Stream.runCollect(pool.logs("bad", { follow: false }))
      const stderr = logged.filter(({ source }) => source === "stderr").map(({ text }) => text)
      assert.strictEqual(stderr.at(-1), "that was all")
      assert.isBelow(stderr.length, 2500)
      assert.isBelow((yield* Memory.live) - before, 12 * mebibyte)
    })
  )

  it.live("leaves grandchildren has them killed with it, when it crashes and when it is stopped", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, states } = yield* TestPool.make(({ bad, server }) => ({
        bad: bad("parent", briefly),
        good: server("good")
      }))
      const first = yield* Processes.withMarker(`${marker}-parent`)
      assert.strictEqual(first.length, 2)
      const client = yield* connect("bad")
      yield* Tools.serves(client)
      assert.strictEqual(LineClient.kindOf(yield* client.call("exit", { code: 1 })), "OutcomeUnknown")
      yield* states.reached("bad", "running", 2)
      const second = yield* Processes.withMarker(`${marker}-parent`)
      assert.strictEqual(second.length, 2)
      assert.deepStrictEqual(
        second.filter((pid) => first.includes(pid)),
        []
      )
      yield* Tools.serves(client)
      yield* Tools.serves(yield* connect("good"))
      yield* pool.stop("bad")
      assert.deepStrictEqual(yield* Processes.withMarker(`${marker}-parent`), [])
    })
  )

  it.live("crashes is being restarted at once, also while a grandchild takes its time to end", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, states } = yield* TestPool.make(({ bad }) => ({
        bad: bad("parent", { stop: { stdin: "10 millis", term: "2 seconds" } })
      }))
      const client = yield* connect("bad")
      const { pid } = yield* Tools.stats(client)
      const [grandchild = 0] = (yield* Processes.withMarker(`${marker}-parent`)).filter((other) => other !== pid)
      yield* client.send({ id: "exit", method: "tools/call", params: { name: "exit", arguments: { code: 1 } } })
      yield* states.reached("bad", "restarting")
      assert.isTrue(yield* Processes.isAlive(grandchild))
      const [status] = yield* pool.status
      assert.strictEqual(status?.state, "restarting")
      assert.isNull(status?.pid)
      assert.strictEqual(LineClient.kindOf(yield* client.answer("exit")), "OutcomeUnknown")
      assert.isTrue(yield* Processes.isAlive(grandchild))
    })
  )

  describe("does not read its stdin", () => {
    const megabyte = "x".repeat(1_000_000)
    const ids = Array.from({ length: 50 }, (_, index) => `held-${index}`)
    const lengthCall = (id: string) => ({
      id,
      method: "tools/call",
      params: { name: "length", arguments: { text: megabyte } }
    })

    it.live("has as much waiting for it as is allowed, serves other servers, and gets that when it reads again", () =>
      Effect.gen(function* () {
        const { connect, pool } = yield* TestPool.make(({ server }) => ({ bad: server("bad"), good: server("good") }))
        const pid = (yield* pool.status)[0]?.pid ?? 0
        const sender = yield* connect("bad")
        const other = yield* connect("good")
        yield* sender.call("deafen")
        for (const id of ids) yield* sender.send(lengthCall(id))
        // The last one is refused at once, whatever the first ones wait for.
        assert.strictEqual(LineClient.kindOf(yield* sender.answer("held-49")), "Overloaded")
        yield* Tools.serves(other)

        process.kill(pid, "SIGUSR2")
        const answers = yield* Effect.forEach(ids.slice(0, -1), (id) => sender.answer(id))
        const refused = answers.filter(({ error }) => error !== undefined)
        assert.deepStrictEqual(new Set(refused.map(LineClient.kindOf)), new Set(["Overloaded"]))
        const served = answers.filter(({ error }) => error === undefined)
        assert.isTrue(served.length >= 16 && served.length < 20, `${served.length} of a megabyte each`)
        for (const answer of served) assert.strictEqual(LineClient.textOf(answer), "1000000")
      })
    )

    it.live("leaves its other clients what needs no server", () =>
      Effect.gen(function* () {
        const { connect, dial } = yield* TestPool.make(({ server }) => ({ bad: server("bad", briefly) }))
        const sender = yield* connect("bad")
        yield* sender.call("deafen")
        for (const id of ids) yield* sender.send(lengthCall(id))
        const neighbour = yield* dial("bad")
        assert.isDefined((yield* neighbour.initialize).result)
        for (let i = 0; i < 20; i++) assert.isDefined((yield* neighbour.request("ping")).result)
      })
    )

    it.live("is ended all the same, and each request is answered", () =>
      Effect.gen(function* () {
        const { connect, marker, pool } = yield* TestPool.make(({ server }) => ({
          bad: server("bad", briefly),
          good: server("good")
        }))
        const sender = yield* connect("bad")
        yield* sender.call("deafen")
        for (const id of ids) yield* sender.send(lengthCall(id))
        yield* Tools.serves(yield* connect("good"))
        yield* pool.stop("bad")
        assert.deepStrictEqual(yield* Processes.withMarker(`${marker}-bad`), [])
        for (const id of ids) {
          assert.include(
            ["OutcomeUnknown", "ServerUnavailable", "Overloaded"],
            LineClient.kindOf(yield* sender.answer(id))
          )
        }
        yield* Tools.serves(yield* connect("good"))
      })
    )
  })
})

/** Returns when a line is logged. */
const firstLog = <E>(logs: Stream.Stream<{ readonly text: string }, E>, text: string) =>
  Stream.runHead(Stream.filter(logs, (entry) => entry.text === text))

/** No long wait for those that do not end by themselves. */
const briefly: PoolOptions = { stop: { stdin: "50 millis", term: "50 millis" } }

const mebibyte = 1024 * 1024
