/** The invariants of calls: their answers, their ids and tokens, their progress, their cancellation. */
import { Effect } from "effect"
import type { Message } from "../support/LineClient.ts"
import * as KitClient from "./KitClient.ts"
import { cancelled, each, foreignAnswers, type Invariant, settle } from "./KitInvariant.ts"

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const answersReachTheirAskers: Invariant = {
  name: "answers reach their askers",
  says: "An answer goes to the client that asked, and to nobody else, whatever ids the others use",
  rule: "JSON-RPC 2.0, 5: the id of an answer is its request's; all clients of the SDKs count from 0",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(4)
    const ids = range(1, 8)
    const labels = yield* each(clients, ids, (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    // Neither in the order in which they came, nor one client's after the other's.
    const shuffled = labels.map((_, i) => labels[(i * 11 + 5) % labels.length]!)
    yield* world.servers.release(...shuffled)
    yield* each(clients, ids, (client, id) => client.answer(id))
    yield* settle(world, clients)
    return () => foreignAnswers(clients)
  })
}

const oneAnswerEach: Invariant = {
  name: "one answer for each request",
  says: "A request has exactly one answer, also where it is an error; one that was cancelled has at most one",
  rule: "JSON-RPC 2.0, 5: every request is answered; MCP basic/utilities/cancellation: a cancelled one need not be",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    for (const client of clients) yield* client.start("hold", { id: "cancelled" })
    yield* world.servers.called(...clients.map((client) => client.label("cancelled")))
    for (const client of clients) {
      yield* client.notify("notifications/cancelled", { requestId: "cancelled" })
      yield* client.channel.send({ id: "no tool", method: "tools/call", params: { name: "none" } })
      yield* client.channel.send({ id: "no method", method: "kit/none" })
      yield* client.channel.send({ id: "ping", method: "ping" })
    }
    yield* each(clients, range(101, 120), (client, id) => client.start("echo", { id }))
    const expected = ["no tool", "no method", "ping", ...range(101, 120)]
    yield* each(clients, expected, (client, id) => client.answer(id))
    yield* settle(world, clients)
    return () =>
      clients.flatMap((client) => {
        const answers = client.received().filter(KitClient.isAnswer)
        return [...new Set([...expected, ...client.sent])].flatMap((id) => {
          const count = answers.filter((answer) => same(answer.id, id)).length
          const isRight = id === "cancelled" ? count <= 1 : count === 1
          return isRight ? [] : [`${client.name} got ${count} answers to request ${JSON.stringify(id)}`]
        })
      })
  })
}

const idsAsTheyCame: Invariant = {
  name: "ids as they came",
  says: 'A client gets its id back with its type: 1 is not "1", and any string or whole number will do',
  rule: "JSON-RPC 2.0, 5: the id MUST be the same as the request's; MCP basic: a string or an integer",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    const ids = [1, "1", -1, "-1", Number.MAX_SAFE_INTEGER, "", " ", 'é"\\\n/', "x".repeat(200)]
    const labels = yield* each(clients, ids, (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* world.servers.release(...labels)
    const answers = yield* each(clients, ids, (client, id) =>
      Effect.map(client.labelled(client.label(id)), (answer) => ({ client, id, answer }))
    )
    return () =>
      answers.flatMap(({ answer, client, id }) =>
        same(answer.id, id)
          ? []
          : [`${client.name} asked with id ${JSON.stringify(id)} and was answered with ${JSON.stringify(answer.id)}`]
      )
  })
}

const isProgress = (message: Message): boolean => message.method === "notifications/progress"
/** The label of the call that progress is about: the kit's server says it. */
const progressLabel = (message: Message): string => String(message.params?.["message"])

const tokensAsTheyCame: Invariant = {
  name: "progress tokens as they came",
  says: "Progress carries the token that its client gave, with its type",
  rule: "MCP basic/utilities/progress: a string or an integer, chosen by the requestor",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    // No two clients use the same: whose progress is whose is for another invariant.
    const tokens = clients.flatMap((client, i) =>
      [i, String(i), -1 - i, `token ${i}`, `é"\\${i}`].map((token) => ({ client, token }))
    )
    const labels = yield* Effect.forEach(tokens, ({ client, token }) => client.start("hold", { id: token, token }))
    yield* world.servers.called(...labels)
    for (const label of labels) yield* world.servers.tell(label, { do: "progress", count: 1 })
    const seen = yield* Effect.forEach(tokens, ({ client, token }) =>
      client.until(`progress of call ${client.label(token)}`, (received) => {
        const found = received.find((message) => isProgress(message) && progressLabel(message) === client.label(token))
        return found === undefined ? undefined : { client, token, got: found.params?.["progressToken"] }
      })
    )
    return () =>
      seen.flatMap(({ client, got, token }) =>
        same(got, token)
          ? []
          : [`${client.name} gave token ${JSON.stringify(token)} and got progress with ${JSON.stringify(got)}`]
      )
  })
}

