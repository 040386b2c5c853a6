import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as serveMain from "../../src/cli/serveMain.ts"
import * as DaemonRecord from "../../src/daemon/DaemonRecord.ts"
import * as ServiceRecord from "../../src/service/ServiceRecord.ts"
import * as SystemdUnit from "../../src/service/SystemdUnit.ts"
import * as World from "../service/World.ts"
import { command } from "./CommandLine.ts"
import * as Spawned from "./Spawned.ts"

/** A world with the default configuration, and commands in it. */
const make = Effect.fnUntraced(function* (
  platform: "linux" | "darwin",
  options: { readonly env?: Readonly<Record<string, string>>; readonly config?: object } = {}
) {
  const world = yield* World.make(platform, options)
  const configFile = path.join(world.home, ".config/mcp-pool/config.json")
  fs.mkdirSync(path.dirname(configFile), { recursive: true })
  fs.writeFileSync(configFile, JSON.stringify(options.config ?? { mcpServers: { git: { command: "git" } } }))
  const service = (...args: ReadonlyArray<string>) => world.inside(command(world.runtimeDir, "service", ...args))
  const shutdown = world.inside(command(world.runtimeDir, "shutdown"))
  // A directory of its own is not the usual one.
  const name = (file: string) => file.replace(/effect-mcp-pool-[0-9a-f]{8}/g, "effect-mcp-pool-X")
  return { ...world, service, shutdown, name, configFile }
})

const unitIn = (world: World.World): string =>
  path.join(
    world.home,
    world.files().find((file) => /\.(service|plist)$/.test(file))!
  )

