/** The invariants of ends: clients that leave or misbehave, a server that crashes, and the end of the command itself. */
import { Effect } from "effect"
import type { Client } from "./KitClient.ts"
import { cancelled, each, type Invariant, reached, settle } from "./KitInvariant.ts"
import * as KitWorld from "./KitWorld.ts"

const leaversAreCancelled: Invariant = {
  name: "a leaver's calls are cancelled",
  says: "The calls of a client that leaves are cancelled at the server, and only those",
  rule: "MCP basic/lifecycle, shutdown: nobody waits for what they cost",
  exercise: Effect.fnUntraced(function* (world) {
    const [leaves, stays] = (yield* world.clients(2)) as [Client, Client]
    const labels = yield* each([leaves, stays], [1, 2], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* leaves.channel.leave
    for (const id of [1, 2]) yield* reached(world, leaves.label(id), "cancelled")
    yield* world.servers.release(stays.label(1), stays.label(2))
    for (const id of [1, 2]) yield* stays.labelled(stays.label(id))
    return () =>
      cancelled(world).flatMap((label) =>
        label?.startsWith(`${stays.name}/`) ? [`${leaves.name} left, and call ${label} was cancelled`] : []
      )
  })
}

const theHalfClosed: Invariant = {
  name: "the half-closed",
  says: "A client that sends no more gets its answers, or is closed and its calls are cancelled; others go on",
  rule: "MCP basic/transports: the end of the input asks for a shutdown, which answers may precede",
  only: "socket",
  exercise: Effect.fnUntraced(function* (world) {
    const [half, other] = (yield* world.clients(2)) as [Client, Client]
    const labels = yield* each([half, other], [1], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* half.channel.socket!.halfClose
    yield* settle(world, [other])
    yield* world.servers.release(...labels)
    yield* other.labelled(other.label(1))
    yield* half
      .labelled(half.label(1))
      .pipe(Effect.catchTag("Broken", () => reached(world, half.label(1), "cancelled")))
    return () => []
  })
}

const theKilled: Invariant = {
  name: "the killed",
  says: "A client that is gone in the middle of a line, and of an answer, disturbs no other",
  rule: "MCP basic/transports: a message is a line; half of one is none",
  only: "socket",
  exercise: Effect.fnUntraced(function* (world) {
    const [killed, other] = (yield* world.clients(2)) as [Client, Client]
    const held = yield* other.start("hold")
    yield* world.servers.called(held)
    yield* killed.channel.socket!.pause
    const big = yield* killed.start("big", { args: { bytes: 8 * 1024 * 1024 } })
    yield* world.servers.called(big)
    yield* killed.channel.sendRaw('{"jsonrpc":"2.0","id":99,"method":"tools/ca')
    yield* killed.channel.leave
    yield* settle(world, yield* world.clients(1))
    yield* world.servers.release(held)
    yield* other.labelled(held)
    return () => []
  })
}

const garbageDisturbsNobody: Invariant = {
  name: "garbage disturbs nobody",
  says: "What is no JSON-RPC, from one client, disturbs no other's calls, before or after",
  rule: "JSON-RPC 2.0, 5.1: it is answered with an error, or ignored",
  exercise: Effect.fnUntraced(function* (world) {
    const [dirty, clean] = (yield* world.clients(2)) as [Client, Client]
    const held = yield* clean.start("hold")
    yield* world.servers.called(held)
    for (const line of garbage) yield* dirty.channel.sendRaw(line)
    yield* settle(world, [clean])
    yield* settle(world, yield* world.clients(1))
    yield* world.servers.release(held)
    yield* clean.labelled(held)
    const gone = world.servers.seen().filter(({ what }) => what === "gone")
    return () => gone.map(({ pid }) => `process ${pid} of the server ended`)
  })
}

const garbage: ReadonlyArray<string | Uint8Array> = [
  "this is no JSON\n",
  Uint8Array.from([0xff, 0xfe, 0x00, 0x80, 0x0a]),
  "[]\n",
  "[1, null, {}]\n",
  "42\n",
  '{"jsonrpc":"2.0","id":{},"method":7}\n',
  '{"jsonrpc":"2.0","id":1,"result":{}}\n',
  '{"jsonrpc":"2.0","method":"notifications/cancelled"}\n',
  `${"x".repeat(1024 * 1024)}\n`,
  '{"jsonrpc":"2.0","id":5,'
]

const slowReadersHoldUpNobody: Invariant = {
  name: "slow readers hold up nobody",
  says: "A client that reads nothing, while large answers wait for it, does not keep others from theirs",
  rule: "One pipe serves all: whoever stops reading must not stop it",
  only: "socket",
  exercise: Effect.fnUntraced(function* (world) {
    const [slow, quick] = (yield* world.clients(2)) as [Client, Client]
    yield* slow.channel.socket!.pause
    const args = { bytes: 4 * 1024 * 1024 }
    const labels = yield* each([slow], [1, 2, 3, 4], (client, id) => client.start("big", { id, args }))
    yield* world.servers.called(...labels)
    yield* settle(world, [quick])
    yield* slow.channel.socket!.resume
    for (const label of labels) yield* slow.labelled(label)
    return () => []
  })
}

const aCrashLeavesNobodyWaiting: Invariant = {
  name: "a crash leaves nobody waiting",
  says: "When the server's process ends, each call in flight there is answered, or its client's connection closed",
  rule: "JSON-RPC 2.0, 5: every request is answered; a connection that stays open promises more",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    const labels = yield* each(clients, [1, 2], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* world.servers.tellAll({ do: "exit" })
    const ends = yield* Effect.forEach(
      clients.flatMap((client) => [1, 2].map((id) => ({ client, id }))),
      ({ client, id }) =>
        client.answer(id).pipe(
          Effect.as([]),
          Effect.orElseSucceed(() =>
            client.isClosed() || client.lost(id) ? [] : [`${client.name} waits for call ${client.label(id)}`]
          )
        ),
      { concurrency: "unbounded" }
    )
    return () => ends.flat()
  })
}

const noServerOutlivesTheCommand: Invariant = {
  name: "no server outlives the command",
  says: "After SIGTERM the command ends, and every process of the server with it, though it ignores its stdin's end and SIGTERM",
  rule: "MCP basic/lifecycle, shutdown: stdin is closed, then SIGTERM, then SIGKILL",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(2)
    const labels = yield* each(clients, [1], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* world.servers.tellAll({ do: "stubborn" })
    yield* all(world, "stubborn")
    yield* world.stop
    yield* KitWorld.gone("the server", world.servers.pids())
    return () => []
  })
}

