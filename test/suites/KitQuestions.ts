/** The invariants of questions: what a server asks reaches the client whose call asks it, or the server is refused. */
import { Effect } from "effect"
import * as KitClient from "./KitClient.ts"
import { cancelled, each, foreignAnswers, foreignQuestions, type Invariant, reached, settle } from "./KitInvariant.ts"
import type { World } from "./KitWorld.ts"

/** The tools that ask: one for each kind of question. */
const kinds = ["sample", "form", "url"] as const

/** Answers of a call's question that the client who made the call did not give. */
const answeredByOthers = ({ servers }: World): ReadonlyArray<string> =>
  servers.seen().flatMap(({ answer, label, what }) => {
    const who = KitClient.whoIn(answer)
    const owner = KitClient.ownerOf(label ?? "")
    return what === "answered" && answer !== undefined && who !== owner
      ? [`the question of call ${label} was answered by ${who ?? "nobody known"}`]
      : []
  })

const astray = (world: World) => () => [...foreignQuestions(world.all), ...answeredByOthers(world)]

const certainQuestionsAreAsked: Invariant = {
  name: "certain questions are asked",
  says: "A question while only one client, which declared it, has calls in flight reaches that client; the answer, the server",
  rule: "MCP client/sampling and client/elicitation; SEP-2260: a question belongs to the request that causes it",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    const answers = yield* each(clients, kinds, (client, kind) =>
      Effect.map(client.call(kind), (answer) => ({ client, kind, outcome: KitClient.said(answer) }))
    )
    return () => [
      ...astray(world)(),
      ...answers.flatMap(({ client, kind, outcome }) =>
        outcome?.answer === undefined
          ? [`the ${kind} of ${client.name}, alone, was refused: ${JSON.stringify(outcome?.error)}`]
          : []
      )
    ]
  })
}

const questionsReachTheirCause: Invariant = {
  name: "questions reach their cause",
  says: "A question goes to the client whose call asks it or is refused, never to one that is busy too or was active last",
  rule: "SEP-2260; MCP client/elicitation: requests are bound to the client and the user's identity",
  exercise: Effect.fnUntraced(function* (world) {
    const [asker, busy] = yield* world.clients(2)
    const held = yield* busy!.start("hold")
    yield* world.servers.called(held)
    for (const kind of kinds) {
      const label = yield* asker!.start(kind, { args: { hold: true } })
      yield* world.servers.called(label)
      // Now the other one is who was active last, and a third who came last.
      yield* settle(world, [busy!])
      yield* settle(world, yield* world.clients(1))
      yield* world.servers.release(label)
      yield* asker!.labelled(label)
    }
    yield* world.servers.release(held)
    yield* settle(world, world.all)
    return astray(world)
  })
}

const allAskAtOnce: Invariant = {
  name: "all ask at once",
  says: "Clients whose calls all ask at once are each asked their own, or the server is refused, and every call ends",
  rule: "SEP-2260: a question belongs to the request that causes it",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(4)
    yield* Effect.forEach(
      [...kinds, ...kinds].flatMap((kind) => clients.map((client) => ({ client, kind }))),
      ({ client, kind }) => Effect.flatMap(client.start(kind), (label) => client.labelled(label)),
      { concurrency: "unbounded" }
    )
    yield* settle(world, clients)
    return () => [...astray(world)(), ...foreignAnswers(clients)]
  })
}

const undeclaredAreNotAsked: Invariant = {
  name: "the undeclared are not asked",
  says: "A client that declared neither sampling nor elicitation is never asked, and nobody else in its place",
  rule: "MCP basic/lifecycle: only capabilities that were successfully negotiated",
  exercise: Effect.fnUntraced(function* (world) {
    // The first one's handshake is what many tell the server.
    const [able] = yield* world.clients(1)
    const [plain] = yield* world.clients(1, {})
    yield* settle(world, [able!])
    const labels = yield* each([plain!], kinds, (client, kind) => client.start(kind))
    // Whether the server was refused at once, or asks in vain, the others are served.
    yield* settle(world, [able!])
    for (const label of labels) yield* plain!.labelled(label)
    return () => [
      ...astray(world)(),
      ...plain!.questions().map(({ method }) => `${plain!.name} was asked ${method}, which it has not declared`)
    ]
  })
}