describe("service install", () => {
  it.live("writes the unit and the record, has systemd start it, and says so", () =>
    Effect.gen(function* () {
      const world = yield* make("linux", { env: { XDG_RUNTIME_DIR: "/run/user/7" } })
      const { code, err, out } = yield* world.service("install")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      const unit = unitIn(world)
      assert.deepStrictEqual(world.name(out).split("\n"), [
        `wrote ${world.home}/.config/systemd/user/effect-mcp-pool-X.service`,
        `wrote ${world.runtimeDir}/service.json: connect starts the daemon by it`,
        "effect-mcp-pool-X.service runs, pid 4711"
      ])
      assert.deepStrictEqual(world.commands().map(world.name), [
        "systemctl --user daemon-reload",
        "systemctl --user enable effect-mcp-pool-X.service",
        "systemctl --user reset-failed effect-mcp-pool-X.service",
        "systemctl --user start effect-mcp-pool-X.service"
      ])
      for (const { argv, env } of world.requests) {
        if (argv[0] === "systemctl") assert.deepStrictEqual(env, { add: { XDG_RUNTIME_DIR: "/run/user/7" } })
      }
      assert.deepStrictEqual(SystemdUnit.parse(fs.readFileSync(unit, "utf8")), {
        command: [process.execPath, fs.realpathSync(process.argv[1]!), "serve", "--runtime-dir", world.runtimeDir],
        path: "/usr/bin:/bin"
      })
      assert.strictEqual(fs.statSync(unit).mode & 0o777, 0o644)
      const record = ServiceRecord.fileOf(world.runtimeDir)
      assert.strictEqual(fs.statSync(record).mode & 0o777, 0o600)
      const env = ["/usr/bin/env", "XDG_RUNTIME_DIR=/run/user/7", "systemctl", "--user"]
      assert.deepStrictEqual(JSON.parse(fs.readFileSync(record, "utf8")), {
        name: path.basename(unit),
        start: [...env, "start", path.basename(unit)],
        stop: [...env, "stop", path.basename(unit)]
      })
    })
  )

  it.live("does nothing a second time", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const before = fs.statSync(unitIn(world)).mtimeMs
      const { code, out } = yield* world.service("install")
      assert.strictEqual(code, 0)
      assert.strictEqual(world.name(out), "effect-mcp-pool-X.service is installed already, and runs, pid 4711")
      assert.strictEqual(fs.statSync(unitIn(world)).mtimeMs, before)
      assert.strictEqual(world.commands().filter((line) => line.includes(" start ")).length, 1)
    })
  )

  it.live("writes it anew with other files, and has its own daemon make way", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const other = path.join(world.home, "my mcp.json")
      fs.writeFileSync(other, `{ "mcpServers": {} }`)
      const { code, out } = yield* world.service("install", "--config", other)
      assert.strictEqual(code, 0)
      assert.include(out, "the daemon with process 4711 made way\n")
      assert.match(out, / runs, pid 4712$/)
      assert.include(fs.readFileSync(unitIn(world), "utf8"), `--config "${other}"`)
    })
  )

  it.live("takes over from a daemon that something else has started", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.daemon(99)
      const { code, out } = yield* world.service("install")
      assert.strictEqual(code, 0)
      assert.include(out, "the daemon with process 99 made way\n")
      assert.match(out, / runs, pid 4711$/)
    })
  )

  it.live("does not write over what somebody has edited, unless it is forced to", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const unit = unitIn(world)
      const edited = `${fs.readFileSync(unit, "utf8")}# mine\n`
      fs.writeFileSync(unit, edited)
      const calls = world.requests.length
      const refused = yield* world.service("install")
      assert.strictEqual(refused.code, 1)
      assert.strictEqual(
        refused.err,
        `mcp-pool: ${unit} was edited by hand, and nothing was changed: --force writes it anew and keeps yours as ` +
          `${unit}.edited; settings of your own stay in "systemctl --user edit ${path.basename(unit)}"`
      )
      assert.strictEqual(world.requests.length, calls)
      assert.strictEqual(fs.readFileSync(unit, "utf8"), edited)
      const forced = yield* world.service("install", "--force")
      assert.strictEqual(forced.code, 0)
      assert.strictEqual(fs.readFileSync(`${unit}.edited`, "utf8"), edited)
      assert.notInclude(fs.readFileSync(unit, "utf8"), "# mine")
      assert.strictEqual((yield* world.service("install")).code, 0)
    })
  )

  it.live("does not write over what is not its own at all", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const unit = unitIn(world)
      fs.writeFileSync(unit, "[Service]\nExecStart=/bin/mine\n")
      assert.strictEqual((yield* world.service("install")).code, 1)
      assert.strictEqual(fs.readFileSync(unit, "utf8"), "[Service]\nExecStart=/bin/mine\n")
    })
  )

  it.live("has the modes that it wants, whatever the umask is", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* Effect.acquireUseRelease(
        Effect.sync(() => process.umask(0o077)),
        () => world.service("install"),
        (mask) => Effect.sync(() => process.umask(mask))
      )
      assert.strictEqual(fs.statSync(unitIn(world)).mode & 0o777, 0o644)
    })
  )

  it.live("says what was written and what is to be run where no systemd answers, and leaves the daemon alone", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.daemon(99)
      world.answer("systemctl", { code: 1, err: "Failed to connect to bus: No medium found" })
      const { code, err, out } = yield* world.service("install")
      assert.strictEqual(code, 1)
      assert.include(world.name(out), `wrote ${world.home}/.config/systemd/user/effect-mcp-pool-X.service\n`)
      assert.deepStrictEqual(world.name(err).split("\n"), [
        "mcp-pool: effect-mcp-pool-X.service is installed and was not started: systemctl --user daemon-reload: " +
          "Failed to connect to bus: No medium found. Where your systemd answers, as it does in a session of your own, run",
        "  systemctl --user daemon-reload",
        "  systemctl --user enable effect-mcp-pool-X.service",
        "  systemctl --user start effect-mcp-pool-X.service"
      ])
      // Once there is one, the same command goes on.
      world.answer("systemctl", { code: 127 })
      assert.include((yield* world.inside(command(world.runtimeDir, "status"))).out, "pid 99")
    })
  )

  it.live("shows where to look if the start fails, or if the daemon of the service ends", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      world.answer("systemctl --user start", { code: 1, err: "Job failed.\nSee more." })
      const failed = yield* world.service("install")
      assert.strictEqual(failed.code, 1)
      assert.include(
        world.name(failed.err),
        ": systemctl --user start effect-mcp-pool-X.service: Job failed. Go on with\n"
      )
      assert.include(world.name(failed.err), "\n  journalctl --user --unit effect-mcp-pool-X.service --lines 20")

      const other = yield* make("linux")
      other.answer("systemctl --user start", { code: 0 })
      other.state.words = "failed"
      const ended = yield* other.service("install")
      assert.strictEqual(ended.code, 1)
      assert.include(ended.err, "its daemon does not answer (failed (dead, exit-code))")
    })
  )

  it.live("does not take another daemon for the service's", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      world.answer("systemctl --user start", Effect.as(world.daemon(99), { code: 0 }))
      const { code, err } = yield* world.service("install")
      assert.strictEqual(code, 1)
      assert.include(err, "was not started: another daemon was faster, process 99 (inactive (dead))")
    })
  )

  it.live("refuses a configuration that the daemon could not read, before it writes anything", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const before = world.files()
      const { code, err } = yield* world.service("install", "--config", path.join(world.home, "none.json"))
      assert.strictEqual(code, 2)
      assert.include(err, "none.json: no such file")
      fs.writeFileSync(world.configFile, "{")
      assert.strictEqual((yield* world.service("install")).code, 2)
      assert.deepStrictEqual(world.files(), before)
      assert.deepStrictEqual(world.requests, [])
    })
  )

  it.live("refuses what no unit can hold", () =>
    Effect.gen(function* () {
      const world = yield* make("linux", { env: { PATH: "/usr/bin:/my\nbin" } })
      const { code, err } = yield* world.service("install")
      assert.strictEqual(code, 2)
      assert.strictEqual(
        err,
        "mcp-pool: the service cannot be written down: there is a line feed or another control character in PATH"
      )
    })
  )

  it.live("prints everything and changes nothing with --dry-run", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const before = world.files()
      const { code, err, out } = yield* world.service("install", "--dry-run")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.match(out, /^# .+\.service\n# Written by /)
      assert.match(world.name(out), /\n# Then it runs\nsystemctl --user daemon-reload\n/)
      assert.deepStrictEqual(world.files(), before)
      assert.deepStrictEqual(world.requests, [])
    })
  )

  it.live("has the daemon serve HTTP where it is told to, and wait for an address that another program has", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      world.state.http = { url: "http://127.0.0.1:8080" }
      const flags = ["--http", "8080", "--allowed-host", "host.docker.internal", "--http-idle", "1h"]
      const { code, err, out } = yield* world.service("install", ...flags)
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.include(out, '\nHTTP at http://127.0.0.1:8080: "mcp-pool config --http" prints entries for hosts')
      const said = ["--http", "127.0.0.1:8080", "--allowed-host", "host.docker.internal", "--http-idle", "3600000ms"]
      const parsed = SystemdUnit.parse(fs.readFileSync(unitIn(world), "utf8"))
      assert.deepStrictEqual(parsed?.command.slice(3), ["--runtime-dir", world.runtimeDir, ...said, "--http-wait"])
      assert.deepInclude(serveMain.parse(parsed?.command.slice(3) ?? []), {
        http: {
          address: { host: "127.0.0.1", port: 8080 },
          auth: "token",
          allowedHosts: ["host.docker.internal"],
          idle: 3_600_000,
          waits: true
        }
      })
      assert.include((yield* world.service("status")).out, `\n  HTTP       http://127.0.0.1:8080 (${said.join(" ")})\n`)
      const json = JSON.parse((yield* world.service("status", "--json")).out)
      assert.deepInclude(json, { url: "http://127.0.0.1:8080", http: said })
      world.state.http = null
      assert.include((yield* world.service("status")).out, "\n  HTTP       not served, though it is told --http")
      // As it is, it need not be written anew.
      const again = yield* world.service("install", ...flags)
      assert.include(again.out, "is installed already")
      assert.include(again.err, "HTTP is not served")
    })
  )

  for (const [what, said, ...flags] of [
    ["another port with each start", "name one for the service", "--http", "0"],
    ["everybody without a token", "0.0.0.0 is none", "--http", "0.0.0.0:80", "--http-auth", "none"],
    ["no address", "need --http", "--http-idle", "1h"]
  ] as const) {
    it.live(`refuses HTTP at ${what}`, () =>
      Effect.gen(function* () {
        const world = yield* make("linux")
        const { code, err } = yield* world.service("install", ...flags)
        assert.strictEqual(code, 2)
        assert.include(err, said)
        assert.deepStrictEqual(world.requests, [])
      })
    )
  }

  it.live("tells when the daemon before served HTTP", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      fs.mkdirSync(world.runtimeDir, { mode: 0o700 })
      const address = { host: "127.0.0.1", port: 8080 }
      const http = { address, auth: "none" as const, allowedHosts: [], idle: 1_800_000, waits: true }
      yield* DaemonRecord.write(world.runtimeDir, {
        configFiles: [],
        strict: false,
        watchConfig: false,
        http,
        path: ""
      })
      assert.strictEqual(
        (yield* world.service("install")).err,
        "mcp-pool: the last daemon served HTTP, which the service will not: for that, --http 127.0.0.1:8080 --http-auth none"
      )
    })
  )

  it.live("has the executable's own script in the unit", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const args = ["service", "install", "--dry-run", "--runtime-dir", world.runtimeDir, "--config", world.configFile]
      const { child, ended } = yield* Spawned.start(args, { home: world.home })
      child.stdin.end()
      const { code, err, out } = yield* ended
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      const script = path.join(import.meta.dirname, "../../src/bin.ts")
      if (process.platform === "linux") {
        assert.deepStrictEqual(SystemdUnit.parse(out), {
          command: [process.execPath, script, "serve", "--config", world.configFile, "--runtime-dir", world.runtimeDir],
          path: process.env["PATH"]
        })
      } else assert.include(out, script)
    })
  )

  it.live("names variables that the service will not have, and tells when it ends with the session", () =>
    Effect.gen(function* () {
      const server = { command: "git", env: { A: "${MY_TOKEN}", B: "${NOBODY_HAS_IT}" } }
      const world = yield* make("linux", {
        env: { MY_TOKEN: "hunter2" },
        config: { mcpServers: { git: server, other: { command: "git", env: { A: "${NOBODY_HAS_IT}" } } } }
      })
      world.state.linger = false
      const { code, err } = yield* world.service("install")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(err.split("\n"), [
        `mcp-pool: git will not start in the service: \${MY_TOKEN} is set in this shell only. Give it in an "envFile", ` +
          `or as an input (\${input:…}), in ${world.configFile}`,
        "mcp-pool: the service ends with your last session, unless you run: loginctl enable-linger"
      ])
    })
  )

  it.live("tells when the daemon before had other files", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const record = {
        configFiles: ["/home/ann/mcp.json"],
        strict: false,
        watchConfig: false,
        http: null,
        path: "/bin"
      }
      fs.mkdirSync(world.runtimeDir, { mode: 0o700 })
      yield* DaemonRecord.write(world.runtimeDir, record)
      const note = "mcp-pool: the last daemon was given other files, which the service will not serve: for these, "
      assert.strictEqual((yield* world.service("install")).err, `${note}--config /home/ann/mcp.json`)
      assert.strictEqual((yield* world.service("install", "--config", world.configFile)).err, "")
    })
  )

  it.live("gives the slowest server its time to stop", () =>
    Effect.gen(function* () {
      const slow = { command: "git", pool: { stop: { stdin: "1 min", term: "90 s" } } }
      const world = yield* make("linux", { config: { mcpServers: { slow, other: { command: 1 } } } })
      yield* world.service("install")
      assert.include(fs.readFileSync(unitIn(world), "utf8"), "\nTimeoutStopSec=180\n")
    })
  )

  it.live("loads it into launchd on macOS", () =>
    Effect.gen(function* () {
      const world = yield* make("darwin")
      const { code, err, out } = yield* world.service("install")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.strictEqual(
        world.name(out),
        [
          `wrote ${world.home}/Library/LaunchAgents/effect-mcp-pool-X.plist`,
          `wrote ${world.runtimeDir}/service.json: connect starts the daemon by it`,
          "effect-mcp-pool-X runs, pid 4711"
        ].join("\n")
      )
      assert.deepStrictEqual(
        world.requests.map(({ argv: [program, word] }) => `${program} ${word}`),
        [
          "launchctl enable",
          "launchctl print",
          "launchctl print-disabled",
          "/bin/sh -c",
          "/bin/sh -c",
          "launchctl print",
          "launchctl print-disabled"
        ]
      )
      const record = ServiceRecord.read(world.runtimeDir)
      assert.deepStrictEqual(record?.stop.slice(0, 2), ["launchctl", "bootout"])
    })
  )

  it.live("says so where there is neither", () =>
    Effect.gen(function* () {
      const world = yield* make("freebsd" as "linux")
      const { code, err } = yield* world.service("install")
      assert.strictEqual(code, 1)
      assert.include(err, "a service needs systemd or launchd, and freebsd has neither")
    })
  )
})

