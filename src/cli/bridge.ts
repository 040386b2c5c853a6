/** `mcp-pool connect` in the command tree, for help and completions: what runs it is `connect.ts`, without Effect. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { runtimeDir, serverArgument } from "./root.ts"

export const connect = Command.make(
  "connect",
  { server: serverArgument },
  Effect.fnUntraced(function* ({ server }) {
    const directory = yield* runtimeDir
    const { main } = yield* Effect.promise(() => import("./connect.ts"))
    yield* Effect.sync(() => main(["--runtime-dir", directory, "--", server]))
    return yield* Effect.never
  })
).pipe(Command.withDescription("Be a stdio MCP server that stands for a shared one: for hosts that know only commands"))
