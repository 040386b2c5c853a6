/**
 * A multiplexer, model servers and model clients, driven event by event; beside each real side stands what it must have
 * been told by then, in order, by the rules alone.
 */
import { assert } from "@effect/vitest"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { type Client, makeMux, type Message, notification, parse, type Process, unavailable } from "./MuxHarness.ts"
import { type Asking, clientCount, type Event } from "./RoutingEvents.ts"

/** A request of a client, from when the client has sent it. */
interface Request {
  /** Unique in the world; the server sees it and repeats it. */
  readonly marker: number
  readonly client: ModelClient
  /** Its id and token as they must be given back. */
  readonly id: string
  readonly token: string | null
  state: "waiting" | "pending" | "answered" | "withdrawn"
}

/** A line that a client must be told: all of it, or how it begins. */
interface Expected {
  readonly text: string
  readonly isWhole: boolean
}

interface ModelClient {
  readonly client: Client
  readonly told: Array<string>
  readonly expected: Array<Expected>
  readonly requests: Array<Request>
  isInitialized: boolean
  isGone: boolean
  /** What it sends while it is paused, and what that does. */
  readonly held: Array<() => void>
}

/** A request that has reached a server. */
interface Call {
  readonly request: Request
  readonly upstreamId: number
}

interface ModelServer {
  readonly process: Process
  /** What it was told, and what it must have been told, in the same words. */
  readonly told: Array<string>
  readonly expected: Array<string>
  /** In the order in which it was asked. */
  readonly pending: Array<Request>
  /** What it has seen of them. */
  readonly calls: Array<Call>
  /** The pool's own requests. */
  readonly lists: Array<Message>
  /** The pool reads one list at a time, and once more where it changed meanwhile. */
  isListing: boolean
  isStale: boolean
  readonly answered: Set<unknown>
}

export class World {
  readonly #mux = makeMux()
  readonly #requests: Array<Request> = []
  readonly #servers: Array<ModelServer> = []
  readonly #clients: Array<ModelClient> = []
  readonly #slots: Array<ModelClient> = []
  readonly #upstreamIds = new Set<number>()
  #server: ModelServer | null = null
  #waiting: Array<Request> = []
  #isUnavailable = false
  #count = 0

  constructor() {
    for (let slot = 0; slot < clientCount; slot++) this.#join(slot)
  }