describe("service uninstall", () => {
  it.live("stops the service and removes all that was written, and is content where nothing is", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const before = world.files()
      yield* world.service("install")
      const link = path.join(path.dirname(unitIn(world)), "default.target.wants", path.basename(unitIn(world)))
      fs.mkdirSync(path.dirname(link), { recursive: true })
      fs.symlinkSync(unitIn(world), link)
      const { code, err, out } = yield* world.service("uninstall")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.deepStrictEqual(world.name(out).split("\n"), [
        `removed ${world.runtimeDir}/service.json`,
        `removed ${world.home}/.config/systemd/user/effect-mcp-pool-X.service`,
        `removed ${world.home}/.config/systemd/user/default.target.wants/effect-mcp-pool-X.service`,
        "effect-mcp-pool-X.service is uninstalled"
      ])
      assert.deepStrictEqual(world.commands().slice(4).map(world.name), [
        "systemctl --user disable --now effect-mcp-pool-X.service",
        "systemctl --user daemon-reload"
      ])
      assert.deepStrictEqual(world.files(), before)
      assert.deepStrictEqual(world.state.pid, null)
      const again = yield* world.service("uninstall")
      assert.deepStrictEqual(again, { code: 0, out: "no service is installed", err: "" })
    })
  )

  it.live("removes it where no systemd answers, and keeps what somebody has edited", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const unit = unitIn(world)
      fs.appendFileSync(unit, "# mine\n")
      world.answer("systemctl", { code: null, err: "spawn systemctl ENOENT" })
      const { code, err } = yield* world.service("uninstall")
      assert.strictEqual(code, 0)
      assert.strictEqual(
        world.name(err),
        "mcp-pool: systemctl --user disable --now effect-mcp-pool-X.service: spawn systemctl ENOENT"
      )
      assert.isFalse(fs.existsSync(unit))
      assert.isTrue(fs.existsSync(`${unit}.edited`))
    })
  )

  it.live("leaves the service of another runtime directory alone", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const other = path.join(world.home, "other")
      yield* world.service("install")
      const mine = unitIn(world)
      world.answer("systemctl --user start", { code: 1 })
      yield* world.inside(command(other, "service", "install"))
      const units = world.files().filter((file) => file.endsWith(".service"))
      assert.strictEqual(units.length, 2)
      yield* world.inside(command(other, "service", "uninstall"))
      assert.strictEqual(unitIn(world), mine)
      assert.isTrue(fs.existsSync(ServiceRecord.fileOf(world.runtimeDir)))
    })
  )
})

