/** `mcp-pool serve --http` as a process, in front of servers that many hosts have and of the conformance fixtures. */
import { Effect, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import { command } from "../cli/CommandLine.ts"
import * as Processes from "./Processes.ts"
import * as ServeProcess from "./ServeProcess.ts"
import * as TestPool from "./TestPool.ts"

export interface GatewayProcess {
  readonly daemon: ServeProcess.ServeProcess
  readonly runtimeDir: string
  readonly url: string
  /** Where a server is, for clients that take a URL and headers; where there is a token, they show it. */
  readonly of: (server: string) => { readonly url: URL; readonly headers: { readonly [name: string]: string } }
}

/** Starts it, and returns when each server has run or failed once; nothing of it is left when the scope closes. */
export const start = Effect.fnUntraced(function* (
  servers: (marker: string) => Readonly<Record<string, ServerOptions>>,
  flags: ReadonlyArray<string> = ["--http", "0"]
): Effect.fn.Return<GatewayProcess, never, Scope.Scope> {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: servers(marker) }))
  yield* Effect.addFinalizer(() =>
    Effect.tapError(Processes.gone(marker), () => Processes.killAll(marker)).pipe(Effect.orDie)
  )
  const daemon = yield* ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile, ...flags])
  yield* daemon.serving
  const { out } = yield* command(runtimeDir, "status", "--json", "--wait", "20s")
  const { http } = JSON.parse(out) as { readonly http: { readonly url: string } }
  const file = RuntimeDir.httpTokenFile(runtimeDir)
  const headers: { readonly [name: string]: string } = fs.existsSync(file)
    ? { authorization: `Bearer ${fs.readFileSync(file, "utf8").trim()}` }
    : {}
  return {
    daemon,
    runtimeDir,
    url: http.url,
    of: (server) => ({ url: new URL(`${http.url}/servers/${server}/mcp`), headers })
  }
})

/** The published server that has a bit of everything. */
export const everything = (marker: string): ServerOptions => ({
  command: process.execPath,
  args: [
    fileURLToPath(new URL("../../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url)),
    "stdio",
    marker
  ]
})
