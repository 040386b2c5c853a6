import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, ByteSize, Duration, Effect, Result, Schema } from "effect"
import { decodePool, type DecodedPoolOptions, unknownPoolKeys } from "../../src/config/PoolOptions.ts"
import {
  decodeServer,
  defaultPool,
  fingerprint as fingerprintOf,
  identity,
  type PoolSettings,
  poolSettings,
  type Probe,
  type ProcessParts,
  type ServerOptions
} from "../../src/config/ServerSpec.ts"

const pool = (input: unknown): DecodedPoolOptions => Result.getOrThrow(decodePool(input))

const settings = (input: unknown, command = "node"): PoolSettings => poolSettings(command, {}, pool(input))

const mistake = (result: Result.Result<unknown, { readonly path: ReadonlyArray<unknown>; readonly reason: string }>) =>
  Result.match(result, {
    onFailure: (wrong) => `${wrong.path.join(".")}: ${wrong.reason}`,
    onSuccess: () => "decoded"
  })

describe("start and idleStop", () => {
  it("are a server's own, else the file's, else the pool's and none", () => {
    const of = (shared: object, own: object) => {
      const { idleStop, start } = poolSettings("node", pool(shared), pool(own))
      return [start, idleStop === undefined ? null : Duration.toMillis(idleStop)]
    }
    assert.deepStrictEqual(of({}, {}), [undefined, null])
    assert.deepStrictEqual(of({ start: "lazy", idleStop: "30 min" }, {}), ["lazy", 1_800_000])
    assert.deepStrictEqual(of({ start: "lazy", idleStop: "30 min" }, { start: "eager", idleStop: "none" }), [
      "eager",
      null
    ])
  })

  it("are nothing else", () => {
    for (const wrong of [{ start: "never" }, { idleStop: 0 }, { idleStop: "soon" }]) {
      assert.notStrictEqual(mistake(decodePool(wrong)), "decoded", JSON.stringify(wrong))
    }
  })
})

describe("durations", () => {
  const cases: ReadonlyArray<readonly [unknown, number]> = [
    ["30 s", 30_000],
    ["30s", 30_000],
    ["500 ms", 500],
    ["5 min", 300_000],
    ["2 seconds", 2_000],
    ["1 second", 1_000],
    ["1 hour", 3_600_000],
    ["1.5 h", 5_400_000],
    ["1 d", 86_400_000],
    ["250 millis", 250],
    [1500, 1500],
    [0, 0],
    [{ seconds: 2, milliseconds: 5 }, 2005],
    [[1, 500_000_000], 1500],
    [2_000_000n, 2],
    [Duration.seconds(7), 7_000]
  ]
  for (const [input, millis] of cases) {
    it(`reads ${typeof input === "string" ? `"${input}"` : typeof input} as ${millis} ms`, () => {
      assert.strictEqual(Duration.toMillis(settings({ queueTimeout: input }).queueTimeout), millis)
    })
  }

  const wrong = [
    "",
    "30",
    "s",
    "-1 s",
    "1 parsec",
    "1 s 2 ms",
    "Infinity",
    "25 days",
    -1,
    NaN,
    Infinity,
    {},
    [1],
    true,
    null
  ]
  for (const input of [...wrong, { second: 1 }, { seconds: "1" }]) {
    it(`refuses ${typeof input === "number" ? String(input) : JSON.stringify(input)}`, () => {
      assert.strictEqual(
        mistake(decodePool({ queueTimeout: input })),
        'queueTimeout: expected a duration such as "30 s", or a number of milliseconds, of at most 24 days'
      )
    })
  }

  it("refuses zero where it means nothing", () => {
    assert.strictEqual(mistake(decodePool({ startTimeout: 0 })), "startTimeout: expected a duration above zero")
    assert.strictEqual(mistake(decodePool({ requestTimeout: "0 s" })), "requestTimeout: expected a duration above zero")
    assert.strictEqual(Duration.toMillis(settings({ stop: { stdin: 0 } }).stop.stdin), 0)
  })
})

