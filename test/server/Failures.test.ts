import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { defaultPool, type ServerSpec } from "../../src/config/ServerSpec.ts"
import {
  HandshakeFailed,
  type Phase,
  PreflightFailed,
  ProbeFailed,
  type ProcessError,
  ProcessExited,
  ServerConfigError,
  SpawnFailed
} from "../../src/PoolError.ts"
import * as Failures from "../../src/server/Failures.ts"
import * as ServerLog from "../../src/server/ServerLog.ts"
import * as Choices from "../lines/Choices.ts"
import type * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { pidOf } from "./Supervision.ts"

const pid = 77

const specWith = (
  env: Readonly<Record<string, string>>,
  extraEnv: Readonly<Record<string, string>> = {}
): ServerSpec => ({
  name: "one",
  source: "options",
  remote: null,
  command: "one",
  args: [],
  cwd: "/",
  env,
  identity: "",
  fingerprint: "",
  pool: { ...defaultPool, extraEnv }
})

/** A server whose process says some lines and ends. */
const setUp = (spec: ServerSpec = specWith({})) => {
  const log = ServerLog.make()
  const failures = Failures.make(spec, log, () => false)
  const facts = { now: 0, inFlight: 0, nextAttemptAt: null }
  return {
    failures,
    log,
    add: (end: ProcessError, some: Partial<Failures.Facts> = {}) => failures.add(end, { ...facts, ...some }),
    says: (lines: ReadonlyArray<string>) => {
      for (const line of lines) log.add("stderr", pid, line)
      return failures.add(exited({}), facts).stderr
    }
  }
}

const exited = (some: Partial<ProcessExited>): ProcessExited =>
  new ProcessExited({ server: "one", pid, phase: "running", exitCode: 1, signal: null, uptime: 10, ...some })

