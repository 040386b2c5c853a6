/** The invariants of the handshake, and of what a server says unasked. */
import { Effect } from "effect"
import type { Message } from "../support/LineClient.ts"
import type { Client } from "./KitClient.ts"
import { type Invariant, settle } from "./KitInvariant.ts"

const initializeOnce: Invariant = {
  name: "initialize once a process",
  says: "A server's process gets one initialize and one initialized, however many clients come",
  rule: "MCP basic/lifecycle: the first interaction of a session, once; a server of the SDK takes a second one for all",
  exercise: Effect.fnUntraced(function* (world) {
    yield* settle(world, yield* world.clients(4))
    return () =>
      world.servers.pids().flatMap((pid) =>
        ["initialize", "notifications/initialized"].flatMap((method) => {
          const count = world.servers.seen().filter((it) => it.pid === pid && it.what === method).length
          return count <= 1 ? [] : [`process ${pid} got ${method} ${count} times`]
        })
      )
  })
}

const logMessagesStay: Invariant = {
  name: "log messages stay with their cause",
  says: "A log message of the server goes to no client without a call in flight while another has one",
  rule: "MCP server/utilities/logging names no session: what one client's call logs is not the others'",
  exercise: Effect.fnUntraced(function* (world) {
    const [busy, ...idle] = yield* world.clients(3)
    for (const client of [busy!, ...idle]) yield* client.request("logging/setLevel", { level: "debug" })
    const label = yield* busy!.start("hold")
    yield* world.servers.called(label)
    yield* world.servers.tell(label, { do: "log" })
    yield* settle(world, [busy!])
    yield* world.servers.release(label)
    yield* settle(world, idle)
    return () =>
      idle.flatMap((client) =>
        client
          .received()
          .filter(({ method, params }) => method === "notifications/message" && params?.["data"] === label)
          .map(() => `${client.name}, idle, got the log message of call ${label}`)
      )
  })
}

const isUpdate =
  (uri: string) =>
  ({ method, params }: Message): boolean =>
    method === "notifications/resources/updated" && params?.["uri"] === uri
const updated = (client: Client, uri: string) =>
  client.until(`the update of ${uri}`, (received) => received.find(isUpdate(uri)))
const updates = (client: Client, uri: string, from = 0): ReadonlyArray<string> =>
  client
    .received()
    .slice(from)
    .filter(isUpdate(uri))
    .map(() => `${client.name} got the update of ${uri}`)

const updatesReachSubscribers: Invariant = {
  name: "updates reach their subscribers",
  says: "An update of a resource goes to the clients that subscribed to it, and to nobody else",
  rule: "MCP server/resources, subscriptions",
  exercise: Effect.fnUntraced(function* (world) {
    const [one, two, none] = (yield* world.clients(3)) as [Client, Client, Client]
    yield* one.request("resources/subscribe", { uri: "kit:///1" })
    yield* two.request("resources/subscribe", { uri: "kit:///2" })
    yield* settle(world, [one, two, none])
    yield* world.servers.tellAll({ do: "updated", uri: "kit:///1" })
    yield* world.servers.tellAll({ do: "updated", uri: "kit:///2" })
    yield* updated(one, "kit:///1")
    yield* updated(two, "kit:///2")
    yield* settle(world, [one, two, none])
    return () => [
      ...updates(one, "kit:///2"),
      ...updates(two, "kit:///1"),
      ...updates(none, "kit:///1"),
      ...updates(none, "kit:///2")
    ]
  })
}

const uri = "kit:///3"

const unsubscribeEndsOnesOwn: Invariant = {
  name: "unsubscribe ends one's own",
  says: "Of two subscribers of a resource, one that unsubscribes gets no updates any more, and the other still does",
  rule: "MCP server/resources, subscriptions: the server knows one subscriber, whoever of all it is",
  exercise: Effect.fnUntraced(function* (world) {
    const [leaves, stays] = (yield* world.clients(2)) as [Client, Client]
    for (const client of [leaves, stays]) yield* client.request("resources/subscribe", { uri })
    yield* leaves.request("resources/unsubscribe", { uri })
    yield* settle(world, [leaves, stays])
    const from = leaves.received().length
    yield* world.servers.tellAll({ do: "updated", uri })
    yield* updated(stays, uri)
    yield* settle(world, [leaves, stays])
    return () => updates(leaves, uri, from)
  })
}

const leavingEndsOnesOwnSubscriptions: Invariant = {
  name: "leaving ends one's own subscriptions",
  says: "A subscriber that leaves does not end the subscription of one that stays",
  rule: "MCP server/resources, subscriptions: the server knows one subscriber, whoever of all it is",
  exercise: Effect.fnUntraced(function* (world) {
    const [leaves, stays] = (yield* world.clients(2)) as [Client, Client]
    for (const client of [leaves, stays]) yield* client.request("resources/subscribe", { uri })
    yield* leaves.channel.leave
    // Whoever comes after it has gone is served after its going was noticed.
    yield* settle(world, [stays, ...(yield* world.clients(1))])
    yield* world.servers.tellAll({ do: "updated", uri })
    yield* updated(stays, uri)
    return () => []
  })
}

const listChangesReachAll: Invariant = {
  name: "list changes reach all",
  says: "News that a list has changed goes to every client",
  rule: "MCP server/tools, list changed notification",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    yield* settle(world, clients)
    yield* world.servers.tellAll({ do: "changed" })
    for (const client of clients) {
      yield* client.until("notifications/tools/list_changed", (received) =>
        received.find(({ method }) => method === "notifications/tools/list_changed")
      )
    }
    return () => []
  })
}

export const invariants: ReadonlyArray<Invariant> = [
  initializeOnce,
  logMessagesStay,
  updatesReachSubscribers,
  unsubscribeEndsOnesOwn,
  leavingEndsOnesOwnSubscriptions,
  listChangesReachAll
]
