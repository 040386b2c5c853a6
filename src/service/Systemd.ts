/** The user's own systemd as the keeper of the daemon. */
import { Effect } from "effect"
import * as path from "node:path"
import type { Argv, Keeper, State } from "./Keeper.ts"
import { stamped } from "./ServiceFile.ts"
import { type Outcome, SystemCommand } from "./SystemCommand.ts"
import * as SystemdUnit from "./SystemdUnit.ts"

/** The keeper of the service with that name, without the ending of a unit's. */
export const make = (options: {
  readonly service: string
  readonly home: string
  readonly uid: number
  /** As the environment has it: where the user's systemd is reached. */
  readonly xdgRuntimeDir: string | undefined
}): Keeper => {
  const { home, service, uid, xdgRuntimeDir } = options
  const name = `${service}.service`
  // Never of XDG_CONFIG_HOME: the user's systemd has another environment than this process.
  const directory = path.join(home, ".config/systemd/user")
  const systemctl = (...words: ReadonlyArray<string>): Argv => ["systemctl", "--user", ...words]
  // `su`, `sudo` and hosts leave it out, and without it nothing is reached.
  const env = { XDG_RUNTIME_DIR: xdgRuntimeDir || `/run/user/${uid}` }
  return {
    kind: "systemd",
    name,
    file: path.join(directory, name),
    text: (description) =>
      stamped(SystemdUnit.text(description, name), {
        after: /^# What you add .*$/m,
        comment: (text) => `# ${text}`
      }),
    parse: SystemdUnit.parse,
    register: [systemctl("daemon-reload"), systemctl("enable", name)],
    // It counts the starts of a minute.
    clear: [systemctl("reset-failed", name)],
    start: systemctl("start", name),
    stop: systemctl("stop", name),
    unregister: [systemctl("disable", "--now", name)],
    forget: [systemctl("daemon-reload")],
    links: [path.join(directory, "default.target.wants", name)],
    env,
    state: Effect.gen(function* () {
      const run = yield* SystemCommand
      const shown = yield* run({
        argv: systemctl("show", name, `--property=${properties.join(",")}`),
        env: { add: env }
      })
      return stateOf(shown)
    }),
    endsWithSession: Effect.gen(function* () {
      const run = yield* SystemCommand
      const { code, out } = yield* run({ argv: ["loginctl", "show-user", String(uid), "--property=Linger"] })
      return code === 0 && out.startsWith("Linger=") ? out === "Linger=no" : null
    }),
    logs: ["journalctl", "--user", "--unit", name, "--lines", "20"]
  }
}

const properties = ["LoadState", "ActiveState", "SubState", "Result", "MainPID", "UnitFileState"]

const stateOf = ({ code, err, out }: Outcome): State => {
  if (code !== 0) return { silence: firstLine(err), isEnabled: null, pid: null, words: "not known" }
  const values = new Map(out.split("\n").map((line) => [line.split("=", 1)[0]!, line.slice(line.indexOf("=") + 1)]))
  const valueOf = (property: string) => values.get(property) ?? ""
  const pid = Number(valueOf("MainPID"))
  const result = valueOf("Result")
  const words = [valueOf("SubState"), ...(result === "success" || result === "" ? [] : [result])]
  return {
    silence: null,
    isEnabled: valueOf("LoadState") === "loaded" ? valueOf("UnitFileState").startsWith("enabled") : false,
    pid: pid > 0 ? pid : null,
    words: `${valueOf("ActiveState")} (${words.join(", ")})`
  }
}

const firstLine = (text: string): string => text.split("\n", 1)[0] || "it does not answer"