  step(event: Event): void {
    this.#sendHeld()
    switch (event._tag) {
      case "Nothing":
      case "Turn":
        return
      case "Attach":
        return this.#attach()
      case "Crash":
        return this.#crash()
      case "GiveUp":
        return this.#giveUp()
      case "Hope":
        if (this.#server !== null) return
        this.#isUnavailable = false
        return this.#mux.sharing.setUnavailable(null)
      case "HoldStdin":
        return this.#server?.process.stdin.hold()
      case "ReleaseStdin":
        return this.#server?.process.stdin.release()
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
        return this.#answerBatch(event.calls)
      case "AnswerList":
        return this.#answerList(event.call)
      case "Question":
        return this.#question(event.index, event.call)
      case "Announce":
        return this.#announce(event.index)
      case "ServerGarbage":
        return this.#serverGarbage(event.index, event.call)
    }
  }

  /** Reads what has come on each side. To be called after each turn. */
  read(): void {
    for (const { client, told } of this.#clients) told.push(...client.inbox.lines())
    for (const server of this.#servers) for (const line of server.process.inbox.lines()) this.#readServer(server, line)
  }

  /** Ends everything that still goes on: each request that is still open gets its answer. */
  end(): void {
    for (const server of this.#servers) server.process.stdin.release()
    this.#sendHeld()
    this.#crash()
    this.#sendHeld()
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
      assert.isEmpty(model.held)
      assert.strictEqual(client.session.inFlight, 0)
      this.#checkAnswers(model)
    }
    assert.strictEqual(this.#mux.inFlight(), 0)
  }

  /** The one rule that matters most, without any model: one answer for each request, to its owner, under its own id. */
  #checkAnswers({ requests, told }: ModelClient): void {
    const open = requests.filter(({ state }) => state !== "withdrawn").map(({ id }) => id)
    const answered = told.flatMap((line) => {
      const { error, id, result } = JSON.parse(line) as { [key: string]: { data?: unknown; marker?: unknown } }
      const marker = result?.marker ?? error?.data
      if (typeof marker === "number") {
        const request = this.#requests[marker]!
        assert.isTrue(requests.includes(request), line)
        return [request.id]
      }
      const kind = (error?.data as { readonly kind?: unknown } | undefined)?.kind
      return kind === undefined ? [] : [/^\{"jsonrpc":"2\.0","id":(.*?),"error":/.exec(line)![1]!, id].slice(0, 1)
    })
    assert.deepStrictEqual((answered as Array<string>).sort(), open.sort())
  }

  // --- clients ---

  #join(slot: number): void {
    const client: ModelClient = {
      client: this.#mux.client(),
      told: [],
      expected: [],
      requests: [],
      isInitialized: false,
      isGone: false,
      held: []
    }
    this.#slots[slot] = client
    this.#clients.push(client)
  }

  /** Lines of a client, now or once it is no longer paused, and what they do. */
  #send(
    client: ModelClient,
    lines: ReadonlyArray<string>,
    effect: (client: ModelClient) => void,
    chunk = 1_000_000
  ): void {
    if (client.isGone) return
    const send = () => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""))
      effect(client)
      for (let at = 0; at < bytes.length; at += chunk) client.client.session.feed(bytes.subarray(at, at + chunk))
    }
    if (isPaused(client)) client.held.push(send)
    else send()
  }

  #sendHeld(): void {
    for (const client of this.#slots) {
      while (!client.isGone && !isPaused(client) && client.held.length > 0) client.held.shift()!()
    }
  }

  #ask(client: ModelClient, asking: ReadonlyArray<Asking>, chunk: number): void {
    const asked = asking.map((one) => ({ ...one, marker: this.#count++ }))
    const lines = asked.map(requestText)
    const isBatch = asking.length > 1 && asking[0]!.shape % 2 === 0
    this.#send(
      client,
      isBatch ? [`[${lines.join(" , ")}]`] : lines,
      () => {
        for (const { id, marker, shape, token } of asked) {
          const isIrregular = requestShapes[shape % requestShapes.length]!.isIrregular
          this.#asked({
            marker,
            client,
            id,
            token: token !== null && isIrregular ? canonical(token) : token,
            state: "pending"
          })
        }
      },
      chunk
    )
  }

  #asked(request: Request): void {
    this.#requests[request.marker] = request
    request.client.requests.push(request)
    if (this.#isUnavailable) this.#refuse(request, 31001)
    else if (this.#server === null) {
      request.state = "waiting"
      this.#waiting.push(request)
    } else {
      this.#server.pending.push(request)
      this.#server.expected.push(`request ${request.marker}`)
    }
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
    client.held.length = 0
    this.#withdraw((request) => request.client === client)
    client.client.session.close()
  }

  #withdraw(isWanted: (request: Request) => boolean): void {
    for (const request of this.#waiting.filter(isWanted)) request.state = "withdrawn"
    this.#waiting = this.#waiting.filter((request) => !isWanted(request))
    for (const request of this.#server?.pending.filter(isWanted) ?? []) {
      this.#settle(request, "withdrawn")
      this.#server!.expected.push(`cancel ${request.marker}`)
    }
  }

  #tell(client: ModelClient): void {
    const text = JSON.stringify(notification("notifications/future", { é: this.#count++ }))
    this.#send(client, [text], () => {
      this.#server?.expected.push(text)
    })
  }

  // --- processes ---

  #attach(): void {
    if (this.#server !== null) return
    const process = this.#mux.attach({ capabilities: { tools: {} }, stdin: new MemoryWritable({ highWaterMark: 64 }) })
    const server: ModelServer = {
      process,
      told: [],
      expected: ["list"],
      pending: [],
      calls: [],
      lists: [],
      isListing: true,
      isStale: false,
      answered: new Set()
    }
    this.#servers.push(server)
    this.#server = server
    this.#isUnavailable = false
    for (const request of this.#waiting.splice(0)) {
      request.state = "pending"
      server.pending.push(request)
      server.expected.push(`request ${request.marker}`)
    }
  }

  #crash(): void {
    if (this.#server === null) return
    for (const request of this.#server.pending.splice(0)) this.#refuse(request, 31002)
    this.#server = null
    this.#mux.detach()
  }

  #giveUp(): void {
    if (this.#server !== null) return
    this.#isUnavailable = true
    for (const request of this.#waiting.splice(0)) this.#refuse(request, 31001)
    this.#mux.sharing.setUnavailable(unavailable)
  }

  #refuse(request: Request, code: number): void {
    request.state = "answered"
    const text = `{"jsonrpc":"2.0","id":${request.id},"error":{"code":${code},`
    request.client.expected.push({ text, isWhole: false })
  }

  #settle(request: Request, state: "answered" | "withdrawn"): void {
    request.state = state
    const { pending } = this.#server!
    pending.splice(pending.indexOf(request), 1)
  }

  #readServer(server: ModelServer, line: string): void {
    const message = parse(line)
    const { id, method, params } = message
    if (method === "tools/call" || method === "tools/list") {
      assert.isTrue(Number.isSafeInteger(id), line)
      assert.isFalse(this.#upstreamIds.has(id as number), `id ${String(id)} is used twice`)
      this.#upstreamIds.add(id as number)
    }
    if (method === "tools/list") {
      server.lists.push(message)
      server.told.push("list")
    } else if (method === "tools/call") {
      const request = this.#requests[params!["marker"] as number]!
      const token = (params!["_meta"] as { readonly progressToken: unknown } | undefined)?.progressToken
      assert.strictEqual(token, request.token === null ? undefined : id)
      server.calls.push({ request, upstreamId: id as number })
      server.told.push(`request ${request.marker}`)
    } else if (method === "notifications/cancelled") {
      const call = server.calls.find(({ upstreamId }) => upstreamId === params!["requestId"])
      server.told.push(`cancel ${call?.request.marker ?? line}`)
    } else if (method === undefined) server.told.push(`reply ${JSON.stringify(id)} ${message.error?.code ?? "ok"}`)
    else server.told.push(line)
  }

  // --- what servers say ---

  /** A request that a server knows: an open one, or one that is settled or that a server knew which is gone. */
  #call(index: number, isLate: boolean): { readonly server: ModelServer; readonly call: Call } | null {
    const servers = isLate ? this.#servers : this.#server === null ? [] : [this.#server]
    const known = servers.flatMap((server) =>
      server.calls
        .filter(({ request }) => this.#isOpen(request) !== isLate || index % 10 === 0)
        .map((call) => ({ server, call }))
    )
    return known[index % known.length] ?? null
  }

  #isOpen(request: Request): boolean {
    return this.#server !== null && this.#server.pending.includes(request)
  }

  #answer(index: number, shape: number, isLate: boolean): void {
    const found = this.#call(index, isLate)
    if (found === null) return
    const { request, upstreamId } = found.call
    const make = answerShapes[shape % answerShapes.length]!
    const { said, heard } = make(request.marker)
    if (this.#isOpen(request)) {
      this.#settle(request, "answered")
      request.client.expected.push(whole(heard(request.id)))
    }
    found.server.process.say(said(String(upstreamId)))
  }

  #answerBatch(indices: ReadonlyArray<number>): void {
    const lines = indices.flatMap((index) => {
      const found = this.#call(index, false)
      if (found === null) return []
      const { request, upstreamId } = found.call
      const text = (id: string) => `{"jsonrpc":"2.0","id":${id} ,"result":{"marker":${request.marker}}}`
      if (this.#isOpen(request)) {
        this.#settle(request, "answered")
        request.client.expected.push(whole(text(request.id)))
      }
      return [text(String(upstreamId)), "7"]
    })
    this.#server?.process.say(`[ ${lines.join(" , ")} ]`)
  }

  /** The same tools each time: what would differ would be news to all. */
  #answerList(index: number): void {
    const server = this.#server
    const list = server?.lists[index % (server.lists.length || 1)]
    if (server === null || list === undefined) return
    if (!server.answered.has(list.id)) {
      server.answered.add(list.id)
      server.isListing = server.isStale
      if (server.isStale) server.expected.push("list")
      server.isStale = false
    }
    server.process.answer(list, { tools: [{ name: "a" }] })
  }

  #progress(index: number, shape: number, isLate: boolean): void {
    const found = this.#call(index, isLate)
    if (found === null) return
    const { request, upstreamId } = found.call
    const count = this.#count++
    const make = progressShapes[shape % progressShapes.length]!
    if (this.#isOpen(request) && request.token !== null) request.client.expected.push(whole(make(request.token, count)))
    found.server.process.say(make(String(upstreamId), count))
  }

  /** Server's ids are its own: they may be the pool's too. */
  #question(index: number, call: number): void {
    if (this.#server === null) return
    const id = [this.#call(call, false)?.call.upstreamId, call, "q", null][index % 4] ?? null
    const method = index % 3 === 0 ? "ping" : "sampling/createMessage"
    this.#server.expected.push(`reply ${JSON.stringify(id)} ${method === "ping" ? "ok" : -32601}`)
    // In the order in which the official SDK writes them, some of them long.
    this.#server.process.say({ method, params: { text: index % 5 < 2 ? long : "" }, jsonrpc: "2.0", id })
  }

  #announce(index: number): void {
    if (this.#server === null) return
    const method = announcements[index % announcements.length]!
    const text = JSON.stringify(notification(method, { uri: "x", n: this.#count++ }))
    const owners = new Set(this.#server.pending.map(({ client }) => client))
    const initialized = this.#clients.filter(({ isGone, isInitialized }) => isInitialized && !isGone)
    const readers = method.endsWith("list_changed") || owners.size !== 1 ? initialized : [...owners]
    const isPrivate = method === "notifications/tasks/status"
    for (const client of isPrivate && owners.size !== 1 ? [] : readers) client.expected.push(whole(text))
    if (method === "notifications/tools/list_changed") {
      if (this.#server.isListing) this.#server.isStale = true
      else {
        this.#server.isListing = true
        this.#server.expected.push("list")
      }
    }
    this.#server.process.say(text)
  }

  #serverGarbage(index: number, call: number): void {
    const id = this.#call(call, false)?.call.upstreamId ?? 0
    this.#server?.process.say(serverGarbage[index % serverGarbage.length]!(id))
  }
}

const isPaused = ({ client }: ModelClient): boolean =>
  client.events.findLast((event) => event === "pause" || event === "resume") === "pause"

const whole = (text: string): Expected => ({ text, isWhole: true })

const canonical = (json: string): string => JSON.stringify(JSON.parse(json))

/** In how many ways a request may be written. */
const requestShapes: ReadonlyArray<{
  readonly isIrregular: boolean
  readonly text: (id: string, params: string) => string
}> = [
  {
    isIrregular: false,
    text: (id, params) => `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{${params}}}`
  },
  {
    isIrregular: false,
    text: (id, params) => `{"method":"tools/call","params":{${params}},"jsonrpc":"2.0","id":${id}}`
  },
  {
    isIrregular: false,
    text: (id, params) =>
      `\t{ "params" : {"arguments":{"id":1,"progressToken":2,"x":",\\"id\\":5}é"}, ${params} } , "id" :  ${id} ,"method":"tools\\/call", "jsonrpc":"2.0"} `
  },
  {
    isIrregular: true,
    text: (id, params) => `{"jsonrpc":"2.0","i\\u0064":${id},"method":"tools/call","params":{${params}}}`
  },
  {
    isIrregular: true,
    text: (id, params) => `{"id":9,"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{${params}}}`
  },
  {
    isIrregular: true,
    text: (id, params) =>
      `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"_meta":{"progressToken":3},${params}}}`
  }
]

const requestText = ({ id, marker, shape, token }: Asking & { readonly marker: number }): string => {
  const meta = token === null ? '"_meta":{"traceparent":"é"}' : `"_meta":{"progressToken":${token}}`
  const params = shape % 2 === 0 ? `"marker":${marker},${meta}` : `${meta},"marker":${marker}`
  return requestShapes[shape % requestShapes.length]!.text(id, params)
}

const long = "x".repeat(5000)

/** In how many ways a server may answer: what it says under its id, and what must be heard under the client's. */
const answerShapes: ReadonlyArray<
  (marker: number) => { readonly said: (id: string) => string; readonly heard: (id: string) => string }
> = [
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker}}}`),
  (marker) =>
    asSaid((id) => `{"result":{"id":1,"marker":${marker},"text":",\\"id\\":5}é"},"jsonrpc":"2.0","id":${id}}`),
  (marker) => asSaid((id) => ` {"jsonrpc":"2.0", "id" : ${id} ,"error":{"code":-1,"message":"漢","data":${marker}}}`),
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker},"text":"${long}"}}`),
  (marker) => asSaid((id) => `{"result":{"marker":${marker},"text":"${long}","id":7},"jsonrpc":"2.0","id":${id}}`),
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","result":{"marker":${marker}},"id" : ${id} ,"text":"${long}"}`),
  (marker) => ({
    said: (id) => `{"jsonrpc":"2.0","i\\u0064":${id},"result":{"marker":${marker}, "text":"${long}"}}`,
    heard: (id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker},"text":"${long}"}}`
  }),
  (marker) => ({
    said: (id) => `{"id":0,"jsonrpc":"2.0","result":{"marker":${marker}}, "id":${id}}`,
    heard: (id) => `{"id":${id},"jsonrpc":"2.0","result":{"marker":${marker}}}`
  })
]

const asSaid = (text: (id: string) => string) => ({ said: text, heard: text })

const progressShapes: ReadonlyArray<(token: string, count: number) => string> = [
  (token, n) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":${n}}}`,
  (token, n) =>
    `{"params":{"progress":${n},"message":"é", "progressToken" : ${token} },"method":"notifications\\/progress","jsonrpc":"2.0"} `
]

