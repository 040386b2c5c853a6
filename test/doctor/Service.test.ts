import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Daemon from "../../src/doctor/Daemon.ts"
import * as Doctor from "../../src/doctor/Doctor.ts"
import * as Service from "../../src/doctor/Service.ts"
import * as Shell from "../../src/Shell.ts"
import * as ServiceRecord from "../../src/service/ServiceRecord.ts"
import { command } from "../cli/CommandLine.ts"
import * as World from "../service/World.ts"
import { ill } from "./Say.ts"

/** A home with programs in three directories, a configuration that wants them, and the doctor's word on its service. */
const make = Effect.fnUntraced(function* (
  options: { readonly env?: Readonly<Record<string, string>>; readonly config?: object } = {}
) {
  const world = yield* World.make("linux", { ...options, env: { SHELL: "/bin/fake", ...options.env } })
  const bin = (name: string) => path.join(world.home, name)
  for (const file of ["login/uvx", "shell/bunx", "service/old"]) {
    fs.mkdirSync(path.dirname(bin(file)), { recursive: true })
    fs.writeFileSync(bin(file), "", { mode: 0o755 })
  }
  const configFile = path.join(world.home, ".config/mcp-pool/config.json")
  fs.mkdirSync(path.dirname(configFile), { recursive: true })
  fs.writeFileSync(configFile, JSON.stringify(options.config ?? { mcpServers: { sh: { command: "sh" } } }))
  const login = (...directories: ReadonlyArray<string>) => {
    const told = ["/bin", ...directories.map(bin)].join(":")
    world.answer("/bin/fake -lc", { code: 0, out: `welcome\n<mcp-pool PATH ${told} PATH mcp-pool>\nbye` })
  }
  login()
  const commands = Shell.commands({ runtimeDir: world.runtimeDir, configFiles: [] })
  const check = Effect.fnUntraced(function* (only: ReadonlyArray<string>) {
    const daemon = yield* Daemon.ask(world.runtimeDir)
    return yield* Service.check({
      runtimeDir: world.runtimeDir,
      daemon,
      program: ["/opt/node", "/opt/bin.js"],
      commands,
      isLookedAt: (name) => only.length === 0 || only.includes(name)
    })
  })
  const doctor = (only: ReadonlyArray<string> = [], env: Readonly<Record<string, string>> = {}) =>
    world.inside(check(only), env)
  const install = (...args: ReadonlyArray<string>) => command(world.runtimeDir, "service", "install", ...args)
  const unit = () =>
    path.join(
      world.home,
      world.files().find((file) => file.endsWith(".service"))!
    )
  const mend = (...words: ReadonlyArray<string>) => commands.pool("service", "install", ...words)
  return { ...world, bin, doctor, login, install, unit, mend }
})

