#!/usr/bin/env node
/** The executable: `connect` and `serve` have small chunks of their own, everything else is the command line's. */

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`mcp-pool: Node ${process.versions.node} is too old: it needs 22.19 or newer\n`)
  process.exitCode = 1
} else {
  const [command, ...args] = process.argv.slice(2)
  if (command !== "connect") process.getBuiltinModule("node:module").enableCompileCache()
  const own =
    command === "connect" ? import("./cli/connect.ts") : command === "serve" ? import("./cli/serveMain.ts") : null
  const isTaken = own !== null && (await own).main(args)
  if (!isTaken) await import("./cli/main.ts")
}
