/** What `serve` shows a person once each server has run or failed: the servers, and commands to try next. Pure. */
import type { DaemonStatus } from "../control/ControlApi.ts"
import type { ToolStatus } from "../PoolStatus.ts"
import * as Shell from "../Shell.ts"
import { type Options, statusLines } from "./statusView.ts"
import { paint } from "./Text.ts"

export const welcomeLines = (
  status: DaemonStatus,
  tools: ReadonlyArray<ToolStatus>,
  options: Omit<Options, "paint"> & {
    readonly color: boolean
    /** How this program is called, with the flag that names the runtime directory where it is not the usual one. */
    readonly command: string
  }
): ReadonlyArray<string> => {
  const { command, now } = options
  const style = paint(options.color)
  const first = status.servers.find(({ state }) => state === "running")
  const echo = tools.find(({ name }) => name === "echo")
  const next = [
    `${command} status`,
    ...(first === undefined ? [] : [`${command} tools ${Shell.quoted(first.name)}`]),
    echo === undefined
      ? `${command} config --for claude-code`
      : `${command} call ${Shell.quoted(echo.server)} echo --args '{"message":"hi"}'`,
    ...(status.http === null ? [] : [`${command} config --http --for claude-code`])
  ]
  return [
    "",
    ...statusLines(status, { now, paint: style }),
    "",
    "Try in another terminal:",
    ...next.map((line) => `  ${style.bold(line)}`),
    ""
  ]
}
