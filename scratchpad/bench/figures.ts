/** The figures, in groups: each group starts what it measures and returns rows of the table. */
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { type Client, initialize } from "./Client.ts"
import * as proc from "./proc.ts"
import { compare, list, median, ratio, type Row, row, show } from "./Row.ts"
import { type Daemon, end, startFloor, startPool } from "./target.ts"

export interface Group {
  readonly measure: () => Promise<Array<Row>>
  /** Whether all of it needs /proc. */
  readonly linux: boolean
}

const megabyte = 1_000_000
const payload = "x".repeat(100)

/** CPU of the daemon for one small call: `c32d8` is 32 clients with 8 calls in flight each. */
const calls = async (): Promise<Array<Row>> => {
  const [floor, pool] = await startBoth()
  const measure = async (shape: string, clients: number, depth: number) => {
    const slices = async (daemon: Daemon) => {
      const open = await daemon.openMany(clients)
      return () => cpuOfCalls(daemon, open, depth)
    }
    const cpu = await compare(12, await slices(floor), await slices(pool))
    return ratio(`CPU of a call, ${shape}`, cpu, 1.2, "µs")
  }
  return [await measure("c1d64", 1, 64), await measure("c32d8", 32, 8)]
}

const cpuOfCalls = async (daemon: Daemon, clients: ReadonlyArray<Client>, depth: number): Promise<number> => {
  let count = 0
  const until = performance.now() + 250
  const caller = async (client: Client) => {
    for (; performance.now() < until; count++) await client.echo(payload)
  }
  const callers = clients.flatMap((client) => Array.from({ length: depth }, () => client))
  const before = daemon.cpu()
  await Promise.all(callers.map(caller))
  return ((daemon.cpu() - before) / count) * 1000
}

/** CPU of the daemon for a result of 10 MB. */
const large = async (): Promise<Array<Row>> => {
  const [floor, pool] = await startBoth()
  const slices = async (daemon: Daemon) => {
    const client = await daemon.open()
    return async () => {
      const before = daemon.cpu()
      for (let count = 0; count < 2; count++) await client.big(10 * megabyte)
      return (daemon.cpu() - before) / 2
    }
  }
  const cpu = await compare(16, await slices(floor), await slices(pool))
  return [ratio("CPU of a 10 MB result", cpu, 0.6, "ms")]
}

/** CPU of the daemon for a list of 208 tools that it has given before. */
const lists = async (): Promise<Array<Row>> => {
  const tools = 208
  const [floor, pool] = await Promise.all([startFloor(tools).ready(), startPool(1, tools).ready()])
  const slices = async (daemon: Daemon) => {
    const client = await daemon.open()
    return async () => {
      const before = daemon.cpu()
      for (let count = 0; count < 200; count++) await client.list(tools)
      return ((daemon.cpu() - before) / 200) * 1000
    }
  }
  const cpu = await compare(12, await slices(floor), await slices(pool))
  return [ratio(`CPU of a list of ${tools} tools`, cpu, 0.25, "µs")]
}

/** From the spawn of the daemon to its server's first answer. */
const start = async (): Promise<Array<Row>> => {
  const starts = (startDaemon: () => Daemon) => async () => {
    const before = performance.now()
    const daemon = await startDaemon().ready()
    const elapsed = performance.now() - before
    await daemon.stop()
    return elapsed
  }
  return [ratio("start to the first answer", await compare(14, starts(startFloor), starts(startPool)), 2.2, "ms")]
}

/** Resident memory with three servers: before any client came, and what each of 500 adds. */
const memory = async (): Promise<Array<Row>> => {
  const daemons = await Promise.all([1, 2, 3].map(() => startPool(3).ready()))
  await sleep(4000)
  const idle = daemons.map(({ pid }) => proc.residentMemory(pid))
  const perClient: Array<number> = []
  for (const daemon of daemons) {
    const before = proc.residentMemory(daemon.pid)
    await daemon.openMany(500)
    await sleep(1000)
    perClient.push((proc.residentMemory(daemon.pid) - before) / 500)
    await daemon.stop()
  }
  return [
    row("idle memory, three servers", median(idle), "MB", 80, `three daemons: ${list(idle)}`),
    row("memory of a client, at 500", median(perClient), "MB", 0.05, `three daemons: ${list(perClient)}`)
  ]
}

/** How many processes one server has while clients call it. */
const processes = async (): Promise<Array<Row>> => {
  const pool = await startPool().ready()
  const counts: Array<number> = []
  for (const more of [1, 9, 40]) {
    const clients = await pool.openMany(more)
    await Promise.all(clients.map((client) => client.echo(payload)))
    counts.push(pool.servers().length)
  }
  return [row("server processes", Math.max(...counts), "", 1, `at 1, 10 and 50 clients: ${list(counts)}`)]
}

/**
 * 2,000 clients, one after another, that connect, initialise, call once and leave. Memory has grown by the median after
 * each of the last 250 less that after each of the 250 which follow the first thousand. A young heap grows with use
 * whatever it runs, so the floor's growth over the same clients is subtracted, and 2 MB pass as noise.
 */