describe("sizes", () => {
  const cases: ReadonlyArray<readonly [unknown, number]> = [
    ["10 MiB", 10_485_760],
    ["32MiB", 33_554_432],
    ["1 GB", 1_000_000_000],
    ["1.5 KiB", 1536],
    ["3 bytes", 3],
    [4096, 4096],
    [ByteSize.kibibytes(2), 2048]
  ]
  for (const [input, bytes] of cases) {
    it(`reads ${String(input)} as ${bytes} bytes`, () => {
      assert.strictEqual(settings({ maxLine: input }).maxLine, bytes)
    })
  }

  for (const input of ["", "10", "ten MiB", "1.5 B", -1, 1.5, 0, "0 MiB", true, {}]) {
    it(`refuses ${JSON.stringify(input)}`, () => {
      assert.match(
        mistake(decodePool({ maxLine: input })),
        /^maxLine: expected a size .*"10 MiB" or a number of bytes$/
      )
    })
  }
})

describe("pool settings", () => {
  it("has the defaults of the contract", () => {
    assert.deepStrictEqual(settings({}), defaultPool)
    assert.deepStrictEqual(defaultPool, {
      startTimeout: Duration.seconds(30),
      requestTimeout: undefined,
      queueTimeout: Duration.seconds(30),
      start: undefined,
      idleStop: undefined,
      stop: { stdin: Duration.seconds(2), term: Duration.seconds(5) },
      restart: "on-failure",
      budget: {
        max: 5,
        window: Duration.seconds(60),
        base: Duration.millis(500),
        cap: Duration.seconds(30),
        resetAfter: Duration.minutes(5),
        lifetime: undefined
      },
      requiredTools: [],
      probe: undefined,
      maxMemory: undefined,
      maxAge: undefined,
      extraEnv: {},
      sessionFile: undefined,
      toolCacheTtl: Duration.seconds(300),
      logMessages: "owner",
      sharing: { policy: "shared", min: 1, max: 4 },
      questions: "auto",
      roots: undefined,
      maxInFlight: 64,
      maxConcurrency: undefined,
      maxLine: 10_485_760,
      maxUnread: 33_554_432,
      socket: undefined,
      socketMode: undefined,
      socketGroup: undefined,
      pin: undefined
    })
  })

  for (const command of ["npx", "uvx", "pnpm", "bunx", "docker", "/usr/local/bin/npx", "npx.cmd"]) {
    it(`gives ${command} 180 s to start`, () => {
      assert.deepStrictEqual(poolSettings(command).startTimeout, Duration.seconds(180))
    })
  }

  it("gives other commands 30 s to start", () => {
    for (const command of ["node", "/opt/npx/server", "npx-like", "mydocker"]) {
      assert.deepStrictEqual(poolSettings(command).startTimeout, Duration.seconds(30))
    }
  })

  it("prefers a given startTimeout to the command's", () => {
    assert.deepStrictEqual(settings({ startTimeout: "10 s" }, "npx").startTimeout, Duration.seconds(10))
    assert.deepStrictEqual(poolSettings("npx", pool({ startTimeout: "20 s" })).startTimeout, Duration.seconds(20))
  })

  it("lays a server's settings over the shared ones key by key, within stop and budget too", () => {
    const shared = pool({
      stop: { stdin: "1 s", term: "3 s" },
      budget: { max: 9, window: "10 s" },
      restart: "never",
      socketMode: "0660",
      requestTimeout: "60 s",
      maxUnread: "1 MiB"
    })
    const own = pool({
      stop: { term: "4 s" },
      budget: { max: 2, cap: "5 s" },
      restart: "always",
      requestTimeout: "none"
    })
    const result = poolSettings("node", shared, own)
    assert.deepStrictEqual(result.stop, { stdin: Duration.seconds(1), term: Duration.seconds(4) })
    assert.deepStrictEqual(result.budget, {
      ...defaultPool.budget,
      max: 2,
      window: Duration.seconds(10),
      cap: Duration.seconds(5)
    })
    assert.strictEqual(result.restart, "always")
    assert.strictEqual(result.socketMode, 0o660)
    assert.strictEqual(result.requestTimeout, undefined)
    assert.strictEqual(result.maxUnread, 1_048_576)
  })

  it("reads the limits of a server's processes", () => {
    const result = settings({ budget: { lifetime: 20 }, maxMemory: "1 GiB", maxAge: "1 day", requiredTools: ["echo"] })
    assert.deepStrictEqual(result.budget, { ...defaultPool.budget, lifetime: 20 })
    assert.strictEqual(result.maxMemory, 1_073_741_824)
    assert.deepStrictEqual(result.maxAge, Duration.days(1))
    assert.deepStrictEqual(result.requiredTools, ["echo"])
  })

  it("takes a server's none over the file's number", () => {
    const shared = pool({ budget: { lifetime: 20, max: 9 }, maxMemory: 1024, maxAge: "1 h", requestTimeout: "1 s" })
    const inherited = poolSettings("node", shared)
    assert.strictEqual(inherited.budget.lifetime, 20)
    assert.strictEqual(inherited.maxMemory, 1024)
    assert.deepStrictEqual(inherited.maxAge, Duration.hours(1))
    const own = pool({ budget: { lifetime: "none" }, maxMemory: "none", maxAge: "none", requestTimeout: "none" })
    const result = poolSettings("node", shared, own)
    assert.deepStrictEqual(result.budget, { ...defaultPool.budget, max: 9 })
    assert.strictEqual(result.maxMemory, undefined)
    assert.strictEqual(result.maxAge, undefined)
    assert.strictEqual(result.requestTimeout, undefined)
    assert.strictEqual(poolSettings("node", own, shared).budget.lifetime, 20)
  })

  it("replaces the file's requiredTools by a server's, also by none", () => {
    const shared = pool({ requiredTools: ["a", "b"] })
    assert.deepStrictEqual(poolSettings("node", shared).requiredTools, ["a", "b"])
    assert.deepStrictEqual(poolSettings("node", shared, pool({ requiredTools: ["c"] })).requiredTools, ["c"])
    assert.deepStrictEqual(poolSettings("node", shared, pool({ requiredTools: [] })).requiredTools, [])
  })

  describe("of a probe", () => {
    const probe = (interval: number, timeout: number, misses: number): Probe => ({
      interval: Duration.seconds(interval),
      timeout: Duration.seconds(timeout),
      misses
    })
    const cases: ReadonlyArray<readonly [shared: unknown, own: unknown, expected: Probe | undefined]> = [
      [undefined, undefined, undefined],
      [undefined, false, undefined],
      [undefined, "off", undefined],
      [undefined, true, probe(30, 5, 3)],
      [undefined, "on", probe(30, 5, 3)],
      [undefined, {}, probe(30, 5, 3)],
      [undefined, { interval: "10 s" }, probe(10, 5, 3)],
      [undefined, { interval: "1 min", timeout: "2 s", misses: 1 }, probe(60, 2, 1)],
      [true, undefined, probe(30, 5, 3)],
      [{ misses: 5 }, undefined, probe(30, 5, 5)],
      [{ misses: 5 }, true, probe(30, 5, 5)],
      [{ misses: 5, timeout: "1 s" }, { timeout: "2 s" }, probe(30, 2, 5)],
      [{ misses: 5 }, "off", undefined],
      [{ misses: 5 }, false, undefined],
      [true, "off", undefined],
      ["off", "on", probe(30, 5, 3)],
      [false, { misses: 2 }, probe(30, 5, 2)],
      ["on", { misses: 2 }, probe(30, 5, 2)]
    ]
    for (const [shared, own, expected] of cases) {
      it(`lays ${JSON.stringify(own) ?? "nothing"} over ${JSON.stringify(shared) ?? "nothing"}`, () => {
        assert.deepStrictEqual(poolSettings("node", pool({ probe: shared }), pool({ probe: own })).probe, expected)
      })
    }
  })

  it("lays a server's extraEnv over the file's variable by variable", () => {
    const shared = pool({ extraEnv: { A: "file", B: "file" } })
    const own = pool({ extraEnv: { B: "server", C: "${C}" } })
    assert.deepStrictEqual(poolSettings("node", shared, own).extraEnv, { A: "file", B: "server", C: "${C}" })
    assert.deepStrictEqual(poolSettings("node", shared).extraEnv, { A: "file", B: "file" })
  })

  it("has a session file as JSON text, a server's in place of the file's", () => {
    const shared = pool({ sessionFile: { variable: "FILE", content: { a: 1 } } })
    assert.deepStrictEqual(poolSettings("node", shared).sessionFile, { variable: "FILE", content: '{"a":1}' })
    const own = pool({ sessionFile: { content: ["${A}", null, true, { b: 1.5 }] } })
    assert.deepStrictEqual(poolSettings("node", shared, own).sessionFile, {
      variable: "MCP_POOL_SESSION_FILE",
      content: '["${A}",null,true,{"b":1.5}]'
    })
    for (const content of ["", "text", 0, null, false, [], {}, { ["__proto__"]: { a: 1 } }]) {
      assert.strictEqual(settings({ sessionFile: { content } }).sessionFile?.content, JSON.stringify(content))
    }
  })

  it("writes a session file as deep as a file may be, with what stands there twice", () => {
    const twice = { a: 1 }
    assert.strictEqual(settings({ sessionFile: { content: [twice, twice] } }).sessionFile?.content, '[{"a":1},{"a":1}]')
    const text = "[".repeat(200) + "]".repeat(200)
    assert.strictEqual(settings({ sessionFile: { content: JSON.parse(text) } }).sessionFile?.content, text)
  })

  describe("of a session file that is no JSON", () => {
    const cycle: Array<unknown> = []
    cycle.push({ back: cycle })
    const nested = (levels: number) => Array.from({ length: levels }).reduce((inner) => ({ inner }), "end")
    const cases: ReadonlyArray<readonly [what: string, sessionFile: unknown, mistake: string]> = [
      ["no content", {}, "content: missing key"],
      ["undefined", { content: undefined }, "content: expected a JSON value"],
      ["undefined within", { content: { a: [undefined] } }, "content.a.0: expected a JSON value"],
      ["a hole", { content: [1, , 2] }, "content.1: expected a JSON value"], // oxlint-disable-line no-sparse-arrays
      ["a function", { content: { f: () => 1 } }, "content.f: expected a JSON value"],
      ["a symbol", { content: Symbol("s3cret") }, "content: expected a JSON value"],
      ["a bigint", { content: [1n] }, "content.0: expected a JSON value"],
      ["a number without end", { content: [0, Infinity] }, "content.1: expected a JSON value"],
      ["no number", { content: NaN }, "content: expected a JSON value"],
      ["a date", { content: { at: new Date(0) } }, "content.at: expected a JSON value"],
      ["a map", { content: new Map() }, "content: expected a JSON value"],
      ["a cycle", { content: cycle }, "content.0.back: contains itself"],
      ["201 levels", { content: nested(201) }, "content: is nested deeper than 200 levels"],
      ["100000 levels", { content: nested(100_000) }, "content: is nested deeper than 200 levels"]
    ]
    for (const [what, sessionFile, expected] of cases) {
      it(`refuses ${what}`, () => {
        assert.strictEqual(mistake(decodePool({ sessionFile })), `sessionFile.${expected}`)
      })
    }
  })

  it("refuses names that no variable can have, without showing them", () => {
    for (const name of ["", "s3cret=", "s3cret\0"]) {
      assert.strictEqual(
        mistake(decodePool({ extraEnv: { A: "1", [name]: "s3cret" } })),
        "extraEnv: has a name that no variable can have"
      )
      assert.strictEqual(
        mistake(decodePool({ sessionFile: { variable: name, content: "s3cret" } })),
        "sessionFile.variable: is a name that no variable can have"
      )
    }
  })

  it("reads socketMode as octal", () => {
    assert.strictEqual(settings({ socketMode: "0600" }).socketMode, 0o600)
    assert.strictEqual(settings({ socketMode: "666" }).socketMode, 0o666)
    for (const socketMode of ["0888", "rw", "1", "07777", 432]) {
      assert.match(mistake(decodePool({ socketMode })), /^socketMode: expected /)
    }
  })

  it("checks the shape of every key of the contract, of later work too", () => {
    const wrong: ReadonlyArray<readonly [string, unknown]> = [
      ["restart", "sometimes"],
      ["logMessages", "some"],
      ["passEnv", "TOKEN"],
      ["socket", ""],
      ["socketGroup", 1000],
      ["budget", { max: 0 }],
      ["budget", { lifetime: "1 h" }],
      ["budget", { lifetime: 0 }],
      ["stop", 5],
      ["requiredTools", "echo"],
      ["requiredTools", [""]],
      ["probe", { misses: -1 }],
      ["probe", { interval: 0 }],
      ["probe", "sometimes"],
      ["extraEnv", ["A=1"]],
      ["extraEnv", { A: 1 }],
      ["sessionFile", "content"],
      ["sessionFile", { variable: 1, content: {} }],
      ["sharing", "sometimes"],
      ["sharing", { replicas: 0 }],
      ["questions", "ask"],
      ["roots", "/tmp"],
      ["maxInFlight", 0],
      ["maxConcurrency", "many"],
      ["maxMemory", "much"],
      ["maxMemory", 0],
      ["maxAge", "old"],
      ["maxAge", 0],
      ["toolCacheTtl", "short"]
    ]
    for (const [key, value] of wrong) {
      const result = mistake(decodePool({ [key]: value }))
      assert.isTrue(result.startsWith(key) && result.includes(": expected "), `${key}: ${result}`)
    }
  })

  it("names a wrong key by its path", () => {
    assert.strictEqual(mistake(decodePool({ budget: { max: 1.5 } })).split(":")[0], "budget.max")
    assert.strictEqual(mistake(decodePool([])), ": expected object")
  })

  it("finds keys that mean nothing, also within stop, budget, probe and sessionFile", () => {
    assert.deepStrictEqual(
      unknownPoolKeys({
        restart: "always",
        restrat: 1,
        stop: { kill: 1 },
        budget: { maximum: 1, lifetime: 1 },
        probe: { every: 1, misses: 1 },
        extraEnv: { ANY: "1" },
        sessionFile: { name: 1, variable: "A", content: { any: 1 } }
      }),
      ["restrat", "stop.kill", "budget.maximum", "probe.every", "sessionFile.name"]
    )
    assert.deepStrictEqual(unknownPoolKeys({ probe: "on", sessionFile: "x" }), [])
    assert.deepStrictEqual(unknownPoolKeys(undefined), [])
  })
})

