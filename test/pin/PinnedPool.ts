/** A pool of the fixture `pinned.ts`, whose tools a test changes, with a lock file beside. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import type { Message } from "../support/LineClient.ts"
import type * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"

/** A tool as a server may list it. */
export const tool = (name: string, description = `does ${name}`, more: object = {}): object => ({
  name,
  description,
  inputSchema: { type: "object", properties: { text: { type: "string" } } },
  ...more
})

/** What the fixture lists where a test says nothing else. */
export const first = [tool("echo"), tool("calls")]

export const make = Effect.fnUntraced(function* (
  options: {
    /** By name; `pin` is a server that blocks, all of them one process unless their `label` is another. */
    readonly servers?: (
      server: (pool?: PoolOptions, label?: string, ...words: ReadonlyArray<string>) => ServerOptions
    ) => {
      readonly [name: string]: ServerOptions
    }
    readonly directory?: string
    readonly lists?: ReadonlyArray<object> | string
    readonly start?: boolean
    /** As `TestPool` has them. */
    readonly runtimeDir?: string
    readonly marker?: string
    readonly remembers?: boolean
    /** Where false, nobody waits until its lists are read. */
    readonly settles?: boolean
  } = {}
) {
  const directory = options.directory ?? (yield* TestPool.temporaryDirectory)
  const toolsFile = path.join(directory, "tools.json")
  const lockFile = path.join(directory, "mcp-pool.lock.json")
  const list = (tools: ReadonlyArray<object> | string) => {
    // The server may be reading it.
    fs.writeFileSync(`${toolsFile}.new`, typeof tools === "string" ? tools : JSON.stringify(tools))
    fs.renameSync(`${toolsFile}.new`, toolsFile)
  }
  list(options.lists ?? first)
  const serversOf =
    options.servers ?? ((server: (pool?: PoolOptions, label?: string) => ServerOptions) => ({ pin: server() }))
  const entries = (marker: string) => {
    const server = (pool: PoolOptions = { pin: "block" }, label = "one", ...words: ReadonlyArray<string>) => ({
      command: process.execPath,
      args: [TestPool.fixture("pinned.ts"), `${marker}-${label}`, toolsFile, ...words],
      pool
    })
    return serversOf(server)
  }
  const test = yield* TestPool.make(({ marker }) => entries(marker), {
    lockFile,
    remembers: options.remembers === true,
    ...(options.runtimeDir === undefined ? {} : { runtimeDir: options.runtimeDir }),
    ...(options.marker === undefined ? {} : { marker: options.marker }),
    ...(options.start === undefined ? {} : { start: options.start })
  })
  if (options.start !== false && options.settles !== false) yield* test.pool.awaitSettled
  const { marker, pool } = test
  return {
    ...test,
    lockFile,
    list,
    /** Its first process lists these from now on, and says so; the client has heard of it when this returns. */
    change: Effect.fnUntraced(function* (client: LineClient.LineClient, tools: ReadonlyArray<object>, server = "pin") {
      list(tools)
      const status = (yield* pool.status).find(({ name }) => name === server)
      process.kill(status!.pid!, "SIGUSR2")
      yield* client.notification("notifications/tools/list_changed")
    }),
    reloadAs: (servers: NonNullable<typeof options.servers>) =>
      test.reload(() =>
        servers((pool = { pin: "block" }, label = "one", ...words) => ({
          command: process.execPath,
          args: [TestPool.fixture("pinned.ts"), `${marker}-${label}`, toolsFile, ...words],
          pool
        }))
      ),
    locked: () => JSON.parse(fs.readFileSync(lockFile, "utf8")) as LockDocument,
    /** What the log says of pins. */
    told: () => test.logged().filter(({ message }) => /pinned|accepted|listed no more|lock\.json/.test(message))
  }
})

interface LockDocument {
  readonly servers: {
    readonly [server: string]: { readonly tools: { readonly [tool: string]: { readonly definition: object } } }
  }
}

/** The names in a list. */
export const namesOf = ({ result }: Message): ReadonlyArray<string> =>
  ((result?.["tools"] ?? []) as ReadonlyArray<{ readonly name: string }>).map(({ name }) => name)

/** What an error of the pool's own says that it is. */
export const kindOf = (error: Message["error"]): unknown =>
  (error?.data as { readonly kind?: unknown } | undefined)?.kind

/** What a client is offered. */
export const offered = (client: LineClient.LineClient) => Effect.map(client.request("tools/list"), namesOf)
