/** The invariant of tasks of 2025-11-25: each is its client's, though all that names it is an id. */
import { Effect } from "effect"
import { type Client, labelOf } from "./KitClient.ts"
import { type Invariant, settle } from "./KitInvariant.ts"

interface Capabilities {
  readonly tasks?: { readonly list?: object }
}
interface Task {
  readonly taskId: string
  readonly status: string
}

/** Makes a task of a call, which ends when the server is told. */
const make = Effect.fnUntraced(function* (client: Client, id: string) {
  const params = { name: "hold", arguments: { label: client.label(id) }, task: { ttl: 60_000 } }
  const { result } = yield* client.request("tools/call", params, id)
  return String((result?.["task"] as Task | undefined)?.taskId)
})

const tasksBelongToTheirClient: Invariant = {
  name: "tasks belong to their client",
  says: "A task is read, awaited, cancelled and listed by the client whose call made it, and by nobody else",
  rule: "MCP basic/utilities/tasks, security: tasks are bound to the context that made them, and not listed without one",
  exercise: Effect.fnUntraced(function* (world) {
    const [owner, stranger] = (yield* world.clients(2)) as [Client, Client]
    const { capabilities } = (yield* owner.answer(0)).result as { readonly capabilities: Capabilities }
    if (capabilities.tasks === undefined) return null
    const first = yield* make(owner, "first")
    const second = yield* make(owner, "second")

    const read = yield* stranger.request("tasks/get", { taskId: first })
    yield* stranger.channel.send({ id: "awaits", method: "tasks/result", params: { taskId: first } })
    const cancelled = yield* stranger.request("tasks/cancel", { taskId: second })
    const listed = yield* stranger.request("tasks/list", {})
    const { result: mine } = yield* owner.request("tasks/get", { taskId: second })
    yield* world.servers.tell(owner.label("first"), { do: "completeTask" })
    const awaited = yield* owner.request("tasks/result", { taskId: first })
    const stolen = yield* stranger.answer("awaits")
    yield* settle(world, [owner, stranger])

    return () => {
      const list = (listed.result?.["tasks"] ?? []) as ReadonlyArray<Task>
      const told = stranger.received().filter(({ method }) => method === "notifications/tasks/status")
      return [
        ...(read.error === undefined ? [`${stranger.name} read a task of ${owner.name}`] : []),
        ...(stolen.error === undefined ? [`${stranger.name} got the result of a task of ${owner.name}`] : []),
        ...(cancelled.error === undefined ? [`${stranger.name} cancelled a task of ${owner.name}`] : []),
        ...(list.length > 0 ? [`${stranger.name} was shown ${list.length} tasks of ${owner.name}`] : []),
        ...(told.length > 0 ? [`${stranger.name} was told how a task of ${owner.name} goes`] : []),
        ...(mine?.["status"] === "working" ? [] : [`${owner.name} finds its task ${String(mine?.["status"])}`]),
        ...(labelOf(awaited) === owner.label("first") ? [] : [`${owner.name} did not get its own task's result`])
      ]
    }
  })
}

export const invariants: ReadonlyArray<Invariant> = [tasksBelongToTheirClient]
