import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { HostEnvironment } from "../../src/config/Environment.ts"
import * as Trust from "../../src/config/Trust.ts"
import * as Files from "../../src/doctor/Files.ts"
import * as TestPool from "../support/TestPool.ts"
import { ill } from "./Say.ts"

const check = (runtimeDir: string, ...configFiles: ReadonlyArray<string>) =>
  Effect.map(Files.check({ runtimeDir, configFiles }), (findings) => ill(findings))

const write = (file: string, mode: number, content: object) => {
  fs.writeFileSync(file, JSON.stringify(content))
  fs.chmodSync(file, mode)
}

describe("Files", () => {
  it.effect("accepts a runtime directory that is yours alone, or can be made", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      assert.deepStrictEqual(yield* check(directory), [])
      assert.deepStrictEqual(yield* check(path.join(directory, "a/b")), [])
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    })
  )

  it.effect("tells who else may use the runtime directory", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      fs.chmodSync(directory, 0o755)
      const mend = `chmod 700 ${directory}`
      assert.deepStrictEqual(yield* check(directory), [
        ["warning", directory, "mode 0755: others may look into it, until mcp-pool serve starts the next time", mend]
      ])
      fs.chmodSync(directory, 0o770)
      assert.deepStrictEqual(yield* check(directory), [
        ["problem", directory, "mode 0770: others may write to it", mend]
      ])
      fs.chmodSync(directory, 0o500)
      assert.deepStrictEqual(yield* check(directory), [
        ["problem", directory, "mode 0500: its owner may not use it", mend]
      ])
    })
  )

  it.effect("tells a runtime directory that is a link or something else", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const there = path.join(directory, "there")
      const link = path.join(directory, "link")
      fs.symlinkSync(there, link)
      assert.deepStrictEqual(yield* check(link), [["problem", link, "is a symbolic link to nothing", `rm ${link}`]])
      fs.mkdirSync(there, { mode: 0o700 })
      assert.deepStrictEqual(yield* check(link), [
        ["warning", link, `is a symbolic link to ${there}`, `give --runtime-dir ${there}`]
      ])
      const file = path.join(directory, "file")
      fs.writeFileSync(file, "")
      assert.strictEqual((yield* check(file))[0]?.[2], "is not a directory")
      assert.strictEqual((yield* check(path.join(file, "below")))[0]?.[2], `${file} is not a directory`)
    })
  )

  it("knows file systems that hold no sockets", () => {
    assert.deepStrictEqual(Files.withoutSockets(0x4d44), { name: "FAT", certain: true })
    // `statfs` may give it with a sign.
    assert.strictEqual(Files.withoutSockets(0xff534d42 | 0)?.name, "CIFS")
    assert.isUndefined(Files.withoutSockets(0xef53))
  })

  it.effect("tells of configurations that others may read with their secrets, or write", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const file = path.join(directory, "mcp.json")
      const server = (env: object) => ({ mcpServers: { one: { command: "node", env } } })
      write(file, 0o644, server({ API_TOKEN: "${TOKEN}", PAGES: "12" }))
      assert.deepStrictEqual(yield* check(directory, file), [])
      write(file, 0o644, server({ API_TOKEN: "hunter2" }))
      const said = yield* check(directory, file)
      assert.deepStrictEqual(said, [
        ["warning", file, "mode 0644: others may read it, and it seems to hold secrets (one)", `chmod 600 ${file}`]
      ])
      write(file, 0o600, server({ API_TOKEN: "hunter2" }))
      assert.deepStrictEqual(yield* check(directory, file), [])
      write(file, 0o606, server({}))
      assert.deepStrictEqual(yield* check(directory, file), [
        ["problem", file, "mode 0606: everybody may write to it", `chmod o-w ${file}`]
      ])
    })
  )

  it.effect("tells of inputs that others may read, or that cannot be read", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const file = path.join(directory, "mcp.json")
      const inputs = path.join(directory, "mcp-pool.inputs.json")
      write(file, 0o600, { mcpServers: { one: { command: "node" } } })
      write(inputs, 0o640, { key: "hunter2" })
      assert.deepStrictEqual(yield* check(directory, file), [
        ["problem", inputs, "mode 0640: others may read it, so that nothing is taken from it", `chmod 600 ${inputs}`]
      ])
      write(inputs, 0o600, { key: 1 })
      assert.deepStrictEqual(yield* check(directory, file), [
        ["problem", inputs, `${inputs}: "key" should be a string, found a number`, `edit ${inputs}`]
      ])
      write(inputs, 0o600, { key: "hunter2" })
      assert.deepStrictEqual(yield* check(directory, file), [])
    })
  )

  it.effect("tells of a project that is trusted and gone, and of a record that says nothing", () =>
    Effect.gen(function* () {
      const home = yield* TestPool.temporaryDirectory
      const at = Effect.provideService(HostEnvironment, { HOME: home })
      const [here, gone] = [path.join(home, "here"), path.join(home, "gone")]
      fs.mkdirSync(here)
      yield* at(Trust.write(here, []))
      yield* at(Trust.write(gone, []))
      const look = at(check(path.join(home, "run")))
      assert.deepStrictEqual(yield* look, [
        [
          "warning",
          gone,
          "is trusted as a project, and is gone: what comes to be there could be trusted by mistake",
          `mcp-pool trust --remove ${gone}`
        ]
      ])
      const record = path.join(home, ".config/mcp-pool/trusted/x.json")
      fs.writeFileSync(record, "{}", { mode: 0o600 })
      assert.deepStrictEqual(yield* look, [
        ["problem", record, "is no record of a trusted project: remove it, and trust anew", `rm ${record}`]
      ])
    })
  )
})
