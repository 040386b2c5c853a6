/** What processes and clients read in the world of lanes, and what must be true of it. */
import { assert } from "@effect/vitest"
import { hasDeclared, inFlight, isOut, type ModelClient, type ModelServer, type Question } from "./LanesModel.ts"
import type { World } from "./LanesWorld.ts"
import type { Message } from "./MuxHarness.ts"

export const readServer = (world: World, server: ModelServer, message: Message): void => {
  const { id, method, params } = message
  if (method === undefined) return readReply(server, message)
  if (id === undefined) {
    if (method === "notifications/cancelled") {
      const call = server.calls.get(params?.["requestId"] as number)
      if (call !== undefined) assert.notStrictEqual(call.request.state, "open", "a call that nobody cancelled")
    } else if (method === "notifications/progress") {
      const question = world.questions[params!["n"] as number]!
      assert.strictEqual(question.server, server)
      assert.strictEqual(params!["progressToken"], `p${question.id}`)
      assert.isNull(question.answer, "progress of a question that is answered")
    }
    return
  }
  const marker = params?.["marker"] as number | undefined
  if (marker !== undefined) return readCall(world, server, message, marker)
  if (method === "resources/subscribe") server.subscriptions.add(String(params!["uri"]))
  if (method === "resources/unsubscribe") server.subscriptions.delete(String(params!["uri"]))
  if (method === "tasks/cancel") server.tasks.get(String(params!["taskId"]))!.isLive = false
  const list = /^(?:resources\/)?(\w+)\/list$/.exec(method)?.[1]
  if (!server.isEnded) server.process.answer(message, list === undefined ? {} : { [listKeys[list] ?? list]: [] })
}

const listKeys: { readonly [list: string]: string } = { templates: "resourceTemplates" }

/** The answer to one of its questions. */
const readReply = (server: ModelServer, message: Message): void => {
  const question = server.questions.get(message.id as number)
  assert.isDefined(question, "an answer to no question")
  const { isWithdrawn, n, owner, ownId, reply } = question
  assert.isNull(question.answer, `question ${n} is answered twice`)
  assert.isFalse(isWithdrawn, `question ${n} was taken back`)
  question.answer = message
  const { error, result } = message
  if (reply !== null) assert.deepStrictEqual(error === undefined ? { result } : { error }, reply)
  else if (ownId !== null) {
    assert.isTrue(owner.isGone, `question ${n} was not answered by its client`)
    assert.isDefined(error)
  }
}

const readCall = (world: World, server: ModelServer, { id, params }: Message, marker: number): void => {
  const request = world.requests[marker]!
  const last = request.calls.at(-1)
  if (last !== undefined) assert.isTrue(last.server.isEnded, `request ${marker} was made twice`)
  assert.isFalse(server.calls.has(id as number), "an id is used twice")
  // Who is asked goes in beside others, and does not keep a lane's owner out.
  const isGuest = world.questions.some((question) => question.owner === request.client && isOut(question))
  if (request.isInLane && !isGuest) {
    const others = inFlight(server).filter(
      (call) => call.request.isInLane && call.request.client !== request.client && !call.isGuest
    )
    assert.deepStrictEqual(others, [], `request ${marker} is not alone in its lane`)
  }
  const taskId = request.target === null ? String(params!["taskId"]) : null
  if (taskId !== null) {
    const task = server.tasks.get(taskId)
    assert.strictEqual(task?.owner, request.client, "somebody else's task")
  }
  const call = { request, server, upstreamId: id as number, taskId, isGuest, hasAsked: false, isAnswered: false }
  request.calls.push(call)
  server.calls.set(call.upstreamId, call)
  if (isGuest || request.target === null) return
  const executing = world.servers
    .filter(({ isEnded }) => !isEnded)
    .flatMap(inFlight)
    .filter((call) => call.request.target !== null && !call.isGuest)
  assert.isAtMost(executing.length, world.maxConcurrency)
  const own = executing.filter((call) => call.request.client === request.client)
  assert.isAtMost(own.length, world.maxInFlight)
}

export const readClient = (world: World, client: ModelClient, message: Message): void => {
  const { id, method, params } = message
  assert.isFalse(client.isGone, "a client that is gone is told something")
  if (method === undefined) return readAnswer(world, client, message)
  if (id !== undefined) return readQuestion(world.questions[params!["n"] as number]!, client, message)
  switch (method) {
    case "notifications/progress":
      assert.strictEqual(params!["progressToken"], `t${params!["marker"]}`)
      return assert.strictEqual(world.requests[params!["marker"] as number]!.client, client, "progress of another's")
    case "notifications/message": {
      const { marker } = params!["data"] as { readonly marker: number }
      return assert.strictEqual(world.requests[marker]!.client, client, "a log message of another's call")
    }
    case "notifications/elicitation/complete":
      assert.strictEqual(world.questions[params!["n"] as number]!.owner, client, "another's page")
      return void world.heard.push(client)
    case "notifications/resources/updated": {
      const uri = String(params!["uri"])
      assert.isTrue(client.subscribed.has(uri) || [...client.subscribing.values()].includes(uri))
      return void world.heard.push(client)
    }
    case "notifications/cancelled": {
      const question = world.questions.find(({ owner, ownId }) => owner === client && ownId === params!["requestId"])
      assert.isDefined(question, "another's question is taken back")
      assert.isTrue(question.isWithdrawn || question.server.isEnded)
      question.isTakenBack = true
    }
  }
}

const readQuestion = (question: Question, client: ModelClient, { id, params }: Message): void => {
  const { kind, n, owner, ownId } = question
  assert.strictEqual(owner, client, `question ${n} reached a session that did not cause it`)
  assert.strictEqual(params!["owner"], client.client.session.id)
  assert.isTrue(hasDeclared(client, kind), `question ${n} reached a client that did not declare ${kind}`)
  assert.isNull(ownId, `question ${n} was delivered twice`)
  assert.strictEqual((params!["_meta"] as { readonly progressToken: unknown }).progressToken, id)
  question.ownId = id as number
}

const readAnswer = (world: World, client: ModelClient, { error, id, result }: Message): void => {
  if (id === "i") return
  const uri = client.subscribing.get(id as number)
  client.subscribing.delete(id as number)
  if (uri !== undefined && error === undefined) client.subscribed.add(uri)
  const request = client.requests.get(id as number)
  if (request === undefined) return
  const { calls, marker, method, since, state } = request
  assert.strictEqual(state, "open", `request ${marker} is answered, and was ${state}`)
  request.state = "answered"
  const kind = error?.data?.["kind"]
  if (error === undefined) {
    assert.strictEqual(result!["marker"], marker, "another request's answer")
    assert.isTrue(calls.at(-1)?.isAnswered)
  } else if (kind === "QueueTimeout") assert.isAtLeast(Date.now() - since, 30_000)
  else if (kind === "RequestTimeout") {
    assert.isAtLeast(Date.now() - since, 5000)
    const isAsked = world.questions.some((q) => q.owner === client && q.server === calls.at(-1)?.server && isOut(q))
    assert.isFalse(isAsked, `request ${marker} expired while its client was asked`)
  } else if (kind === "OutcomeUnknown") assert.isTrue(calls.some(({ server }) => server.isEnded))
  else if (kind !== "ServerUnavailable") assert.isTrue(method.startsWith("tasks/"), JSON.stringify(error))
}
