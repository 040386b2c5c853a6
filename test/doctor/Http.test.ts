import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import type { DaemonStatus } from "../../src/control/ControlApi.ts"
import * as DaemonRecord from "../../src/daemon/DaemonRecord.ts"
import * as Http from "../../src/doctor/Http.ts"
import { defaultIdle, type HttpOptions } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"

const usual: HttpOptions = {
  address: { host: "127.0.0.1", port: 0 },
  auth: "token",
  allowedHosts: [],
  idle: defaultIdle
}

const write = (runtimeDir: string, http: HttpOptions | null) =>
  DaemonRecord.write(runtimeDir, { configFiles: [], strict: false, watchConfig: false, http, path: "" })

const check = (runtimeDir: string, http: DaemonStatus["http"] | "none") => {
  const status = { pid: 1, version: "1", startedAt: "", runtimeDir, servers: [] }
  const daemon =
    http === "none"
      ? ({ kind: "none", code: "ENOENT" } as const)
      : ({ kind: "running", status: { ...status, http } } as const)
  return Http.check({ runtimeDir, daemon, commands, isService: false })
}

/** A listener that serves HTTP, of which the record knows. */
const setUp = Effect.fnUntraced(function* (http: Partial<HttpOptions> = {}) {
  const { pool, runtimeDir } = yield* TestPool.make(() => ({}))
  const { port, url } = yield* HttpListener.make({ ...usual, ...http, runtimeDir }).pipe(
    Effect.provideService(McpPool.McpPool, pool),
    Effect.provide([SocketSessions.layer, Logger.layer([])])
  )
  yield* write(runtimeDir, { ...usual, ...http, address: { host: (http.address ?? usual.address).host, port } })
  const again = `mcp-pool shutdown && mcp-pool serve --http 127.0.0.1:${port}`
  return { runtimeDir, url, port, again, token: RuntimeDir.httpTokenFile(runtimeDir) }
})

const anew = "start the daemon again: it makes another one, which hosts that do not read the file have to be given"

describe("Http", () => {
  it.live("is silent where nobody wants it", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      assert.deepStrictEqual(yield* check(runtimeDir, null), [])
      yield* write(runtimeDir, null)
      assert.deepStrictEqual(yield* check(runtimeDir, "none"), [])
    })
  )

  it.live("is well where it answers to the token", () =>
    Effect.gen(function* () {
      for (const auth of ["token", "none"] as const) {
        const { runtimeDir, url } = yield* setUp({ auth })
        const found = yield* check(runtimeDir, { url })
        const how = auth === "none" ? " without a token" : ", and takes the token"
        assert.deepStrictEqual(found, [
          { check: "http", subject: url, ok: "ok", message: `${url} answers${how}`, mend: null }
        ])
      }
    })
  )

  it.live("finds a token that is another one, that others may read, that is gone, and that is no file", () =>
    Effect.gen(function* () {
      const { again, runtimeDir, token, url } = yield* setUp()
      const told = Effect.map(check(runtimeDir, { url }), (found) => ill(found))
      fs.writeFileSync(token, "another-word-of-some-length")
      const changed = "does not take the token that is in the file now: it read the file when it started"
      assert.deepStrictEqual(yield* told, [["problem", url, changed, again]])
      fs.chmodSync(token, 0o644)
      const readable = "mode 0644: others may have read the token"
      assert.deepStrictEqual(yield* told, [["problem", token, readable, `rm ${token}, and ${anew}`]])
      fs.rmSync(token)
      assert.deepStrictEqual(yield* told, [
        ["problem", token, "is gone: nobody can be given what the daemon asks for", anew]
      ])
      fs.symlinkSync("/dev/zero", token)
      assert.deepStrictEqual(yield* told, [
        ["problem", token, "is no plain file of this user", `rm ${token}, and ${anew}`]
      ])
    })
  )

  it.live("finds an address that another program has, and one that nobody serves", () =>
    Effect.gen(function* () {
      const { again, port, runtimeDir, url } = yield* Effect.scoped(setUp())
      fs.mkdirSync(runtimeDir, { recursive: true })
      yield* write(runtimeDir, { ...usual, auth: "none", address: { host: "127.0.0.1", port } })
      const gone = yield* check(runtimeDir, { url })
      assert.deepStrictEqual(
        ill(gone).map(([, subject]) => subject),
        [RuntimeDir.httpSocket(runtimeDir), url]
      )
      const nobody = "HTTP is not served there, and nobody else listens: the daemon's log says why"
      const mend = `${again} --http-auth none`
      assert.deepStrictEqual(ill(yield* check(runtimeDir, null)), [["problem", url, nobody, mend]])
      const other = net.createServer((socket) => void socket.end("Hello. This is no HTTP.\n"))
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void other.listen(port, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => other.close())
      )
      assert.deepStrictEqual(ill(yield* check(runtimeDir, null)), [
        [
          "problem",
          url,
          "another program listens there, and hosts whose entries name the address show it the token",
          `end what lsof -nP -iTCP:${port} -sTCP:LISTEN shows: the daemon takes the address within 10 s; or serve at another with --http`
        ]
      ])
    })
  )

  it.live("warns where it listens for others and answers to none of their names", () =>
    Effect.gen(function* () {
      const address = { host: "0.0.0.0", port: 0 }
      const { port, runtimeDir, url } = yield* setUp({ address })
      assert.deepStrictEqual(ill(yield* check(runtimeDir, { url })), [
        [
          "warning",
          `0.0.0.0:${port}`,
          "listens for other machines, and refuses (403) whatever does not ask for this machine's own names",
          "name what others call it: --allowed-host NAME"
        ]
      ])
      const named = yield* setUp({ address, allowedHosts: ["host.docker.internal"] })
      assert.deepStrictEqual(ill(yield* check(named.runtimeDir, { url: named.url })), [])
    })
  )

  it.live("looks at the token's file alone where no daemon runs", () =>
    Effect.gen(function* () {
      const { runtimeDir, token, url } = yield* Effect.scoped(setUp())
      fs.mkdirSync(runtimeDir, { recursive: true })
      const port = Number(new URL(url).port)
      yield* write(runtimeDir, { ...usual, address: { host: "127.0.0.1", port } })
      fs.writeFileSync(token, "a-word-of-some-length", { mode: 0o600 })
      const [well] = yield* check(runtimeDir, "none")
      assert.deepInclude(well, { ok: "ok", message: `${url}, while a daemon runs` })
      fs.chmodSync(token, 0o640)
      assert.strictEqual(ill(yield* check(runtimeDir, "none")).length, 1)
    })
  )
})
