/**
 * CPU of a call through `McpProxy.executeTool`, 64 in flight, beside a raw child with a Map and Promises, and beside the
 * SDK's own client: `node scratchpad/bench/proxy.ts`. All three in one process, in turns.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect, ManagedRuntime } from "effect"
import { spawn } from "node:child_process"
import * as path from "node:path"
import { McpProxy } from "../../src/index.ts"

type Call = (text: string) => Promise<unknown>

const server = { command: process.execPath, args: [path.join(import.meta.dirname, "echo-server.ts")] }
const inFlight = 64
const calls = 19_200
const rounds = 7

const rawClient = async (): Promise<{ readonly call: Call; readonly close: () => void }> => {
  const child = spawn(server.command, server.args, { stdio: ["pipe", "pipe", "inherit"] })
  const waiting = new Map<number, (message: unknown) => void>()
  let nextId = 0
  let rest = ""
  child.stdout.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString("utf8")).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const message = JSON.parse(line) as { readonly id: number }
      waiting.get(message.id)?.(message)
      waiting.delete(message.id)
    }
  })
  const request = (method: string, params: object) =>
    new Promise<unknown>((resolve) => {
      const id = nextId++
      waiting.set(id, resolve)
      child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`)
    })
  await request("initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "raw", version: "1" }
  })
  child.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
  return {
    call: (text) => request("tools/call", { name: "echo", arguments: { text } }),
    close: () => void child.stdin.end()
  }
}

/** CPU microseconds a call. */
const cost = async (work: () => Promise<unknown>): Promise<number> => {
  const before = process.cpuUsage()
  await work()
  const { system, user } = process.cpuUsage(before)
  return (system + user) / calls
}

const text = "x".repeat(64)

const promises = (call: Call) => async () => {
  let left = calls
  const worker = async () => {
    while (left-- > 0) await call(text)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
}

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN

const raw = await rawClient()
const sdk = new Client({ name: "sdk", version: "1" })
await sdk.connect(new StdioClientTransport(server))
const runtime = ManagedRuntime.make(McpProxy.layer({ servers: { echo: server } }))
const proxy = await runtime.runPromise(McpProxy.McpProxy)
const executing = Effect.suspend(() => {
  let left = calls
  const worker = Effect.gen(function* () {
    while (left-- > 0) yield* proxy.executeTool("echo__echo", { text })
  })
  return Effect.all(
    Array.from({ length: inFlight }, () => worker),
    { concurrency: "unbounded", discard: true }
  )
})
const ways: Readonly<Record<string, () => Promise<unknown>>> = {
  raw: promises(raw.call),
  proxy: () => Effect.runPromise(executing),
  sdk: promises((text) => sdk.callTool({ name: "echo", arguments: { text } }))
}
const costs: Record<string, Array<number>> = {}
for (let round = 0; round <= rounds; round++) {
  for (const [name, work] of Object.entries(ways)) {
    const value = await cost(work)
    // The first round warms up.
    if (round > 0) (costs[name] ??= []).push(value)
  }
}
const base = median(costs["raw"] ?? [])
for (const [name, values] of Object.entries(costs)) {
  console.log(`${name.padEnd(6)} ${median(values).toFixed(1)} µs a call, ${(median(values) / base).toFixed(2)} x raw`)
}
raw.close()
await sdk.close()
await runtime.dispose()
