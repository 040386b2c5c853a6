import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import type { Description } from "../../src/service/Description.ts"
import * as LaunchAgent from "../../src/service/LaunchAgent.ts"
import { any, hostile, plain, said } from "./Descriptions.ts"

const where = { label: "effect-mcp-pool", home: "/Users/ann", logFile: "/Users/ann/Library/Logs/effect-mcp-pool.log" }
const textOf = (description: Description) => LaunchAgent.text(description, where)

const cannotRead = spawnSync("python3", ["-c", "import plistlib"]).status !== 0

/** A property list as Python's own parser reads it. */
const plistlib = (text: string): unknown => {
  const script = "import json, plistlib, sys; json.dump(plistlib.loads(sys.stdin.buffer.read()), sys.stdout)"
  const { status, stderr, stdout } = spawnSync("python3", ["-c", script], { input: text, encoding: "utf8" })
  assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
  return JSON.parse(stdout)
}

const valuesOf = (description: Description) => {
  const { command, path } = said(description)
  return {
    Label: where.label,
    ProgramArguments: command,
    EnvironmentVariables: { PATH: path },
    WorkingDirectory: where.home,
    RunAtLoad: true,
    KeepAlive: true,
    ThrottleInterval: 10,
    ExitTimeOut: description.stopTimeout,
    StandardOutPath: "/dev/null",
    StandardErrorPath: where.logFile
  }
}

describe("LaunchAgent", () => {
  it("is this text", () => {
    assert.strictEqual(
      textOf({ ...plain, configFiles: ["/Users/ann/R&D <1>/mcp.json"] }),
      `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by "mcp-pool service install", which writes it anew with another PATH, another node or other files. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>effect-mcp-pool</string>
  <key>ProgramArguments</key>
  <array>
    <string>/usr/bin/node</string>
    <string>/usr/lib/node_modules/effect-mcp-pool/dist/bin/bin.js</string>
    <string>serve</string>
    <string>--config</string>
    <string>/Users/ann/R&amp;D &lt;1&gt;/mcp.json</string>
    <string>--runtime-dir</string>
    <string>/home/ann/.local/state/mcp-pool</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>PATH</key>
    <string>/home/ann/.local/bin:/usr/bin:/bin</string>
  </dict>
  <key>WorkingDirectory</key>
  <string>/Users/ann</string>
  <key>RunAtLoad</key>
  <true/>
  <!-- Also after a clean end: "mcp-pool shutdown" with its handover makes way for the next daemon. -->
  <key>KeepAlive</key>
  <true/>
  <!-- Seconds from one start to the next at least: a daemon that cannot start costs little. -->
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <!-- Seconds in which the daemon ends its servers, each in its own way. -->
  <key>ExitTimeOut</key>
  <integer>90</integer>
  <key>StandardOutPath</key>
  <string>/dev/null</string>
  <key>StandardErrorPath</key>
  <string>/Users/ann/Library/Logs/effect-mcp-pool.log</string>
</dict>
</plist>
`
    )
  })

  it("says what it was made of", () => {
    for (const description of [plain, hostile]) {
      assert.deepStrictEqual(LaunchAgent.parse(textOf(description)), said(description))
    }
  })

  it.effect.prop("says what it was made of, whatever that is", { description: any }, ({ description }) =>
    Effect.sync(() => assert.deepStrictEqual(LaunchAgent.parse(textOf(description)), said(description)))
  )

  it("is read where somebody has edited it", () => {
    const plist = `<plist><dict><!-- <key>ProgramArguments</key><array><string>/no</string></array> -->
      <key>ProgramArguments</key> <array> <string>/a&#x20;&#98;&quot;&apos;&unknown;</string><string/></array></dict></plist>`
    assert.deepStrictEqual(LaunchAgent.parse(plist), { command: [`/a b"'&unknown;`], path: undefined })
    assert.isUndefined(LaunchAgent.parse("bplist00\u0001"))
  })

  it.skipIf(cannotRead)("is a property list to another parser, where Python is at hand", () => {
    for (const description of [plain, hostile]) {
      assert.deepStrictEqual(plistlib(textOf(description)), valuesOf(description))
    }
  })
})