describe("Service", () => {
  it.live("is silent where none is installed", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.daemon(99)
      assert.deepStrictEqual(yield* world.doctor(), [])
      assert.deepStrictEqual(world.requests, [])
    })
  )

  it.live("is content with one that runs and finds what a login shell finds", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      const findings = yield* world.doctor()
      assert.deepStrictEqual(
        findings.map(({ message, ok }) => [ok, message]),
        [["ok", `${path.basename(world.unit())} runs the daemon, pid 4711, and it finds what a login shell finds`]]
      )
    })
  )

  it.live("names what a login shell finds and the service does not, and the other way round", () =>
    Effect.gen(function* () {
      const servers = {
        python: { command: "uvx" },
        bun: { command: "bunx" },
        old: { command: "old" },
        own: { command: "uvx", env: { PATH: "/nonexistent" } },
        nowhere: { command: "no-such-command" },
        sh: { command: "sh" }
      }
      const world = yield* make({ config: { mcpServers: servers } })
      yield* world.inside(world.install(), { PATH: `/bin:${world.bin("service")}` })
      world.login("login", "shell")
      const node = `/opt/node /opt/bin.js service install --runtime-dir ${world.runtimeDir}`
      const findings = yield* world.doctor()
      assert.deepStrictEqual(ill(findings), [
        [
          "problem",
          "python",
          `"uvx" is not on its PATH in the service, and a login shell finds ${world.bin("login/uvx")}`,
          `/bin/fake -lc '${node}'`
        ],
        [
          "problem",
          "bun",
          `"bunx" is not on its PATH in the service, and a login shell finds ${world.bin("shell/bunx")}`,
          `/bin/fake -lc '${node}'`
        ],
        [
          "warning",
          "old",
          `${world.bin("service/old")} is found in the service, and not in a login shell: installed from one, the service would lose it`,
          null
        ]
      ])
      assert.deepStrictEqual(
        ill(yield* world.doctor(["bun"])).map(([, server]) => server),
        ["bun"]
      )
    })
  )

  it.live("has it installed from this shell where this shell finds it", () =>
    Effect.gen(function* () {
      const world = yield* make({ config: { mcpServers: { python: { command: "uvx" }, bun: { command: "bunx" } } } })
      yield* world.inside(world.install())
      world.login("login")
      const findings = yield* world.doctor([], { PATH: `/bin:${world.bin("login")}:${world.bin("shell")}` })
      assert.deepStrictEqual(ill(findings), [
        [
          "problem",
          "python",
          `"uvx" is not on its PATH in the service, and a login shell finds ${world.bin("login/uvx")}`,
          world.mend()
        ],
        [
          "problem",
          "bun",
          `"bunx" is not on its PATH in the service, and this shell finds ${world.bin("shell/bunx")}`,
          world.mend()
        ]
      ])
    })
  )

  it.live("tells when a login shell says nothing, and compares what is left", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      world.answer("/bin/fake -lc", { code: null, err: "no end within 5 s" })
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        ["warning", "/bin/fake", "as a login shell does not tell its PATH: no end within 5 s", null]
      ])
    })
  )

  it.live("names variables that only this shell has", () =>
    Effect.gen(function* () {
      const world = yield* make({
        env: { MY_TOKEN: "hunter2" },
        config: { mcpServers: { git: { command: "sh", env: { TOKEN: "${MY_TOKEN}" } } } }
      })
      yield* world.inside(world.install())
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        [
          "warning",
          "git",
          "${MY_TOKEN} is set in this shell, and not in the service",
          `give it in an "envFile", or as an input, in ${world.home}/.config/mcp-pool/config.json`
        ]
      ])
    })
  )

  it.live("says that node or the script is gone, with the command that writes the unit anew", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      const unit = world.unit()
      const text = fs.readFileSync(unit, "utf8")
      const name = path.basename(unit)
      fs.writeFileSync(unit, text.replace(/^ExecStart=\S+ \S+/m, "ExecStart=/gone/node /gone/bin.js"))
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        [
          "problem",
          name,
          "starts /gone/node, which is gone: a version manager may have moved it",
          world.mend("--force")
        ],
        ["problem", name, "starts /gone/bin.js, which is gone: an upgrade may have moved it", world.mend("--force")]
      ])
      fs.writeFileSync(unit, text.replace(/^ExecStart=.*$/m, ""))
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        ["warning", unit, "was edited by hand, and starts nothing that the doctor understands", world.mend("--force")]
      ])
    })
  )

  it.live("tells one that does not run, has given up, is disabled, or cannot be asked about", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      const name = path.basename(world.unit())
      yield* world.inside(command(world.runtimeDir, "shutdown"))
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        ["warning", name, "does not run: inactive (dead)", `systemctl --user start ${name}`]
      ])
      Object.assign(world.state, { words: "failed", enabled: false })
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        ["warning", name, "is not started at login", world.mend()],
        [
          "problem",
          name,
          "has given up: failed (dead, exit-code)",
          `journalctl --user --unit ${name} --lines 20 tells why, then ${world.mend()}`
        ]
      ])
      world.answer("systemctl --user show", { err: "Failed to connect to bus" })
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        [
          "warning",
          name,
          "your systemd does not answer here, so that nobody knows how it is: Failed to connect to bus",
          null
        ]
      ])
    })
  )

  it.live("tells a daemon that runs beside the service", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      yield* world.inside(command(world.runtimeDir, "shutdown"))
      yield* world.daemon(99)
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        [
          "warning",
          path.basename(world.unit()),
          "the daemon with process 99 was started by something else, and the service is inactive (dead)",
          world.mend()
        ]
      ])
    })
  )

  it.live("has the daemon started by its command, in all that the doctor says", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      yield* world.inside(command(world.runtimeDir, "shutdown"))
      const run = Doctor.run({
        configFiles: [],
        runtimeDir: world.runtimeDir,
        isUsualDirectory: false,
        only: [],
        start: false,
        nodeVersion: process.versions.node,
        entryOf: () => ({ command: "/bin/true", args: [] })
      })
      const findings = yield* world.inside(run)
      const start = `systemctl --user start ${path.basename(world.unit())}`
      const said = findings.filter(({ check }) => check === "daemon" || check === "service")
      assert.deepStrictEqual(
        said.map(({ mend, message }) => [message, mend]),
        [
          [`no daemon runs: ${start} starts one`, null],
          ["does not run: inactive (dead)", start]
        ]
      )
    })
  )

  it.live("tells a record without a service, and a service without a record", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      const unit = world.unit()
      const record = ServiceRecord.fileOf(world.runtimeDir)
      const text = fs.readFileSync(record)
      fs.rmSync(record)
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        ["warning", record, `is not there: connect does not start the daemon by ${path.basename(unit)}`, world.mend()]
      ])
      fs.writeFileSync(record, text)
      fs.rmSync(unit)
      assert.deepStrictEqual(ill(yield* world.doctor()), [
        [
          "warning",
          record,
          "names a service that is not installed any more: connect tries to start it first",
          `mcp-pool service --runtime-dir ${world.runtimeDir} uninstall`
        ]
      ])
    })
  )

  it.live("tells a configuration with which the service ends at its start", () =>
    Effect.gen(function* () {
      const world = yield* make()
      yield* world.inside(world.install())
      fs.writeFileSync(path.join(world.home, ".config/mcp-pool/config.json"), "{")
      const [first] = ill(yield* world.doctor())
      assert.strictEqual(first?.[0], "problem")
      assert.match(first?.[2] ?? "", /^the service ends at its start: .+config\.json:1:2: /)
    })
  )
})
