/** A raw MCP client of the kit, over whatever carries its messages, with everything that it ever received. */
import { Effect } from "effect"
import type { Message } from "../support/LineClient.ts"
import { Broken, type Waiting } from "./KitWaiting.ts"

/** What carries a client's messages. */
export interface Channel {
  /** Returns when it has been handed over as far as the transport tells. */
  readonly send: (message: object) => Effect.Effect<void>
  /** Bytes as they are. */
  readonly sendRaw: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** Ends the session as the transport has it. */
  readonly leave: Effect.Effect<void>
  /** Null where the transport has no such thing. */
  readonly socket: SocketManners | null
}

/** What a client can do only at a socket. */
export interface SocketManners {
  readonly halfClose: Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

/** Whom a channel tells. */
export interface Hearing {
  /** What should be a message, or a batch of them. */
  readonly onText: (text: string) => void
  /** A request that will not be answered, and why. */
  readonly onLost: (id: unknown, why: string) => void
  /** Nothing more will come. */
  readonly onClosed: () => void
}

/** A question that reached this client. */
export interface Question extends Message {
  readonly method: string
  readonly params: { readonly [name: string]: unknown }
}

export interface Client {
  readonly name: string
  readonly received: () => ReadonlyArray<Message>
  /** What it got that is no message. */
  readonly noise: () => ReadonlyArray<string>
  /** The ids of its requests, in order. */
  readonly sent: ReadonlyArray<unknown>
  readonly isClosed: () => boolean
  /** Whether a request is known never to be answered. */
  readonly lost: (id: unknown) => boolean
  readonly channel: Channel
  /** What `find` finds in what was received, now or when it has come; fails at once where the connection has closed. */
  readonly until: <A>(
    waitedFor: string,
    find: (received: ReadonlyArray<Message>) => A | Broken | undefined
  ) => Effect.Effect<A, Broken>
  /** Sends a request and waits for its answer. */
  readonly request: (method: string, params?: object, id?: unknown) => Effect.Effect<Message, Broken>
  /** Sends a call of a tool under the label of its id, and does not wait. */
  readonly start: (tool: string, options?: CallOptions) => Effect.Effect<string>
  /** The same, and waits for its answer. */
  readonly call: (tool: string, options?: CallOptions) => Effect.Effect<Message, Broken>
  readonly notify: (method: string, params?: object) => Effect.Effect<void>
  /** The first answer under an id. */
  readonly answer: (id: unknown) => Effect.Effect<Message, Broken>
  /** The first answer that carries a label, under whatever id. */
  readonly labelled: (label: string) => Effect.Effect<Message, Broken>
  readonly label: (id: unknown) => string
  readonly questions: () => ReadonlyArray<Question>
  /** The question that the call with the label asks, now or when it comes. */
  readonly question: (label: string) => Effect.Effect<Question, Broken>
  /** Answers a question in the client's name. */
  readonly reply: (question: Question) => Effect.Effect<void>
  /** Leaves questions to whoever uses it; unless called, each is answered at once. */
  readonly holdQuestions: () => void
}

export interface CallOptions {
  readonly id?: unknown
  readonly token?: unknown
  readonly args?: object
}

/** What it declares unless told otherwise: everything that the kit's server asks for. */
export const allCapabilities = { sampling: { tools: {} }, elicitation: { form: {}, url: {} } }

/** Opens a channel; ids count from 0, in each client. */
export const make = Effect.fnUntraced(function* <E, R>(
  name: string,
  open: (hearing: Hearing) => Effect.Effect<Channel, E, R>,
  waiting: Waiting
) {
  const received: Array<Message> = []
  const noise: Array<string> = []
  const sent: Array<unknown> = []
  const lost = new Map<string, string>()
  let isClosed = false
  let answersAtOnce = true
  let nextId = 0
  const receive = (message: Message) => {
    received.push(message)
    if (message.method === "ping") Effect.runFork(channel.send({ id: message.id, result: {} }))
    if (answersAtOnce && isQuestion(message)) Effect.runFork(reply(message))
  }
  const channel = yield* open({
    onText: (text) => {
      const messages = messagesIn(text)
      if (messages === null) noise.push(text.slice(0, 100))
      else for (const message of messages) receive(message)
      waiting.moved()
    },
    onLost: (id, why) => {
      lost.set(JSON.stringify(id), why)
      waiting.moved()
    },
    onClosed: () => {
      isClosed = true
      waiting.moved()
    }
  })
  const reply = (question: Question) => channel.send({ id: question.id, result: answerOf(question, name) })
  const until: Client["until"] = (waitedFor, find) =>
    waiting.until(`${name}: ${waitedFor}`, () => {
      const found = find(received)
      if (found !== undefined || !isClosed) return found
      return new Broken({ seen: `${name}: ${waitedFor}: its connection has closed` })
    })
  const answer: Client["answer"] = (id) => {
    const key = JSON.stringify(id)
    return until(`the answer to request ${key}`, (received) => {
      const found = received.find((message) => isAnswer(message) && JSON.stringify(message.id) === key)
      const why = lost.get(key)
      if (found !== undefined || why === undefined) return found
      return new Broken({ seen: `${name}: request ${key}: ${why}` })
    })
  }
  const send = (id: unknown, method: string, params: object | undefined) => {
    sent.push(id)
    return channel.send({ id, method, params })
  }
  const label: Client["label"] = (id) => `${name}/${JSON.stringify(id)}`
  const start = (tool: string, { args, id, token }: CallOptions = {}) =>
    Effect.suspend(() => {
      const used = id === undefined ? nextId++ : id
      const meta = token === undefined ? {} : { _meta: { progressToken: token } }
      const params = { name: tool, arguments: { label: label(used), ...args }, ...meta }
      return Effect.as(send(used, "tools/call", params), used)
    })
  const questions = () => received.filter(isQuestion)
  return {
    name,
    received: () => received,
    noise: () => noise,
    sent,
    isClosed: () => isClosed,
    lost: (id) => lost.has(JSON.stringify(id)),
    channel,
    until,
    request: (method, params, id) =>
      Effect.suspend(() => {
        const used = id === undefined ? nextId++ : id
        return Effect.andThen(send(used, method, params), answer(used))
      }),
    start: (tool, options) => Effect.map(start(tool, options), label),
    call: (tool, options) => Effect.flatMap(start(tool, options), answer),
    notify: (method, params) => channel.send({ method, params }),
    answer,
    labelled: (wanted) =>
      until(`the answer to call ${wanted}`, (received) => received.find((message) => labelOf(message) === wanted)),
    label,
    questions,
    question: (wanted) =>
      until(`the question of call ${wanted}`, () => {
        const question = questions().find((question) => subjectOf(question) === wanted)
        const answer = received.find((message) => labelOf(message) === wanted)
        if (question !== undefined || answer === undefined) return question
        const why = JSON.stringify(said(answer)?.error)
        return new Broken({ seen: `${name}: call ${wanted} ended without its question: ${why}` })
      }),
    reply,
    holdQuestions: () => {
      answersAtOnce = false
    }
  } satisfies Client as Client
})

/** Null for what is none. */
const messagesIn = (text: string): ReadonlyArray<Message> | null => {
  try {
    const value: unknown = JSON.parse(text)
    const all: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
    return all.every((it) => typeof it === "object" && it !== null) ? (all as ReadonlyArray<Message>) : null
  } catch {
    return null
  }
}

export const isAnswer = (message: Message): boolean => message.method === undefined && message.id !== undefined

const isQuestion = (message: Message): message is Question =>
  message.id !== undefined &&
  message.params !== undefined &&
  (message.method === "sampling/createMessage" || message.method === "elicitation/create")

/** What the result of one of the kit's tools says. */
export interface Said {
  readonly label: string
  /** What the question of the call was answered with. */
  readonly answer?: unknown
  readonly error?: unknown
}

export const said = (message: Message): Said | undefined => {
  const content = message.result?.["content"] as ReadonlyArray<{ readonly text: string }> | undefined
  try {
    return JSON.parse(content?.[0]?.text ?? "") as Said
  } catch {
    return undefined
  }
}

/** The label of the call that a message answers. */
export const labelOf = (message: Message): string | undefined => said(message)?.label

/** The name of the client that made a call. */
export const ownerOf = (label: string): string => label.slice(0, label.indexOf("/"))

/** The label of the call that asks a question. */
export const subjectOf = ({ method, params }: Question): string => {
  if (method !== "sampling/createMessage") return String(params["message"])
  const [message] = params["messages"] as ReadonlyArray<{ readonly content: { readonly text: string } }>
  return String(message?.content.text)
}

/** An answer that says who gives it. */
export const answerOf = ({ method, params }: Question, who: string): object => {
  if (method === "sampling/createMessage") {
    return { role: "assistant", content: { type: "text", text: who }, model: "kit", stopReason: "endTurn" }
  }
  return params["mode"] === "url" ? { action: "accept", _meta: { who } } : { action: "accept", content: { who } }
}

/** Who gave an answer; undefined where it is none. */
export const whoIn = (answer: unknown): string | undefined => {
  const { _meta, content } = (answer ?? {}) as {
    readonly content?: { readonly text?: string; readonly who?: string }
    readonly _meta?: { readonly who?: string }
  }
  return content?.text ?? content?.who ?? _meta?.who
}