describe("server options", () => {
  it("decodes the hosts' fields", () => {
    const options: ServerOptions = {
      command: "node",
      args: ["a"],
      env: { A: "1", B: 2, C: null },
      cwd: "/tmp",
      envFile: ".env",
      type: "stdio",
      timeout: 60,
      disabled: false,
      pool: { startTimeout: "5 seconds", maxLine: "1 MiB" }
    }
    const decoded = Result.getOrThrow(decodeServer(options))
    assert.deepStrictEqual(decoded.env, { A: "1", B: 2, C: null })
    assert.deepStrictEqual(decoded.pool, { startTimeout: Duration.seconds(5), maxLine: 1_048_576 })
  })

  it("names what is wrong without showing it", () => {
    const secret = "s3cret-value"
    const wrong: ReadonlyArray<readonly [unknown, string]> = [
      [secret, ": expected object"],
      [null, ": expected object"],
      [{ command: [secret] }, "command: expected string"],
      [{ command: "x", args: secret }, "args: expected array"],
      [{ command: "x", args: ["a", { a: secret }] }, "args.1: expected string"],
      [{ command: "x", env: { TOKEN: [secret] } }, "env.TOKEN: expected string | number | null"],
      [{ command: "x", env: secret }, "env: expected object"],
      [
        { command: "x", type: secret },
        'type: expected "stdio" | "http" | "streamable-http" | "streamableHttp" | "sse"'
      ],
      [{ command: "x", disabled: "yes" }, "disabled: expected boolean"],
      [
        { command: "x", pool: { maxLine: secret } },
        'pool.maxLine: expected a size such as "10 MiB" or a number of bytes'
      ]
    ]
    for (const [input, expected] of wrong) assert.strictEqual(mistake(decodeServer(input)), expected)
  })
})

