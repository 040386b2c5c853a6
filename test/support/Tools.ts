/** The tools of the fixture `server.ts`, as tests call them. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as LineClient from "./LineClient.ts"

/** What the fixture has seen. Lists are in the order in which things came. */
export interface Stats {
  readonly pid: number
  readonly initializations: number
  readonly calls: number
  /** With the label of the sleeping call that each met, or null. */
  readonly cancellations: ReadonlyArray<{ readonly label: string | null; readonly at: number }>
  /** `+uri` and `-uri`. */
  readonly subscriptions: ReadonlyArray<string>
  readonly levels: ReadonlyArray<string>
  /** Methods of other notifications. */
  readonly notifications: ReadonlyArray<string>
  /** Ids of responses. */
  readonly answers: ReadonlyArray<unknown>
}

export const stats = (client: LineClient.LineClient) =>
  Effect.map(client.call("stats"), (answer) => JSON.parse(LineClient.textOf(answer)) as Stats)

/** One of the lists of {@link stats}, once it has `count` entries. */
export const until = <List extends "cancellations" | "subscriptions" | "levels">(
  client: LineClient.LineClient,
  list: List,
  count: number
) => Effect.map(client.call("until", { list, count }), (answer) => JSON.parse(LineClient.textOf(answer)) as Stats[List])

/** The client gets answers. */
export const serves = (client: LineClient.LineClient) =>
  Effect.map(client.call("echo", { text: "hi" }), (answer) => assert.strictEqual(LineClient.textOf(answer), "hi"))

/** Sends a call that stays in flight until it is woken by its label, and returns when the server has it. */
export const startSleeping = (client: LineClient.LineClient, label: string, id: unknown) =>
  Effect.andThen(
    client.send({
      id,
      method: "tools/call",
      params: { name: "sleep", arguments: { label }, _meta: { progressToken: label } }
    }),
    client.notification("notifications/progress")
  )
