/** The `PATH` of a fresh login shell: what a person's commands are found on, and a service's may not be. */
import { Effect } from "effect"
import * as os from "node:os"
import * as path from "node:path"
import { HostEnvironment } from "../config/Environment.ts"
import { SystemCommand } from "../service/SystemCommand.ts"

/** What it says, or why it says nothing. */
export type LoginShell =
  | { readonly kind: "told"; readonly shell: string; readonly path: string }
  | { readonly kind: "silent"; readonly shell: string; readonly reason: string }

/** Starts one with as little as a login gives it, and not for long. */
export const ask: Effect.Effect<LoginShell> = Effect.gen(function* () {
  const run = yield* SystemCommand
  const { HOME, LANG, LOGNAME, SHELL, USER } = yield* HostEnvironment
  const shell = SHELL || loginShell() || "/bin/sh"
  const variables = { HOME: HOME || os.homedir(), LANG, LOGNAME, PATH: systemPath, SHELL: shell, TERM: "dumb", USER }
  const only = Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  )
  const { code, err, out } = yield* run({ argv: [shell, "-lc", script], env: { only }, patience })
  // The last: a profile may print whatever it likes before, and traps may after.
  const told = out.slice(out.lastIndexOf(opening))
  const end = told.indexOf(closing)
  if (out.includes(opening) && end !== -1) return { kind: "told", shell, path: told.slice(opening.length, end) }
  const last = err.split("\n").at(-1)
  return { kind: "silent", shell, reason: last || (code === null ? "it does not end" : `it ends with code ${code}`) }
})

const opening = "<mcp-pool PATH "
const closing = " PATH mcp-pool>"
const script = `printf '%s%s%s\\n' '${opening}' "$PATH" '${closing}'`

/** Milliseconds: some profiles start half a system. */
const patience = 5000
const systemPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

const loginShell = (): string | null => {
  try {
    const { shell } = os.userInfo()
    return shell !== null && path.isAbsolute(shell) ? shell : null
  } catch {
    // An account without an entry in the system's list.
    return null
  }
}
