/** What must hold for whatever shares one stdio server among several clients, and what several invariants look at. */
import { Effect, type Scope } from "effect"
import * as KitClient from "./KitClient.ts"
import type { Seen } from "./KitServers.ts"
import type { Broken } from "./KitWaiting.ts"
import type { World } from "./KitWorld.ts"

export interface Invariant {
  readonly name: string
  /** What must hold, in a sentence. */
  readonly says: string
  /** Where that is written (MCP is 2025-11-25), or why it is so. */
  readonly rule: string
  /** Where a transport has no such thing, it is not exercised over it. */
  readonly only?: World["transport"]
  /**
   * Brings about what it is about, in a world of its own; fails where what must come does not. Null where the command
   * does not offer it.
   */
  readonly exercise: (world: World) => Effect.Effect<Judge | null, Broken, Scope.Scope>
}

/** What was seen against it; asked once the command has ended, so that nothing is on its way any more. */
export type Judge = () => ReadonlyArray<string>

/**
 * When it returns, what was sent to these clients before has come, where one connection carries it, and the processes
 * that serve them are known.
 */
export const settle = ({ servers }: World, clients: ReadonlyArray<KitClient.Client>): Effect.Effect<void, Broken> =>
  Effect.forEach(
    clients,
    (client) =>
      Effect.flatMap(client.start("echo"), (label) => Effect.andThen(client.labelled(label), servers.called(label))),
    { discard: true, concurrency: "unbounded" }
  )

/** All pairs of a client and one of some things. */
export const each = <A, B>(
  clients: ReadonlyArray<KitClient.Client>,
  things: ReadonlyArray<A>,
  use: (client: KitClient.Client, thing: A) => Effect.Effect<B, Broken>
): Effect.Effect<ReadonlyArray<B>, Broken> =>
  Effect.forEach(
    clients.flatMap((client) => things.map((thing) => [client, thing] as const)),
    ([client, thing]) => use(client, thing)
  )

/** Answers to calls of others. */
export const foreignAnswers = (clients: ReadonlyArray<KitClient.Client>): ReadonlyArray<string> =>
  clients.flatMap((client) =>
    client
      .received()
      .map((message) => KitClient.labelOf(message))
      .filter((label) => label !== undefined && isForeign(client, label))
      .map((label) => `${client.name} got the answer to call ${label}`)
  )

/** Questions of calls of others. */
export const foreignQuestions = (clients: ReadonlyArray<KitClient.Client>): ReadonlyArray<string> =>
  clients.flatMap((client) =>
    client
      .questions()
      .map((question) => KitClient.subjectOf(question))
      .filter((label) => isForeign(client, label))
      .map((label) => `${client.name} was asked what call ${label} asks`)
  )

const isForeign = (client: KitClient.Client, label: string): boolean =>
  label.includes("/") && KitClient.ownerOf(label) !== client.name

/** The labels of calls that a server was told to cancel; null for none that it has. */
export const cancelled = ({ servers }: World): ReadonlyArray<string | null> =>
  servers.seen().flatMap(({ label, what }) => (what === "cancelled" ? [label ?? null] : []))

/** Returns when a server has seen one of these things of a call, or when the call's process is gone. */
export const reached = (
  { servers }: World,
  label: string,
  ...whats: ReadonlyArray<Seen["what"]>
): Effect.Effect<unknown, Broken> =>
  servers.until(`call ${label} ${whats.join(" or ")} at the server`, (seen) => {
    const home = seen.find((it) => it.what === "call" && it.label === label)?.pid
    return seen.find((it) => (it.what === "gone" ? it.pid === home : it.label === label && whats.includes(it.what)))
  })
