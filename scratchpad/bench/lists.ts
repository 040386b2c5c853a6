/**
 * Time of `McpProxy.listTools` over 10 servers with 200 tools each: where all is fresh, and where all has to be read
 * (from servers that answer at once): `node scratchpad/bench/lists.ts`.
 */
import { Effect } from "effect"
import { McpProxy, TestConnections } from "../../src/index.ts"

const tools: TestConnections.TestTools = Object.fromEntries(
  Array.from({ length: 200 }, (_, i) => [
    `tool_${i}`,
    {
      description: "a tool as they are usually described, with a sentence or two",
      inputSchema: { type: "object", properties: { text: { type: "string" }, count: { type: "integer" } } },
      execute: () => Effect.succeed({ content: [] })
    }
  ])
)
const servers = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`server-${i}`, { tools }]))

/** Milliseconds. */
const time = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const start = performance.now()
    yield* effect
    return performance.now() - start
  })

const measured = Effect.gen(function* () {
  const { listTools } = yield* McpProxy.McpProxy
  const { announce } = yield* TestConnections.TestConnections
  const fresh: Array<number> = []
  const read: Array<number> = []
  read.push(yield* time(listTools))
  for (let i = 0; i < 200; i++) {
    for (const server of Object.keys(servers)) yield* announce(server, "tools")
    // The cache hears of it in a turn of its own.
    yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
    read.push(yield* time(listTools))
    fresh.push(yield* time(listTools))
  }
  const list = yield* listTools
  return { tools: list.length, fresh, read }
})

const {
  fresh,
  read,
  tools: count
} = await Effect.runPromise(measured.pipe(Effect.provide(McpProxy.layerTest({ servers }))))
const show = (values: ReadonlyArray<number>) => {
  const sorted = [...values].sort((a, b) => a - b)
  return `median ${sorted[sorted.length >> 1]?.toFixed(3)} ms, worst ${sorted.at(-1)?.toFixed(3)} ms`
}
console.log(`${count} tools of 10 servers`)
console.log(`fresh: ${show(fresh)}`)
console.log(`read:  ${show(read)}`)
