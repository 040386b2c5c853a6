/** A name that goes from server to server while clients ask, cancel and leave, and processes answer, crash and are replaced. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { Switch } from "../../src/mux/Switch.ts"
import { turn, turns } from "../lines/Turn.ts"
import { Dice } from "../suites/Dice.ts"
import {
  type Client,
  fakeTimers,
  makeMux,
  type Message,
  type Mux,
  notification,
  type Process,
  request
} from "./MuxHarness.ts"

const capabilities = { tools: {}, resources: { subscribe: true }, logging: {} }
const methods = ["tools/call", "resources/read", "tools/list", "resources/subscribe", "logging/setLevel", "ping"]

interface Server {
  readonly mux: Mux
  /** The one that takes requests, and those before it, which have not ended. */
  processes: Array<Process>
}

interface Talk {
  readonly client: Client
  /** Each request, and how often it was answered. */
  readonly asked: Map<number, number>
  readonly cancelled: Set<number>
  isGone: boolean
}

class World {
  readonly dice: Dice
  readonly servers: ReadonlyArray<Server> = Array.from({ length: 3 }, () => ({
    mux: makeMux({ maxInFlight: 3 }),
    processes: []
  }))
  readonly upstream = new Switch(this.servers[0]!.mux.sharing)
  readonly talks: Array<Talk> = []
  current = this.servers[0]!
  /** What processes were asked and have not answered. */
  held: Array<{ readonly process: Process; readonly message: Message }> = []
  moves = 0
  left = 0
  #nextId = 1

  constructor(seed: number) {
    this.dice = new Dice(seed)
    for (const server of this.servers) this.attach(server)
    for (let i = 0; i < 3; i++) this.join()
  }

  join() {
    const client = this.servers[0]!.mux.client({ upstream: this.upstream, initialized: true })
    this.talks.push({ client, asked: new Map(), cancelled: new Set(), isGone: false })
  }

  attach(server: Server) {
    server.processes.unshift(server.mux.attach({ capabilities, isEmpty: true }))
  }

  end(server: Server, process: Process) {
    server.processes = server.processes.filter((other) => other !== process)
    this.held = this.held.filter((held) => held.process !== process)
    server.mux.detach({ process, isCrash: this.dice.chance(0.5) })
  }

  step() {
    const { dice } = this
    const server = dice.pick(this.servers)
    const talk = dice.pick(this.talks.filter(({ isGone }) => !isGone))
    const event = dice.below(20)
    if (event < 8) {
      const id = this.#nextId++
      const method = dice.pick(methods)
      const params = { name: "echo", uri: `file:///${dice.below(3)}`, level: "info" }
      talk.asked.set(id, 0)
      talk.client.send(request(id, method, method === "tools/list" || method === "ping" ? {} : params))
    } else if (event < 13) this.answer(dice.below(this.held.length))
    else if (event < 15) {
      const id = dice.below(this.#nextId)
      if (talk.asked.get(id) === 0) talk.cancelled.add(id)
      talk.client.send(notification("notifications/cancelled", { requestId: id }))
    } else if (event < 17) {
      if (server !== this.current) this.moves++
      if (server !== this.current) this.upstream.moveTo(server.mux.sharing, () => this.left++)
      this.current = server
    } else if (event === 17) this.attach(server)
    else if (event === 18 && server.processes.length > 0) this.end(server, dice.pick(server.processes))
    else if (event === 19 && dice.chance(0.3)) {
      talk.isGone = true
      talk.client.session.close()
      this.join()
    }
  }

  answer(index: number) {
    const [taken] = this.held.splice(index, 1)
    if (taken === undefined) return
    const { message, process } = taken
    process.answer(message, message.method === "tools/list" ? { tools: [] } : {})
  }

  readonly read = Effect.gen({ self: this }, function* () {
    yield* turn
    for (const { processes } of this.servers) {
      for (const process of processes) {
        for (const message of yield* process.told) {
          if (message.id !== undefined && message.method !== undefined) this.held.push({ process, message })
        }
      }
    }
    for (const { asked, client } of this.talks) {
      for (const { id, method } of yield* client.told) {
        if (method !== undefined) continue
        assert.isTrue(asked.has(id as number), `an answer to what was not asked: ${String(id)}`)
        asked.set(id as number, asked.get(id as number)! + 1)
      }
    }
  })
}

describe("Switch at random", () => {
  it.effect("gives each request one answer, and leaves each server that was replaced", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      for (let seed = 1; seed <= 300; seed++) {
        const world = new World(seed)
        for (let i = 0; i < 120; i++) {
          world.step()
          if (world.dice.chance(0.3)) yield* world.read
        }
        for (const server of world.servers) world.attach(server)
        for (let i = 0; i < 12; i++) {
          yield* world.read
          while (world.held.length > 0) world.answer(0)
          vi.advanceTimersByTime(300)
        }
        yield* turns(2)
        yield* world.read
        const say = (what: string) => `seed ${seed}: ${what}`
        for (const { asked, cancelled, client, isGone } of world.talks) {
          for (const [id, answers] of asked) {
            assert.isAtMost(answers, 1, say(`answers to ${id}`))
            if (!isGone && !cancelled.has(id)) assert.strictEqual(answers, 1, say(`answers to ${id}`))
          }
          if (!isGone) assert.strictEqual(client.session.inFlight, 0, say("in flight"))
        }
        assert.strictEqual(world.left, world.moves, say("servers left"))
        const there = world.talks.filter(({ isGone }) => !isGone).length
        for (const { mux } of world.servers) {
          const isCurrent = mux === world.current.mux
          assert.strictEqual(mux.sharing.clients.size, isCurrent ? there : 0, say("sessions"))
          assert.strictEqual(mux.account.trafficOf("git").inFlight, 0, say("account"))
        }
      }
    })
  )
})
