/**
 * Tasks of 2025-11-25 (https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks), and those of the
 * extension for 2026-07-28 (https://modelcontextprotocol.io/seps/2663-tasks-extension): whose each one is, and which process
 * runs it. Nobody else may read, await, go on with or cancel it. Plain synchronous code.
 */
import type { Line } from "../lines/LineReader.ts"
import { tasksExtension } from "../server/Era.ts"
import type { Handshake } from "../server/Handshake.ts"
import { invalidParams } from "../WireError.ts"
import type { Call } from "./Calls.ts"
import type { Peer } from "./Peer.ts"
import type { Member } from "./Member.ts"

interface Task {
  readonly id: string
  readonly member: Member
  /** The process's id for the request that made it, which is its progress token too. */
  readonly request: number
  /** The client's own progress token, as JSON text. */
  readonly token: string | null
  /** It is one of the extension: its owner's whichever of them asks, until its own time is over. */
  readonly isOfExtension: boolean
  /** It may still ask, and tell of progress: none of the extension does. */
  isLive: boolean
}

export class Tasks {
  readonly #tasks = new Map<Peer, Map<string, Task>>()
  readonly #waiting = new Map<Peer, () => void>()

  /** A process has answered a request that asked for a task. */
  created(process: Peer, request: number, call: Pick<Call, "member" | "token">, line: Line): void {
    this.#add(process, request, call, line)
  }

  /** The same, where its client does not wait for that any more. */
  unwanted(process: Peer, request: number, member: Member, line: Line): void {
    const task = this.#add(process, request, { member, token: null }, line)
    if (task !== null) this.#giveUp(process, task)
  }

  /** A process has answered a request about a task. */
  answered(process: Peer, taskId: string, method: string, line: Line): void {
    const { error, result } = parse(line)
    // It tells the result once there is one, and of a task that it does not know any more that the id is wrong.
    const isOver = method === "tasks/result" || record(error)["code"] === invalidParams
    this.heard(process, taskId, isOver ? "completed" : record(result)["status"])
  }

  /** A process tells how a task is. */
  heard(process: Peer, taskId: string, status: unknown): void {
    const task = this.#tasks.get(process)?.get(taskId)
    if (task === undefined || !terminal.has(String(status))) return
    task.isLive = false
    this.#tellIdle(process)
  }

  ownerOf(process: Peer, taskId: string): Member | null {
    return this.#tasks.get(process)?.get(taskId)?.member ?? null
  }

  /** Where a task runs that is this member's, or another's of the same owner. */
  processOf(member: Member, taskId: string): Peer | null {
    for (const [process, tasks] of this.#tasks) {
      if (tasks.get(taskId)?.member.owner === member.owner) return process
    }
    return null
  }

  /** Whether a member has one that is not over. */
  hasLiveOf(member: Member): boolean {
    for (const tasks of this.#tasks.values()) {
      for (const task of tasks.values()) if (task.isLive && task.member === member) return true
    }
    return false
  }

  /** Whether all tasks that may still ask are this member's. */
  areOnlyOf(process: Peer, member: Member): boolean {
    for (const task of this.#tasks.get(process)?.values() ?? []) if (task.isLive && task.member !== member) return false
    return true
  }

  /** Whose progress it is, where the request that made a task is answered already. */
  byRequest(process: Peer, request: number): { readonly member: Member; readonly token: string } | null {
    for (const { isLive, member, request: made, token } of this.#tasks.get(process)?.values() ?? []) {
      if (isLive && made === request && token !== null) return { member, token }
    }
    return null
  }

  /** A session has left: nobody will ask for what it has under way. */
  leave(member: Member): void {
    for (const [process, tasks] of this.#tasks) {
      for (const task of tasks.values()) {
        if (task.member === member && !task.isOfExtension) this.#giveUp(process, task)
      }
      this.#tellIdle(process)
    }
  }

  endOf(process: Peer): void {
    this.#tasks.delete(process)
    this.#waiting.delete(process)
  }

  /** Calls back once a process has no task under way. */
  whenIdle(process: Peer, done: () => void): void {
    if (!this.hasLive(process)) return done()
    this.#waiting.set(process, done)
  }

  /** Whether a process has a task under way. */
  hasLive(process: Peer): boolean {
    for (const { isLive } of this.#tasks.get(process)?.values() ?? []) if (isLive) return true
    return false
  }

  #add(process: Peer, request: number, call: Pick<Call, "member" | "token">, line: Line): Task | null {
    const result = record(parse(line).result)
    const isOfExtension = result["resultType"] === "task"
    const made = isOfExtension ? result : record(result["task"])
    const id = made["taskId"]
    if (typeof id !== "string") return null
    const tasks = this.#tasks.get(process) ?? new Map<string, Task>()
    this.#tasks.set(process, tasks)
    this.#makeRoom(tasks)
    const isLive = !isOfExtension && !terminal.has(String(made["status"]))
    const task = { id, member: call.member, request, token: call.token, isOfExtension, isLive }
    tasks.set(id, task)
    return task
  }

  /** Until the server says that it is over, it may ask, and nobody else is to be taken for who is asked. */
  #giveUp(process: Peer, { id, isLive, isOfExtension }: Task): void {
    if (!isLive) this.#tasks.get(process)?.delete(id)
    if (isLive || isOfExtension)
      process.ask("tasks/cancel", { taskId: id }, () => this.heard(process, id, "cancelled"), null)
  }

  #tellIdle(process: Peer): void {
    const done = this.#waiting.get(process)
    if (done === undefined || this.hasLive(process)) return
    this.#waiting.delete(process)
    done()
  }

  /** The oldest goes first, one that is over if there is one. */
  #makeRoom(tasks: Map<string, Task>): void {
    if (tasks.size < maxTasks) return
    const oldest = [...tasks.values()].find(({ isLive }) => !isLive) ?? tasks.values().next().value
    if (oldest !== undefined) tasks.delete(oldest.id)
  }
}

/** Whether a request asks for a task, or allows the server to make one of it. */
export const asksForTask = (line: Line): boolean => {
  const bytes = line.bytes.subarray(line.start, line.end)
  if (bytes.includes(extensionKey)) return true
  return bytes.includes(taskKey) && typeof record(parse(line).params)["task"] === "object"
}

/** Whether a server makes tasks. */
export const areOffered = ({ capabilities, era }: Handshake): boolean =>
  era === "legacy" ? "tasks" in capabilities : tasksExtension in record(record(capabilities)["extensions"])

const parse = (line: Line): { readonly params?: unknown; readonly result?: unknown; readonly error?: unknown } =>
  JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as object

const record = (value: unknown): { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null ? (value as { readonly [key: string]: unknown }) : {}

const extensionKey = Buffer.from(`"${tasksExtension}"`)
const taskKey = Buffer.from('"task"')
const terminal: ReadonlySet<string> = new Set(["completed", "failed", "cancelled"])
/** Of one process. */
const maxTasks = 4096