describe("fingerprint", () => {
  const fingerprint = (parts: ProcessParts) => fingerprintOf(identity(parts))
  const process = { command: "node", args: ["a", "b"], cwd: "/tmp", env: { A: "1", B: "2" } }

  it("is 16 hex digits and the same each time", () => {
    assert.match(fingerprint(process), /^[0-9a-f]{16}$/)
    assert.strictEqual(fingerprint({ ...process }), fingerprint(process))
  })

  it("does not depend on the order of the environment", () => {
    assert.strictEqual(fingerprint({ ...process, env: { B: "2", A: "1" } }), fingerprint(process))
  })

  it("differs with command, arguments, directory and environment", () => {
    const all = [
      process,
      { ...process, command: "nodejs" },
      { ...process, args: ["b", "a"] },
      { ...process, args: ["a b"] },
      { ...process, args: ["a", "b", ""] },
      { ...process, cwd: "/" },
      { ...process, env: { A: "1" } },
      { ...process, env: { A: "2", B: "1" } },
      { ...process, env: { A: '1","B', B: "2" } }
    ].map(fingerprint)
    assert.strictEqual(new Set(all).size, all.length)
  })

  const Variables = Arbitrary.schema(Schema.Record(Schema.String, Schema.String))
  it.effect.prop("is equal for equal environments in any order", { env: Variables }, ({ env }) =>
    Effect.sync(() => {
      const reversed = Object.fromEntries(Object.entries(env).toReversed())
      assert.strictEqual(fingerprint({ ...process, env: reversed }), fingerprint({ ...process, env }))
    })
  )
})
