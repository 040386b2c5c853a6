/** Whatever happens in whatever order between a host and its daemons, each request is answered once and runs once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Choices, from } from "../lines/Choices.ts"
import { handshake, type Message, Scene } from "./Scene.ts"

/** Everybody's part, played after a tape, and what they have seen. */
class World {
  readonly scene = Scene.greeted()
  readonly #choices: Choices
  #nextId = 1
  /** The host's requests, in order. */
  readonly asked: Array<number> = []
  readonly cancelled = new Set<number>()
  /** The answers that the host has had. */
  readonly answers = new Map<number, Array<"result" | "unknown" | "refused">>()
  /** Questions that the host may answer, and that it need not any more. */
  readonly #questions: Array<unknown> = []
  #isOpen = true
  #isPaused = false
  /** What the daemon has been written and has not read: it may never get the last of these. */
  #wire: Array<Message> = []
  /** Requests that this daemon has read and not answered. */
  #working: Array<number> = []
  #ownWork: Array<Message> = []
  #openQuestions = 0
  /** Requests in the order in which daemons read them. */
  readonly run: Array<number> = []

  constructor(choices: Choices) {
    this.#choices = choices
  }

  step(): void {
    const choices = this.#choices
    const events = [
      this.#ask,
      this.#work,
      this.#answer,
      this.#cancel,
      this.#question,
      this.#reply,
      this.#pause,
      this.#end
    ]
    if (this.#isOpen) choices.of(events).call(this)
    else choices.of([this.#ask, this.#cancel, this.#reply, this.#open, this.#open, this.#refuse]).call(this)
    this.#listen()
  }

  /** All that is left comes to its end. */
  finish(): void {
    if (!this.#isOpen || this.#isPaused) {
      if (this.#isOpen) this.#kill(0)
      this.#open()
    }
    for (let before = -1; before !== this.run.length + this.#working.length + this.#ownWork.length;) {
      before = this.run.length + this.#working.length + this.#ownWork.length
      this.#listen()
      while (this.#wire.length > 0) this.#work()
      while (this.#ownWork.length > 0) this.#answer()
      this.#listen()
    }
    while (this.#wire.length > 0) this.#work()
    while (this.#working.length > 0) this.#answer()
    this.#listen()
  }

  #ask(): void {
    const id = this.#nextId++
    this.asked.push(id)
    this.scene.hostSays({ id, method: "tools/call", params: { name: "x" } })
  }

  #cancel(): void {
    const open = this.asked.filter((id) => !this.answers.has(id) && !this.cancelled.has(id))
    if (open.length === 0) return
    const id = this.#choices.of(open)
    this.cancelled.add(id)
    this.scene.hostSays({ method: "notifications/cancelled", params: { requestId: id } })
  }

  #reply(): void {
    if (this.#questions.length === 0) return
    const [id] = this.#questions.splice(this.#choices.below(this.#questions.length), 1)
    this.scene.hostSays({ id, result: {} })
  }

  /** The daemon reads a line. */
  #work(): void {
    const message = this.#wire.shift()
    if (message === undefined) return
    const { id, method, params } = message
    if (method === "tools/call") {
      assert.isNumber(id)
      this.run.push(id as number)
      this.#working.push(id as number)
    } else if (method === "notifications/cancelled") {
      this.#working = this.#working.filter((it) => it !== params?.["requestId"])
    } else if (method === undefined) {
      assert.isTrue(this.#openQuestions-- > 0, "an answer that this daemon did not ask for")
    } else if (id !== undefined) this.#ownWork.push(message)
  }

  #answer(): void {
    const own = this.#ownWork.shift()
    if (own !== undefined) return this.scene.daemonSays({ id: own.id, result: handshake })
    if (this.#working.length === 0) return
    const [id] = this.#working.splice(this.#choices.below(this.#working.length), 1)
    this.scene.daemonSays({ id, result: {} })
  }

  #question(): void {
    this.scene.daemonSays({ id: ++this.#openQuestions, method: "elicitation/create", params: {} })
  }

  #pause(): void {
    this.#isPaused = true
    this.scene.conversation.pause()
  }

  /** It is killed, or has answered all that it read and says so; some of what it was written it never got. */
  #end(): void {
    this.#kill(this.#choices.below(this.#wire.length + 1))
  }

  #kill(unwritten: number): void {
    this.#listen()
    const lost = this.#wire.slice(this.#wire.length - unwritten)
    // What it was written and has not read may have run for all that anybody knows.
    this.scene.kill(...lost)
    this.#isOpen = false
    this.#isPaused = false
    this.#wire = []
    this.#working = []
    this.#ownWork = []
    this.#openQuestions = 0
  }

  #open(): void {
    this.#isOpen = true
    this.scene.open()
  }

  #refuse(): void {
    this.scene.conversation.refuse('{"code":31001,"message":"no daemon"}')
  }

  /** The host reads all that it has been given, and the daemon gets what it has been written. */
  #listen(): void {
    this.#wire.push(...this.scene.daemon.take())
    for (const { error, id, method, params } of this.scene.host.take()) {
      if (method === "notifications/cancelled") {
        assert.include(this.#questions, params?.["requestId"], "a question is taken back that was never asked")
      } else if (method !== undefined) this.#questions.push(id)
      else {
        assert.isNumber(id)
        const how = error === undefined ? "result" : error.code === 31002 ? "unknown" : "refused"
        this.answers.set(id as number, [...(this.answers.get(id as number) ?? []), how])
      }
    }
  }
}

describe("Conversation", () => {
  it.effect.prop(
    "gives each request one answer, in whole lines, and no daemon a request that another had, or in another order",
    { choices: from((choices) => choices) },
    ({ choices }) =>
      Effect.sync(() => {
        const world = new World(choices)
        for (let i = 0; i < 60; i++) world.step()
        world.finish()
        for (const id of world.asked) {
          const answers = world.answers.get(id) ?? []
          if (world.cancelled.has(id)) assert.isAtMost(answers.length, 1, `answers to ${id}`)
          else assert.lengthOf(answers, 1, `answers to ${id}`)
          if (answers[0] === "refused") assert.notInclude(world.run, id)
        }
        assert.deepStrictEqual(
          world.run,
          [...new Set(world.run)].sort((a, b) => a - b)
        )
        assert.strictEqual(world.scene.conversation.inFlight, 0)
        assert.strictEqual(world.scene.conversation.held, 0)
      }),
    { arbitrary: { runs: 500, size: 200 } }
  )
})
