/** `mcp-pool connect` in the command tree, for help and completions: what runs it is `connect.ts`, without Effect. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { runtimeDir, serverArgument } from "./root.ts"

export const connect = Command.make(
  "connect",
  {
    project: Flag.String("project").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription(
        "Whose configuration counts, before the pool's own: else $CLAUDE_PROJECT_DIR, else the working directory"
      ),
      Flag.optional
    ),
    noStart: Flag.Boolean("no-start").pipe(
      Flag.withDescription("Fail where no daemon runs: else one is started in the background"),
      Flag.withDefault(false)
    ),
    server: serverArgument
  },
  Effect.fnUntraced(function* ({ noStart, project, server }) {
    const directory = yield* runtimeDir
    const { main } = yield* Effect.promise(() => import("./connect.ts"))
    const flags = [
      ...Option.match(project, { onNone: () => [], onSome: (it) => [`--project=${it}`] }),
      ...(noStart ? ["--no-start"] : [])
    ]
    yield* Effect.sync(() => main(["--runtime-dir", directory, ...flags, "--", server]))
    return yield* Effect.never
  })
).pipe(Command.withDescription("Be a stdio MCP server that stands for a shared one: for hosts that know only commands"))
