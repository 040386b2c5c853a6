/** Several servers in memory as one: what each side is told is looked at. */
import { Effect } from "effect"
import { defaultPool } from "../../src/config/ServerSpec.ts"
import type { ServerProcess } from "../../src/server/ServerProcess.ts"
import { Together } from "../../src/together/Together.ts"
import { type Client, makeMux, type Message, type Mux, notification, type Process, request } from "../mux/MuxHarness.ts"

/** What a server has, beside its tools. */
export interface Offers {
  readonly tools?: ReadonlyArray<string>
  readonly prompts?: ReadonlyArray<string>
  readonly resources?: ReadonlyArray<string>
  readonly templates?: ReadonlyArray<string>
  readonly capabilities?: ServerProcess["handshake"]["capabilities"]
  readonly instructions?: string
  readonly era?: ServerProcess["handshake"]["era"]
}

/** One server of them: without a process until it is started. */
export interface Member {
  readonly name: string
  readonly mux: Mux
  /** A process comes, which answers for its lists by itself. */
  readonly start: (offers?: Offers) => Started
}

/** A server's process. */
export interface Started {
  readonly process: Process
  /** What it was told but for lists, since it was last asked, once all that is on its way has come. */
  readonly told: Effect.Effect<ReadonlyArray<Message>>
  /** It lists other things from now on, and says so where `announces`. */
  readonly change: (offers: Offers) => void
}

const everything = {
  tools: { listChanged: true },
  prompts: {},
  resources: { subscribe: true },
  logging: {},
  completions: {}
}

const named = (names: ReadonlyArray<string> = []) => names.map((name) => ({ name }))

/** The items of each list. */
const itemsOf = ({
  prompts,
  resources = [],
  templates = [],
  tools
}: Offers): { readonly [method: string]: object } => ({
  "tools/list": { tools: named(tools).map((tool) => ({ ...tool, inputSchema: { type: "object" } })) },
  "prompts/list": { prompts: named(prompts) },
  "resources/list": { resources: resources.map((uri) => ({ uri, name: uri })) },
  "resources/templates/list": { resourceTemplates: templates.map((uriTemplate) => ({ uriTemplate, name: "t" })) }
})

const memberOf = (name: string): Member => {
  const mux = makeMux({ server: name })
  const start: Member["start"] = (offers = {}) => {
    let now = offers
    const { capabilities = everything, era = "legacy", instructions } = offers
    const result = instructions === undefined ? {} : { instructions }
    const process = mux.attach({ capabilities, era, result })
    const told = Effect.gen(function* () {
      const heard: Array<Message> = []
      for (;;) {
        const messages = yield* process.told
        for (const message of messages) {
          const items = itemsOf(now)[message.method ?? ""]
          if (items === undefined) heard.push(message)
          else process.answer(message, items)
        }
        if (messages.length === 0) return heard
      }
    })
    const change = (offers: Offers) => {
      now = offers
      process.say(notification("notifications/tools/list_changed"))
    }
    return { process, told, change }
  }
  return { name, mux, start }
}

/** All of these servers as one, in this order. */
export const make = (...names: ReadonlyArray<string>) => {
  const members = names.map(memberOf)
  let id = 0
  const endpointOf = ({ mux }: Member) => ({
    upstream: mux.sharing,
    settings: defaultPool,
    sessionId: () => ++id,
    removed: Effect.never
  })
  const hidden: Array<string> = []
  const together = new Together({
    follow: () => {},
    onHidden: (_, items) => hidden.push(...Array.from(items, ([server, items]) => `${server}: ${items.join()}`))
  })
  const become = (members: ReadonlyArray<Member>) =>
    together.become(members.map((member) => ({ name: member.name, endpoint: endpointOf(member) })))
  become(members)
  const client = (options: { readonly initialized?: boolean } = { initialized: true }): Client =>
    members[0]!.mux.client({ ...options, upstream: together })
  return { together, members, become, memberOf, client, hidden }
}

/** A call of a tool. */
export const call = (id: unknown, name: string, args: object = {}): object =>
  request(id, "tools/call", { name, arguments: args })

/** Those of a method. */
export const ofMethod = (messages: ReadonlyArray<Message>, method: string): ReadonlyArray<Message> =>
  messages.filter((message) => message.method === method)
