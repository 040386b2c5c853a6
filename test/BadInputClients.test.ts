/** Clients that do what clients should not. Whatever they do: a clear answer, and nobody else disturbed. */
import { assert, describe, it, vi } from "@effect/vitest"
import { Clock, Effect, Fiber, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import * as LineClient from "./support/LineClient.ts"
import * as Memory from "./support/Memory.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"
import * as Tools from "./support/Tools.ts"

/** A server, and a client of it that has done nothing wrong. */
const setUp = Effect.fnUntraced(function* (pool: Parameters<TestPool.Fixtures["server"]>[1] = {}) {
  const testPool = yield* TestPool.make(({ server }) => ({ shared: server("shared", pool) }))
  const bystander = yield* testPool.connect("shared")
  return { ...testPool, bystander }
})

describe("a client that", () => {
  it.live("sends garbage is told so and stays connected", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      for (const garbage of [
        "hello",
        '{"jsonrpc":"2.0","id":1,"method":"ping"',
        '{"a":1}}',
        "{'id':1}",
        "\u0000",
        "]["
      ]) {
        yield* client.sendRaw(`${garbage}\n`)
        const { error, id } = yield* client.answer(null)
        assert.isNull(id)
        assert.strictEqual(error?.code, -32700)
      }
      yield* Tools.serves(client)
      yield* Tools.serves(bystander)
    })
  )

  it.live("sends JSON that is no message is told what is wrong with it, under its id where it has one", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      const shapes: ReadonlyArray<readonly [line: string, id: unknown, code: number]> = [
        ["{}", null, -32600],
        ['{"jsonrpc":"2.0","id":1}', 1, -32600],
        ['{"jsonrpc":"2.0","id":2,"method":5}', 2, -32600],
        ['{"id":3,"method":"ping"}', 3, -32600],
        ['{"jsonrpc":"1.0","id":"4","method":"ping"}', "4", -32600],
        ['{"jsonrpc":2.0,"id":5,"method":"ping"}', 5, -32600],
        ['{"jsonrpc":"2.0","id":6,"method":"tools/call","params":[1]}', 6, -32602],
        ['{"jsonrpc":"2.0","id":7,"method":"tools/call","params":null}', 7, -32602],
        ['{"jsonrpc":"2.0","id":8,"method":"initialize"}', 8, -32602],
        ['{"jsonrpc":"2.0","id":9,"method":"logging/setLevel","params":{"level":"loud"}}', 9, -32602],
        ['{"jsonrpc":"2.0","id":10,"method":"resources/subscribe","params":{}}', 10, -32602],
        ['{"jsonrpc":"2.0","id":11,"method":"resources/unsubscribe","params":{"uri":1}}', 11, -32602]
      ]
      for (const [line, id, code] of shapes) {
        yield* client.sendRaw(`${line}\n`)
        const { error } = yield* client.answer(id)
        assert.strictEqual(error?.code, code, line)
      }
      yield* Tools.serves(client)
      yield* Tools.serves(bystander)
    })
  )

  it.live("sends JSON that is not even an object is told that the request is invalid, not that it is no JSON", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const client = yield* connect("shared")
      for (const line of ["5", '"text"', "null", "true"]) {
        yield* client.sendRaw(`${line}\n`)
        assert.strictEqual((yield* client.answer(null)).error?.code, -32600, line)
      }
    })
  )

  it.live("sends notifications of a wrong shape gets no answer, and the server none of them", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const client = yield* connect("shared")
      yield* client.sendRaw(
        '{"method":"notifications/wrong"}\n{"jsonrpc":"2.0","method":"notifications/wrong","params":1}\n'
      )
      yield* client.sendRaw('\r\n\n{"jsonrpc":"2.0","method":"notifications/right"}\r\n')
      const stats = yield* Tools.stats(client)
      assert.deepStrictEqual(stats.notifications, ["notifications/right"])
      assert.strictEqual(client.received().length, 2)
    })
  )

  it.live("sends a line of 100 MB is refused under its id where that is known, and stays connected", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      const piece = Buffer.alloc(1_000_000, "x")
      const before = yield* Memory.live
      const lines = [
        { head: '{"jsonrpc":"2.0","id":"first","method":"tools/call","params":{"text":"', tail: '"}}\n', id: "first" },
        { head: '{"method":"tools/call","params":{"text":"', tail: '"},"jsonrpc":"2.0","id":77}\n', id: 77 },
        { head: "", tail: "\n", id: null }
      ]
      for (const { head, id, tail } of lines) {
        yield* client.sendRaw(head)
        for (let i = 0; i < 100; i++) yield* client.sendRaw(piece)
        yield* client.flushed
        assert.isBelow((yield* Memory.live) - before, 12 * mebibyte)
        yield* Tools.serves(bystander)
        yield* client.sendRaw(tail)
        const { error } = yield* client.answer(id)
        assert.strictEqual(error?.code, -32600)
        const bytes = 100_000_000 + head.length + tail.length - 1
        assert.strictEqual(error?.message, `the line of ${bytes} bytes is longer than maxLine (10485760 bytes)`)
      }
      assert.strictEqual((yield* Tools.stats(client)).calls, 4)
    })
  )

  it.live("answers what nobody asked is not heard", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      yield* client.send({ id: 1, result: {} })
      yield* client.send({ id: "question", error: { code: 1, message: "no" } })
      const stats = yield* Tools.stats(client)
      assert.deepStrictEqual(stats.answers, [])
      assert.strictEqual(client.received().length, 2)
      yield* Tools.serves(bystander)
    })
  )

  it.live("uses an id twice at once gets both answers", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      yield* Tools.startSleeping(client, "first", "twin")
      yield* Tools.startSleeping(client, "second", "twin")
      yield* bystander.call("wake", { label: "second" })
      assert.strictEqual(LineClient.textOf(yield* client.answer("twin")), "woken")
      yield* bystander.call("wake", { label: "first" })
      assert.strictEqual(LineClient.textOf(yield* client.answer("twin")), "woken")
      assert.strictEqual((yield* Tools.stats(client)).cancellations.length, 0)
    })
  )

  it.live("sends no more still gets its answers, and then the end", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      yield* Tools.startSleeping(client, "long", "long")
      // The last line may lack its line feed.
      yield* client.sendRaw(
        '{"jsonrpc":"2.0","id":"last","method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}'
      )
      yield* client.halfClose
      assert.strictEqual(LineClient.textOf(yield* client.answer("last")), "x")
      const ended = yield* Effect.forkChild(client.closed)
      yield* bystander.call("wake", { label: "long" })
      assert.strictEqual(LineClient.textOf(yield* client.answer("long")), "woken")
      yield* Fiber.join(ended)
      assert.deepStrictEqual((yield* Tools.stats(bystander)).cancellations, [])
    })
  )

  it.live("says all it has to say at once and sends no more gets every answer", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp()
      const client = yield* dial("shared")
      yield* client.send({ id: 1, method: "initialize", params: { protocolVersion: "2025-11-25" } })
      yield* client.send({ id: 2, method: "tools/list" })
      yield* client.send({ id: 3, method: "ping" })
      yield* client.halfClose
      for (const id of [1, 2, 3]) assert.isDefined((yield* client.answer(id)).result)
      yield* client.closed
    })
  )

  it.live("is killed has its calls cancelled at the server", () =>
    Effect.gen(function* () {
      const { bystander, marker, runtimeDir } = yield* setUp()
      yield* Tools.startSleeping(bystander, "stays", "stays")
      const client = yield* clientProcess(marker, RuntimeDir.serverSocket(runtimeDir, "shared"))
      client.send({ id: 0, method: "initialize", params: { protocolVersion: "2025-11-25" } })
      client.send({ method: "notifications/initialized" })
      const params = { name: "sleep", arguments: { label: "killed" }, _meta: { progressToken: 1 } }
      client.send({ id: "stays", method: "tools/call", params })
      yield* client.printed("sleeping")

      const killedAt = yield* Clock.currentTimeMillis
      client.kill()
      const [cancelled, ...others] = yield* Tools.until(bystander, "cancellations", 1)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(cancelled?.label, "killed")
      assert.isBelow((cancelled?.at ?? Infinity) - killedAt, 250)
      yield* bystander.call("wake", { label: "stays" })
      assert.strictEqual(LineClient.textOf(yield* bystander.answer("stays")), "woken")
    })
  )

  it.live("sends no more, and then is gone, has its calls cancelled too", () =>
    Effect.gen(function* () {
      yield* fakeIntervals
      const { bystander, connect } = yield* setUp()
      const client = yield* connect("shared")
      yield* Tools.startSleeping(client, "half", 1)
      yield* client.halfClose
      yield* Tools.serves(bystander)
      yield* client.destroy
      yield* Tools.serves(bystander)
      vi.advanceTimersByTime(1_000)
      assert.strictEqual((yield* Tools.until(bystander, "cancellations", 1))[0]?.label, "half")
    })
  )

  it.live("is gone, or cancels, is heard by the server within 50 ms with the right call", () =>
    Effect.gen(function* () {
      const { bystander, connect } = yield* setUp()
      const delays: Array<number> = []
      for (let round = 1; round <= 20; round++) {
        const label = `round-${round}`
        const client = yield* connect("shared")
        yield* Tools.startSleeping(client, label, 1)
        const at = yield* Clock.currentTimeMillis
        if (round % 2 === 0) yield* client.destroy
        else yield* client.notify("notifications/cancelled", { requestId: 1 })
        const seen = yield* Tools.until(bystander, "cancellations", round)
        assert.deepStrictEqual(seen.map((cancelled) => cancelled.label).at(-1), label)
        delays.push(seen.at(-1)!.at - at)
      }
      delays.sort((a, b) => a - b)
      // A machine under load may stall once.
      assert.isAtMost(delays[delays.length - 3]!, 50, `milliseconds: ${delays.join(" ")}`)
    })
  )

  it.live("does not read is closed once more than maxUnread waits for it, and the others do not notice", () =>
    Effect.gen(function* () {
      const { bystander, connect, logged, pool } = yield* setUp({ maxUnread: mebibyte })
      const client = yield* connect("shared")
      const sleeper = yield* connect("shared")
      yield* Tools.startSleeping(sleeper, "sleeper", "sleeper")
      yield* client.pause
      const before = yield* Memory.live
      for (let i = 0; i < 40; i++) {
        yield* client.send({ id: i, method: "tools/call", params: { name: "big", arguments: { bytes: mebibyte / 4 } } })
        yield* Tools.serves(bystander)
      }
      // The server has answered all of it by now; what is beyond the bound is nowhere.
      yield* Tools.serves(bystander)
      assert.isBelow((yield* Memory.live) - before, 4 * mebibyte)
      assert.deepStrictEqual(
        logged().filter(({ message }) => message.startsWith("session closed")),
        [
          {
            level: "WARN",
            message: "session closed: it does not read: more than maxUnread is waiting for it",
            annotations: { server: "shared", session: 2, client: "line-client" }
          }
        ]
      )
      assert.deepStrictEqual(
        (yield* pool.sessions).map(({ id }) => id),
        [1, 3]
      )
      yield* client.resume
      yield* client.closed
      yield* bystander.call("wake", { label: "sleeper" })
      assert.strictEqual(LineClient.textOf(yield* sleeper.answer("sleeper")), "woken")
    })
  )

  it.live("has little room still gets one message that is larger", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp({ maxUnread: "1 KiB" })
      const client = yield* connect("shared")
      for (const bytes of [mebibyte, 4 * mebibyte]) {
        assert.strictEqual(LineClient.textOf(yield* client.call("big", { bytes })).length, bytes)
      }
    })
  )

  it.live("reads nothing for 10 s while something waits is closed", () =>
    Effect.gen(function* () {
      yield* fakeIntervals
      const { bystander, connect, logged } = yield* setUp()
      const client = yield* connect("shared")
      yield* client.pause
      yield* client.send({ id: 1, method: "tools/call", params: { name: "big", arguments: { bytes: mebibyte } } })
      yield* Tools.serves(bystander)
      vi.advanceTimersByTime(9_000)
      yield* Tools.serves(bystander)
      assert.deepStrictEqual(closings(logged()), [])
      vi.advanceTimersByTime(3_000)
      assert.deepStrictEqual(closings(logged()), [
        "session closed: it reads nothing for 10 s while something waits for it"
      ])
      yield* client.resume
      yield* client.closed
      yield* Tools.serves(bystander)
    })
  )

  describe("sends a batch", () => {
    it.live("gets an answer for each request in it, one a line", () =>
      Effect.gen(function* () {
        const { bystander, connect } = yield* setUp()
        const client = yield* connect("shared")
        const echo = (id: unknown, text: string) => ({
          jsonrpc: "2.0",
          id,
          method: "tools/call",
          params: { name: "echo", arguments: { text } }
        })
        const batch = [
          echo(1, "one"),
          { jsonrpc: "2.0", method: "notifications/within" },
          echo("1", "[two]"),
          echo(2, "},{")
        ]
        yield* client.sendRaw(`${JSON.stringify(batch, null, 1).replaceAll("\n", " ")}\n`)
        assert.strictEqual(LineClient.textOf(yield* client.answer(1)), "one")
        assert.strictEqual(LineClient.textOf(yield* client.answer("1")), "[two]")
        assert.strictEqual(LineClient.textOf(yield* client.answer(2)), "},{")
        assert.deepStrictEqual((yield* Tools.stats(bystander)).notifications, ["notifications/within"])
      })
    )

    it.live("with some bad elements is answered element by element", () =>
      Effect.gen(function* () {
        const { connect } = yield* setUp()
        const client = yield* connect("shared")
        yield* client.sendRaw('[1,{"jsonrpc":"2.0","id":"good","method":"ping"},{"jsonrpc":"2.0","id":"bad"},[],"x"]\n')
        assert.deepStrictEqual((yield* client.answer("good")).result, {})
        assert.strictEqual((yield* client.answer("bad")).error?.code, -32600)
        for (let i = 0; i < 3; i++) assert.strictEqual((yield* client.answer(null)).error?.code, -32600)
        yield* Tools.serves(client)
        assert.strictEqual(client.received().length, 7)
      })
    )

    it.live("that is empty is told so", () =>
      Effect.gen(function* () {
        const { connect } = yield* setUp()
        const client = yield* connect("shared")
        yield* client.sendRaw(" [ ] \n")
        assert.strictEqual((yield* client.answer(null)).error?.code, -32600)
        yield* Tools.serves(client)
      })
    )
  })
})

