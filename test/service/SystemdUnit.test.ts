import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Description } from "../../src/service/Description.ts"
import * as SystemdUnit from "../../src/service/SystemdUnit.ts"
import * as TestPool from "../support/TestPool.ts"
import { any, hostile, plain, said } from "./Descriptions.ts"

const read = (description: Description) => SystemdUnit.parse(SystemdUnit.text(description, "x.service"))

const cannotVerify = spawnSync("systemd-analyze", ["--version"]).status !== 0

describe("SystemdUnit", () => {
  it("is this text", () => {
    assert.strictEqual(
      SystemdUnit.text({ ...plain, configFiles: ["/home/ann/mcp.json"] }, "effect-mcp-pool.service"),
      `# Written by "mcp-pool service install", which writes it anew with another PATH, another node or other files.
# What you add with "systemctl --user edit effect-mcp-pool.service" stays.

[Unit]
Description=MCP servers, each run once and shared (mcp-pool)
# A daemon that cannot start is given up after five times in a minute, as where another one serves its directory.
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart=/usr/bin/node /usr/lib/node_modules/effect-mcp-pool/dist/bin/bin.js serve --config /home/ann/mcp.json --runtime-dir /home/ann/.local/state/mcp-pool
Environment="PATH=/home/ann/.local/bin:/usr/bin:/bin"
# Also after a clean end: "mcp-pool shutdown --handover" makes way for the next daemon.
Restart=always
RestartSec=500ms
# A configuration that cannot be read is no better a moment later.
RestartPreventExitStatus=2
# The daemon ends its servers, each in its own way; what is left when it is gone is killed.
KillMode=mixed
TimeoutStopSec=90
# A server that is out of memory is the daemon's to restart.
OOMPolicy=continue
StandardOutput=journal
StandardError=journal
SyslogIdentifier=mcp-pool

[Install]
WantedBy=default.target
`
    )
  })

  it("escapes what systemd would take for its own", () => {
    const lines = SystemdUnit.text(hostile, "x.service").split("\n")
    assert.strictEqual(
      lines.find((line) => line.startsWith("ExecStart=")),
      String.raw`ExecStart=/bin/sh -c "exec \"$$0\" \"$$@\"" "/opt/my \"node\" 100%%h/$$HOME/bin/node" ` +
        String.raw`"/opt/a\\b 'c' $$` +
        `{HOME} $$$$ %%%% %%n ; #/bin.js" serve --config "/home/ann/ä & <b> ]]> -- 日本/mcp.json" ` +
        `--config /x/--runtime-dir --runtime-dir "/home/ann/pool 'two' 🚀" ` +
        String.raw`--http "a%%h$$HOME:1" --allowed-host "b'c\"&<d>" --allowed-host "[::1]" --http-idle 1000ms --http-wait`
    )
    assert.strictEqual(
      lines.find((line) => line.startsWith("Environment=")),
      String.raw`Environment="PATH=/a b:/c%%h:/d$PATH:/e\"f\":/g\\h:/i'j':/k&l;:/m<n>:"`
    )
  })

  it("says what it was made of", () => {
    for (const description of [plain, hostile]) assert.deepStrictEqual(read(description), said(description))
  })

  it.effect.prop("says what it was made of, whatever that is", { description: any }, ({ description }) =>
    Effect.sync(() => assert.deepStrictEqual(read(description), said(description)))
  )

  it("is read where somebody has edited it", () => {
    const unit = `[Unit]\nExecStart=/no\n[Service]\nEnvironment=A=1 'PATH=/x y' B=2\nEnvironment=\nEnvironment="PATH=/z"
ExecStart=/old\nExecStart=\nExecStart=-@/usr/bin/env \\\n  node\\x20  'a b'\n[Install]\nExecStart=/no\n`
    assert.deepStrictEqual(SystemdUnit.parse(unit), { command: ["/usr/bin/env", "nodex20", "a b"], path: "/z" })
    assert.isUndefined(SystemdUnit.parse("[Service]\nEnvironment=PATH=/x\n"))
    assert.isUndefined(SystemdUnit.parse("[Service]\nExecStart=/x\nExecStart=\n"))
  })

  it.live.skipIf(cannotVerify)("is accepted by systemd-analyze, where that is at hand", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      // It wants the program to be there.
      const odd = path.join(directory, "my node 100%h {}")
      fs.symlinkSync(process.execPath, odd)
      const all = [{ ...plain, node: process.execPath }, hostile, { ...hostile, node: odd }]
      for (const [i, description] of all.entries()) {
        const file = path.join(directory, `pool-${i}.service`)
        fs.writeFileSync(file, SystemdUnit.text(description, "x.service"))
        const { status, stderr } = spawnSync("systemd-analyze", ["--user", "verify", file], {
          encoding: "utf8",
          env: { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory }
        })
        assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
      }
    })
  )
})