describe("Failures", () => {
  it("tells when and how a process ended, and what was lost", () => {
    const { add } = setUp()
    const failure = add(exited({ exitCode: null, signal: "SIGSEGV", uptime: 1234 }), {
      now: Date.UTC(2026, 1, 3, 4, 5, 6, 7),
      inFlight: 3,
      nextAttemptAt: Date.UTC(2026, 1, 3, 4, 6)
    })
    assert.deepInclude(failure, {
      at: "2026-02-03T04:05:06.007Z",
      phase: "running",
      kind: "ProcessExited",
      message: 'server "one" was ended by SIGSEGV',
      pid,
      uptime: 1234,
      exitCode: null,
      signal: "SIGSEGV",
      inFlight: 3,
      stderr: [],
      nextAttemptAt: "2026-02-03T04:06:00.000Z"
    })
  })

  it("tells of each kind of failure what is known of it", () => {
    const { add } = setUp()
    const server = "one"
    const ends: ReadonlyArray<readonly [ProcessError, phase: Phase, pid: number | null, uptime: number | null]> = [
      [exited({ uptime: 5 }), "running", pid, 5],
      [exited({ phase: "handshake", uptime: 0 }), "handshake", pid, null],
      [exited({ phase: "preflight", uptime: 0 }), "preflight", pid, null],
      [new ProbeFailed({ server, pid, misses: 3, uptime: 8 }), "running", pid, 8],
      [new HandshakeFailed({ server, pid, timedOut: true, reason: "late" }), "handshake", pid, null],
      [new PreflightFailed({ server, pid, missing: ["a"], listed: [], timedOut: false }), "preflight", pid, null],
      [new SpawnFailed({ server, command: "x", code: "ENOENT", cause: null }), "spawn", null, null],
      [
        new ServerConfigError({ server, file: "f", field: "command", variable: null, reason: "is empty" }),
        "configuration",
        null,
        null
      ]
    ]
    for (const [end, phase, pid, uptime] of ends) {
      const failure = add(end)
      assert.deepInclude(failure, { phase, pid, uptime, kind: end._tag, message: end.message, nextAttemptAt: null })
      if (end._tag !== "ProcessExited") assert.deepInclude(failure, { exitCode: null, signal: null })
    }
  })

  it("keeps the last 20, oldest first", () => {
    const { add, failures } = setUp()
    for (let i = 0; i < 45; i++) {
      add(exited({ exitCode: i }))
      assert.lengthOf(failures.all(), Math.min(20, i + 1))
      assert.strictEqual(failures.all().at(-1)?.exitCode, i)
    }
    assert.deepStrictEqual(
      failures.all().map(({ exitCode }) => exitCode),
      Array.from({ length: 20 }, (_, i) => 25 + i)
    )
  })

  it("keeps the last lines of this process's stderr, and of nothing else", () => {
    const { log, says } = setUp()
    log.add("stderr", 1, "the one before")
    log.add("pool", pid, "running")
    log.stray(pid, "on stdout")
    assert.deepStrictEqual(says(["first", "", "  ", "last"]), ["first", "last"])
    const many = Array.from({ length: 500 }, (_, i) => `line ${i}`)
    assert.deepStrictEqual(says(many), many.slice(-10))
  })

  it("keeps so much of a line, and nothing of it that would steer a terminal", () => {
    const { says } = setUp()
    const [long, steering] = says(["x".repeat(4000), "a\u001b[31mred\u001b[0m\u001b]0;title\u0007\r\u0000\u009bb\tc"])
    assert.strictEqual(long, "x".repeat(300))
    assert.strictEqual(steering, "ared]0;titleb\tc")
  })

  it("conceals the values of the declared environment, and shows what it inherits or what means nothing", () => {
    const env = { TOKEN: "t0k3n-of-one", PORT: "8080", HOME: "/home/somebody", LC_ALL: "de_AT.UTF-8" }
    const { says } = setUp(specWith(env, { EXTRA: "extra-s3cr3t" }))
    assert.deepStrictEqual(says([`TOKEN=${env.TOKEN}&${env.TOKEN}, extra-s3cr3t`]), ["TOKEN=***&***, ***"])
    assert.deepStrictEqual(says(["8080 in /home/somebody, de_AT.UTF-8"]).slice(-1), [
      "8080 in /home/somebody, de_AT.UTF-8"
    ])
  })

  it("conceals a value that is coloured in the middle", () => {
    const { says } = setUp(specWith({ TOKEN: "t0k3n-of-one" }))
    assert.deepStrictEqual(says(["is t0k3n-\u001b[1mof-one\u001b[0m"]), ["is ***"])
  })

  it.effect.prop(
    "shows no piece of a concealed value, wherever a line is cut and whatever values have in common",
    {
      world: Choices.from((choices) => {
        const part = () => Array.from({ length: 1 + choices.below(40) }, () => choices.of([..."0123456789"])).join("")
        const start = part()
        const secrets = [start, ...choices.some(4, (choices) => `${choices.of(["", start])}${part()}`)].filter(
          ({ length }) => length >= 6
        )
        const value = choices.chance(30) ? secrets.join("\n") : undefined
        const lines = choices.some(15, (choices) =>
          choices.some(20, (choices) => (choices.chance(60) ? choices.of(["", ...secrets]) : word(choices))).join(" ")
        )
        return { lines, values: value === undefined ? secrets : [value] }
      })
    },
    ({ world: { lines, values } }) =>
      Effect.sync(() => {
        const { says } = setUp(specWith(Object.fromEntries(values.map((value, i) => [`SECRET_${i}`, value]))))
        const shown = says(lines)
        assert.isAtMost(shown.length, 10)
        for (const line of shown) {
          assert.isAtMost(line.length, 300)
          // Words have no digits.
          assert.notMatch(line, /\d/)
        }
      }),
    { arbitrary: { runs: 500, size: 200 } }
  )
})

const word = (choices: Choices.Choices) => "x".repeat(choices.below(50))

/** The server `one` as `complains.ts`: a process that begins says these words on stderr. */
const complaining = Effect.fnUntraced(function* (words: string, manner: string, entry: object) {
  const file = path.join(yield* TestPool.temporaryDirectory, "words")
  fs.writeFileSync(file, words)
  const it = yield* TestPool.make(
    ({ marker }) => ({
      one: {
        command: process.execPath,
        args: [TestPool.fixture("complains.ts"), `${marker}-one`, file, manner],
        ...entry
      }
    }),
    { start: false }
  )
  yield* it.pool.start("one")
  return it
})

/** All that a client was sent, as text. */
const bytesOf = (client: LineClient.LineClient): string =>
  client
    .received()
    .map((it) => JSON.stringify(it))
    .join("\n")