const undeclaredPartsAreNotAsked: Invariant = {
  name: "undeclared parts are not asked",
  says: "A client that declared forms is not asked to visit a URL, nor to sample with tools where it declared plain sampling",
  rule: "MCP client/elicitation: no mode that the client does not support; client/sampling: no tools without sampling.tools",
  exercise: Effect.fnUntraced(function* (world) {
    yield* settle(world, yield* world.clients(1))
    const [client] = yield* world.clients(1, { sampling: {}, elicitation: { form: {} } })
    yield* client!.call("url")
    yield* client!.call("sample", { args: { tools: true } })
    return () => [
      ...astray(world)(),
      ...client!.questions().map(({ method, params }) => {
        const part = params["tools"] === undefined ? String(params["mode"]) : "tools"
        return `${client!.name} was asked ${method} with ${part}, which it has not declared`
      })
    ]
  })
}

const strangersDoNotAnswer: Invariant = {
  name: "strangers do not answer",
  says: "An answer to a question counts only from the client that was asked, though another sends one under the same id",
  rule: "MCP client/elicitation: requests are bound to the client and the user's identity",
  exercise: Effect.fnUntraced(function* (world) {
    const [asked, stranger] = yield* world.clients(2)
    for (const client of [asked!, stranger!]) client.holdQuestions()
    for (const kind of kinds) {
      const label = yield* asked!.start(kind)
      const question = yield* asked!.question(label)
      yield* stranger!.reply(question)
      yield* settle(world, [stranger!])
      yield* asked!.reply(question)
      yield* asked!.labelled(label)
    }
    return astray(world)
  })
}

const theAskedCallsBack: Invariant = {
  name: "the asked calls back",
  says: "A client that calls the same server while it is asked gets its answers, also from a tool that asks again",
  rule: "MCP basic: either side may send requests while it owes an answer",
  exercise: Effect.fnUntraced(function* (world) {
    const [client] = yield* world.clients(2)
    client!.holdQuestions()
    const outer = yield* client!.start("form")
    const question = yield* client!.question(outer)
    yield* settle(world, [client!])
    const inner = yield* client!.start("sample")
    yield* client!.reply(yield* client!.question(inner))
    yield* client!.labelled(inner)
    yield* client!.reply(question)
    yield* client!.labelled(outer)
    return astray(world)
  })
}

const theAskedLeaves: Invariant = {
  name: "the asked leaves",
  says: "When a client leaves while it is asked, the server gets an error for its answer, and the others are served",
  rule: "JSON-RPC 2.0, 5: every request is answered, the server's too",
  exercise: Effect.fnUntraced(function* (world) {
    const [asked, other] = yield* world.clients(2)
    asked!.holdQuestions()
    const label = yield* asked!.start("form")
    yield* asked!.question(label)
    yield* asked!.channel.leave
    yield* reached(world, label, "answered")
    const next = yield* other!.start("form")
    yield* other!.labelled(next)
    return astray(world)
  })
}

const questionsAreTakenBack: Invariant = {
  name: "questions are taken back",
  says: "When the server cancels a question, the client that was asked is told, by the question's id, and nobody else",
  rule: "MCP basic/utilities/cancellation: either side may cancel what it asked",
  exercise: Effect.fnUntraced(function* (world) {
    const [asked, other] = yield* world.clients(2)
    for (const client of [asked!, other!]) client.holdQuestions()
    const label = yield* asked!.start("form")
    const question = yield* asked!.question(label)
    yield* world.servers.tell(label, { do: "withdraw" })
    yield* asked!.labelled(label)
    const cancellations = (client: KitClient.Client) =>
      client.received().flatMap(({ method, params }) => (method === "notifications/cancelled" ? [params] : []))
    const told = yield* asked!.until("the cancellation of its question", () => cancellations(asked!)[0])
    yield* settle(world, [other!])
    return () => [
      ...(JSON.stringify(told["requestId"]) === JSON.stringify(question.id)
        ? []
        : [
            `${asked!.name} was asked under ${JSON.stringify(question.id)}, cancelled ${JSON.stringify(told["requestId"])}`
          ]),
      ...cancellations(other!).map(() => `${other!.name} was told that a question of ${asked!.name} is cancelled`)
    ]
  })
}

