import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { parse, projectOf } from "../../src/cli/connect.ts"
import { noSuchServer } from "../../src/connect/Refusal.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as Spawned from "./Spawned.ts"

const request = '{"jsonrpc":"2.0","id":"a","method":"initialize","params":{}}\n'

/** A socket that hands each connection to `handle`, until the scope closes. */
const listen = (path: string, handle: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly open: Set<Net.Socket> }>((resume) => {
      Fs.mkdirSync(Path.dirname(path), { recursive: true })
      const open = new Set<Net.Socket>()
      const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
        open.add(socket)
        socket.on("error", () => {})
        handle(socket)
      })
      server.listen(path, () => resume(Effect.succeed({ server, open })))
    }),
    ({ server, open }) =>
      Effect.sync(() => {
        server.close()
        for (const socket of open) socket.destroy()
      })
  )

const echo = (socket: Net.Socket) => void socket.pipe(socket)

describe("connect", () => {
  it.live("relays both ways, passes on the end of stdin, and waits for the answers", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      yield* listen(RuntimeDir.serverSocket(runtimeDir, "git"), (socket) => {
        let text = ""
        socket.setEncoding("utf8").on("data", (chunk) => (text += chunk))
        socket.on("end", () => socket.end(text.toUpperCase()))
      })
      const { child, ended } = yield* Spawned.start(["connect", "git", "--runtime-dir", runtimeDir])
      child.stdin.end("hello\n")
      assert.deepStrictEqual(yield* ended, { code: 0, signal: null, out: "HELLO\n", err: "" })
    })
  )

  it.live("carries more than any buffer holds, byte for byte", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      yield* listen(RuntimeDir.serverSocket(runtimeDir, "git"), echo)
      const { child, ended } = yield* Spawned.start(["connect", "git", "--runtime-dir", runtimeDir])
      const text = `${"0123456789abcdef".repeat(512 * 1024)}\n`
      child.stdin.end(text)
      const { code, out } = yield* ended
      assert.strictEqual(code, 0)
      assert.isTrue(out === text)
    })
  )

  it.live("finds the default directory under HOME, and the one of the variable", () =>
    Effect.gen(function* () {
      const home = yield* Harness.temporaryDirectory
      const usual = RuntimeDir.resolve({ flag: undefined, env: {}, home })
      yield* listen(RuntimeDir.serverSocket(usual, "git"), echo)
      const { child, ended } = yield* Spawned.start(["connect", "git"], { home })
      child.stdin.end("one\n")
      assert.strictEqual((yield* ended).out, "one\n")

      const runtimeDir = yield* Harness.temporaryDirectory
      yield* listen(RuntimeDir.serverSocket(runtimeDir, "time"), echo)
      const other = yield* Spawned.start(["connect", "time"], { home, env: { MCP_POOL_RUNTIME_DIR: runtimeDir } })
      other.child.stdin.end("two\n")
      assert.strictEqual((yield* other.ended).out, "two\n")
    })
  )

  it.live("finds a socket that is elsewhere by the file that says where", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const elsewhere = Path.join(yield* Harness.temporaryDirectory, "my.sock")
      yield* listen(elsewhere, echo)
      Fs.mkdirSync(RuntimeDir.serverDir(runtimeDir, "my server"), { recursive: true })
      Fs.writeFileSync(RuntimeDir.socketPathFile(runtimeDir, "my server"), `${elsewhere}\n`)
      const { child, ended } = yield* Spawned.start(["connect", "--runtime-dir", runtimeDir, "--", "my server"])
      child.stdin.end("hello\n")
      assert.strictEqual((yield* ended).out, "hello\n")
    })
  )

  it.live("answers the host's first request where no daemon is, with exit code 3", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const { child, ended } = yield* Spawned.start(["connect", "git", "--no-start", "--runtime-dir", runtimeDir])
      child.stdin.write(`not json\n{"jsonrpc":"2.0","method":"notifications/x"}\n${request}`)
      const { code, out, err } = yield* ended
      const message = `no daemon at ${runtimeDir}: start one with "mcp-pool serve"`
      assert.strictEqual(code, 3)
      assert.strictEqual(err, `mcp-pool: ${message}\n`)
      assert.deepStrictEqual(JSON.parse(out), {
        jsonrpc: "2.0",
        id: "a",
        error: { code: 31001, message, data: { kind: "ServerUnavailable", server: "git" } }
      })
    })
  )

  it.live("does not wait for a request that cannot come", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const { code, out, err } = yield* Spawned.run(["connect", "git", "--no-start", "--runtime-dir", runtimeDir])
      assert.deepStrictEqual({ code, out }, { code: 3, out: "" })
      assert.match(err, /^mcp-pool: no daemon at [^\n]+\n$/)
    })
  )

  it.live("ends where no request comes", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const { ended } = yield* Spawned.start(["connect", "git", "--no-start", "--runtime-dir", runtimeDir])
      assert.strictEqual((yield* ended).code, 3)
    })
  )

  it.live("asks the daemon which servers it has where there is no such socket, with exit code 4", () =>
    Effect.gen(function* () {
      const servers = [Harness.server("git"), Harness.server("time"), Harness.server("memory")]
      const { runtimeDir } = yield* Harness.serve({ servers })
      const { child, ended } = yield* Spawned.start(["connect", "gti", "--runtime-dir", runtimeDir])
      child.stdin.write(request)
      const { code, out, err } = yield* ended
      const message = 'no server "gti": there are git, time, memory'
      assert.strictEqual(code, 4)
      assert.strictEqual(err, `mcp-pool: ${message}\n`)
      assert.strictEqual(JSON.parse(out).error.message, message)
    })
  )

  it.live("ends when its host reads no more, and by SIGTERM", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      yield* listen(RuntimeDir.serverSocket(runtimeDir, "git"), echo)
      const deaf = yield* Spawned.start(["connect", "git", "--runtime-dir", runtimeDir])
      deaf.child.stdin.write("one\n")
      yield* deaf.line
      deaf.child.stdout.destroy()
      deaf.child.stdin.write("two\n")
      const { code, err } = yield* deaf.ended
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })

      const told = yield* Spawned.start(["connect", "git", "--runtime-dir", runtimeDir])
      told.child.stdin.write("one\n")
      yield* told.line
      told.child.kill("SIGTERM")
      assert.strictEqual((yield* told.ended).signal, "SIGTERM")
    })
  )

  it.live("prints help, and refuses what it does not understand with exit code 2", () =>
    Effect.gen(function* () {
      const help = yield* Spawned.run(["connect", "--help"])
      assert.strictEqual(help.code, 0)
      assert.include(help.out, "mcp-pool connect [--project DIR] [--no-start] [--runtime-dir DIR] SERVER")
      const { code, out, err } = yield* Spawned.run(["connect"])
      assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
      assert.strictEqual(err, 'mcp-pool: connect needs the name of a server (see "mcp-pool connect --help")\n')
    })
  )

  it.live("runs from the command tree where the flag comes first", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      yield* listen(RuntimeDir.serverSocket(runtimeDir, "git"), echo)
      const { child, ended } = yield* Spawned.start(["--runtime-dir", runtimeDir, "connect", "git"])
      child.stdin.end("hello\n")
      const { code, out } = yield* ended
      assert.deepStrictEqual({ code, out }, { code: 0, out: "hello\n" })
    })
  )
})

