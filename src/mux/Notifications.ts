/**
 * What a server says unasked, and whom it concerns: progress its call's owner, updates those who subscribed, list changes
 * everybody. What belongs to one session and does not say to which goes to the only one it can be, or to nobody.
 */
import type { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { idIn } from "../message/Ids.ts"
import { decodeString, namedTask } from "../message/Words.ts"
import { deliver, deliverDuring, hasRoom } from "./Delivery.ts"
import * as LogLevel from "./LogLevel.ts"
import type { Peer } from "./Peer.ts"
import * as Reply from "./Reply.ts"
import * as Splice from "./Splice.ts"
import type { Questions } from "./Questions.ts"
import type { Subscriptions } from "./Subscriptions.ts"
import type { Tasks } from "./Tasks.ts"
import type { Client } from "./Upstream.ts"

export interface NotificationsOptions {
  readonly clients: ReadonlySet<Client>
  readonly process: Peer
  readonly subscriptions: Subscriptions
  readonly questions: Questions
  readonly tasks: Tasks
  readonly logMessages: "owner" | "all" | "none"
  /** Whether the server was told a log level. */
  readonly isLevelAsked: () => boolean
}

export class Notifications {
  readonly #options: NotificationsOptions

  constructor(options: NotificationsOptions) {
    this.#options = options
  }

  /** Sends a server's notification to those whom it concerns. */
  deliver(line: Line, envelope: Envelope, method: string): void {
    switch (method) {
      case "notifications/progress":
        return this.#progress(line, envelope)
      case "notifications/message":
        return this.#logMessage(line, envelope)
      case "notifications/resources/updated":
        return this.#updated(line, envelope)
      case "notifications/tools/list_changed":
      case "notifications/prompts/list_changed":
      case "notifications/resources/list_changed":
        return this.#toAll(line)
      case "notifications/tasks/status":
        return this.#taskStatus(line)
      case "notifications/elicitation/complete":
        return this.#completed(line)
      default: {
        const call = this.#calls.soleCall()
        if (call !== null) deliverDuring(call.client, line)
        else this.#toAll(line)
      }
    }
  }

  get #calls() {
    return this.#options.process.calls
  }

  #toAll(line: Line): void {
    for (const client of this.#options.clients) if (client.initialized) deliver(client, line)
  }

  #progress(line: Line, envelope: Envelope): void {
    if (!envelope.has(Key.progressToken)) return
    const id = idIn(line.bytes, envelope.start[Key.progressToken]!, envelope.end[Key.progressToken]!)
    const call = this.#calls.get(id)
    if (call === undefined) return this.#taskProgress(line, envelope, id)
    if (call.client === null || call.token === null) return
    if (!hasRoom(call.client, line.end - line.start)) return
    call.isDelivered = true
    Splice.one(call.client.during(call.id), line, envelope, Key.progressToken, call.token)
  }

  /** The request that made a task is answered, and its progress token holds until the task is over. */
  #taskProgress(line: Line, envelope: Envelope, id: number): void {
    const task = this.#options.tasks.byRequest(this.#options.process, id)
    const client = task?.member.client ?? null
    if (task === null || client === null || !hasRoom(client, line.end - line.start)) return
    Splice.one(client.out, line, envelope, Key.progressToken, task.token)
  }

  #taskStatus(line: Line): void {
    const { process, tasks } = this.#options
    const { status, taskId } = namedTask(line)
    if (taskId === null) return
    const client = tasks.ownerOf(process, taskId)?.client ?? null
    tasks.heard(process, taskId, status)
    if (client !== null) deliver(client, line)
  }

  /** A page elsewhere is done with: news for whom it was opened. */
  #completed(line: Line): void {
    const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
      readonly params?: { readonly elicitationId?: unknown }
    }
    const id = params?.elicitationId
    const { process, questions } = this.#options
    const client = typeof id === "string" ? questions.completed(process, id) : null
    if (client !== null) deliver(client, line)
  }

  #updated(line: Line, envelope: Envelope): void {
    const uri = decodeString(line, envelope, Key.uri)
    if (uri !== null) for (const client of this.#options.subscriptions.watchers(uri)) deliver(client, line)
  }

  /** A log message names no session: it is for the one that can have caused it, if that is one, else by `logMessages`. */
  #logMessage(line: Line, envelope: Envelope): void {
    const { clients, isLevelAsked, logMessages } = this.#options
    if (logMessages === "none") return
    const level = LogLevel.severityOf(decodeString(line, envelope, Key.level))
    const owner = this.#causeOfLog()
    const wants = (client: Client) => client.initialized && LogLevel.wants(client, level, isLevelAsked())
    if (owner !== null) {
      if (wants(owner)) deliverDuring(owner, line)
    } else if (logMessages === "all") for (const client of clients) if (wants(client)) deliver(client, line)
  }

  /** Whose log messages are, as far as that is certain: tasks may say some too, and for a while what was given up. */
  #causeOfLog(): Client | null {
    const { process, tasks } = this.#options
    const call = this.#calls.soleCall()
    if (call === null || !this.#calls.isSaidToOnly(call.member, Date.now())) return null
    return tasks.areOnlyOf(process, call.member) ? call.client : null
  }
}

/** Sends a notification of the pool's own to everybody. */
export const announce = (clients: Iterable<Client>, method: string): void => {
  const text = Reply.notification(method)
  for (const client of clients) if (client.initialized && hasRoom(client, text.length)) client.out.push(text)
}