describe("service status", () => {
  it.live("says that none is installed", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      const none = yield* world.service("status")
      assert.deepStrictEqual(none, { code: 0, out: `no service is installed for ${world.runtimeDir}`, err: "" })
      yield* world.daemon(99)
      assert.match((yield* world.service("status")).out, /; the daemon with process 99 was started otherwise$/)
      assert.deepStrictEqual(world.requests, [])
    })
  )

  it.live("shows what it has and how it is", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const { code, out } = yield* world.service("status")
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(world.name(out).split("\n"), [
        `effect-mcp-pool-X.service (systemd) · ${world.home}/.config/systemd/user/effect-mcp-pool-X.service`,
        "  installed  yes",
        "  enabled    yes",
        "  running    yes, pid 4711, active (running)",
        `  daemon     pid 4711 serves ${world.runtimeDir}`,
        "  connect    starts it",
        `  node       ${process.execPath}`,
        `  script     ${fs.realpathSync(process.argv[1]!)}`,
        "  config     ~/.config/mcp-pool/config.json",
        "  PATH       /usr/bin:/bin"
      ])
    })
  )

  it.live("tells what is gone, edited, stopped, unknown and beside it", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const unit = unitIn(world)
      const text = fs.readFileSync(unit, "utf8").replace(/^ExecStart=\S+/m, "ExecStart=/gone/node")
      fs.writeFileSync(unit, text)
      fs.rmSync(ServiceRecord.fileOf(world.runtimeDir))
      Object.assign(world.state, { pid: null, words: "failed", enabled: false })
      const { out } = yield* world.service("status")
      assert.include(out, "  installed  yes, and edited by hand\n")
      assert.include(out, "  enabled    no\n")
      assert.include(out, "  running    no, failed (dead, exit-code)\n")
      assert.include(out, ", and is not the service's\n")
      assert.include(out, "  connect    does not know of it: ")
      assert.include(out, "  node       /gone/node is gone\n")
      world.answer("systemctl", { code: 1, err: "Failed to connect to bus" })
      assert.include((yield* world.service("status")).out, "  running    not known: Failed to connect to bus\n")
    })
  )

  it.live("prints the same for programs", () =>
    Effect.gen(function* () {
      const world = yield* make("darwin")
      yield* world.service("install", "--config", world.configFile)
      const { out } = yield* world.service("status", "--json")
      const { file, isEnabled, name, ...rest } = JSON.parse(out)
      assert.isTrue(isEnabled)
      assert.strictEqual(file, unitIn(world))
      assert.strictEqual(file, path.join(world.home, "Library/LaunchAgents", `${name}.plist`))
      assert.deepStrictEqual(rest, {
        kind: "launchd",
        url: null,
        http: [],
        isInstalled: true,
        isEdited: false,
        isRunning: true,
        state: "running",
        silence: null,
        pid: 4711,
        daemon: 4711,
        runtimeDir: world.runtimeDir,
        node: { file: process.execPath, exists: true },
        script: { file: fs.realpathSync(process.argv[1]!), exists: true },
        configFiles: [world.configFile],
        path: "/usr/bin:/bin",
        isRecorded: true
      })
    })
  )
})

describe("shutdown of a service's daemon", () => {
  it.live("stops the service too, so that nothing starts it again but somebody who needs it", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const { code, out } = yield* world.shutdown
      assert.strictEqual(code, 0)
      assert.strictEqual(
        world.name(out),
        "the daemon has stopped, pid 4711\neffect-mcp-pool-X.service is stopped until a host needs it, or the next login"
      )
      assert.match(world.commands().at(-1)!, /^\/usr\/bin\/env XDG_RUNTIME_DIR=\S+ systemctl --user stop /)
    })
  )

  it.live("leaves the service to start the next one after a handover", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      const { code } = yield* world.inside(command(world.runtimeDir, "shutdown", "--handover"))
      assert.strictEqual(code, 0)
      assert.isFalse(world.commands().some((line) => line.includes(" stop ")))
    })
  )

  it.live("stops the daemon all the same where the service cannot be", () =>
    Effect.gen(function* () {
      const world = yield* make("linux")
      yield* world.service("install")
      world.answer("systemctl --user stop", { code: 1 })
      assert.deepStrictEqual(yield* world.shutdown, { code: 0, out: "the daemon has stopped, pid 4711", err: "" })
    })
  )
})
