/** launchd as the keeper of the daemon, for the user who is logged in at the screen. */
import { Effect } from "effect"
import * as path from "node:path"
import type { Argv, Keeper, State } from "./Keeper.ts"
import * as LaunchAgent from "./LaunchAgent.ts"
import { stamped } from "./ServiceFile.ts"
import { SystemCommand } from "./SystemCommand.ts"

/** The keeper of the service with that name, which is its label. */
export const make = (options: { readonly service: string; readonly home: string; readonly uid: number }): Keeper => {
  const { home, service: label, uid } = options
  const file = path.join(home, "Library/LaunchAgents", `${label}.plist`)
  const logFile = path.join(home, "Library/Logs", `${label}.log`)
  const domain = `gui/${uid}`
  const target = `${domain}/${label}`
  // Loaded or not: a stopped agent is one that is not loaded, since launchd starts what it has loaded.
  const start: Argv = ["/bin/sh", "-c", startScript, file, domain, label]
  return {
    kind: "launchd",
    name: label,
    file,
    text: (description) =>
      stamped(LaunchAgent.text(description, { home, label, logFile }), {
        after: /^<!-- Written by .*$/m,
        comment: (text) => `<!-- ${text} -->`
      }),
    parse: LaunchAgent.parse,
    register: [["launchctl", "enable", target]],
    // What is loaded is not read again.
    clear: [["/bin/sh", "-c", unloadScript, target]],
    start,
    stop: ["launchctl", "bootout", target],
    unregister: [["/bin/sh", "-c", unloadScript, target]],
    forget: [],
    links: [],
    env: {},
    state: Effect.gen(function* () {
      const run = yield* SystemCommand
      const printed = yield* run({ argv: ["launchctl", "print", target] })
      const disabled = yield* run({ argv: ["launchctl", "print-disabled", domain] })
      return stateOf(label, printed, disabled)
    }),
    endsWithSession: Effect.succeed(null),
    logs: ["tail", "-n", "20", logFile]
  }
}

/** What was unloaded a moment ago cannot be loaded before it is gone. */
const startScript = `tries=0
until launchctl print "$1/$2" >/dev/null 2>&1 || launchctl bootstrap "$1" "$0"; do
  tries=$((tries + 1))
  [ $tries -lt 4 ] || exit 1
  sleep 1
done
exec launchctl kickstart "$1/$2"`
const unloadScript = 'launchctl print "$0" >/dev/null 2>&1 || exit 0; exec launchctl bootout "$0"'

/** What `launchctl` prints where it does not know the service. */
const unknownService = 113

const stateOf = (
  label: string,
  printed: { readonly code: number | null; readonly out: string; readonly err: string },
  disabled: { readonly code: number | null; readonly out: string }
): State => {
  const isDisabled = disabled.out
    .split("\n")
    .some((line) => line.includes(`"${label}"`) && /=>\s*(true|disabled)\s*$/.test(line))
  const isEnabled = disabled.code === 0 ? !isDisabled : null
  if (printed.code === unknownService) return { silence: null, isEnabled, pid: null, words: "not loaded" }
  if (printed.code !== 0) {
    const silence = printed.err.split("\n", 1)[0] || "it does not answer"
    return { silence, isEnabled, pid: null, words: "not known" }
  }
  const [, words = "not known"] = /^\s*state = (.+)$/m.exec(printed.out) ?? []
  const [, pid] = /^\s*pid = (\d+)$/m.exec(printed.out) ?? []
  return { silence: null, isEnabled, pid: pid === undefined ? null : Number(pid), words: words.trim() }
}
