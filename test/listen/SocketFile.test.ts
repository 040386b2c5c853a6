import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as SocketFile from "../../src/listen/SocketFile.ts"
import * as TestPool from "../support/TestPool.ts"

/** Listens at the path for as long as the scope. */
const listen = (file: string, options: Omit<SocketFile.SocketFileOptions, "path"> = {}) =>
  SocketFile.listen(net.createServer(), { path: file, ...options })

/** A path whose directory is not there yet. */
const newPath = Effect.map(TestPool.temporaryDirectory, (directory) =>
  path.join(directory, "servers", "one", "mcp.sock")
)

/** Puts a socket at the path that nobody serves, as a killed process leaves it. */
const leaveStale = (file: string) =>
  Effect.callback<void>((resume) => {
    const server = net.createServer()
    server.listen(`${file}-`, () => {
      // Closing removes the name that was bound, which is no longer there.
      fs.renameSync(`${file}-`, file)
      server.close(() => resume(Effect.void))
    })
  })

const modeOf = (file: string) => fs.lstatSync(file).mode & 0o777

describe("SocketFile", () => {
  it.live("makes the directory for its user alone, and the socket too, whatever the umask", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      yield* Effect.acquireRelease(
        Effect.sync(() => process.umask(0o000)),
        (mask) => Effect.sync(() => process.umask(mask))
      )
      yield* listen(file)
      assert.isTrue(yield* SocketFile.isLive(file))
      assert.strictEqual(modeOf(file), 0o600)
      assert.strictEqual(modeOf(path.dirname(file)), 0o700)
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), ["mcp.sock"])
      assert.strictEqual(process.umask(0o000), 0o000)
    })
  )

  it.live("gives the socket the mode that is asked for, and lets in everybody who may use it", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      for (const [name, mode, directoryMode] of [
        ["all", 0o666, 0o711],
        ["group", 0o660, 0o700],
        ["self", 0o600, 0o700]
      ] as const) {
        const file = path.join(directory, name, "mcp.sock")
        yield* listen(file, { mode })
        assert.strictEqual(modeOf(file), mode)
        assert.strictEqual(modeOf(path.dirname(file)), directoryMode)
      }
    })
  )

  it.live("leaves a directory as it was, unless that is the pool's", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const file = path.join(directory, "mcp.sock")
      fs.chmodSync(directory, 0o750)
      yield* Effect.scoped(listen(file, { mode: 0o666 }))
      assert.strictEqual(modeOf(directory), 0o750)
      yield* Effect.scoped(listen(file, { mode: 0o666, ownsDirectory: true }))
      assert.strictEqual(modeOf(directory), 0o711)
      yield* listen(file, { ownsDirectory: true })
      assert.strictEqual(modeOf(directory), 0o700)
    })
  )

  it.live("gives socket and directory to a group", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      const group = process.getgid?.() ?? 0
      yield* listen(file, { mode: 0o660, group: String(group) })
      assert.strictEqual(fs.lstatSync(file).gid, group)
      assert.strictEqual(modeOf(path.dirname(file)), 0o710)
    })
  )

  it.live("says so where there is no such group, and leaves no socket", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      const error = yield* Effect.flip(listen(file, { group: "no-such-group" }))
      assert.strictEqual(error.message, `cannot listen at ${file}: there is no group "no-such-group"`)
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [])
    })
  )

  it.live("refuses a path where somebody listens, and leaves that alone", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      yield* listen(file)
      const { ino } = fs.lstatSync(file)
      const error = yield* Effect.flip(listen(file))
      assert.strictEqual(error._tag, "SocketUnusable")
      assert.strictEqual(error.message, `cannot listen at ${file}: another process listens there`)
      assert.strictEqual(fs.lstatSync(file).ino, ino)
      assert.isTrue(yield* SocketFile.isLive(file))
    })
  )

  it.live("refuses a symbolic link, wherever it points", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const stale = path.join(directory, "stale.sock")
      yield* leaveStale(stale)
      for (const target of ["nowhere", stale]) {
        const file = path.join(directory, `link-to-${path.basename(target)}`)
        fs.symlinkSync(target, file)
        const error = yield* Effect.flip(listen(file))
        assert.match(error.message, /a symbolic link is there; remove it$/)
        assert.strictEqual(fs.readlinkSync(file), target)
      }
      assert.isTrue(fs.existsSync(stale))
    })
  )

  it.live("refuses a file or a directory, and leaves it alone", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const file = path.join(directory, "file")
      fs.writeFileSync(file, "precious")
      assert.match((yield* Effect.flip(listen(file))).message, /something that is not a socket is there; remove it$/)
      assert.strictEqual(fs.readFileSync(file, "utf8"), "precious")
      fs.mkdirSync(path.join(directory, "directory"))
      assert.match((yield* Effect.flip(listen(path.join(directory, "directory")))).message, /not a socket/)
    })
  )

  it.live("takes over a socket that nobody serves", () =>
    Effect.gen(function* () {
      const file = path.join(yield* TestPool.temporaryDirectory, "mcp.sock")
      yield* leaveStale(file)
      assert.isFalse(yield* SocketFile.isLive(file))
      yield* listen(file)
      assert.isTrue(yield* SocketFile.isLive(file))
    })
  )

  it.live("removes its socket when it is done, and keeps the directory", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      yield* Effect.scoped(listen(file))
      const { ino } = fs.statSync(path.dirname(file))
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [])
      yield* Effect.scoped(listen(file))
      assert.strictEqual(fs.statSync(path.dirname(file)).ino, ino)
    })
  )

  it.live("never removes the socket of a successor", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      const scope = yield* Scope.make()
      yield* Scope.provide(listen(file), scope)
      fs.rmSync(file)
      yield* listen(file)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(yield* SocketFile.isLive(file))
    })
  )

  it.live("ends quietly where its directory was removed", () =>
    Effect.gen(function* () {
      const file = yield* newPath
      const scope = yield* Scope.make()
      yield* Scope.provide(listen(file), scope)
      fs.rmSync(path.dirname(file), { recursive: true })
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(fs.existsSync(path.dirname(file)))
    })
  )

  it.live("refuses a path that is too long for a socket, and says what to do", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      // Bytes count, not characters.
      const file = path.join(directory, "ü".repeat(40), "mcp.sock")
      const error = yield* Effect.flip(listen(file))
      assert.match(error.message, /longer than 103 bytes: give a shorter --runtime-dir or pool\.socket$/)
      assert.deepStrictEqual(fs.readdirSync(directory), [])
      const longest = path.join(directory, "x".repeat(103 - directory.length - 1))
      yield* listen(longest)
      assert.isTrue(yield* SocketFile.isLive(longest))
    })
  )

  it.live("says so where the directory cannot be made", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      fs.writeFileSync(path.join(directory, "file"), "")
      const error = yield* Effect.flip(listen(path.join(directory, "file", "mcp.sock")))
      assert.strictEqual(error._tag, "SocketUnusable")
    })
  )
})