const cycle = async (): Promise<Array<Row>> => {
  const [floor, pool] = await startBoth()
  const cycles = (daemon: Daemon, resident: Array<number>) => async () => {
    const before = daemon.cpu()
    for (let count = 0; count < 250; count++) {
      const client = await daemon.open()
      await client.echo(payload)
      await client.close()
      resident.push(proc.residentMemory(daemon.pid))
    }
    return (daemon.cpu() - before) / 250
  }
  const [ofFloor, ofPool]: [Array<number>, Array<number>] = [[], []]
  await sleep(500)
  const before = proc.descriptors(pool.pid)
  const cpu = await compare(7, cycles(floor, ofFloor), cycles(pool, ofPool))
  await sleep(500)
  const after = proc.descriptors(pool.pid)
  const growth = (resident: ReadonlyArray<number>) => median(resident.slice(-250)) - median(resident.slice(1000, 1250))
  const grown = `pool ${show(growth(ofPool))} MB (to ${show(ofPool.at(-1)!)}), floor ${show(growth(ofFloor))} MB`
  return [
    row("CPU of connect, call, close", cpu.pool, "ms", 0.5, `floor ${show(cpu.floor)} ms`),
    row("descriptors left by 2,000", after - before, "", 0, `${before} before, ${after} after`),
    row("memory grown after 1,000, beyond the floor's", growth(ofPool) - growth(ofFloor), "MB", 2, grown)
  ]
}

/** What a client costs that asks for eight results of 8 MB and reads nothing; each time on fresh daemons. */
const unread = async (): Promise<Array<Row>> => {
  const peaks: Array<number> = []
  const worstCalls = (startDaemon: () => Daemon) => async () => {
    const daemon = await startDaemon().ready()
    const [silent, other] = [await daemon.open(), await daemon.open()]
    for (let count = 0; count < 200; count++) await other.echo(payload)
    await sleep(200)
    const resident = proc.available ? proc.residentMemory(daemon.pid) : NaN
    silent.pause()
    for (let count = 0; count < 8; count++) silent.big(8 * megabyte).catch(() => {})
    let worst = 0
    for (const until = performance.now() + 1200; performance.now() < until; await sleep(1)) {
      const before = performance.now()
      await other.echo(payload)
      worst = Math.max(worst, performance.now() - before)
    }
    if (proc.available && startDaemon === startPool) peaks.push(proc.peakMemory(daemon.pid) - resident)
    await daemon.stop()
    return worst
  }
  const worst = await compare(4, worstCalls(startFloor), worstCalls(startPool))
  const rows = [ratio("worst call beside 64 MB unread", worst, 0.5, "ms")]
  if (proc.available)
    rows.push(row("peak memory meanwhile, added", median(peaks), "MB", 64, `each time: ${list(peaks)}`))
  return rows
}

/** The stdio bridge: from its spawn to the answer to `initialize`, and its memory while 50 run. */
const connect = async (): Promise<Array<Row>> => {
  const pool = await startPool().ready()
  const times: Array<number> = []
  for (let count = 0; count < 10; count++) {
    const before = performance.now()
    const bridge = await initializedBridge(pool)
    times.push(performance.now() - before)
    await end(bridge)
  }
  const warm = times.slice(1)
  const rows = [row("connect to its first byte", median(warm), "ms", 80, `each time: ${list(warm)}`)]
  if (!proc.available) return rows
  const bridges: Array<ChildProcess> = []
  while (bridges.length < 50) {
    bridges.push(...(await Promise.all(Array.from({ length: 5 }, () => initializedBridge(pool)))))
  }
  await sleep(1000)
  const sizes = bridges.map(({ pid }) => proc.proportionalMemory(pid!))
  rows.push(
    row(
      "memory of connect, 50 running",
      median(sizes),
      "MB",
      10,
      `from ${show(Math.min(...sizes))} to ${show(Math.max(...sizes))} MB`
    )
  )
  return rows
}

/** `connect` where no daemon runs, and the server has been there before: from its spawn to the answer to `initialize`. */
const first = async (): Promise<Array<Row>> => {
  const pool = await startPool().ready()
  await pool.stop()
  const measure = async (count: number) => {
    const rounds: Array<{ readonly first: number; readonly last: number }> = []
    for (let round = 0; round < 7; round++) {
      const before = performance.now()
      const bridges = Array.from({ length: count }, () => initializedBridge(pool))
      const times = await Promise.all(bridges.map((bridge) => bridge.then(() => performance.now() - before)))
      rounds.push({ first: Math.min(...times), last: Math.max(...times) })
      for (const bridge of bridges) await end(await bridge)
      await pool.shutdown()
    }
    return { firsts: rounds.slice(1).map(({ first }) => first), lasts: rounds.slice(1).map(({ last }) => last) }
  }
  const [one, ten] = [await measure(1), await measure(10)]
  return [
    row("connect that starts the daemon", median(one.firsts), "ms", 500, `each time: ${list(one.firsts)}`),
    row("the first of ten at once", median(ten.firsts), "ms", 500, `each time: ${list(ten.firsts)}`),
    row("the last of ten at once", median(ten.lasts), "ms", 1500, `each time: ${list(ten.lasts)}`)
  ]
}

const initializedBridge = async (pool: Daemon): Promise<ChildProcess> => {
  const bridge = pool.bridge()
  bridge.stdin!.write(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: initialize }) + "\n")
  await Promise.race([once(bridge.stdout!, "data"), once(bridge, "exit")])
  if (bridge.exitCode !== null) throw new Error(`connect exited with code ${bridge.exitCode}`)
  return bridge
}

const startBoth = () => Promise.all([startFloor().ready(), startPool().ready()])

/** The groups by name. */
export const groups: ReadonlyMap<string, Group> = new Map([
  ["calls", { measure: calls, linux: true }],
  ["lists", { measure: lists, linux: true }],
  ["large", { measure: large, linux: true }],
  ["start", { measure: start, linux: false }],
  ["memory", { measure: memory, linux: true }],
  ["processes", { measure: processes, linux: true }],
  ["cycle", { measure: cycle, linux: true }],
  ["unread", { measure: unread, linux: false }],
  ["connect", { measure: connect, linux: false }],
  ["first", { measure: first, linux: false }]
])
