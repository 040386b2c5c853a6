/** `mcp-pool connect` as a host runs it, with its lines. */
import { Effect, Queue } from "effect"
import * as Spawned from "../cli/Spawned.ts"
import { handshake, hello, type Message } from "./Scene.ts"
import type { Connection, ScriptedDaemon } from "./ScriptedDaemon.ts"

export const start = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  options: { readonly home?: string; readonly env?: Readonly<Record<string, string>> } = {}
) {
  const { child, ended } = yield* Spawned.start(["connect", ...args], options)
  const lines = yield* Queue.unbounded<Message>()
  let text = ""
  child.stdout.on("data", (chunk) => {
    text += chunk
    const whole = text.split("\n")
    text = whole.pop()!
    // A torn line would not be JSON.
    for (const line of whole) Queue.offerUnsafe(lines, JSON.parse(line))
  })
  const say = (...messages: ReadonlyArray<object>) =>
    Effect.sync(
      () => void child.stdin.write(messages.map((it) => `${JSON.stringify({ jsonrpc: "2.0", ...it })}\n`).join(""))
    )
  return {
    child,
    ended,
    /** The next line. */
    heard: Queue.take(lines),
    say,
    end: Effect.sync(() => void child.stdin.end())
  }
})

export type HostProcess = Effect.Success<ReturnType<typeof start>>

/** Lets it in: its next connection. */
export const welcome = Effect.fnUntraced(function* (daemon: ScriptedDaemon, server = "git") {
  const connection = yield* daemon.next
  const open = yield* connection.heard
  yield* connection.say({ "mcp-pool": "opened", protocol: 1, version: "9.9.9", server })
  return { ...connection, open }
})

/** The handshake, by whichever id it comes. */
export const greet = Effect.fnUntraced(function* (connection: Connection) {
  const { id } = yield* connection.heard
  yield* connection.say({ jsonrpc: "2.0", id, result: handshake })
})

/** A host that has shaken hands. */
export const greeted = Effect.fnUntraced(function* (daemon: ScriptedDaemon, args: ReadonlyArray<string>) {
  const host = yield* start(args)
  const connection = yield* welcome(daemon)
  yield* host.say(hello)
  yield* greet(connection)
  yield* host.heard
  yield* host.say({ method: "notifications/initialized" })
  yield* connection.heard
  return { host, connection }
})