const openQuestionsHoldUpNobody: Invariant = {
  name: "open questions hold up nobody",
  says: "While one client's person thinks about a form, the calls of others end, of the same tool too",
  rule: "MCP client/elicitation: a person may take any time, and the others are not told to wait",
  exercise: Effect.fnUntraced(function* (world) {
    const [thinker, ...others] = yield* world.clients(3)
    thinker!.holdQuestions()
    const open = yield* thinker!.start("form")
    const question = yield* thinker!.question(open)
    yield* settle(world, others)
    yield* each(others, kinds, (client, kind) => client.call(kind))
    yield* thinker!.reply(question)
    yield* thinker!.labelled(open)
    return astray(world)
  })
}

const completionsReachTheAsked: Invariant = {
  name: "completions reach the asked",
  says: "News that a page elsewhere is completed goes to the client that was sent there, and to nobody else",
  rule: "MCP client/elicitation, completion: to the client that initiated the elicitation request",
  exercise: Effect.fnUntraced(function* (world) {
    const [asked, ...others] = yield* world.clients(3)
    const label = yield* asked!.start("url")
    yield* asked!.labelled(label)
    yield* settle(world, others)
    yield* world.servers.tell(label, { do: "complete" })
    const completions = (client: KitClient.Client) =>
      client.received().filter(({ method }) => method === "notifications/elicitation/complete")
    yield* asked!.until("the completion of its page", () => completions(asked!)[0])
    yield* settle(world, others)
    return () =>
      others.flatMap((client) =>
        completions(client).map(() => `${client.name} was told that call ${label} is completed`)
      )
  })
}

const lateQuestionsReachNobodyElse: Invariant = {
  name: "late questions reach nobody else",
  says: "What a call asks that goes on though it was cancelled reaches no other client, whose call is the only one left",
  rule: "MCP basic/utilities/cancellation: the receiver may go on, and the cancellation may come too late",
  exercise: Effect.fnUntraced(function* (world) {
    const [late, other] = yield* world.clients(2)
    for (const [i, kind] of kinds.entries()) {
      const label = yield* late!.start(kind, { id: kind, args: { hold: true, deaf: true } })
      yield* world.servers.called(label)
      yield* late!.notify("notifications/cancelled", { requestId: kind })
      yield* world.servers.until(`the cancellation of call ${label} at the server`, () =>
        cancelled(world).length > i ? true : undefined
      )
      const held = yield* other!.start("hold")
      yield* world.servers.called(held)
      yield* world.servers.release(label)
      yield* reached(world, label, "ended")
      yield* world.servers.release(held)
      yield* other!.labelled(held)
    }
    return () => [...astray(world)(), ...foreignAnswers([other!])]
  })
}

const questionsWithoutACall: Invariant = {
  name: "questions without a call",
  says: "What a server asks while no call is in flight is refused, unless its process serves one client alone",
  rule: "SEP-2260: a question belongs to the request that causes it, ping excepted",
  exercise: Effect.fnUntraced(function* (world) {
    const clients = yield* world.clients(3)
    yield* settle(world, clients)
    yield* world.servers.tellAll({ do: "ask" })
    yield* world.servers.until("an answer to what it asks for no call", (seen) =>
      seen.find(({ what }) => what === "answered")
    )
    const isShared = (pid: number) =>
      new Set(world.servers.seen().flatMap((it) => (it.what === "call" && it.pid === pid ? [owner(it.label)] : [])))
        .size > 1
    return () =>
      clients.flatMap((client) =>
        client
          .questions()
          .map((question) => Number(KitClient.subjectOf(question).replace("process ", "")))
          .filter(isShared)
          .map((pid) => `${client.name} was asked what process ${pid} asks for no call`)
      )
  })
}

const owner = (label: string | null | undefined): string => KitClient.ownerOf(label ?? "")

export const invariants: ReadonlyArray<Invariant> = [
  certainQuestionsAreAsked,
  questionsReachTheirCause,
  allAskAtOnce,
  undeclaredAreNotAsked,
  undeclaredPartsAreNotAsked,
  strangersDoNotAnswer,
  theAskedCallsBack,
  theAskedLeaves,
  questionsAreTakenBack,
  openQuestionsHoldUpNobody,
  completionsReachTheAsked,
  lateQuestionsReachNobodyElse,
  questionsWithoutACall
]
