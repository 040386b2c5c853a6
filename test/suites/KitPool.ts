/** The pool itself under the kit: a daemon of the built executable, with the kit's server as its only one. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import { quoted } from "./Kit.ts"
import type { Subject } from "./KitWorld.ts"

export const subject = (pool: PoolOptions = {}): Subject => ({
  transport: "socket",
  command: ({ directory, server: [command, ...args], socket }) => {
    const file = path.join(directory, "mcp.json")
    const settings = { ...pool, socket, stop: { stdin: "200 millis", term: "200 millis" } }
    fs.writeFileSync(file, JSON.stringify({ mcpServers: { kit: { command, args, pool: settings } } }))
    const runtimeDir = path.join(directory, "run")
    return [process.execPath, bin, "serve", "--config", file, "--runtime-dir", runtimeDir].map(quoted).join(" ")
  }
})

const bin = path.resolve(import.meta.dirname, "../../dist/bin/bin.js")