describe("the failures of a server", () => {
  it.live("are recorded in status and in its log, with what the process said", () =>
    Effect.gen(function* () {
      const env = { TOKEN: "t0k3n-of-one" }
      const words = `starting with t0k3n-of-one and s3ss10n-key\n\u001b[31mall good\u001b[0m\n`
      const it = yield* complaining(words, "", { env, pool: { extraEnv: { KEY: "s3ss10n-key" } } })
      const [client, other] = [yield* it.connect("one"), yield* it.connect("one")]
      const before = yield* pidOf(client)
      yield* Tools.startSleeping(client, "first", 100)
      yield* Tools.startSleeping(other, "second", 100)
      yield* client.call("exit", { code: 7 })
      const step = yield* it.states.reached("one", "running", 2)
      const [status] = yield* it.pool.status
      const [failure, ...others] = status?.failures ?? []
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(failure, status?.lastFailure)
      assert.deepInclude(failure, {
        phase: "running",
        kind: "ProcessExited",
        message: 'server "one" exited with code 7',
        classification: "unknown",
        pid: before,
        exitCode: 7,
        signal: null,
        inFlight: 3,
        stderr: ["starting with *** and ***", "all good"],
        hint: "see what it printed: mcp-pool logs one"
      })
      assert.isAbove(failure?.uptime ?? 0, 0)
      assert.isAtLeast(Date.parse(failure?.nextAttemptAt ?? ""), Date.parse(failure?.at ?? ""))
      assert.isAtMost(Date.parse(failure?.at ?? ""), Date.parse(step.at))

      const logged = yield* Stream.runCollect(it.pool.logs("one", { follow: false }))
      const [running, ended, ...more] = logged.filter(({ pid, source }) => source === "pool" && pid === before)
      assert.deepStrictEqual([running?.text, more], ["running", []])
      assert.isTrue(ended?.text.startsWith(`restarting: ${failure?.message}`), ended?.text)
      assert.isTrue(ended?.text.endsWith(failure?.hint ?? "?"), ended?.text)
    })
  )

  it.live("are at most 20, oldest first", () =>
    Effect.gen(function* () {
      const it = yield* complaining("", "", { pool: { budget: { max: 1000, base: 0 } } })
      for (let i = 1; i <= 22; i++) {
        yield* it.states.reached("one", "running", i)
        const [status] = yield* it.pool.status
        process.kill(status?.pid ?? 0, "SIGKILL")
        yield* it.states.reached("one", "restarting", i)
      }
      yield* it.states.reached("one", "running", 23)
      const [status] = yield* it.pool.status
      const pids = it.states.steps("one").flatMap(({ failure }) => (failure === null ? [] : [failure.pid]))
      assert.lengthOf(pids, 22)
      assert.deepStrictEqual(
        status?.failures.map(({ pid }) => pid),
        pids.slice(-20)
      )
      assert.strictEqual(status?.restarts, 22)
    })
  )

  for (const [title, words] of [
    ["nothing that tells", "precious words\nError: of a secret path /var/lib/precious\n    at precious.js:1\n"],
    ["what is missing", "Error: Cannot find module 'left-pad'\nRequire stack:\n- /var/lib/precious/index.js\n"]
  ] as const) {
    it.live(`tell a client their kind and what to do where it said ${title}, and none of its words`, () =>
      Effect.gen(function* () {
        const it = yield* complaining(words, "exits", { pool: { budget: { max: 1 } } })
        const { failure } = yield* it.states.reached("one", "crash-loop")
        assert.include(failure?.stderr.join("\n"), "precious")
        const client = yield* it.dial("one")
        const answers = [yield* client.initialize, yield* client.call("echo"), yield* client.request("tools/list")]
        for (const { error } of answers) {
          assert.deepStrictEqual(error?.data, {
            kind: "ServerUnavailable",
            server: "one",
            state: "crash-loop",
            failure: { kind: failure?.classification, hint: failure?.hint },
            nextAttemptAt: failure?.nextAttemptAt
          })
        }
        const bytes = bytesOf(client)
        assert.notInclude(bytes, "precious")
        assert.notInclude(bytes, "exited")
        assert.notInclude(bytes, "complains")
        assert.notInclude(bytes, it.marker)
        for (const line of words.trim().split("\n")) assert.notInclude(bytes, JSON.stringify(line.trim()).slice(1, -1))
      })
    )
  }

  it.live("tell a client whose call was lost nothing more", () =>
    Effect.gen(function* () {
      const it = yield* complaining("precious words\n", "", {})
      const [client, other] = [yield* it.connect("one"), yield* it.connect("one")]
      yield* Tools.startSleeping(other, "held", 100)
      const crash = yield* Effect.forkChild(client.call("signal", { signal: "SIGSEGV" }))
      for (const { error } of [yield* Fiber.join(crash), yield* other.answer(100)]) {
        assert.deepStrictEqual(error?.data, { kind: "OutcomeUnknown", server: "one" })
      }
      yield* Tools.serves(other)
      for (const bytes of [bytesOf(client), bytesOf(other)]) {
        assert.notInclude(bytes, "precious")
        assert.notInclude(bytes, "SIGSEGV")
      }
    })
  )
})
