import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as ServerCommand from "../../src/doctor/ServerCommand.ts"
import * as TestPool from "../support/TestPool.ts"
import { ill } from "./Say.ts"

/** What is said of one server called `one`, and whether the system starts it. */
const check = Effect.fnUntraced(function* (server: ServerOptions, cwd: string) {
  const { servers } = yield* PoolConfig.fromServers({ one: server }, { cwd })
  const [entry] = servers
  if (entry?._tag !== "Configured") return assert.fail("the server is configured")
  const { spec } = entry
  const { error } = spawnSync(spec.command, [], { cwd: spec.cwd, env: spec.env, input: "" })
  const findings = ServerCommand.check(spec)
  assert.strictEqual(findings.length > 0 && ill(findings).length === 0, error === undefined, "spawn agrees")
  return { said: ill(findings), code: (error as NodeJS.ErrnoException | undefined)?.code, findings }
})

const script = (file: string, text: string, mode: number) => {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
  fs.chmodSync(file, mode)
}

describe("ServerCommand", () => {
  it.effect("finds what the system finds, on the PATH of the server", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const bin = path.join(directory, "bin")
      script(path.join(bin, "mine"), "#!/bin/sh\n", 0o755)
      script(path.join(directory, "first/mine"), "#!/bin/sh\n", 0o644)
      fs.mkdirSync(path.join(directory, "second/mine"), { recursive: true })
      // What may not be run and what is a directory is passed over.
      const PATH = ["first", "second", bin].join(":")
      const { findings } = yield* check({ command: "mine", env: { PATH } }, directory)
      assert.strictEqual(findings[0]?.message, path.join(bin, "mine"))
      assert.deepStrictEqual((yield* check({ command: "./bin/mine" }, directory)).said, [])
      assert.deepStrictEqual((yield* check({ command: "sh", env: { PATH: null } }, directory)).said, [])
    })
  )

  it.effect("says of a command that is not there how to get it or where to write its path", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const { code, said } = yield* check({ command: "npx", env: { PATH: "/nonexistent" } }, directory)
      assert.strictEqual(code, "ENOENT")
      assert.deepStrictEqual(said, [
        [
          "problem",
          "one",
          '"npx" is not on its PATH',
          'install Node from nodejs.org, or write its absolute path into "command" in options'
        ]
      ])
      const absolute = yield* check({ command: "./gone" }, directory)
      assert.strictEqual(absolute.said[0]?.[2], `${directory}/gone does not exist`)
    })
  )

  it.effect("says of one that may not be run which chmod lets it", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const file = path.join(directory, "my server")
      script(file, "#!/bin/sh\n", 0o644)
      const { code, said } = yield* check({ command: "./my server" }, directory)
      assert.strictEqual(code, "EACCES")
      assert.deepStrictEqual(said, [["problem", "one", `${file} is not executable`, `chmod +x '${file}'`]])
    })
  )

  it.effect("tells a directory from a program", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      fs.mkdirSync(path.join(directory, "bin/mine"), { recursive: true })
      for (const server of [{ command: "./bin/mine" }, { command: "mine", env: { PATH: `${directory}/bin` } }]) {
        const { code, said } = yield* check(server, directory)
        assert.strictEqual(code, "EACCES")
        assert.strictEqual(said[0]?.[2], `${directory}/bin/mine is a directory`)
      }
    })
  )

  it.effect("tells a missing interpreter from a missing command", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      script(path.join(directory, "mine"), "#!/nonexistent/python3 -u\n", 0o755)
      const { code, said } = yield* check({ command: "./mine" }, directory)
      assert.strictEqual(code, "ENOENT")
      assert.strictEqual(said[0]?.[2], `${directory}/mine is run by "/nonexistent/python3", which is not there`)
    })
  )

  it.effect("says what `env` in a first line is not going to find", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      script(path.join(directory, "npx"), "#!/usr/bin/env -S node --no-warnings\n", 0o755)
      const { servers } = yield* PoolConfig.fromServers(
        { one: { command: "./npx", env: { PATH: "/nonexistent" } } },
        { cwd: directory }
      )
      const [entry] = servers
      if (entry?._tag !== "Configured") return assert.fail("the server is configured")
      assert.deepStrictEqual(ill(ServerCommand.check(entry.spec)), [
        [
          "problem",
          "one",
          `${directory}/npx is run by "node", which is not on its PATH`,
          'install Node from nodejs.org, or set "PATH" in "env" of the server in options'
        ]
      ])
    })
  )

  it.effect("says which directory is missing, beside what else is wrong", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const { code, said } = yield* check({ command: "no-such-command", cwd: "gone" }, directory)
      assert.strictEqual(code, "ENOENT")
      assert.deepStrictEqual(
        said.map(([, , message]) => message),
        [`its directory does not exist: ${directory}/gone ("cwd" in options)`, '"no-such-command" is not on its PATH']
      )
      assert.strictEqual(said[0]?.[3], `mkdir -p ${directory}/gone`)
      fs.writeFileSync(path.join(directory, "file"), "")
      const file = yield* check({ command: "sh", cwd: "file" }, directory)
      assert.strictEqual(file.said[0]?.[2], `its "cwd" is no directory: ${directory}/file`)
    })
  )
})