const progressReachesItsCall: Invariant = {
  name: "progress reaches its call's client",
  says: "Progress goes to the client whose call it is of, and to nobody else, though all use the same tokens",
  rule: "MCP basic/utilities/progress: only tokens of an active request; the SDKs' tokens are their ids",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(4)
    const labels = yield* each(clients, [1, 2], (client, id) => client.start("hold", { id, token: id }))
    yield* world.servers.called(...labels)
    for (const label of labels.toReversed()) yield* world.servers.tell(label, { do: "progress", count: 3 })
    yield* each(clients, [1, 2], (client, id) =>
      client.until(`progress of call ${client.label(id)}`, (received) =>
        received.some((message) => isProgress(message) && progressLabel(message) === client.label(id))
          ? true
          : undefined
      )
    )
    yield* settle(world, clients)
    return () =>
      clients.flatMap((client) =>
        client
          .received()
          .filter((message) => isProgress(message) && KitClient.ownerOf(progressLabel(message)) !== client.name)
          .map((message) => `${client.name} got progress of call ${progressLabel(message)}`)
      )
  })
}

const progressBeforeItsAnswer: Invariant = {
  name: "progress before its answer",
  says: "All progress of a call comes, in order, and before the call's answer",
  rule: "MCP basic/utilities/progress: it increases, and MUST stop after completion",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(4)
    const labels = yield* each(clients, range(1, 10), (client, id) =>
      client.start("progress", { id, token: client.label(id), args: { count: 5 } })
    )
    yield* Effect.forEach(labels, (label) => clientOf(clients, label).labelled(label))
    return () =>
      labels.flatMap((label) => {
        const steps = clientOf(clients, label)
          .received()
          .flatMap((message) => {
            if (isProgress(message) && progressLabel(message) === label) return [String(message.params?.["progress"])]
            return KitClient.labelOf(message) === label ? ["answer"] : []
          })
        const before = steps.slice(0, steps.indexOf("answer")).join(" ")
        return before === "1 2 3 4 5" ? [] : [`of call ${label} came ${steps.join(", ")}`]
      })
  })
}

const cancellationReachesItsCall: Invariant = {
  name: "cancellation reaches its call",
  says: "A cancelled call is cancelled at the server, and no other call with it, though others have its id",
  rule: "MCP basic/utilities/cancellation: only of requests that were issued before in the same direction",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(4)
    const labels = yield* each(clients, [1, 2, "2"], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    const victim = clients[1]!
    yield* victim.notify("notifications/cancelled", { requestId: 2 })
    yield* world.servers.until("a cancellation at the server", () => (cancelled(world).length > 0 ? true : undefined))
    yield* settle(world, clients)
    return () =>
      cancelled(world).flatMap((label) => {
        if (label === victim.label(2)) return []
        const met = label === null ? "no call" : `call ${label}`
        return [`the cancellation of call ${victim.label(2)} met ${met}`]
      })
  })
}

const nobodyCancelsForAnother: Invariant = {
  name: "nobody cancels another's call",
  says: "A cancellation of an id that only another client uses reaches no call",
  rule: "MCP basic/utilities/cancellation: unknown requests are ignored",
  exercise: Effect.fnUntraced(function* (world) {
    const [stranger, ...others] = yield* world.clients(3)
    const labels = yield* each(others, [77], (client, id) => client.start("hold", { id }))
    yield* world.servers.called(...labels)
    yield* stranger!.notify("notifications/cancelled", { requestId: 77 })
    // When the next call of the same client has been answered, the server has what came before it.
    yield* settle(world, [stranger!])
    return () =>
      cancelled(world).flatMap((label) => (label === null ? [] : [`${stranger!.name} cancelled call ${label}`]))
  })
}

const pagesAreTheServers: Invariant = {
  name: "pages as the server gives them",
  says: "Clients that page through a list at once each get every page, by the cursors as the server gave them",
  rule: "MCP server/utilities/pagination: cursors are opaque",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    const lists = yield* Effect.forEach(
      clients,
      Effect.fnUntraced(function* (client) {
        const uris: Array<unknown> = []
        let cursor: unknown
        do {
          const { result } = yield* client.request("resources/list", cursor === undefined ? {} : { cursor })
          const page = result?.["resources"] as ReadonlyArray<{ readonly uri: string }> | undefined
          uris.push(...(page ?? []).map(({ uri }) => uri))
          cursor = result?.["nextCursor"]
        } while (cursor !== undefined && uris.length < resourceCount * 2)
        return { client, uris }
      }),
      { concurrency: "unbounded" }
    )
    const expected = range(0, resourceCount - 1).map((i) => `kit:///${i}`)
    return () =>
      lists.flatMap(({ client, uris }) =>
        same(uris, expected) ? [] : [`${client.name} got the list ${uris.join(", ")}`]
      )
  })
}

/** Of the kit's server. */
const resourceCount = 12

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)
const clientOf = (clients: ReadonlyArray<KitClient.Client>, label: string): KitClient.Client =>
  clients.find(({ name }) => name === KitClient.ownerOf(label))!

export const invariants: ReadonlyArray<Invariant> = [
  answersReachTheirAskers,
  oneAnswerEach,
  idsAsTheyCame,
  tokensAsTheyCame,
  progressReachesItsCall,
  progressBeforeItsAnswer,
  cancellationReachesItsCall,
  nobodyCancelsForAnother,
  pagesAreTheServers
]
