import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as BridgeProtocol from "../../src/BridgeProtocol.ts"
import { dial, type Way } from "../../src/connect/Dialing.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as TestPool from "../support/TestPool.ts"

const listen = (path: string, onConnection: (socket: net.Socket) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => net.createServer(onConnection).listen(path)),
      (server) => Effect.sync(() => server.close())
    )
  )

const opened = { "mcp-pool": "opened", protocol: 1, version: "1", server: "x" } as const

/** Where a daemon opens its sockets while it is dialled: after the first attempt. */
const way = Effect.fnUntraced(function* (hasConnectSocket: boolean) {
  const runtimeDir = yield* TestPool.temporaryDirectory
  fs.mkdirSync(RuntimeDir.serverDir(runtimeDir, "x"), { recursive: true })
  const found = Promise.withResolvers<Way>()
  const other = (what: unknown) => found.reject(new Error(String(what)))
  const receiver = { onOpen: found.resolve, onRefused: other, onClosing: other, onAbsent: other }
  dial({ runtimeDir, server: "x", project: null }, receiver)
  if (hasConnectSocket) {
    yield* listen(RuntimeDir.connectSocket(runtimeDir), (socket) => void socket.write(BridgeProtocol.line(opened)))
  }
  yield* listen(RuntimeDir.serverSocket(runtimeDir, "x"), () => {})
  return yield* Effect.acquireRelease(
    Effect.promise(() => found.promise),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )
})

describe("dial", () => {
  it.live("takes no daemon for an older one that opens its sockets at this moment", () =>
    Effect.gen(function* () {
      assert.isTrue((yield* way(true)).hasWords)
    })
  )

  it.live("takes an older daemon's socket of the server", () =>
    Effect.gen(function* () {
      assert.isFalse((yield* way(false)).hasWords)
    })
  )
})