const announcements = [
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/future",
  "notifications/tasks/status"
]

/** What a client may send that is no request, and how the answer begins where there is one. */
const clientGarbage: ReadonlyArray<readonly [text: string, begin: string | null]> = [
  ["hello", '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,'],
  ['{"jsonrpc":"2.0","id":1,"method":"tools/call"', '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,'],
  ["[]", '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,'],
  ['{"id":1,"method":"tools/call"}', '{"jsonrpc":"2.0","id":1,"error":{"code":-32600,'],
  ['{"jsonrpc":"2.0","id":"x"}', '{"jsonrpc":"2.0","id":"x","error":{"code":-32600,'],
  ['{"jsonrpc":"2.0","id":2,"method":"tools/call","params":[]}', '{"jsonrpc":"2.0","id":2,"error":{"code":-32602,'],
  ['{"jsonrpc":"2.0","id":1,"result":{}}', null],
  ['{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}', null],
  ["", null],
  ["\r", null]
]

/** What a server may say that concerns nobody; it knows a request's id. */
const serverGarbage: ReadonlyArray<(id: number) => string> = [
  () => "Listening on port 3000",
  () => "{}",
  (id) => `{"jsonrpc":"2.0","id":${id},"result":`,
  (id) => `{"jsonrpc":"2.0","id":"${id}","result":{}}`,
  (id) => `{"jsonrpc":"2.0","id":${id}}`,
  (id) => `{"jsonrpc":"2.0","id":[${id}],"result":{}}`,
  (id) => `{"jsonrpc":"2.0","id":-${id}.5,"result":{}}`,
  () => '{"jsonrpc":"2.0","id":999999,"result":{}}',
  () => `{"jsonrpc":"2.0","result":"${long}","id":999999}`,
  () => '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1}}',
  () => '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}',
  (id) => `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"${id}","progress":1}}`,
  (id) => `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`,
  () => "[]",
  () => ""
]
