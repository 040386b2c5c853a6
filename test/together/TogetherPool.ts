/** A pool behind a listener of its own, and clients of all its servers at `/mcp`. */
import { StreamableHTTPClientTransport as Transport2 } from "@modelcontextprotocol/client"
import type { ClientCapabilities } from "@modelcontextprotocol/sdk/types.js"
import { StreamableHTTPClientTransport as Transport1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Logger } from "effect"
import { fileURLToPath } from "node:url"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as EraClient from "../support/EraClient.ts"
import * as TestPool from "../support/TestPool.ts"

/** The pool of these servers; unless `start` is false, each has run or failed once. */
export const make = Effect.fnUntraced(function* (
  servers: (fixtures: TestPool.Fixtures) => Readonly<Record<string, ServerOptions>>,
  options: Parameters<typeof TestPool.make>[1] = {}
) {
  const made = yield* TestPool.make(servers, options)
  const { url } = yield* HttpListener.make({
    address: { host: "127.0.0.1", port: 0 },
    auth: "none",
    allowedHosts: [],
    idle: defaultIdle,
    runtimeDir: made.runtimeDir
  }).pipe(Effect.provideService(McpPool.McpPool, made.pool), Effect.provide([Logger.layer([]), SocketSessions.layer]))
  const at = (path = "/mcp") => new URL(`${url}${path}`)
  return {
    ...made,
    url,
    /** A client of SDK 1. */
    connect1: (capabilities?: ClientCapabilities, path?: string) =>
      EraClient.connect1(new Transport1(at(path)), capabilities),
    /** A client of SDK 2, in the mode. */
    connect2: (mode: "legacy" | "auto" | "modern", path?: string) => EraClient.connect2(new Transport2(at(path)), mode)
  }
})

/** A published server, as a process of the test's own. */
export const published = (name: string, marker: string, ...args: ReadonlyArray<string>): ServerOptions => ({
  command: process.execPath,
  args: [
    fileURLToPath(new URL(`../../node_modules/@modelcontextprotocol/server-${name}/dist/index.js`, import.meta.url)),
    ...args,
    marker
  ]
})

/** The names of what is listed. */
export const namesOf = (items: ReadonlyArray<{ readonly name: string }>): ReadonlyArray<string> =>
  items.map(({ name }) => name)
