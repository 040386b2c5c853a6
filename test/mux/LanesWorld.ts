/**
 * A server's sharing with model processes that ask and model clients that are asked, driven event by event. Nothing here
 * decides where a request should go: what each side sees is held against what a process knows and the pool does not, which
 * call really asked.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import type { Wish as What } from "../../src/mux/Places.ts"
import type { Replica } from "../../src/mux/Replica.ts"
import { turn } from "../lines/Turn.ts"
import {
  capabilities,
  clientCount,
  type Event,
  type QuestionKind,
  type Setting,
  type Target,
  targets
} from "./LanesEvents.ts"
import {
  type Call,
  hasDeclared,
  inFlight,
  isOut,
  liveTasks,
  type ModelClient,
  type ModelServer,
  type Question,
  questionText,
  type Request,
  type Task,
  unanswered
} from "./LanesModel.ts"
import { readClient, readServer } from "./LanesReading.ts"
import { makeMux, makeProcess, notification, request, unavailable } from "./MuxHarness.ts"

interface Wish {
  readonly replica: Replica
  readonly what: What
}

export class World {
  readonly clients: Array<ModelClient> = []
  readonly servers: Array<ModelServer> = []
  readonly requests: Array<Request> = []
  readonly questions: Array<Question> = []
  /** Who heard of the announcement that was made last. */
  heard: Array<ModelClient> = []
  readonly #mux: ReturnType<typeof makeMux>
  readonly #slots: Array<ModelClient> = []
  readonly #suspects = new Set<Target>()
  /** What alone can have asked. */
  readonly #askers = new Set<Target>()
  readonly #hasRoots: boolean
  readonly #isSilent: boolean
  /** Of one client, and of all together. */
  readonly maxInFlight: number
  readonly maxConcurrency: number
  #wishes: Array<Wish> = []

  constructor({ isSilent, sharing }: Setting) {
    this.#isSilent = isSilent
    this.maxInFlight = sharing.maxInFlight!
    this.maxConcurrency = sharing.maxConcurrency!
    this.#hasRoots = sharing.roots !== undefined
    this.#mux = makeMux({
      ...sharing,
      onWanted: (replica, what) => {
        // Said again each time that it is looked at.
        const isSaid = what !== "start" && this.#wishes.some((wish) => wish.replica === replica && wish.what === what)
        if (!isSaid) this.#wishes.push({ replica, what })
      }
    })
    for (const replica of this.#replicas.slice(0, sharing.replicas!.min)) {
      replica.isWanted = true
      this.#attach(replica)
    }
    for (let slot = 0; slot < clientCount; slot++) this.#join(slot, capabilities[slot % 2]!)
  }

  get #replicas(): ReadonlyArray<Replica> {
    return this.#mux.sharing.replicas
  }

  /** One event, and all that follows from it at once. */
  step(event: Event): Effect.Effect<void> {
    return Effect.suspend(() => {
      const check = this.#step(event) ?? (() => {})
      return Effect.map(this.#settled, () => {
        check()
        this.#checkPromptness()
      })
    })
  }

  /** Processes and clients answer all that they have, until nothing is left; the waits that the design has pass meanwhile. */
  readonly release: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    for (let round = 0; round < maxRounds && this.#isBusy(); round++) {
      const isStill = !this.#releaseOnce()
      // What waits for its turn in a lane does so for a second before it goes among others.
      if (isStill) vi.advanceTimersByTime(250)
      yield* this.#settled
      this.#checkPromptness()
    }
    for (const request of this.requests) {
      assert.notStrictEqual(
        request.state,
        "open",
        `request ${request.marker} (${request.target?.name}) is not answered`
      )
    }
    for (const question of this.questions) {
      const { answer, isWithdrawn, n, server } = question
      if (!server.isEnded && !isWithdrawn) assert.isNotNull(answer, `question ${n} is not answered`)
    }
  })

  /** What is known to ask, called by everybody at once, brings each question to its client. */
  readonly ask: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    const asking = targets.filter(({ asks }) => asks === "always")
    if (this.#slots[0]!.isGone) this.#join(0, capabilities[0]!)
    // A replacement that failed is tried again after half a minute.
    vi.advanceTimersByTime(30_000)
    for (const wish of this.#wishes) this.#fulfil(wish, false)
    for (const target of asking) {
      this.#call(this.#slots[0]!, target, false)
      yield* this.release
    }
    const from = this.questions.length
    for (const client of this.#slots) for (const target of asking) this.#call(client, target, false)
    yield* this.release
    for (const { kind, n, owner, ownId } of this.questions.slice(from)) {
      if (hasDeclared(owner, kind)) assert.isNotNull(ownId, `question ${n} was lost`)
    }
  })

  /** All that was written has been read, and all that this caused. */
  readonly #settled: Effect.Effect<void> = Effect.gen({ self: this }, function* () {
    do yield* turn
    while (this.#read())
  })

  /** Says whether there was something. */
  #read(): boolean {
    let hasRead = false
    for (const client of this.clients) {
      for (const message of client.client.inbox.messages()) {
        readClient(this, client, message)
        hasRead = true
      }
    }
    for (const server of this.servers) {
      for (const message of server.process.inbox.messages()) {
        readServer(this, server, message)
        hasRead = true
      }
    }
    return hasRead
  }

  // --- what happens ---

  /** Returns what must hold once all has been read. */
  #step(event: Event): (() => void) | void {
    switch (event._tag) {
      case "Nothing":
        return
      case "Call":
        return this.#call(this.#slots[event.client]!, event.target, event.isTask)
      case "Answer":
        return this.#at(this.#answerable(), event.call, (call) => this.#answer(call))
      case "Question":
        return this.#at(
          this.#calls().filter(({ request }) => request.target !== null && request.target.asks !== "never"),
          event.call,
          (call) => this.#ask(call, event.kind)
        )
      case "Reply":
        return this.#at(this.#asked(event.question % 8 === 0), event.question, (question) => this.#reply(question))
      case "Cancel":
        return this.#at(
          this.requests.filter(({ state }) => state === "open"),
          event.call,
          (request) => this.#cancel(request)
        )
      case "Progress":
        return this.#at(this.#calls(), event.call, ({ request: { marker }, server, upstreamId }) =>
          server.process.say(notification("notifications/progress", { progressToken: upstreamId, progress: 1, marker }))
        )
      case "Log":
        // A cancelled call may go on to log for ever: nobody else is kept without log messages for that.
        return this.#at(this.#alive().flatMap(inFlight), event.call, ({ request: { marker }, server }) =>
          server.process.say(notification("notifications/message", { level: "error", data: { marker } }))
        )
      case "Withdraw":
        return this.#at(this.#asked(false), event.question, (question) => this.#withdraw(question))
      case "ReplyProgress":
        return this.#at(this.#asked(true), event.question, ({ n, owner, ownId }) =>
          owner.client.send(notification("notifications/progress", { progressToken: ownId, progress: 1, n }))
        )
      case "Steal":
        return this.#at(this.#asked(false), event.question, ({ n, owner, ownId }) => {
          const thief = this.#slots[event.client]!
          if (thief === owner || thief.isGone) return
          thief.client.send({ jsonrpc: "2.0", id: ownId, result: { n, by: thief.client.session.id } })
        })
      case "Complete":
        return this.#at(this.#pages(), event.question, (question) => this.#complete(question))
      case "TaskQuestion":
        return this.#at(this.#tasks(), event.task, (task) => this.#askOfTask(task, event.kind))
      case "TaskEnd":
        return this.#at(this.#tasks(), event.task, (task) => this.#endTask(task))
      case "TaskRequest":
        return this.#taskRequest(this.#slots[event.client]!, event.task, event.method)
      case "Subscribe":
      case "Unsubscribe":
        return this.#subscribe(this.#slots[event.client]!, event.uri, event._tag === "Subscribe")
      case "Updated":
        return this.#at(this.#alive(), event.server, (server) => this.#updated(server, event.uri))
      case "Join":
        if (this.#slots[event.client]!.isGone) this.#join(event.client, event.capabilities)
        return
      case "Leave":
        return this.#leave(this.#slots[event.client]!)
      case "Crash":
        return this.#at(this.#alive(), event.server, (server) => {
          const replica = this.#replicas[server.place]!
          const wasCurrent = replica.current?.process === server.process.process
          this.#detach(server, true)
          if (wasCurrent) this.#wishes.push({ replica, what: "start" })
        })
      case "Replace":
        return this.#at(this.#alive(), event.server, ({ place }) => {
          const replica = this.#replicas[place]!
          if (replica.current !== null) this.#attach(replica)
        })
      case "Fulfil":
        return this.#at(this.#wishes, event.wish, (wish) => this.#fulfil(wish, event.fails))
      case "Advance":
        vi.advanceTimersByTime(event.millis)
    }
  }

  #at<A>(items: ReadonlyArray<A>, index: number, act: (item: A) => (() => void) | void): (() => void) | void {
    const item = items[index % items.length]
    if (item !== undefined) return act(item)
  }

  #alive(): ReadonlyArray<ModelServer> {
    return this.servers.filter(({ isEnded }) => !isEnded)
  }

  /** What processes have not answered, cancelled or not. */
  #calls(): ReadonlyArray<Call> {
    return this.#alive().flatMap(unanswered)
  }

  #answerable(): ReadonlyArray<Call> {
    return this.#calls().filter(({ request }) => !this.#isSilent || request.state === "open")
  }

  #tasks(): ReadonlyArray<Task> {
    return this.#alive().flatMap(liveTasks)
  }

  /** What clients are asked, or were if `isLate`. */
  #asked(isLate: boolean): ReadonlyArray<Question> {
    return this.questions.filter((question) =>
      isLate ? question.ownId !== null && !question.owner.isGone : isOut(question)
    )
  }

  #pages(): ReadonlyArray<Question> {
    return this.questions.filter(
      ({ isCompleted, kind, ownId, server }) =>
        kind === "elicitation.url" && ownId !== null && !isCompleted && !server.isEnded
    )
  }

  #homeOf({ client }: ModelClient): Replica {
    return this.#replicas.find(({ clients }) => clients.has(client.session))!
  }

  // --- clients ---

  #join(slot: number, capabilities: object): void {
    const client: ModelClient = {
      client: this.#mux.client({ initialized: true }),
      capabilities: capabilities as ModelClient["capabilities"],
      requests: new Map(),
      subscribed: new Set(),
      subscribing: new Map(),
      isGone: false,
      nextId: 0
    }
    const clientInfo = { name: "c", version: "1" }
    client.client.send(request("i", "initialize", { protocolVersion: "2025-11-25", capabilities, clientInfo }))
    this.#slots[slot] = client
    this.clients.push(client)
  }

  #leave(client: ModelClient): void {
    if (client.isGone) return
    client.isGone = true
    for (const request of client.requests.values()) if (request.state === "open") request.state = "cancelled"
    client.client.session.close()
  }

  #call(client: ModelClient, target: Target, isTask: boolean): void {
    const { method, name } = target
    const named = method === "resources/read" ? { uri: name } : { name }
    const isMade = isTask && method === "tools/call"
    this.#request(client, method, { ...named, ...(isMade ? { task: {} } : {}) }, target, isMade)
  }

  /** Somebody's task: its owner's, or another's. */
  #taskRequest(client: ModelClient, index: number, method: string): void {
    const tasks = this.#alive().flatMap(({ tasks }) => [...tasks.values()])
    const taskId = tasks[index % tasks.length]?.id ?? "none"
    this.#request(client, method, { taskId }, null, false)
  }

  #request(client: ModelClient, method: string, params: object, target: Target | null, isTask: boolean): void {
    if (client.isGone) return
    const marker = this.requests.length
    const id = client.nextId++
    const made: Request = {
      marker,
      client,
      id,
      method,
      target,
      isTask,
      isInLane: target !== null && this.#mux.sharing.asking.needsLane(method, target.name),
      isSuspect: target === null || this.#suspects.has(target),
      since: Date.now(),
      askers: this.#asked(false).flatMap(({ owner, server }) => (owner === client ? [server] : [])),
      state: "open",
      calls: []
    }
    this.requests.push(made)
    client.requests.set(id, made)
    client.client.send(request(id, method, { ...params, marker, _meta: { progressToken: `t${marker}` } }))
  }

  #cancel(request: Request): void {
    request.state = "cancelled"
    request.client.client.send(notification("notifications/cancelled", { requestId: request.id }))
  }

  #reply(question: Question): void {
    const { n, owner, ownId } = question
    const reply =
      n % 5 === 0
        ? { error: { code: -1, message: "declined", data: { n } } }
        : { result: { n, by: owner.client.session.id } }
    if (isOut(question)) question.reply = reply
    owner.client.send({ jsonrpc: "2.0", id: ownId, ...reply })
  }

  #subscribe(client: ModelClient, uri: string, isOn: boolean): void {
    if (client.isGone) return
    const id = client.nextId++
    if (isOn) client.subscribing.set(id, uri)
    else {
      client.subscribed.delete(uri)
      for (const [id, its] of client.subscribing) if (its === uri) client.subscribing.delete(id)
    }
    client.client.send(request(id, isOn ? "resources/subscribe" : "resources/unsubscribe", { uri }))
  }

  // --- processes ---

  #attach(replica: Replica): void {
    const old = this.servers.find(({ process }) => process.process === replica.current?.process)
    const process = makeProcess({
      capabilities: { tools: {}, resources: { subscribe: true }, logging: {}, tasks: { requests: {}, cancel: {} } },
      tools: targets.flatMap(({ method, name }) =>
        method === "tools/call"
          ? [{ name, inputSchema: { type: "object" as const }, annotations: { readOnlyHint: name === "reads" } }]
          : []
      )
    })
    this.servers.push({
      process,
      place: this.#replicas.indexOf(replica),
      calls: new Map(),
      questions: new Map(),
      tasks: new Map(),
      subscriptions: new Set(),
      isEnded: false
    })
    replica.attach(process.process)
    if (old !== undefined) replica.whenDrained(old.process.process, () => this.#detach(old, false))
  }

  #detach(server: ModelServer, isCrash: boolean): void {
    if (server.isEnded) return
    server.isEnded = true
    this.#replicas[server.place]!.detach(server.process.process, { isCrash })
  }

  #fulfil(wish: Wish, fails: boolean): void {
    this.#wishes = this.#wishes.filter((other) => other !== wish)
    const { replica, what } = wish
    const server = this.servers.find(({ process }) => process.process === replica.current?.process)
    if (what === "renew") {
      if (!fails && server !== undefined) this.#attach(replica)
      replica.renewed()
    } else if (what === "sleep") {
      if (!fails && server !== undefined && this.#mux.sharing.rest(replica)) this.#detach(server, false)
    } else if (what === "stop") {
      replica.setUnavailable(unavailable)
      if (server !== undefined) this.#detach(server, false)
    } else if (server === undefined && fails) {
      replica.setUnavailable(unavailable)
      this.#wishes.push(wish)
    } else if (server === undefined) this.#attach(replica)
  }

  /** A handler that asks does so before it answers. */
  #answer(call: Call): (() => void) | void {
    const { hasAsked, request, server, taskId, upstreamId } = call
    const { marker, target } = request
    if (target?.asks === "always" && !hasAsked) return this.#ask(call, kindsOf[marker % kindsOf.length]!)
    call.isAnswered = true
    if (request.isTask) {
      const id = `task ${server.tasks.size}`
      server.tasks.set(id, { id, server, owner: request.client, isLive: true })
      return server.process.answer({ id: upstreamId }, { marker, task: { taskId: id, status: "working" } })
    }
    const task = taskId === null ? undefined : server.tasks.get(taskId)
    if (task === undefined) return server.process.answer({ id: upstreamId }, { marker })
    // It answers what its call would have, once it is over.
    if (request.method === "tasks/result") {
      task.isLive = false
      return server.process.answer({ id: upstreamId }, { marker })
    }
    server.process.answer({ id: upstreamId }, { marker, taskId, status: task.isLive ? "working" : "completed" })
  }

  #ask(call: Call, kind: QuestionKind): () => void {
    const { request, server } = call
    const calls = unanswered(server)
    call.hasAsked = true
    if (kind !== "roots") {
      const suspects = new Set(calls.flatMap(({ request: { target } }) => target ?? []))
      for (const target of suspects) this.#suspects.add(target)
      if (suspects.size === 1) for (const target of suspects) this.#askers.add(target)
    }
    const owners = new Set([
      ...calls.map(({ request }) => request.client),
      ...liveTasks(server).map(({ owner }) => owner)
    ])
    const canReach = owners.size === 1 && inFlight(server).length > 0 && !request.client.isGone
    return this.#question({ server, owner: request.client, call, kind, canReach }, null)
  }

  #askOfTask(task: Task, kind: QuestionKind): () => void {
    const { owner, server } = task
    return this.#question({ server, owner, call: null, kind, canReach: !owner.isGone }, task)
  }

  #question(
    asked: Pick<Question, "server" | "owner" | "call" | "kind"> & { readonly canReach: boolean },
    task: Task | null
  ): () => void {
    const { call, canReach, kind, owner, server } = asked
    const question: Question = {
      n: this.questions.length,
      server,
      id: server.questions.size,
      kind,
      owner,
      call,
      mustReach: canReach && hasDeclared(owner, kind),
      ownId: null,
      reply: null,
      answer: null,
      isWithdrawn: false,
      isTakenBack: false,
      isCompleted: false
    }
    this.questions.push(question)
    server.questions.set(question.id, question)
    server.process.say(questionText(question, task))
    return () => {
      const { answer, mustReach, n, ownId } = question
      assert.strictEqual(ownId !== null, mustReach, `question ${n} was ${mustReach ? "not " : ""}delivered`)
      if (mustReach) return
      assert.strictEqual(answer?.error === undefined, kind === "roots" && this.#hasRoots)
      if (call === null || kind === "roots" || call.request.target === null) return
      const { method, target } = call.request
      assert.isTrue(this.#mux.sharing.asking.needsLane(method, target.name), `${target.name} is not known to ask`)
    }
  }

  #withdraw(question: Question): () => void {
    question.isWithdrawn = true
    question.server.process.say(notification("notifications/cancelled", { requestId: question.id, reason: "enough" }))
    return () => assert.isTrue(question.isTakenBack, `question ${question.n} is not taken back`)
  }

  #complete(question: Question): () => void {
    const { id, n, owner, server } = question
    question.isCompleted = true
    this.heard = []
    server.process.say(notification("notifications/elicitation/complete", { elicitationId: `e${id}`, n }))
    return () => assert.deepStrictEqual(this.heard, owner.isGone ? [] : [owner])
  }

  #updated(server: ModelServer, uri: string): (() => void) | void {
    const replica = this.#replicas[server.place]!
    if (!server.subscriptions.has(uri)) return
    this.heard = []
    const isCurrent = replica.current?.process === server.process.process
    const watching = this.clients.filter(
      (client) => isCurrent && !client.isGone && client.subscribed.has(uri) && this.#homeOf(client) === replica
    )
    server.process.say(notification("notifications/resources/updated", { uri }))
    return () => assert.sameMembers(this.heard, watching)
  }

  #endTask(task: Task): void {
    task.isLive = false
    const { id, server } = task
    server.process.say(notification("notifications/tasks/status", { taskId: id, status: "completed" }))
  }

  // --- what must hold ---

  /** What never asked does not wait while its home has a process; nor does anything of a client that is being asked. */
  #checkPromptness(): void {
    for (const { method, name } of this.#askers) assert.isTrue(this.#mux.sharing.asking.needsLane(method, name))
    for (const { askers, calls, client, isInLane, isSuspect, marker, state, target } of this.requests) {
      if (state !== "open" || calls.length > 0 || target === null) continue
      const isThere = this.#homeOf(client).current !== null
      const isLimited = this.maxInFlight < Infinity || this.maxConcurrency < Infinity
      if (!isSuspect && !isLimited) assert.isFalse(isThere, `request ${marker} waits though it never asked`)
      const isAsked = this.#asked(false).some(({ owner, server }) => owner === client && askers.includes(server))
      if (isInLane && isAsked) assert.fail(`request ${marker} of a client that is asked waits`)
    }
  }

  #isBusy(): boolean {
    return (
      this.requests.some(({ state }) => state === "open") ||
      this.#answerable().length > 0 ||
      this.#asked(false).length > 0
    )
  }

  /** One thing after the other, so that what each side sees is seen as it is; says whether there was something to do. */
  #releaseOnce(): boolean {
    const [wish] = this.#wishes
    if (wish !== undefined) return (this.#fulfil(wish, false), true)
    const [task] = this.#tasks()
    if (task !== undefined) return (this.#endTask(task), true)
    const [asked] = this.#asked(false)
    if (asked !== undefined) return (this.#reply(asked), true)
    const [call] = this.#answerable()
    if (call !== undefined) this.#answer(call)
    return call !== undefined
  }
}

const kindsOf: ReadonlyArray<QuestionKind> = ["sampling", "elicitation.form", "elicitation.url", "sampling.tools"]

/** More than enough for each request to be alone for its turn. */
const maxRounds = 1000
