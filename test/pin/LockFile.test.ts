import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { sha256 } from "../../src/pin/Definition.ts"
import * as Lock from "../../src/pin/Lock.ts"
import { LockFile } from "../../src/pin/LockFile.ts"
import * as Turn from "../../src/Turn.ts"
import * as TestPool from "../support/TestPool.ts"

const toolsOf = (...names: ReadonlyArray<string>): Lock.Tools =>
  new Map(
    names.map((name) => {
      const definition = { name, description: `does ${name}` }
      return [name, { sha256: sha256(definition)!, definition }]
    })
  )

const setUp = Effect.map(TestPool.temporaryDirectory, (directory) => {
  const file = path.join(directory, "mcp-pool.lock.json")
  return { directory, file, lock: new LockFile(file), text: () => fs.readFileSync(file, "utf8") }
})

const failureOf = (result: Result.Result<unknown, string>): string => (Result.isFailure(result) ? result.failure : "")

describe("LockFile", () => {
  it.effect("is stable text, the same whatever the order in which it came, and reads as it was written", () =>
    Effect.gen(function* () {
      const { directory, file, lock, text } = yield* setUp
      assert.deepStrictEqual(lock.read(), Result.succeed(Lock.empty))
      lock.write("git", toolsOf("b", "a", "__proto__", "10", "9"))
      lock.write("a b", toolsOf())
      const once = text()
      const other = new LockFile(path.join(directory, "other.json"))
      other.write("a b", toolsOf())
      other.write("git", toolsOf("9", "10", "__proto__", "a", "b"))
      assert.strictEqual(fs.readFileSync(other.path, "utf8"), once)
      assert.isTrue(once.startsWith('{\n  "servers": {\n    "a b": {\n      "tools": {}\n    },\n    "git": {'))
      assert.isTrue(once.endsWith('  },\n  "version": 1\n}\n'))
      const read = Result.getOrThrow(new LockFile(file).read())
      assert.deepStrictEqual([...read.get("git")!.keys()], ["9", "10", "__proto__", "a", "b"])
      assert.deepStrictEqual(read.get("git")!.get("a"), toolsOf("a").get("a"))
      assert.deepStrictEqual(fs.readdirSync(directory).sort(), ["mcp-pool.lock.json", "other.json"])
    })
  )

  it.effect("may be read by others, and keeps the mode that it was given", () =>
    Effect.gen(function* () {
      const { file, lock } = yield* setUp
      lock.write("git", toolsOf("a"))
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o644 & ~process.umask())
      fs.chmodSync(file, 0o600)
      lock.write("git", toolsOf("b"))
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    })
  )

  it.effect("takes up what others write, and leaves their servers as they are", () =>
    Effect.gen(function* () {
      const { file, lock } = yield* setUp
      const other = new LockFile(file)
      lock.write("one", toolsOf("a"))
      other.write("two", toolsOf("b"))
      lock.write("one", toolsOf("c"))
      for (const each of [lock, other, new LockFile(file)]) {
        const read = Result.getOrThrow(each.read())
        assert.deepStrictEqual([[...read.get("one")!.keys()], [...read.get("two")!.keys()]], [["c"], ["b"]])
      }
      fs.rmSync(file)
      assert.deepStrictEqual(lock.read(), Result.succeed(Lock.empty))
    })
  )

  it.effect("with anything else in it is an error that names it, and is not overwritten", () =>
    Effect.gen(function* () {
      const { file, lock, text } = yield* setUp
      lock.write("git", toolsOf("a"))
      const good = text()
      const bad: ReadonlyArray<readonly [content: string, reason: string]> = [
        ["", "is not JSON"],
        [good.slice(0, -20), "is not JSON"],
        [`<<<<<<< ours\n${good}`, "is not JSON"],
        ["[]", "is no lock file of this version"],
        [good.replace('"version": 1', '"version": 2'), "is no lock file of this version"],
        ['{"version":1,"servers":{"git":[]}}', 'has no tools of server "git"'],
        [good.replace("does a", "does evil"), 'has a definition that is not that of its hash: server "git", tool "a"'],
        [good.replace('"a": {', '"b": {'), 'has a definition that is not that of its hash: server "git", tool "b"']
      ]
      for (const [content, reason] of bad) {
        fs.writeFileSync(file, content)
        assert.strictEqual(failureOf(lock.read()), `${file} ${reason}`)
        assert.strictEqual(failureOf(lock.write("git", toolsOf("x"))), `${file} ${reason}`)
        assert.strictEqual(text(), content)
      }
      fs.writeFileSync(file, good)
      assert.isTrue(Result.isSuccess(lock.read()))
    })
  )

  it.effect("is neither read nor written through a link, nor where something else is, nor beyond 16 MiB", () =>
    Effect.gen(function* () {
      const { directory, file, lock } = yield* setUp
      const target = path.join(directory, "target")
      new LockFile(target).write("git", toolsOf("a"))
      const before = fs.readFileSync(target, "utf8")
      fs.symlinkSync(target, file)
      assert.strictEqual(failureOf(lock.read()), `${file} is a symbolic link`)
      assert.strictEqual(failureOf(lock.write("git", toolsOf("b"))), `${file} is a symbolic link`)
      assert.strictEqual(fs.readFileSync(target, "utf8"), before)
      fs.rmSync(file)
      fs.mkdirSync(file)
      assert.strictEqual(failureOf(lock.read()), `${file} is no regular file`)
      fs.rmdirSync(file)
      fs.truncateSync(target, 17 * 1024 * 1024)
      fs.renameSync(target, file)
      assert.strictEqual(failureOf(lock.read()), `${file} is larger than 16777216 bytes`)
      fs.rmSync(file)
      const definition = { name: "big", description: "x".repeat(17 * 1024 * 1024) }
      const big = new Map([["big", { sha256: sha256(definition)!, definition }]])
      assert.strictEqual(failureOf(lock.write("git", big)), `${file} would be larger than 16777216 bytes`)
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    })
  )

  it.effect("is not written while another daemon does, nor where nothing can be", () =>
    Effect.gen(function* () {
      const { directory, file, lock } = yield* setUp
      assert.isTrue(Turn.take(`${file}.turn`))
      assert.strictEqual(
        failureOf(lock.write("git", toolsOf("a"))),
        `${file} cannot be written: mcp-pool.lock.json.turn says that somebody else is writing it`
      )
      Turn.giveBack(`${file}.turn`)
      assert.isTrue(Result.isSuccess(lock.write("git", toolsOf("a"))))
      const nowhere = path.join(directory, "none", "mcp-pool.lock.json")
      assert.strictEqual(
        failureOf(new LockFile(nowhere).write("git", toolsOf("a"))),
        `${nowhere} cannot be written: ENOENT`
      )
    })
  )
})