describe("parse", () => {
  it("takes a server and a directory in any order", () => {
    const options = { server: "git", runtimeDir: "/run/pool", project: undefined, mayStart: true }
    assert.deepStrictEqual(parse(["git", "--runtime-dir", "/run/pool"]), options)
    assert.deepStrictEqual(parse(["--runtime-dir=/run/pool", "git"]), options)
    assert.deepStrictEqual(parse(["--runtime-dir", "/run/pool", "--", "git"]), options)
    assert.deepStrictEqual(parse(["--", "--help"]), { ...options, server: "--help", runtimeDir: undefined })
  })

  it("takes a project, none, and that no daemon may be started", () => {
    const options = { server: "git", runtimeDir: undefined, project: "/home/ada", mayStart: true }
    assert.deepStrictEqual(parse(["git", "--project", "/home/ada"]), options)
    assert.deepStrictEqual(parse(["--project=/home/ada", "--no-start", "git"]), { ...options, mayStart: false })
    assert.deepStrictEqual(parse(["git", "--project="]), { ...options, project: "" })
  })

  it("says what is wrong", () => {
    assert.deepStrictEqual(parse(["git", "--runtime-dir"]), { problem: "--runtime-dir needs a directory" })
    assert.deepStrictEqual(parse(["git", "--project"]), { problem: "--project needs a directory" })
    assert.deepStrictEqual(parse(["git", "--fast"]), { problem: "unknown flag --fast" })
    assert.deepStrictEqual(parse(["git", "time"]), { problem: "connect takes one server, not git and time" })
  })
})

describe("projectOf", () => {
  const of = (flag: string | undefined, env: { readonly [name: string]: string } = {}, cwd = "/home/ada/a") =>
    projectOf({ flag, env, home: "/home/me", cwd: () => cwd })

  it("is the flag, else the host's variable, else the working directory, and absolute", () => {
    assert.strictEqual(of("/home/ada/b/", { CLAUDE_PROJECT_DIR: "/home/ada/c" }), "/home/ada/b")
    assert.strictEqual(of("../b"), "/home/ada/b")
    assert.strictEqual(of(undefined, { CLAUDE_PROJECT_DIR: "/home/ada/c" }), "/home/ada/c")
    assert.strictEqual(of(undefined), "/home/ada/a")
  })

  it("is none where it is said so, and never home or the root", () => {
    assert.isNull(of("", { CLAUDE_PROJECT_DIR: "/home/ada/c" }))
    assert.isNull(of(undefined, {}, "/home/me"))
    assert.isNull(of("/home/me/"))
    assert.isNull(of(undefined, {}, "/"))
  })

  it("is none where the working directory has been removed", () => {
    const gone = () => {
      throw new Error("ENOENT")
    }
    assert.isNull(projectOf({ flag: undefined, env: {}, home: "/home/me", cwd: gone }))
  })
})

describe("noSuchServer", () => {
  it("suggests the name that was probably meant", () => {
    const names = ["everything", "filesystem", "memory"]
    assert.strictEqual(
      noSuchServer("everythng", names),
      'no server "everythng": did you mean "everything"? there are everything, filesystem, memory'
    )
    assert.strictEqual(noSuchServer("Memory", names).split("?")[0], 'no server "Memory": did you mean "memory"')
    assert.notInclude(noSuchServer("postgres", names), "did you mean")
  })

  it("says what else may be wrong", () => {
    assert.strictEqual(noSuchServer("git", []), 'no server "git": no server is configured')
    assert.strictEqual(noSuchServer("git", ["git"]), 'server "git" has no socket here, though the daemon knows it')
    assert.strictEqual(noSuchServer("git", undefined), 'server "git" has no socket here')
  })
})
