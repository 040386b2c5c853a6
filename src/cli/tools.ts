/** `mcp-pool tools [SERVER]`: what the servers can do. */
import { Console, Effect } from "effect"
import { Argument, Command } from "effect/cli"
import type { ToolStatus } from "../PoolStatus.ts"
import { connectControl, jsonFlag, serverArgument } from "./root.ts"
import { screen, type Screen } from "./Screen.ts"
import { printable } from "../printable.ts"
import { firstLine, table } from "./Text.ts"

export const tools = Command.make(
  "tools",
  { server: Argument.optional(serverArgument), json: jsonFlag },
  Effect.fnUntraced(function* ({ server, json }) {
    const control = yield* connectControl
    const found = yield* control.tools(server)
    yield* Console.log(json ? JSON.stringify(found, undefined, 2) : toolLines(found, yield* screen).join("\n"))
  }, Effect.scoped)
).pipe(Command.withDescription("List the tools of one server or of all"))

/** A table of the tools, each on one line of the screen. */
export const toolLines = (
  tools: ReadonlyArray<ToolStatus>,
  { paint, width }: Pick<Screen, "paint" | "width">
): ReadonlyArray<string> => {
  if (tools.length === 0) return ["no tools are known: is a server running?"]
  const names = [
    { head: "SERVER", text: ({ server }: ToolStatus) => printable(server) },
    { head: "TOOL", text: ({ name }: ToolStatus) => printable(name), style: paint.bold }
  ]
  const taken = Math.max(...table(tools, names, { ...paint, dim: same }).map((line) => line.length)) + 2
  const room = Math.max(leastDescription, Math.min(width, widestTable) - taken)
  return table(
    tools,
    [
      ...names,
      {
        head: "DESCRIPTION",
        text: ({ description, pin, title }) => firstLine(`${markOf(pin)}${description ?? title ?? ""}`, room),
        style: paint.dim
      }
    ],
    paint
  )
}

/** What a pin says of a tool. */
const markOf = (pin: ToolStatus["pin"]): string => {
  if (pin === undefined) return ""
  const what = pin.difference === "new" ? "new since the others were accepted" : "changed since it was accepted"
  return `[${pin.offered ? "" : "not offered: "}${what}] `
}

const same = (text: string): string => text
const leastDescription = 20
const widestTable = 160
