#!/usr/bin/env node
/** The executable: `connect` and `serve` have small chunks of their own, everything else is the command line's. */

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`mcp-pool: Node ${process.versions.node} is too old: it needs 22.19 or newer\n`)
  process.exitCode = 1
} else if (process.argv[2] === "connect") {
  void import("./cli/connect.ts").then(({ main }) => main(process.argv.slice(3)))
} else {
  process.getBuiltinModule("node:module").enableCompileCache()
  if (process.argv[2] === "serve") void import("./cli/serveMain.ts").then(({ main }) => main(process.argv.slice(3)))
  else void import("./cli/main.ts")
}
