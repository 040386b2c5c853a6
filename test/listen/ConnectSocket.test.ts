import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ConnectListener from "../../src/listen/ConnectListener.ts"
import * as ConnectSocket from "../../src/listen/ConnectSocket.ts"
import * as Opener from "../../src/listen/Opener.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as LineClient from "../support/LineClient.ts"
import * as ServeProcess from "../support/ServeProcess.ts"
import * as TestPool from "../support/TestPool.ts"

describe("ConnectSocket", () => {
  it.live("has who comes before anybody takes them wait", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const early = yield* Effect.gen(function* () {
        const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
        yield* Effect.andThen(client.sendRaw(TestPool.openLine("nobody")), client.flushed)
        yield* Layer.build(
          ConnectListener.layer.pipe(
            Layer.provide(Opener.layer),
            Layer.provide(McpPool.layer({ servers: {}, autoStart: false }))
          )
        )
        return client
      }).pipe(Effect.provide(ConnectSocket.layer({ runtimeDir })))
      assert.strictEqual((yield* early.word("refused"))["mcp-pool"], "refused")
    })
  )

  it.live("closes who waits when it goes", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir)).pipe(
        Effect.provide(ConnectSocket.layer({ runtimeDir }))
      )
      yield* client.closed
    })
  )

  it.live("is there before the daemon's servers have sockets, which connect would take for an older daemon's", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const config = path.join(runtimeDir, "config.json")
      const names = Array.from({ length: 100 }, (_, i) => `s${i}`)
      const server = { command: "nobody-starts-it", pool: { start: "lazy" } }
      fs.writeFileSync(config, JSON.stringify({ mcpServers: Object.fromEntries(names.map((name) => [name, server])) }))
      const daemon = yield* ServeProcess.start(["--config", config, "--runtime-dir", runtimeDir])
      yield* daemon.serving
      const madeAt = (socket: string) => fs.lstatSync(socket, { bigint: true }).ctimeNs
      const first = madeAt(RuntimeDir.serverSocket(runtimeDir, "s0"))
      assert.isTrue(madeAt(RuntimeDir.connectSocket(runtimeDir)) <= first)
      yield* daemon.signal("SIGTERM")
      yield* daemon.exited
    })
  )
})
