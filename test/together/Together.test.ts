import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { fakeTimers, type Message, notification, request } from "../mux/MuxHarness.ts"
import { call, make, ofMethod, type Started } from "./TogetherHarness.ts"

const ids = (messages: ReadonlyArray<Message>) => messages.map(({ id, method }) => id ?? method)
const itemsIn = ({ result }: Message, key: string) =>
  ((result?.[key] ?? []) as ReadonlyArray<{ readonly name: string }>).map(({ name }) => name)

/** What servers were told until there is no more. */
const settle = (...servers: ReadonlyArray<Started>): Effect.Effect<ReadonlyArray<Message>> =>
  Effect.gen(function* () {
    const heard: Array<Message> = []
    for (;;) {
      const told = (yield* Effect.forEach(servers, ({ told }) => told)).flat()
      if (told.length === 0) return heard
      heard.push(...told)
    }
  })

describe("Together", () => {
  describe("calls", () => {
    it.effect("go to the server that the name begins with, under its own name, before any list was read", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ tools: ["echo"] })) as [Started, Started]
        yield* settle(a, b)
        const session = client()
        session.send(call("1", "b__echo", { text: "é" }), call(1, "a__echo__more"), call(1.5, "b____echo"))
        const [toA] = yield* a.told
        const [toB, third] = yield* b.told
        assert.deepStrictEqual(toA?.params, { name: "echo__more", arguments: {} })
        assert.deepStrictEqual(toB?.params, { name: "echo", arguments: { text: "é" } })
        assert.strictEqual(third?.params?.["name"], "__echo")
        b.process.answer(third!)
        b.process.answer(toB!, { content: [] })
        a.process.answer(toA!)
        assert.deepStrictEqual(ids(yield* session.told), [1.5, "1", 1])
        assert.strictEqual(session.session.inFlight, 0)
      })
    )

    it.effect("of names with a hash wait until the lists are there", () =>
      Effect.gen(function* () {
        const { client, members } = make("my server", "b")
        const long = "t".repeat(80)
        const [first, b] = members.map((member) => member.start({ tools: ["echo", long] })) as [Started, Started]
        yield* settle(first, b)
        const session = client()
        session.send(request("l", "tools/list"))
        yield* settle(first, b)
        const [list] = yield* session.told
        const names = itemsIn(list!, "tools")
        assert.lengthOf(names, 4)
        for (const name of names) assert.match(name, /^[a-zA-Z0-9_-]{1,64}$/)
        const other = make("my server", "b")
        const another = other.members.map((member) => member.start({ tools: ["echo", long] })) as [Started, Started]
        const early = other.client()
        early.send(...names.map((name, index) => call(index, name)))
        const told = yield* settle(...another)
        const called = ofMethod(told, "tools/call").map(({ params }) => params?.["name"])
        assert.deepStrictEqual(called.sort(), ["echo", "echo", long, long])
      })
    )

    it.effect("of no server's tool are refused, with a name that is like it", () =>
      Effect.gen(function* () {
        const { client, members } = make("a")
        const a = members[0]!.start({ tools: ["echo"] })
        yield* a.told
        const session = client()
        session.send(call(1, "c__echo"), call(2, "a_echo"), request(3, "tools/call", {}), request(4, "nothing/such"))
        yield* a.told
        const answers = yield* session.told
        const errors = new Map(answers.map(({ error, id }) => [id, [error?.code, error?.message]]))
        assert.deepStrictEqual(errors.get(1), [-32602, "Unknown tool: c__echo; did you mean a__echo?"])
        assert.deepStrictEqual(errors.get(2), [-32602, "Unknown tool: a_echo; did you mean a__echo?"])
        assert.deepStrictEqual(errors.get(3), [-32602, "tools/call needs params.name"])
        assert.deepStrictEqual(errors.get(4), [-32601, 'there is no method "nothing/such"'])
        assert.strictEqual(session.session.inFlight, 0)
      })
    )

    it.effect("of a server that is not there say which that is, and others go on", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const a = members[0]!.start({ tools: ["echo"] })
        yield* a.told
        members[1]!.mux.replica.setUnavailable(members[1]!.mux.sharing.replicas[0]!.unavailable)
        const session = client()
        const crashed = members[1]!.start({ tools: ["echo"] })
        session.send(call(1, "b__echo"))
        yield* crashed.told
        members[1]!.mux.detach()
        session.send(call(2, "a__echo"))
        const [toA] = yield* a.told
        a.process.answer(toA!)
        const [lost, fine] = yield* session.told
        assert.strictEqual(lost?.error?.data?.["kind"], "OutcomeUnknown")
        assert.strictEqual(lost?.error?.data?.["server"], "b")
        assert.strictEqual(fine?.id, 2)
      })
    )

    it.effect("have their progress, and are cancelled where they are", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ tools: ["slow"] })) as [Started, Started]
        yield* settle(a, b)
        const session = client()
        const slow = (id: unknown, name: string) =>
          request(id, "tools/call", { _meta: { progressToken: "same" }, name, arguments: {} })
        session.send(slow(1, "a__slow"), slow(2, "b__slow"))
        const [toA] = yield* a.told
        const [toB] = yield* b.told
        const tokenOf = ({ params }: Message) =>
          (params?.["_meta"] as { readonly progressToken?: unknown } | undefined)?.progressToken
        b.process.say(notification("notifications/progress", { progressToken: tokenOf(toB!), progress: 1 }))
        a.process.say(notification("notifications/progress", { progressToken: tokenOf(toA!), progress: 2 }))
        assert.deepStrictEqual(
          (yield* session.told).map(({ params }) => [params?.["progressToken"], params?.["progress"]]),
          [
            ["same", 1],
            ["same", 2]
          ]
        )
        session.send(notification("notifications/cancelled", { requestId: 2, reason: "enough" }))
        const [cancelled] = yield* b.told
        assert.deepStrictEqual(cancelled?.params, { requestId: toB!.id, reason: "enough" })
        assert.deepStrictEqual(yield* a.told, [])
        assert.strictEqual(session.session.inFlight, 1)
        a.process.answer(toA!)
        assert.deepStrictEqual(ids(yield* session.told), [1])
      })
    )

    it.effect("are asked back by the server that has them, though both use the same id", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ tools: ["ask"] })) as [Started, Started]
        yield* settle(a, b)
        const session = client()
        const capabilities = { elicitation: {} }
        session.send(request("i", "initialize", { protocolVersion: "2025-11-25", capabilities }))
        session.send(call(1, "a__ask"), call(2, "b__ask"))
        yield* settle(a, b)
        yield* session.told
        const question = request("q", "elicitation/create", { message: "who?", requestedSchema: {} })
        a.process.say(question)
        b.process.say(question)
        const [first, second] = yield* session.told
        assert.notDeepEqual(first?.id, second?.id)
        session.send({ jsonrpc: "2.0", id: second?.id, result: { action: "accept", content: { of: "b" } } })
        assert.deepStrictEqual(yield* a.told, [])
        const [toB] = yield* b.told
        assert.deepStrictEqual([toB?.id, toB?.result?.["content"]], ["q", { of: "b" }])
        session.send({ jsonrpc: "2.0", id: first?.id, result: { action: "decline" } })
        const [toA] = yield* a.told
        assert.deepStrictEqual([toA?.id, toA?.result?.["action"]], ["q", "decline"])
      })
    )

    it.effect("count at their server, and as the one session that they are", () =>
      Effect.gen(function* () {
        const { client, members, together } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ tools: ["echo"] })) as [Started, Started]
        yield* settle(a, b)
        const session = client()
        session.send(call(1, "a__echo"), call(2, "b__echo"))
        for (const server of [a, b]) for (const message of yield* server.told) server.process.answer(message)
        yield* session.told
        assert.deepStrictEqual(
          members.map(({ mux }) =>
            mux.calls.filter(({ method }) => method === "tools/call").map(({ client }) => client.server)
          ),
          [["a"], ["b"]]
        )
        const roles = members.map(({ mux }) => Array.from(mux.sharing.clients, ({ role }) => role).sort())
        assert.deepStrictEqual(roles, [
          ["listener", "request"],
          ["listener", "request"]
        ])
        assert.deepStrictEqual([...together.clients], [session.session])
      })
    )
  })

  describe("lists", () => {
    it.effect("are those of all in their order, and cost no message the second time", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member, index) =>
          member.start({ tools: ["echo", `t${index}`], prompts: ["hi"], resources: [`file:///${index}`] })
        ) as [Started, Started]
        yield* settle(a, b)
        const session = client()
        const lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"]
        session.send(...lists.map((method) => request(method, method)))
        yield* settle(a, b)
        const answers = new Map((yield* session.told).map((answer) => [answer.id, answer]))
        assert.deepStrictEqual(itemsIn(answers.get("tools/list")!, "tools"), ["a__echo", "a__t0", "b__echo", "b__t1"])
        assert.deepStrictEqual(itemsIn(answers.get("prompts/list")!, "prompts"), ["a__hi", "b__hi"])
        assert.deepStrictEqual(itemsIn(answers.get("resources/list")!, "resources"), ["file:///0", "file:///1"])
        assert.deepStrictEqual(answers.get("resources/templates/list")!.result, { resourceTemplates: [] })
        const again = client()
        again.send(request(9, "tools/list"), request(10, "tools/list", { cursor: "x" }))
        const [list, refused] = yield* again.told
        assert.deepStrictEqual(list?.result, answers.get("tools/list")?.result)
        assert.strictEqual(refused?.error?.code, -32602)
        assert.deepStrictEqual(a.process.inbox.messages(), [])
      })
    )

    it.effect("leave out what does not come soon, and say so when it does", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { client, members } = make("a", "b")
        const a = members[0]!.start({ tools: ["echo"] })
        yield* a.told
        const session = client()
        session.send(request(1, "tools/list"))
        yield* a.told
        assert.deepStrictEqual(yield* session.told, [])
        assert.strictEqual(session.session.inFlight, 1)
        vi.advanceTimersByTime(5000)
        const [list] = yield* session.told
        assert.deepStrictEqual(itemsIn(list!, "tools"), ["a__echo"])
        assert.strictEqual(session.session.inFlight, 0)
        const b = members[1]!.start({ tools: ["late"] })
        yield* b.told
        assert.deepStrictEqual(ids(yield* session.told), ["notifications/tools/list_changed"])
        session.send(request(2, "tools/list"))
        const [whole] = yield* session.told
        assert.deepStrictEqual(itemsIn(whole!, "tools"), ["a__echo", "b__late"])
      })
    )

    it.effect("that change are announced once, to who was given them", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ tools: ["echo"] })) as [Started, Started]
        yield* settle(a, b)
        const [session, other] = [client(), client()]
        session.send(request(1, "tools/list"), call(2, "a__echo"))
        other.send(call(3, "a__echo"))
        yield* settle(a, b)
        yield* session.told
        a.change({ tools: ["echo", "more"] })
        yield* a.told
        assert.deepStrictEqual(ids(yield* session.told), ["notifications/tools/list_changed"])
        assert.deepStrictEqual(yield* other.told, [])
        // What it says is the same is none.
        session.send(request(4, "tools/list"))
        yield* session.told
        a.change({ tools: ["echo", "more"] })
        yield* a.told
        assert.deepStrictEqual(yield* session.told, [])
      })
    )

    it.effect("that nobody waits for any more are given up", () =>
      Effect.gen(function* () {
        const { client, members } = make("a")
        const session = client()
        session.send(request(1, "tools/list"), notification("notifications/cancelled", { requestId: 1 }))
        assert.strictEqual(session.session.inFlight, 0)
        const a = members[0]!.start({ tools: ["echo"] })
        yield* a.told
        assert.deepStrictEqual(yield* session.told, [])
        session.send(request(2, "tools/list"))
        session.session.close()
        yield* a.told
        assert.deepStrictEqual(yield* session.told, [])
      })
    )
  })

  describe("resources", () => {
    it.effect("are read where they are listed, else by their template, else where somebody has them", () =>
      Effect.gen(function* () {
        const { client, hidden, members } = make("a", "b", "c")
        const servers = [
          members[0]!.start({ resources: ["x:1"] }),
          members[1]!.start({ resources: ["x:1", "y:1"], templates: ["y:{id}/end"] }),
          members[2]!.start({ capabilities: { resources: {} } })
        ]
        const [a, b, c] = servers as [Started, Started, Started]
        yield* settle(...servers)
        const session = client()
        const read = (id: unknown, uri: string) => request(id, "resources/read", { uri })
        session.send(read(1, "x:1"), read(2, "y:1"), read(3, "y:7/end"), read(4, "z:1"), read(5, "z:2"))
        const answerAll = (...rounds: ReadonlyArray<readonly [Started, Array<unknown>]>) =>
          Effect.forEach(rounds, ([server, uris]) =>
            Effect.map(server.told, (told) => {
              assert.deepStrictEqual(
                told.map(({ params }) => params?.["uri"]),
                uris
              )
              for (const message of told) {
                const uri = String(message.params?.["uri"])
                if (!uri.startsWith("z") || (server === c && uri === "z:1"))
                  server.process.answer(message, { contents: [] })
                else server.process.say({ jsonrpc: "2.0", id: message.id, error: { code: -32602, message: "what?" } })
              }
            })
          )
        // What nobody lists is asked of one after another.
        yield* answerAll([a, ["x:1", "z:1", "z:2"]], [b, ["y:1", "y:7/end", "z:1", "z:2"]], [c, ["z:1", "z:2"]])
        assert.deepStrictEqual(hidden, ["b: x:1"])
        const answers = yield* session.told
        assert.deepStrictEqual(ids(answers), [1, 2, 3, 4, 5])
        assert.deepStrictEqual(answers[4]?.error, { code: -32002, message: "Resource not found", data: { uri: "z:2" } })
        assert.strictEqual(session.session.inFlight, 0)
      })
    )

    it.effect(
      "that several have by their templates are refused with what one of them says, if it is not that they lack it",
      () =>
        Effect.gen(function* () {
          const { client, members } = make("a", "b", "c")
          const servers = members.map((member) => member.start({ templates: ["x:{id}"] }))
          yield* settle(...servers)
          const session = client()
          session.send(request(1, "resources/templates/list"))
          yield* settle(...servers)
          yield* session.told
          session.send(request(2, "resources/read", { uri: "x:1" }), request("3", "resources/read", { uri: "x:2" }))
          for (const [index, server] of servers.entries()) {
            for (const { id, params } of yield* server.told) {
              const isLocked = index === 1 && params?.["uri"] === "x:1"
              const error = isLocked ? { code: 7, message: "locked é" } : { code: -32602, message: "unknown" }
              server.process.say({ jsonrpc: "2.0", id, error })
            }
          }
          assert.deepStrictEqual(
            (yield* session.told).map(({ error, id }) => [id, error?.code, error?.message]).sort(),
            [
              ["3", -32002, "Resource not found"],
              [2, 7, "locked é"]
            ].sort()
          )
          assert.strictEqual(session.session.inFlight, 0)
        })
    )

    it.effect("are the first server's that lists them, whichever says so first", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member) => member.start({ resources: ["x:1"] })) as [Started, Started]
        const session = client()
        session.send(request(1, "resources/read", { uri: "x:1" }))
        yield* settle(b)
        assert.deepStrictEqual(yield* b.told, [])
        const told = yield* settle(a)
        assert.deepStrictEqual(
          told.map(({ method }) => method),
          ["resources/read"]
        )
      })
    )

    it.effect("are watched where they are, and told of to who watches them", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const [a, b] = members.map((member, index) => member.start({ resources: [`x:${index}`] })) as [Started, Started]
        yield* settle(a, b)
        const [session, other] = [client(), client()]
        session.send(request("i", "initialize", { protocolVersion: "2025-11-25", capabilities: {} }))
        session.send(
          request(1, "resources/subscribe", { uri: "x:1" }),
          request(2, "resources/subscribe", { uri: "none" })
        )
        for (const message of yield* settle(a, b)) {
          if (message.method !== "resources/subscribe") continue
          const uri = message.params?.["uri"]
          if (uri === "x:1") b.process.answer(message)
          else a.process.say({ jsonrpc: "2.0", id: message.id, error: { code: -32002, message: "none here" } })
        }
        const [last] = yield* b.told
        b.process.say({ jsonrpc: "2.0", id: last?.id, error: { code: -32002, message: "none here either" } })
        const answers = (yield* session.told).filter(({ id }) => id !== "i")
        assert.deepStrictEqual(ids(answers), [1, 2])
        assert.strictEqual(answers[1]?.error?.code, -32002)
        b.process.say(notification("notifications/resources/updated", { uri: "x:1" }))
        assert.deepStrictEqual(ids(yield* session.told), ["notifications/resources/updated"])
        assert.deepStrictEqual(yield* other.told, [])
        session.send(request(3, "resources/unsubscribe", { uri: "x:1" }))
        assert.deepStrictEqual(ids(yield* session.told), [3])
        assert.deepStrictEqual(
          (yield* b.told).map(({ method }) => method),
          ["resources/unsubscribe"]
        )
      })
    )
  })

  describe("initialize", () => {
    const initialize = request("i", "initialize", { protocolVersion: "2025-06-18", capabilities: {} })

    it.effect("tells what all of them have, in the client's version", () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        members[0]!.start({ instructions: "Use it well.", capabilities: { tools: {}, logging: {} } })
        members[1]!.start({ instructions: " ", capabilities: { resources: { subscribe: true }, completions: {} } })
        const session = client({})
        session.send(initialize)
        const [answer] = yield* session.told
        assert.deepStrictEqual(answer?.result?.["capabilities"], {
          tools: { listChanged: true },
          resources: { subscribe: true, listChanged: true },
          completions: {},
          logging: {}
        })
        assert.strictEqual(answer?.result?.["protocolVersion"], "2025-06-18")
        assert.strictEqual(answer?.result?.["instructions"], "# a\n\nUse it well.")
      })
    )

    it.effect("does not wait long for one that does not come", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { client, members } = make("a", "b")
        members[0]!.start({ instructions: "x".repeat(10_000) })
        const session = client({})
        session.send(initialize)
        assert.deepStrictEqual(yield* session.told, [])
        vi.advanceTimersByTime(2000)
        const [answer] = yield* session.told
        // It may have any of these.
        assert.deepInclude(answer?.result?.["capabilities"] as object, {
          resources: { subscribe: true, listChanged: true }
        })
        const instructions = String(answer?.result?.["instructions"])
        assert.isBelow(instructions.length, 5000)
        assert.match(instructions, /x…$/)
      })
    )
  })

  it.effect("a log level is every server's, of those too that the client comes to later", () =>
    Effect.gen(function* () {
      const { client, members, become, memberOf } = make("a", "b")
      const [a, b] = members.map((member) => member.start({ tools: ["echo"] })) as [Started, Started]
      yield* settle(a, b)
      const session = client()
      session.send(request(1, "logging/setLevel", { level: "debug" }))
      for (const server of [a, b]) {
        const told = yield* server.told
        assert.deepStrictEqual(
          told.map(({ params }) => params),
          [{ level: "debug" }]
        )
        for (const message of told) server.process.answer(message)
      }
      assert.deepStrictEqual(ids(yield* session.told), [1])
      const third = memberOf("c")
      become([...members, third])
      const c = third.start({ tools: ["echo"] })
      session.send(call(2, "c__echo"))
      assert.deepStrictEqual((yield* c.told).map(({ method }) => method).sort(), ["logging/setLevel", "tools/call"])
    })
  )

  it.effect("servers come and go: what they have they answer, and lists are told of", () =>
    Effect.gen(function* () {
      const { client, members, become, memberOf, together } = make("a", "b")
      const [a, b] = members.map((member) => member.start({ tools: ["echo"] })) as [Started, Started]
      yield* settle(a, b)
      const session = client()
      session.send(request(1, "tools/list"))
      yield* settle(a, b)
      session.send(call(2, "b__echo"))
      const [held] = yield* b.told
      yield* session.told
      const added = memberOf("c")
      become([members[0]!, added])
      const c = added.start({ tools: ["new"] })
      yield* c.told
      assert.include(ids(yield* session.told), "notifications/tools/list_changed")
      session.send(request(3, "tools/list"), call(4, "b__echo"))
      yield* settle(a, c)
      const answers = new Map((yield* session.told).map((answer) => [answer.id, answer]))
      assert.deepStrictEqual(itemsIn(answers.get(3)!, "tools"), ["a__echo", "c__new"])
      assert.match(answers.get(4)?.error?.message ?? "", /^Unknown tool: b__echo/)
      b.process.answer(held!)
      assert.deepStrictEqual(ids(yield* session.told), [2])
      together.gone(members[1]!.mux.sharing)
      assert.strictEqual(members[1]!.mux.sharing.clients.size, 0)
      session.session.close()
      assert.strictEqual(members[0]!.mux.sharing.clients.size, 1)
      together.close()
      assert.strictEqual(members[0]!.mux.sharing.clients.size, 0)
    })
  )

  it.effect("what a server still has that is gone is answered, since nobody else will", () =>
    Effect.gen(function* () {
      const { become, client, members, together } = make("a", "b")
      const [a, b] = members.map((member) => member.start({ tools: ["slow"] })) as [Started, Started]
      yield* settle(a, b)
      const session = client()
      session.send(call(1, "b__slow"), call(2, "a__slow"))
      yield* b.told
      const [toA] = yield* a.told
      become([members[0]!])
      together.gone(members[1]!.mux.sharing)
      const [lost] = yield* session.told
      assert.deepStrictEqual([lost?.id, lost?.error?.data], [1, { kind: "OutcomeUnknown", server: "b" }])
      assert.strictEqual(session.session.inFlight, 1)
      a.process.answer(toA!)
      assert.deepStrictEqual(ids(yield* session.told), [2])
      assert.deepStrictEqual([session.session.inFlight, session.events.at(-1)], [0, "idle"])
      assert.deepStrictEqual([...members[1]!.mux.sharing.clients], [])
    })
  )

  it.effect("a task is asked about where it runs", () =>
    Effect.gen(function* () {
      const { client, members } = make("a", "b")
      const capabilities = { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
      const [a, b] = members.map((member) => member.start({ tools: ["long"], capabilities })) as [Started, Started]
      yield* settle(a, b)
      const session = client()
      session.send(request("i", "initialize", { protocolVersion: "2025-11-25", capabilities: {} }))
      session.send(request(1, "tools/call", { name: "b__long", arguments: {}, task: { ttl: 1000 } }))
      const [made] = yield* settle(a, b)
      b.process.answer(made!, { task: { taskId: "t1", status: "working" } })
      session.send(request(2, "tasks/get", { taskId: "t1" }), request(3, "tasks/get", { taskId: "t2" }))
      const [asked] = yield* settle(a, b)
      assert.strictEqual(asked?.method, "tasks/get")
      b.process.answer(asked!, { taskId: "t1", status: "completed" })
      const [initialized, first, unknown, second] = yield* session.told
      assert.deepStrictEqual(initialized?.result?.["capabilities"], {
        tools: { listChanged: true },
        tasks: { cancel: {}, requests: { tools: { call: {} } } }
      })
      assert.deepStrictEqual(ids([first!, unknown!, second!]), [1, 3, 2])
      assert.strictEqual(unknown?.error?.code, -32602)
    })
  )

  it.effect("what is completed is an argument of the server's own prompt, or of a template of its", () =>
    Effect.gen(function* () {
      const { client, members } = make("a", "b")
      const [a, b] = members.map((member, index) =>
        member.start({ prompts: ["greet"], templates: [`x${index}:{id}`] })
      ) as [Started, Started]
      yield* settle(a, b)
      const session = client()
      const argument = { name: "who", value: "é" }
      session.send(
        request(1, "completion/complete", { ref: { type: "ref/prompt", name: "b__greet" }, argument }),
        request(2, "completion/complete", { argument, ref: { type: "ref/resource", uri: "x0:{id}" } }),
        request(3, "completion/complete", { argument })
      )
      const told = yield* settle(a, b)
      assert.deepStrictEqual(
        told.map(({ params }) => params?.["ref"]),
        [
          { type: "ref/resource", uri: "x0:{id}" },
          { type: "ref/prompt", name: "greet" }
        ]
      )
      assert.deepStrictEqual(told[1]?.params?.["argument"], argument)
      const [refused] = yield* session.told
      assert.deepStrictEqual([refused?.id, refused?.error?.code], [3, -32602])
    })
  )
})
