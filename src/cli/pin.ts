/** `mcp-pool pin [SERVER…]`: what of the servers' tools is not as it was accepted. */
import { Console, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Os from "node:os"
import * as Address from "../config/Address.ts"
import { PinsDiffer } from "./CommandError.ts"
import { acceptedLines, isAsAccepted, pinLines } from "./pinView.ts"
import { connectControl, jsonFlag } from "./root.ts"
import { screen } from "./Screen.ts"

export const pin = Command.make(
  "pin",
  {
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names of servers: else all that pin their tools"),
      Argument.map((server) => Address.expand(server, Os.homedir())),
      Argument.variadic()
    ),
    accept: Flag.Boolean("accept").pipe(
      Flag.withDescription("Write what they list now into the lock file, and offer it at once"),
      Flag.withDefault(false)
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function* ({ accept, json, servers }) {
    const control = yield* connectControl
    const { paint } = yield* screen
    if (accept) {
      const done = yield* control.acceptPins(servers)
      yield* Console.log(json ? JSON.stringify(done, undefined, 2) : acceptedLines(done, paint).join("\n"))
      const failed = done.flatMap(({ reason, status }) => (reason === null ? [] : [status.server]))
      if (failed.length > 0) return yield* new PinsDiffer({ servers: failed })
      return
    }
    const pins = yield* control.pins(servers)
    yield* Console.log(json ? JSON.stringify(pins, undefined, 2) : pinLines(pins, paint).join("\n"))
    const others = pins.flatMap((status) => (isAsAccepted(status) ? [] : [status.server]))
    if (others.length > 0) return yield* new PinsDiffer({ servers: others })
  }, Effect.scoped)
).pipe(
  Command.withDescription("Show which tools are not as they were accepted (pool.pin), and accept them"),
  Command.withExamples([
    {
      command: "mcp-pool pin",
      description: "What has changed, is new or is gone, of all servers that pin their tools"
    },
    { command: "mcp-pool pin --accept github", description: "Accept those of one server as they are now" }
  ])
)
