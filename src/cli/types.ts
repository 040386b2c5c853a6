/** `mcp-pool types [SERVER…]`: the tools of servers as a TypeScript module of typed functions. */
import { Console, Effect, Option } from "effect"
import { Argument, Command } from "effect/cli"
import * as Address from "../config/Address.ts"
import { ServerNotFound } from "../PoolError.ts"
import type { ServerStatus, ToolStatus } from "../PoolStatus.ts"
import { ServerDown } from "./CommandError.ts"
import { connectControl } from "./root.ts"
import { stateLine } from "./statusView.ts"
import { paint } from "./Text.ts"

export const types = Command.make(
  "types",
  {
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names of servers: else all that the daemon has"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* ({ servers: wanted }) {
    const control = yield* connectControl
    const { servers } = yield* control.status
    const names = servers.map(({ name }) => name)
    const stranger = wanted.find((name) => !names.includes(name))
    if (stranger !== undefined) return yield* new ServerNotFound({ server: stranger, names })

    // What a project has of its own is no tool of all.
    const isChosen = (name: string) => (wanted.length === 0 ? Address.parse(name) === undefined : wanted.includes(name))
    const chosen = servers.filter(({ name }) => isChosen(name))
    const known = chosen.filter(({ tools }) => tools !== null)
    const silent = chosen.filter(({ tools }) => tools === null).map(silentLine)
    // Half a module would look like a whole one to who asked for these.
    if (silent[0] !== undefined && (wanted.length > 0 || known.length === 0)) {
      return yield* new ServerDown({ line: silent[0] })
    }
    for (const line of silent) yield* Console.error(`mcp-pool: left out: ${line}`)
    const listed = yield* Effect.forEach(known, ({ name }) => control.tools(Option.some(name)))
    // Loaded here, so that no other command loads it.
    const ToolModule = yield* Effect.promise(() => import("../codegen/ToolModule.ts"))
    yield* Console.log(ToolModule.print(listed.flat().filter(isOffered)).trimEnd())
  }, Effect.scoped)
).pipe(
  Command.withDescription("Print the tools of servers as a TypeScript module of typed functions"),
  Command.withExamples([
    { command: "mcp-pool types > src/tools.ts", description: "The tools of all servers" },
    { command: "mcp-pool types github > src/github.ts", description: "Those of one" }
  ])
)

const isOffered = ({ pin }: ToolStatus): boolean => pin === undefined || pin.offered

const silentLine = (server: ServerStatus): string => `${stateLine(server, paint(false))}; its tools are not known`