/** What the listener does every second it does when the test says so. */
const fakeIntervals = Effect.acquireRelease(
  Effect.sync(() => vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"] })),
  () => Effect.sync(() => vi.useRealTimers())
)

/** The reasons for which sessions were closed. */
const closings = (lines: ReadonlyArray<TestPool.LogLine>) =>
  lines.map(({ message }) => message).filter((message) => message.startsWith("session closed"))

/** A client in a process of its own; killed with the scope. */
const clientProcess = Effect.fnUntraced(function* (
  marker: string,
  socket: string
): Effect.fn.Return<
  {
    readonly send: (message: object) => void
    /** Returns when it has printed a text. */
    readonly printed: (text: string) => Effect.Effect<void>
    readonly kill: () => void
  },
  never,
  Scope.Scope
> {
  const child: ChildProcess = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [TestPool.fixture("client.ts"), `${marker}-client`, socket], {
        stdio: ["pipe", "pipe", "inherit"]
      })
    ),
    (child) =>
      Effect.sync(() => child.kill("SIGKILL")).pipe(Effect.andThen(Effect.orDie(Processes.gone(`${marker}-client`))))
  )
  let output = ""
  child.stdout?.on("data", (chunk) => (output += String(chunk)))
  return {
    send: (message) => child.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`),
    printed: (text) =>
      Effect.callback((resume) => {
        const look = () => {
          if (!output.includes(text)) return
          child.stdout?.off("data", look)
          resume(Effect.void)
        }
        child.stdout?.on("data", look)
        look()
      }),
    kill: () => child.kill("SIGKILL")
  }
})

const mebibyte = 1024 * 1024