const nothingThatItStartedOutlivesTheCommand: Invariant = {
  name: "nothing that it started outlives the command",
  says: "After SIGTERM the command ends, and with it what its servers started, though that has left their process group",
  rule: "Servers are started by npx, uvx and shells: what is ended must be the whole tree",
  exercise: Effect.fnUntraced(function* (world) {
    yield* settle(world, yield* world.clients(2))
    yield* world.servers.tellAll({ do: "spawn" })
    yield* all(world, "spawned")
    yield* world.stop
    yield* KitWorld.gone("what the server started", KitWorld.startedBy(world.servers))
    return () => []
  })
}

/** Returns when every process has seen one thing. */
const all = ({ servers }: KitWorld.World, what: string) =>
  servers.until(`"${what}" of every process`, (seen) =>
    servers.pids().every((pid) => seen.some((it) => it.pid === pid && (it.what === what || it.what === "gone")))
      ? true
      : undefined
  )

export const invariants: ReadonlyArray<Invariant> = [
  leaversAreCancelled,
  theHalfClosed,
  theKilled,
  garbageDisturbsNobody,
  slowReadersHoldUpNobody,
  aCrashLeavesNobodyWaiting,
  noServerOutlivesTheCommand,
  nothingThatItStartedOutlivesTheCommand
]
