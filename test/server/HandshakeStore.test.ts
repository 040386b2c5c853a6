import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as HandshakeStore from "../../src/server/HandshakeStore.ts"
import { handshakeOf } from "../../src/server/Handshake.ts"
import { turn } from "../lines/Turn.ts"
import * as TestPool from "../support/TestPool.ts"

const specOf = Effect.fnUntraced(function* (options: ServerOptions = {}) {
  const { servers } = yield* PoolConfig.fromServers({ git: { command: "node", args: ["a"], ...options } })
  const [entry] = servers
  assert(entry?._tag === "Configured")
  return entry.spec
})

const answersOf = (tools: string): HandshakeStore.Answers => ({
  handshake: handshakeOf({
    protocolVersion: "2025-06-18",
    capabilities: { tools: {} },
    serverInfo: { name: "é漢" },
    more: [1]
  })!,
  lists: new Map([["tools/list", Buffer.from(tools).toString("latin1")]])
})
const answers = answersOf('{"tools":[{"name":"é漢"}] , "n":1.0}')

const setUp = Effect.gen(function* () {
  const directory = yield* TestPool.temporaryDirectory
  const spec = yield* specOf()
  return {
    directory,
    spec,
    store: HandshakeStore.make(directory, spec)!,
    file: path.join(directory, "handshakes", `${spec.fingerprint}.json`)
  }
})

describe("HandshakeStore", () => {
  it.effect("gives back what was kept of the same fingerprint to the byte, for its owner alone", () =>
    Effect.gen(function* () {
      const { directory, file, store } = yield* setUp
      assert.isNull(store.read())
      store.write(answers)
      assert.deepStrictEqual(store.read(), answers)
      const other = yield* specOf({ args: ["b"] })
      assert.isNull(HandshakeStore.make(directory, other)!.read())
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [path.basename(file)])
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(path.dirname(file)).mode & 0o777, 0o700)
    })
  )

  it.effect("knows nothing of a file that is none of its own, or broken", () =>
    Effect.gen(function* () {
      const { file, store } = yield* setUp
      store.write(answers)
      const document = fs.readFileSync(file, "utf8")
      const texts = ["", "{", "[]", "null", document.slice(0, -1), '{"handshake":{},"lists":{}}', '{"lists":{}}']
      for (const text of [...texts, document.replace("2025-06-18", "1999-01-01"), document.replace('"{', "7,")]) {
        fs.writeFileSync(file, text)
        assert.isNull(store.read(), text)
      }
      // One list that would break a line is left out alone.
      fs.writeFileSync(file, document.replace('"lists":{', '"lists":{"prompts/list":"{\\n}","resources/list":"漢",'))
      assert.deepStrictEqual(store.read(), answers)
    })
  )

  it.effect("does not follow a link, wait for a pipe, or read what is too long", () =>
    Effect.gen(function* () {
      const { directory, file, store } = yield* setUp
      store.write(answers)
      const elsewhere = path.join(directory, "elsewhere.json")
      fs.renameSync(file, elsewhere)
      fs.symlinkSync(elsewhere, file)
      assert.isNull(store.read())
      fs.rmSync(file)
      execFileSync("mkfifo", [file])
      assert.isNull(store.read())
      fs.rmSync(file)
      fs.mkdirSync(file)
      assert.isNull(store.read())
      // Nor is that in the way of what works without it.
      store.write(answers)
      assert.isNull(store.read())
      fs.rmdirSync(file)
      fs.writeFileSync(file, `${fs.readFileSync(elsewhere, "utf8")}${" ".repeat(9 * 1024 * 1024)}`)
      assert.isNull(store.read())
      // What a link points to is never written to.
      fs.rmSync(file)
      fs.symlinkSync(elsewhere, file)
      store.write(answersOf('{"tools":[]}'))
      assert.isFalse(fs.lstatSync(file).isSymbolicLink())
      assert.include(fs.readFileSync(elsewhere, "utf8"), "name")
    })
  )

  it.effect("does not keep what is too long, nor what was there before it", () =>
    Effect.gen(function* () {
      const { file, store } = yield* setUp
      store.write(answers)
      store.write(answersOf(`{"tools":[{"name":"${"x".repeat(8 * 1024 * 1024)}"}]}`))
      assert.isNull(store.read())
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [])
    })
  )

  it.effect("forgets what nobody has asked for in 90 days when another server comes", () =>
    Effect.gen(function* () {
      const { directory, file, store } = yield* setUp
      const of = (name: string) => Effect.map(specOf({ args: [name] }), (spec) => HandshakeStore.make(directory, spec)!)
      const [old, read, next] = yield* Effect.all([of("old"), of("read"), of("next")])
      const longAgo = new Date(Date.now() - 91 * 24 * 60 * 60_000)
      for (const it of [store, old, read]) it.write(answers)
      const folder = path.dirname(file)
      for (const name of fs.readdirSync(folder)) fs.utimesSync(path.join(folder, name), longAgo, longAgo)
      store.write(answersOf("{}"))
      assert.isNotNull(read.read())
      next.write(answers)
      assert.deepStrictEqual(
        [store, old, read, next].map((it) => it.read() !== null),
        [true, false, true, true]
      )
    })
  )

  it.effect("keeps nothing where the fingerprint does not tell all, or there is no directory", () =>
    Effect.gen(function* () {
      const { directory, file, spec } = yield* setUp
      assert.isNull(HandshakeStore.make(null, spec))
      const secret = yield* specOf({ pool: { extraEnv: { TOKEN: "t" } } })
      assert.strictEqual(secret.fingerprint, spec.fingerprint)
      assert.isNull(HandshakeStore.make(directory, secret))
      assert.isNull(HandshakeStore.make(directory, yield* specOf({ pool: { sessionFile: { content: {} } } })))
      // Where no directory can be made.
      fs.writeFileSync(path.dirname(file), "")
      const store = HandshakeStore.make(directory, spec)!
      store.write(answers)
      assert.isNull(store.read())
    })
  )

  it.live("is never half a document, whoever writes it at once", () =>
    Effect.gen(function* () {
      const { directory, file, store } = yield* setUp
      const texts = [1, 2].map((n) => `{"tools":[{"name":"${String(n).repeat(100_000)}"}]}`)
      store.write(answersOf(texts[0]!))
      const writer = spawn(process.execPath, [
        "--input-type=module",
        "-e",
        `import * as KnownFile from ${JSON.stringify(path.resolve(import.meta.dirname, "../../src/server/KnownFile.ts"))}
        const [directory, fingerprint, text] = process.argv.slice(1)
        const handshake = { protocolVersion: "2025-06-18", capabilities: {} }
        const document = { handshake, lists: { "tools/list": text } }
        for (let i = 0; i < 300; i++) {
          KnownFile.write({ directory, name: "handshakes", maxSize: 1e7 }, { fingerprint }, document)
        }`,
        directory,
        path.basename(file, ".json"),
        texts[1]!
      ])
      const exit = new Promise((resolve) => writer.once("exit", resolve))
      const seen = new Set<string | undefined>()
      while (writer.exitCode === null) {
        store.write(answersOf(texts[0]!))
        for (let i = 0; i < 10; i++) seen.add(store.read()?.lists.get("tools/list"))
        yield* turn
      }
      assert.strictEqual(yield* Effect.promise(() => exit), 0)
      assert.sameMembers([...seen], texts)
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [path.basename(file)])
    })
  )
})
