/**
 * A server's sharing, model processes and model clients, driven event by event; beside each real side stands what it must
 * have been told by then, in order, by the rules alone.
 */
import { assert } from "@effect/vitest"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { held as heldBy, makeMux, makeProcess, notification, parse, unavailable } from "./MuxHarness.ts"
import { type Asking, clientCount, type Event, type Kind, type ListAnswer, type Making } from "./RoutingEvents.ts"
import { type ListKind, ModelLists, promptsOf, toolsOf } from "./RoutingLists.ts"
import {
  type Call,
  canonical,
  crashesOf,
  keyOf,
  listOf,
  type ModelClient,
  type ModelServer,
  release,
  type Request,
  settle,
  whole
} from "./RoutingModel.ts"
import {
  announcements,
  answerShapes,
  clientGarbage,
  isIrregular,
  isLong,
  progressShapes,
  requestText,
  serverGarbage
} from "./RoutingTexts.ts"

export class World {
  // Its lanes have a world of their own.
  readonly #mux = makeMux({ questions: "deny" })
  readonly #requests: Array<Request> = []
  readonly #servers: Array<ModelServer> = []
  readonly #clients: Array<ModelClient> = []
  readonly #slots: Array<ModelClient> = []
  readonly #lists = new ModelLists({
    ask: (ask) => {
      this.#server!.asks.push(ask)
      this.#server!.openAsks.set(ask, this.#server!.expected.length)
      this.#server!.expected.push(`list ${ask.kind}`)
    },
    give: ({ client, id }, result) =>
      client.expected.push(whole(result === null ? failedList(id) : `{"jsonrpc":"2.0","result":${result},"id":${id}}`)),
    forward: (request) => this.#await(request),
    onForwarded: () => this.#giveWaiting(),
    isThere: () => this.#server !== null,
    announce: (method) => {
      for (const client of this.#initialized()) client.expected.push(whole(`{"jsonrpc":"2.0","method":"${method}"}`))
    }
  })
  #server: ModelServer | null = null
  #draining: ReadonlyArray<ModelServer> = []
  #waiting: Array<Request> = []
  /** Who has something waiting, in the order of their turns. */
  readonly #inTurn = new Set<ModelClient>()
  #isUnavailable = false
  /** There is no process, and one is asked for when it is needed. */
  #isAsleep = false
  /** How often it must have been. */
  #wakes = 0
  #count = 0
  /** Requests that are long, whatever became of them. */
  #longs = 0

  constructor() {
    for (let slot = 0; slot < clientCount; slot++) this.#join(slot)
  }

  step(event: Event): void {
    this.#step(event)
    assert.deepStrictEqual(
      this.#mux.wanted,
      Array.from({ length: this.#wakes }, () => "start 0")
    )
    for (const server of this.#draining) {
      assert.strictEqual(server.isDrained, server.pending.length === 0, "drained")
    }
  }

  #step(event: Event): void {
    switch (event._tag) {
      case "Nothing":
      case "Turn":
        return
      case "Attach":
        if (this.#server === null || event.isRolling) this.#attach(event.making)
        return
      case "Crash":
      case "Stop":
        return this.#at(event.server, (server) => this.#detach(server, event._tag === "Crash"))
      case "GiveUp":
        return this.#giveUp()
      case "Sleep":
        return this.#sleep()
      case "Hope":
        if (this.#server !== null) return
        this.#isUnavailable = false
        return this.#mux.replica.setUnavailable(null)
      case "HoldStdin":
        return this.#at(event.server, (server) => {
          server.isHeld = true
          server.process.stdin.hold()
        })
      case "ReleaseStdin":
        return this.#at(event.server, release)
      case "BreakStdin":
        return this.#at(event.server, (server) => {
          server.isBroken = true
          server.process.stdin.break()
        })
      case "Ask":
        return this.#ask(this.#slots[event.client]!, event.asking, event.chunk)
      case "Cancel":
        return this.#cancel(this.#slots[event.client]!, event.id, event.shape)
      case "Ping":
        return this.#send(
          this.#slots[event.client]!,
          [`{"jsonrpc":"2.0","id":${event.id},"method":"ping"}`],
          (client) => client.expected.push(whole(`{"jsonrpc":"2.0","id":${event.id},"result":{}}`))
        )
      case "Tell":
        return this.#tell(this.#slots[event.client]!)
      case "Initialized":
        return this.#send(
          this.#slots[event.client]!,
          ['{"jsonrpc":"2.0","method":"notifications/initialized"}'],
          (client) => {
            client.isInitialized = true
          }
        )
      case "Leave":
        return this.#leave(this.#slots[event.client]!)
      case "Join":
        if (this.#slots[event.client]!.isGone) this.#join(event.client)
        return
      case "HoldOut":
        return this.#slots[event.client]!.client.out.hold()
      case "ReleaseOut":
        return this.#slots[event.client]!.client.out.release()
      case "ClientGarbage": {
        const [text, begin] = clientGarbage[event.index % clientGarbage.length]!
        return this.#send(this.#slots[event.client]!, [text], (client) => {
          if (begin !== null) client.expected.push({ text: begin, isWhole: false })
        })
      }
      case "Answer":
        return this.#answer(event.call, event.shape, event.isLate)
      case "Progress":
        return this.#progress(event.call, event.shape, event.isLate)
      case "AnswerBatch":
        return this.#at(event.server, (server) => this.#answerBatch(server, event.calls))
      case "AnswerList":
        return this.#answerList(event.list, event.how)
      case "Question":
        return this.#at(event.server, (server) => this.#question(server, event.index, event.call))
      case "Announce":
        return this.#announce(event.server, event.index, event.call)
      case "ServerGarbage":
        return this.#at(event.server, ({ calls, process }) => {
          const id = calls[event.call % calls.length]?.upstreamId ?? 0
          process.say(serverGarbage[event.index % serverGarbage.length]!(id))
        })
    }
  }

  /** Reads what has come on each side. To be called after each turn. */
  read(): void {
    for (const { client, told } of this.#clients) told.push(...client.inbox.lines())
    for (const server of this.#servers) for (const line of server.process.inbox.lines()) this.#readServer(server, line)
  }

  /** Each process that reads has been told everything. To be called after each turn. */
  checkTold(): void {
    for (const { expected, isBroken, isHeld, told } of this.#alive()) {
      if (!isHeld && !isBroken) assert.deepStrictEqual(told, expected)
    }
  }

  /** Lets go what is held. */
  release(): void {
    for (const server of this.#alive()) release(server)
  }

  /** Ends everything that still goes on: each request that is still open gets its answer. */
  end(): void {
    for (const server of this.#draining) this.#detach(server, true)
    if (this.#server !== null) this.#detach(this.#server, true)
    this.#giveUp()
    for (const { client, isGone } of this.#clients) if (!isGone) client.out.release()
  }

  /** What must hold when all has come. */
  check(): void {
    for (const server of this.#servers) assert.deepStrictEqual(server.told, server.expected)
    for (const model of this.#clients) {
      const { client, expected, isGone, told } = model
      // One that left may have missed the end.
      const wanted = isGone ? expected.slice(0, told.length) : expected
      assert.deepStrictEqual(
        told.map((line, i) => (wanted[i]?.isWhole === false ? line.slice(0, wanted[i].text.length) : line)),
        wanted.map(({ text }) => text)
      )
      if (isGone) continue
      assert.strictEqual(client.session.inFlight, 0)
      this.#checkAnswers(model)
    }
    assert.deepStrictEqual([...this.#mux.sharing.clients].length, this.#clients.filter(({ isGone }) => !isGone).length)
  }

  /** The one rule that matters most, without any model: one answer for each request, to its owner, under its own id. */
  #checkAnswers({ requests, told }: ModelClient): void {
    const open = requests.filter(({ isWithdrawn }) => !isWithdrawn).map(({ id }) => id)
    const answered = told.flatMap((line) => {
      const { error, id, result } = JSON.parse(line) as {
        [key: string]: { code?: unknown; data?: unknown; marker?: unknown; tools?: unknown; prompts?: unknown }
      }
      const marker = result?.marker ?? error?.data
      if (typeof marker === "number") {
        const request = this.#requests[marker]!
        assert.isTrue(requests.includes(request), line)
        return [request.id]
      }
      if (error?.code === 1 || result?.tools !== undefined || result?.prompts !== undefined) {
        const [, first, last] = listedId.exec(line)!
        return [first ?? last]
      }
      const kind = (error?.data as { readonly kind?: unknown } | undefined)?.kind
      return kind === undefined ? [] : [/^\{"jsonrpc":"2\.0","id":(.*?),"error":/.exec(line)![1]!, id].slice(0, 1)
    })
    assert.deepStrictEqual((answered as Array<string>).sort(), open.sort())
  }

  // --- clients ---

  #initialized(): ReadonlyArray<ModelClient> {
    return this.#clients.filter(({ isGone, isInitialized }) => isInitialized && !isGone)
  }

  #join(slot: number): void {
    const client: ModelClient = {
      client: this.#mux.client(),
      told: [],
      expected: [],
      requests: [],
      crashes: new Map(),
      isInitialized: false,
      isGone: false
    }
    this.#slots[slot] = client
    this.#clients.push(client)
  }

  /** Lines of a client, and what they do. */
  #send(
    client: ModelClient,
    lines: ReadonlyArray<string>,
    effect: (client: ModelClient) => void,
    chunk = 1_000_000
  ): void {
    if (client.isGone) return
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""))
    effect(client)
    const step = Math.max(chunk, Math.ceil(bytes.length / maxChunks))
    for (let at = 0; at < bytes.length; at += step) client.client.session.feed(bytes.subarray(at, at + step))
  }

  #ask(client: ModelClient, asking: ReadonlyArray<Asking>, chunk: number): void {
    const asked = asking.map((one) => {
      const shape = isLong(one.shape) && this.#longs >= maxLongs ? one.shape + 1 : one.shape
      if (isLong(shape)) this.#longs++
      const token = one.kind.isWhole === true ? null : one.token
      const marked = { ...one, token, shape, marker: this.#count++ }
      return { ...marked, line: requestText(marked) }
    })
    const lines = asked.map(({ line }) => line)
    const isBatch = asking.length > 1 && asking[0]!.shape % 2 === 0
    this.#send(
      client,
      isBatch ? [`[${lines.join(" , ")}]`] : lines,
      () => {
        for (const { id, kind, line, marker, shape, token } of asked) {
          this.#asked({
            marker,
            at: -1,
            client,
            id,
            token: token !== null && isIrregular(shape) ? canonical(token) : token,
            kind,
            isKept: line.length < 64 * 1024 && this.#isRepeatable(kind),
            isRetry: false,
            isDelivered: false,
            isWithdrawn: false
          })
        }
      },
      chunk
    )
  }

  #isRepeatable({ method, name }: Kind): boolean {
    if (method === "tools/call") return name !== null && this.#lists.repeatable.has(name)
    return method === "resources/read" || method.endsWith("/list")
  }

  #asked(request: Request): void {
    this.#requests[request.marker] = request
    request.client.requests.push(request)
    const list = listOf(request)
    if (this.#isUnavailable) this.#refuse(request, 31001)
    else if (list !== null && this.#isListed(list, request)) return
    else if (crashesOf(request) >= 3) this.#refuse(request, 31001, '"message":"server \\"git\\" refuses')
    else {
      this.#await(request)
      this.#giveWaiting()
    }
  }

  #isListed(list: ListKind, request: Request): boolean {
    return this.#server === null ? this.#lists.askedOfNobody(list, request) : this.#lists.asked(list, request)
  }

  #await(request: Request): void {
    if (this.#isAsleep) this.#wakes++
    this.#isAsleep = false
    this.#waiting.push(request)
    this.#inTurn.add(request.client)
  }

  /** To the process that takes requests, or the one that comes, or back: one of each client after one of every other. */
  #giveWaiting(): void {
    if (this.#server === null && !this.#isUnavailable) return
    while (this.#waiting.length > 0) {
      for (const client of this.#inTurn) {
        const index = this.#waiting.findIndex((request) => request.client === client)
        if (index !== -1) this.#give(this.#waiting.splice(index, 1)[0]!)
      }
    }
    this.#inTurn.clear()
  }

  #give(request: Request): void {
    if (this.#server === null) return this.#refuse(request, request.isRetry ? 31002 : 31001)
    const list = listOf(request)
    request.at = this.#server.expected.length
    this.#server.pending.push(request)
    this.#server.expected.push(list === null ? `request ${request.marker}` : `list ${list}`)
    if (list !== null) this.#server.asks.push(request)
  }

  #cancel(client: ModelClient, id: string, shape: number): void {
    const key = shape % 3 === 0 ? '"request\\u0049d"' : '"requestId"'
    const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{${key}:${id},"reason":"é"}}`
    this.#send(client, [text], () => {
      const isWanted = (request: Request) => request.client === client && canonical(request.id) === canonical(id)
      this.#withdraw(isWanted)
    })
  }

  #leave(client: ModelClient): void {
    if (client.isGone) return
    client.isGone = true
    this.#withdraw((request) => request.client === client)
    client.client.session.close()
  }

  #withdraw(isWanted: (request: Request) => boolean): void {
    for (const request of this.#waiting.filter(isWanted)) request.isWithdrawn = true
    this.#waiting = this.#waiting.filter((request) => !isWanted(request))
    this.#lists.withdraw(isWanted)
    for (const client of this.#inTurn) {
      if (!this.#waiting.some((request) => request.client === client)) this.#inTurn.delete(client)
    }
    for (const server of this.#alive()) {
      for (const request of server.pending.filter(isWanted)) {
        request.isWithdrawn = true
        settle(server, request)
        server.abandoned.add(request)
        server.expected.push(`cancel ${request.marker}`)
      }
    }
  }

  #tell(client: ModelClient): void {
    const text = JSON.stringify(notification("notifications/future", { é: this.#count++ }))
    this.#send(client, [text], () => {
      this.#server?.expected.push(text)
    })
  }

  // --- processes ---

  #alive(): ReadonlyArray<ModelServer> {
    return this.#server === null ? this.#draining : [this.#server, ...this.#draining]
  }

  /** Does it with one of those that run; the first is the one that takes requests. */
  #at(index: number, act: (server: ModelServer) => void): void {
    const alive = this.#alive()
    const server = alive[index % alive.length]
    if (server !== undefined) act(server)
  }

  #attach(making: Making): void {
    const { isPreflighted, prompts, tools } = making
    const process = makeProcess({
      capabilities: { ...(tools === null ? {} : { tools: {} }), ...(prompts === null ? {} : { prompts: {} }) },
      tools: tools !== null && isPreflighted ? toolsOf(tools) : null,
      stdin: new MemoryWritable({ highWaterMark: 64 })
    })
    const server: ModelServer = {
      making,
      process,
      endsDrained: this.#servers.length % 2 === 0,
      told: [],
      expected: [],
      pending: [],
      abandoned: new Set(),
      calls: [],
      asks: [],
      openAsks: new Map(),
      lists: [],
      ids: new Set(),
      isHeld: false,
      isBroken: false,
      isDrained: false
    }
    const old = this.#server
    this.#servers.push(server)
    this.#server = server
    if (old !== null) {
      this.#draining = [...this.#draining, old]
      // What only the pool asked, nobody waits for any more.
      for (const ask of old.openAsks.keys()) this.#lists.lost(ask)
      old.openAsks.clear()
    }
    this.#isUnavailable = this.#isAsleep = false
    this.#lists.renew(making)
    this.#giveWaiting()
    this.#mux.replica.attach(process.process)
    if (old === null) return
    this.#mux.replica.whenDrained(old.process.process, () => {
      assert.isFalse(old.isDrained)
      old.isDrained = true
      if (old.endsDrained) this.#detach(old, false)
    })
  }

  #detach(server: ModelServer, isCrash: boolean): void {
    this.read()
    const { expected, pending, process, told } = server
    assert.deepStrictEqual(told, expected.slice(0, told.length))
    // A line of which a part was written counts as written.
    const written = told.length + (process.inbox.isWithinLine ? 1 : 0)
    expected.length = told.length
    const held = pending.splice(0)
    const asks = [...server.openAsks]
    server.openAsks.clear()
    if (server === this.#server) this.#server = null
    this.#draining = this.#draining.filter((other) => other !== server)
    const isWritten = (request: Request) => request.at < written
    let isOfOneCall = false
    const [sole, ...others] = held.filter(isWritten)
    if (isCrash && sole !== undefined && others.length === 0) {
      const crashes = crashesOf(sole) + 1
      sole.client.crashes.set(keyOf(sole), crashes)
      isOfOneCall = crashes <= 3
    }
    const ends = [
      ...asks.map(([ask, at]) => ({ at, end: () => this.#lists.lost(ask) })),
      ...held.map((request) => ({ at: request.at, end: () => this.#afterEnd(request, isWritten(request)) }))
    ]
    for (const { end } of ends.sort((a, b) => a.at - b.at)) end()
    this.#giveWaiting()
    const loss = this.#mux.replica.detach(process.process, { isCrash })
    assert.deepStrictEqual(loss, { inFlight: held.length, isOfOneCall })
    assert.strictEqual(heldBy(this.#mux.replica, process), 0)
  }

  #afterEnd(request: Request, isWritten: boolean): void {
    if (isWritten) {
      if (!request.isKept || request.isRetry || request.isDelivered || crashesOf(request) >= 3) {
        return this.#refuse(request, 31002)
      }
      request.isRetry = true
    }
    this.#await(request)
  }

  /** Where nobody uses it. */
  #sleep(): void {
    const server = this.#server
    if (server === null || this.#alive().some(({ pending }) => pending.length > 0)) return
    this.#server = null
    this.#draining = [...this.#draining, server]
    this.#isAsleep = true
    for (const ask of server.openAsks.keys()) this.#lists.lost(ask)
    server.openAsks.clear()
    this.#mux.replica.sleep()
    this.#detach(server, false)
  }

  #giveUp(): void {
    if (this.#server !== null) return
    this.#isUnavailable = true
    this.#isAsleep = false
    this.#giveWaiting()
    this.#mux.replica.setUnavailable(unavailable)
  }

  #refuse({ client, id }: Request, code: number, more = ""): void {
    client.expected.push({ text: `{"jsonrpc":"2.0","id":${id},"error":{"code":${code},${more}`, isWhole: false })
  }

  #readServer(server: ModelServer, line: string): void {
    const message = parse(line)
    const { id, method, params } = message
    const marker = params?.["marker"] as number | undefined
    const isList = marker === undefined && method?.endsWith("/list") === true
    if (marker !== undefined || isList) {
      assert.isTrue(Number.isSafeInteger(id), line)
      assert.isFalse(server.ids.has(id as number), `id ${String(id)} is used twice`)
      server.ids.add(id as number)
    }
    if (isList) {
      const ask = server.asks[server.lists.length]!
      if ("marker" in ask) server.calls.push({ request: ask, upstreamId: id as number })
      server.lists.push(message)
      server.told.push(`list ${method!.slice(0, -"/list".length)}`)
    } else if (marker !== undefined) {
      const request = this.#requests[marker]!
      assert.deepStrictEqual([method, params!["name"] ?? null], [request.kind.method, request.kind.name])
      const token = (params!["_meta"] as { readonly progressToken: unknown } | undefined)?.progressToken
      assert.strictEqual(token, request.token === null ? undefined : id)
      server.calls.push({ request, upstreamId: id as number })
      server.told.push(`request ${marker}`)
    } else if (method === "notifications/cancelled") {
      const call = server.calls.find(({ upstreamId }) => upstreamId === params!["requestId"])
      server.told.push(`cancel ${call?.request.marker ?? line}`)
    } else if (method === undefined) server.told.push(`reply ${JSON.stringify(id)} ${message.error?.code ?? "ok"}`)
    else server.told.push(line)
  }

  // --- what servers say ---

  /** A request that a server knows: an open one, or one that is settled or that a server knew which is gone. */
  #call(index: number, isLate: boolean): { readonly server: ModelServer; readonly call: Call } | null {
    const known = (isLate ? this.#servers : this.#alive()).flatMap((server) =>
      server.calls
        .filter(({ request }) => server.pending.includes(request) !== isLate || index % 10 === 0)
        .map((call) => ({ server, call }))
    )
    return known[index % known.length] ?? null
  }

  #answer(index: number, shape: number, isLate: boolean): void {
    const found = this.#call(index, isLate)
    if (found === null) return
    const { request, upstreamId } = found.call
    const make = answerShapes[shape % answerShapes.length]!
    const { said, heard } = make(request.marker)
    if (settle(found.server, request)) request.client.expected.push(whole(heard(request.id)))
    found.server.process.say(said(String(upstreamId)))
  }

  #answerBatch(server: ModelServer, indices: ReadonlyArray<number>): void {
    const lines = indices.flatMap((index) => {
      const call = server.calls[index % server.calls.length]
      if (call === undefined) return []
      const { request, upstreamId } = call
      const text = (id: string) => `{"jsonrpc":"2.0","id":${id} ,"result":{"marker":${request.marker}}}`
      if (settle(server, request)) request.client.expected.push(whole(text(request.id)))
      return [text(String(upstreamId)), "7"]
    })
    server.process.say(`[ ${lines.join(" , ")} ]`)
  }

  /** Some of the answers are late, or come twice. No two are the same. */
  #answerList(index: number, how: ListAnswer): void {
    const seen = this.#servers.flatMap((server) =>
      server.lists.map((list, i) => ({ server, list, ask: server.asks[i]! }))
    )
    const isOpen = ({ ask, server }: (typeof seen)[number]) =>
      "marker" in ask ? server.pending.includes(ask) : server.openAsks.has(ask)
    const known = seen.filter((list) => isOpen(list) || index % 10 === 0)
    const found = known[index % known.length]
    if (found === undefined) return
    const { ask, list, server } = found
    const kind = "marker" in ask ? listOf(ask)! : ask.kind
    const items = this.#itemsOf(server, kind)
    const result = { [kind]: items, n: this.#count++, ...scopes[how] }
    const text = how === "error" ? null : JSON.stringify(result)
    if ("marker" in ask) {
      if (settle(server, ask))
        ask.client.expected.push(whole(text === null ? failedList(ask.id) : listed(ask.id, text)))
    } else if (server.openAsks.delete(ask)) {
      this.#lists.answered(ask, how === "error" ? null : { items, text: JSON.stringify(result), how })
    }
    server.process.say(text === null ? failedList(String(list.id)) : listed(String(list.id), text))
  }

  #itemsOf({ making }: ModelServer, kind: ListKind): ReadonlyArray<object> {
    return kind === "tools" ? toolsOf(making.tools ?? 0) : promptsOf(making.prompts ?? 0)
  }

  #progress(index: number, shape: number, isLate: boolean): void {
    const found = this.#call(index, isLate)
    if (found === null) return
    const { request, upstreamId } = found.call
    const count = this.#count++
    const make = progressShapes[shape % progressShapes.length]!
    if (found.server.pending.includes(request) && request.token !== null) {
      request.isDelivered = true
      request.client.expected.push(whole(make(request.token, count)))
    }
    found.server.process.say(make(String(upstreamId), count))
  }

  /** Server's ids are its own: they may be the pool's too. */
  #question(server: ModelServer, index: number, call: number): void {
    const id = [server.calls[call % server.calls.length]?.upstreamId, call, "q", null][index % 4] ?? null
    const method = index % 3 === 0 ? "ping" : "sampling/createMessage"
    server.expected.push(`reply ${JSON.stringify(id)} ${method === "ping" ? "ok" : -32601}`)
    // In the order in which the official SDK writes them, some of them long.
    server.process.say({ method, params: { text: index % 5 < 2 ? "x".repeat(5000) : "" }, jsonrpc: "2.0", id })
  }

  /** One that runs says it, or now and then one that is gone. */
  #announce(which: number, index: number, call: number): void {
    const speakers = call % 10 === 0 ? this.#servers : this.#alive()
    const server = speakers[which % speakers.length]
    if (server === undefined) return
    const method = announcements[index % announcements.length]!
    const text = JSON.stringify(notification(method, { uri: "x", n: this.#count++ }))
    for (const client of this.#readersOf(server, method)) client.expected.push(whole(text))
    if (server === this.#server && method.endsWith("/list_changed")) {
      this.#lists.changed(method === "notifications/tools/list_changed" ? "tools" : "prompts")
    }
    server.process.say(text)
  }

  #readersOf(server: ModelServer, method: string): ReadonlyArray<ModelClient> {
    // What a list says is nobody's: all are given the same.
    const asking = server.pending.filter(({ kind }) => !isList(kind))
    const owners = [...new Set(asking.map(({ client }) => client))]
    const owner = owners.length === 1 ? owners : []
    if (method === "notifications/message") {
      const others = [...server.abandoned].filter(({ client, kind }) => !isList(kind) && !owner.includes(client))
      return others.length > 0 ? [] : owner.filter(({ isInitialized }) => isInitialized)
    }
    if (server !== this.#server) return []
    if (method === "notifications/tasks/status") return []
    return method.endsWith("/list_changed") || owner.length === 0 ? this.#initialized() : owner
  }
}

const isList = ({ method }: Request["kind"]): boolean => method.endsWith("/list")

const listed = (id: string, result: string): string => `{"jsonrpc":"2.0","id":${id},"result":${result}}`

const failedList = (id: string): string => `{"jsonrpc":"2.0","id":${id},"error":{"code":1,"message":"not now"}}`

/** What a result says of who may be given it, and how long. */
const scopes = { shared: { ttlMs: 60_000 }, brief: { ttlMs: 0 }, private: { cacheScope: "private" }, error: {} }

/** The id of an answer for a list, as it stands there. */
const listedId = /^\{"jsonrpc":"2\.0","id":(.*?),"(?:result":\{"(?:tools|prompts)"|error":\{"code":1,)|,"id":(.*)\}$/

/** So few that, though a crash may bring them all to one server which does not read, none makes others wait. */
const maxLongs = 3
/** In how many pieces a client's lines come at most. */
const maxChunks = 1000
